"""The settings of the service: one definition, of which options, environment, files and the manual are made."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from klausel.core.terms.problem import did_you_mean

ENVIRONMENT_VARIABLE = "KLAUSEL_SETTINGS"
WORKERS_FOLDER_VARIABLE = "KLAUSEL_WORKERS_FOLDER"
"""Names the folder that the workers of one service share, where there are several."""
CONFIG_VARIABLE = "KLAUSEL_CONFIG"
"""Names the file of settings."""
VARIABLES_START = "KLAUSEL_"
OTHER_VARIABLES = frozenset(
    {ENVIRONMENT_VARIABLE, WORKERS_FOLDER_VARIABLE, CONFIG_VARIABLE, "KLAUSEL_PACKAGE", "KLAUSEL_URL"}
)
"""What may stand in the environment and is no setting."""
VARIABLES_OF_TESTS = ("KLAUSEL_TEST_", "KLAUSEL_REQUIRE_", "KLAUSEL_BENCH_")
SLOW_BODIES_AT_ONCE = 18
"""How many threads of a worker may wait for bodies that come slowly."""
WAITING_AT_ONCE = 33
"""How many may wait for these or in line for the database; each of the two kinds may have fewer than that."""
READING_AT_ONCE = 39
"""How many may read bodies, slow or not, so that a burst of half ones leaves threads for all else."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_ABOUT = "about"
_OF_KUBERNETES = re.compile(r"KLAUSEL_(SERVICE_.*|PORT(_\d+_.*)?)")


@dataclass(frozen=True, slots=True)
class About:
    """What is said and asked of one setting. `help` stands in the help of commands and in the manual, `more` in the manual alone.

    `option` is its name on the command line where that is not the one of the field, `also` another one. `least` and `most` are
    bounds, `least` one that is not reached itself where it `is_open`. A `secret` is never shown (of a URL, the password), and may
    be read from a file.
    `shown_default` says in words what happens without it.
    """

    help: str
    more: str = ""
    option: str = ""
    also: str = ""
    metavar: str = ""
    least: float | None = None
    most: float | None = None
    is_open: bool = False
    choices: tuple[str, ...] = ()
    secret: bool = False
    is_url: bool = False
    shown_default: str = ""


def _setting(default: Any, help: str, **about: Any) -> Any:
    return field(default=default, metadata={_ABOUT: About(help, **about)})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with: the one definition of all settings, for options, environment, files and manual.

    `policies` may be an address such as `policies.git@main:policies`; then an empty `model` is that of the commit. It may be
    several folders with `os.pathsep` between; the later add to the first.
    `allowed_hosts` are in small letters. The settings that start with `database_` are the limits of
    `klausel.storage.sql.access`.
    """

    policies: str = _setting(
        "policies",
        "Folder of the policy set, repeatable: a later one adds to those before; REPO@REF:DIR reads it at a git ref, "
        "from a bare repository too.",
        more="[Several folders](policies.md#several-folders) have `:` between them in the environment (`;` on Windows). "
        "Without a name it is looked for here and in the folders above, see [below](#policies-from-a-git-ref).",
        metavar="DIR",
    )
    model: str = _setting(
        "model.conf",
        "Casbin model; without it, model.conf beside the policies folder, in the working directory, or of Klausel itself.",
        metavar="FILE",
    )
    database: str = _setting(
        "sqlite:///klausel.db",
        "SQLAlchemy URL of the role assignments.",
        more="Beside policies that were found in a folder above.",
        metavar="URL",
        secret=True,
        is_url=True,
    )
    host: str = _setting("127.0.0.1", "Address to listen on.", metavar="ADDRESS")
    port: int = _setting(8080, "Port to listen on.", least=1, most=65535)
    public_url: str | None = _setting(
        None,
        "The https address under which callers reach the service, for its metadata.",
        more="Its host may address the service. Without a scheme it is https; a start without an https address is warned of.",
        metavar="URL",
        shown_default="address and port",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        "A name by which a service on loopback may be called, beside its own and that of its public URL; repeatable.",
        more="As a proxy may keep it.",
        option="--allowed-host",
        metavar="NAME",
    )
    path_prefix: str = _setting(
        "",
        "Path under which a proxy in front passes requests on, such as /authorization; without it, requests come as they are.",
        more="It belongs into the public URL too, when callers write it. Paths without it are answered as well.",
        metavar="PATH",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "Address or network of a proxy whose X-Forwarded-For is believed; repeatable. Without it, nobody's is.",
        option="--trusted-proxy",
        metavar="ADDRESS",
    )
    tls_certificate: str | None = _setting(
        None, "Serve TLS (1.3) with this certificate, and those between it and the root (PEM).", metavar="FILE"
    )
    tls_key: str | None = _setting(
        None, "The private key of the certificate (PEM, PKCS#8, without a password).", metavar="FILE"
    )
    tls_client_ca: str | None = _setting(
        None, "Take only callers with a certificate of these authorities (PEM).", metavar="FILE"
    )
    reasons: bool = _setting(
        False,
        "Give each deny its reasons, also where the request does not ask for them.",
        more="[What they are](http.md#decisions).",
    )
    demo: bool = _setting(False, "Load the people of demo/assignments.csv into an empty database first.")
    workers: int = _setting(1, "Processes.", least=1, most=64)
    fast_lane: bool = True
    max_policy_age_seconds: float | None = _setting(
        None,
        "Deny everything when the policies could not be refreshed for so long; without it, never.",
        option="--max-policy-age",
        metavar="SECONDS",
        least=1,
        most=31_536_000,
    )
    decision_log: str | None = _setting(
        None,
        "Record every decision: stdout, database, or the path of a file.",
        more="See [below](#the-decision-log).",
        metavar="TARGET",
    )
    decision_log_strict: bool = _setting(
        False, "Give no answer without its record: 503 where the decision log cannot be written.", also="--log-strict"
    )
    decision_log_mask: tuple[str, ...] = _setting(
        (),
        "Do not record this value: /resource/properties/email, or /context/* for all of the context; repeatable.",
        metavar="POINTER",
    )
    decision_log_sample_allows: float = _setting(
        1.0, "Share of the allows that is recorded; every deny is.", least=0, most=1, is_open=True
    )
    decision_log_max_bytes: int = _setting(
        268_435_456, "Bytes after which a file of the decision log is put aside and another begun.", least=10_000
    )
    decision_log_files: int = _setting(0, "Files put aside that are kept, the oldest going first; 0 keeps all.", least=0)
    decision_log_queue: int = _setting(
        20_000, "Records that may wait in each process; further ones are dropped and counted.", least=1, most=100_000_000
    )
    poll_seconds: float = _setting(
        5.0, "How often a git ref is looked up again, for policies at REPO@REF:DIR.", least=0.1, most=86_400
    )
    settle_seconds: float = _setting(
        1.5,
        "Take changed policy files when they stay as they are for so long; a set that is half there is never taken.",
        least=0,
        most=600,
    )
    log_format: str = _setting("text", "How the service's own log is written to standard error.", choices=("text", "json"))
    traces: bool = _setting(
        False,
        "Send traces by OpenTelemetry, to where its own variables (`OTEL_…`) say.",
        more="See [below](#traces).",
    )
    orphaned_assignments: str = _setting(
        "refuse",
        "What to do with policies under which stored role assignments count for nothing, as their role is not declared.",
        choices=("refuse", "warn"),
    )
    authentication: str = _setting(
        "none",
        "How callers prove who they are: API keys (`klausel keys new`), OAuth tokens, or either.",
        more="See [below](#who-may-reach-it).",
        choices=("none", "keys", "oauth", "keys-or-oauth"),
    )
    oauth_issuer: str | None = _setting(None, "Take the tokens of this issuer (their `iss`), to the letter.", metavar="URL")
    oauth_audience: str | None = _setting(
        None,
        "Take only tokens that are for this service: the name that the issuer knows it by (their `aud`).",
        metavar="NAME",
    )
    oauth_keys: str | None = _setting(
        None, "Where the issuer's public keys are: a file, or an https address (jwks_uri).", metavar="PLACE"
    )
    oauth_algorithms: tuple[str, ...] = _setting(
        ("RS256", "ES256"),
        "Take tokens signed so: RS256, PS256, ES256, Ed25519 or a stronger kind of these; repeatable.",
        option="--oauth-algorithm",
        metavar="NAME",
        shown_default="`RS256`, `ES256`",
    )
    oauth_scopes: tuple[str, ...] = _setting(
        (),
        "What a scope of the issuer opens: THEIRS=OURS, such as pdp.read=check; repeatable.",
        option="--oauth-scope",
        metavar="THEIRS=OURS",
        shown_default="the same names",
    )
    oauth_accounts_claim: str | None = _setting(
        None,
        "Limit each token to the accounts in this claim; one without it is refused. Without this setting, all accounts.",
        metavar="NAME",
    )
    oauth_keys_refresh_seconds: float = _setting(300.0, "How often the issuer's keys are read again.", least=1, most=86_400)
    oauth_keys_max_age_seconds: float = _setting(
        3600.0, "Take no token when the issuer's keys could not be read for so long: 503.", least=1, most=31_536_000
    )
    oauth_leeway_seconds: float = _setting(10.0, "How far the clocks of issuer and service may be apart.", least=0, most=120)
    insecure_no_authentication: bool = _setting(False, "Listen beyond this machine although callers are not authenticated.")
    max_requests_per_second: float | None = _setting(
        None,
        "Requests a second that each caller may send who proves itself; without it, any number.",
        metavar="NUMBER",
        least=0.1,
    )
    session_hours: float = _setting(
        8.0, "Hours after which a sign-in to the console ends.", metavar="HOURS", least=0, most=720, is_open=True
    )
    oidc_issuer: str | None = _setting(
        None,
        "People sign in to the console by this OpenID provider: its issuer, to the letter.",
        more="See [the console](console.md#signing-in-by-an-openid-provider).",
        metavar="URL",
    )
    oidc_client_id: str | None = _setting(None, "What the provider calls this service.", metavar="NAME")
    oidc_client_secret: str | None = _setting(
        None, "The secret that the provider gave it; without one it is a public client.", metavar="TEXT", secret=True
    )
    oidc_scopes: tuple[str, ...] = _setting(
        (),
        "What the provider is asked to tell, beside openid; repeatable.",
        option="--oidc-scope",
        metavar="NAME",
    )
    oidc_person_claim: str = _setting("sub", "The claim that names the person.", metavar="CLAIM")
    oidc_person_type: str = _setting("user", "The type of the subjects that these people are.", metavar="TYPE")
    oidc_allow: tuple[str, ...] = _setting(
        (),
        "Who may do what in the console: CLAIM=VALUE:SCOPES@ACCOUNTS, the first that is met; repeatable.",
        metavar="RULE",
    )
    accept_model: tuple[str, ...] = _setting(
        (),
        "Take the model of this digest though its matcher is not Klausel's: no analysis speaks for it; repeatable.",
        metavar="DIGEST",
    )
    max_analysis_steps: int = _setting(
        1_000_000,
        "How much proving the invariants may go through before policies are taken; beyond it they are refused.",
        more="A million take some ten seconds.",
        least=1,
    )
    database_connect_seconds: float = _setting(
        2.0, "Seconds in which a connection to the database must be made.", least=0.1, most=86_400
    )
    database_read_seconds: float = _setting(
        2.0, "Seconds in which the database must answer a reading; then decisions are denied.", least=0.1, most=86_400
    )
    database_write_seconds: float = _setting(
        10.0, "Seconds in which the database must take a write, its wait for others included.", least=0.1, most=86_400
    )
    database_lock_seconds: float = _setting(
        5.0, "Seconds that a write waits for the writes of others.", least=0.1, most=86_400
    )
    max_staleness_seconds: float = _setting(
        1.0,
        "On PostgreSQL, never answer by role assignments that were known to be right longer ago.",
        more="See [below](#many-replicas).",
        option="--max-staleness",
        metavar="SECONDS",
        least=0.1,
        most=86_400,
    )
    listen_url: str | None = _setting(
        None,
        "Where PostgreSQL is reached without a pooler between, to hear of changes; without it, at --database.",
        metavar="URL",
        secret=True,
        is_url=True,
    )
    max_connections: int = _setting(
        4096, "Connections to each process; beyond them, idle ones are closed.", least=1, most=1_000_000
    )
    body_seconds: float = _setting(
        5.0, "Seconds in which the body of a request must arrive; then its connection is cut.", least=0.1, most=86_400
    )
    max_body_bytes: int = _setting(1_048_576, "Bytes in the body of a request.", least=1)
    max_nesting_depth: int = _setting(32, "Objects and lists inside each other in a body.", least=3, most=500)
    max_string_characters: int = _setting(65_536, "Characters in a string of a body.", least=1)
    max_batch: int = _setting(1000, "Evaluations, or changes of role assignments, in one request.", least=1)
    max_batch_bytes: int = _setting(
        16_777_216, "Bytes of a batch of evaluations once its defaults are in its items.", least=1
    )
    max_request_id_characters: int = _setting(
        1024, "Characters in an X-Request-ID that is sent back and logged; a longer one is left out.", least=1
    )

    @property
    def is_loopback(self) -> bool:
        """Whether the service listens on this machine alone."""
        try:
            return self.host in LOOPBACK_NAMES or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def takes_keys(self) -> bool:
        """Whether callers may prove themselves by API keys."""
        return self.authentication in ("keys", "keys-or-oauth")

    @property
    def takes_tokens(self) -> bool:
        """Whether they may do so by OAuth tokens."""
        return self.authentication in ("oauth", "keys-or-oauth")

    @property
    def base_url(self) -> str:
        """The address under which callers reach the service, without a slash at its end; never read from a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_certificate is None else "https"
        return (self.public_url or f"{scheme}://{host}:{self.port}{self.path_prefix}").rstrip("/")

    @property
    def public_host(self) -> str | None:
        """The host of the public URL, in small letters; None without one."""
        return urlsplit(self.public_url).hostname if self.public_url else None

    def tidied(self) -> Settings:
        """The same as the service goes by it: a URL has a scheme, hosts have small letters, a prefix no slash at its end."""
        return dataclasses.replace(
            self,
            public_url=self.public_url and as_public_url(self.public_url),
            allowed_hosts=tuple(name.lower() for name in self.allowed_hosts),
            path_prefix=self.path_prefix.rstrip("/"),
        )

    def as_text(self) -> str:
        """The settings as text, for the environment of worker processes."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Settings:
        """The settings that `as_text` wrote."""
        return cls(**json.loads(text))


def as_public_url(text: str) -> str:
    """A public URL as it was given, with https where it names no scheme."""
    return text if "://" in text else f"https://{text}"


def fault_in_network(text: str) -> str | None:
    """What is wrong with an address or network, as the end of a sentence; None when it is good."""
    try:
        ip_network(text)
    except ValueError:
        return "is no address and no network; write it as 10.0.0.7, or 10.0.0.0/8 with zeros behind the mask"
    return None


def fault_in_prefix(path: str) -> str | None:
    """What is wrong with a prefix of paths, as the end of a sentence; None when it is good."""
    parts = path.split("/")
    if path and (parts[0] != "" or any(part in ("", ".", "..") for part in parts[1:])):
        return "is no path; write it as /authorization, with a slash in front and no empty part, `.` or `..` in it"
    return None


def fault_in_host(name: str) -> str | None:
    """What is wrong with the name of a host by which a caller may call, as the end of a sentence; None when it is good."""
    bare = name.removeprefix("[").removesuffix("]")
    if not name or name != name.strip() or "/" in name or "*" in name or (":" in bare and not _is_address(bare)):
        return "is no name of a host; write it alone, without scheme, port and path"
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def fault_in_public_url(url: str) -> str | None:
    """What is wrong with a public URL, as the end of a sentence; None when it is good."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds characters that a URL cannot; percent-encode them"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("https", "http") or not host or port == 0:
        return "is not an https URL"
    if parts.scheme == "http" and host not in LOOPBACK_NAMES:
        return "is not https, which every address but this machine's own needs"
    if "?" in url or "#" in url or "@" in parts.netloc:
        return "has a query, a fragment or credentials; write scheme, host and path alone"
    if parts.path.strip("/") and any(part in ("", ".", "..") for part in parts.path.strip("/").split("/")):
        return "has an empty part, or `.` or `..`, in its path"
    return None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its field in `Settings` and the kind of its values as written there, its default, its names everywhere."""

    field: str
    kind: str
    default: Any
    about: About

    @property
    def option(self) -> str:
        """Its name on the command line, with two dashes."""
        return self.about.option or f"--{self.field.replace('_', '-')}"

    @property
    def key(self) -> str:
        """Its name in a file."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return VARIABLES_START + self.key.upper()

    @property
    def variable_of_file(self) -> str | None:
        """The name in the environment of a file that holds it; None for what is no secret."""
        return f"{self.variable}_FILE" if self.about.secret else None

    @property
    def is_repeatable(self) -> bool:
        """Whether it has any number of values."""
        return self.kind.startswith("tuple")


def _all_settings() -> Iterator[Setting]:
    for one in dataclasses.fields(Settings):
        # What has nothing said about it is no business of operators.
        if _ABOUT in one.metadata:
            yield Setting(one.name, str(one.type), one.default, one.metadata[_ABOUT])


SETTINGS = {setting.field: setting for setting in _all_settings()}
"""All that operators may set, by field."""


def fault_in_environment(environment: Iterable[str]) -> str | None:
    """What is wrong with the names of environment variables, as a sentence; None where each that is for Klausel is known."""
    known = {name for one in SETTINGS.values() for name in (one.variable, one.variable_of_file) if name} | OTHER_VARIABLES
    names = sorted(name for name in environment if name.startswith(VARIABLES_START))
    for name in names:
        if name in known or name.startswith(VARIABLES_OF_TESTS):
            continue
        if f"{VARIABLES_START}SERVICE_HOST" in names and _OF_KUBERNETES.fullmatch(name):
            return (
                f"{name} is set by Kubernetes for a service called klausel, and would be taken for a setting; "
                "give the pod enableServiceLinks: false"
            )
        return f"there is no setting {name}; {did_you_mean(name, known)}`klausel config show` names them all"
    return None
