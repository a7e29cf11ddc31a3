"""The settings of the service, with their defaults; the command line turns options into them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

ENVIRONMENT_VARIABLE = "KLAUSEL_SETTINGS"
WORKERS_FOLDER_VARIABLE = "KLAUSEL_WORKERS_FOLDER"
"""Names the folder that the workers of one service share, where there are several."""
SLOW_BODIES_AT_ONCE = 18
"""How many threads of a worker may wait for bodies that come slowly."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service is started with. Bounds: bytes of a body, levels of nesting in it, characters of a string in it,
    evaluations or changes in one request, characters of an `X-Request-ID` that is sent back. `allowed_hosts` are names, in
    small letters, by which a service on loopback may be called beside its own. `reasons` gives them to each deny whose
    request does not say whether it wants them. `fast_lane` answers evaluations in front of Flask.
    `decision_log` is `stdout`, `database` or the path of a file; the settings that start like it are for what goes there.
    With `max_policy_age_seconds` everything is denied when policies could not be refreshed for so long. `policies` may be an
    address such as `policies.git@main:policies`; then an empty `model` is that of the commit, and the ref is looked up every
    `poll_seconds`. `orphaned_assignments` says what becomes of a policy set under which stored role assignments would count
    for nothing: `refuse` or `warn`. `authentication` is `none` or `keys`; `max_requests_per_second` are those of one caller.
    The service's own log is `text` or `json`, by `log_format`.
    Files of a folder that changed are taken when they stay as they are for `settle_seconds`.
    `max_connections` are those of one worker, and a body must have arrived `body_seconds` after its request began. The
    settings that start with `database_` are the limits of `klausel.storage.sql.access`. On PostgreSQL no answer is made of
    roles read longer than `max_staleness_seconds` ago; changes are listened for at `listen_url`, without one at `database`.
    `accept_model` are the digests of models that may have a matcher of their own. Proving invariants before policies are
    taken may go through `max_analysis_steps`."""

    policies: str = "policies"
    model: str = "model.conf"
    database: str = "sqlite:///klausel.db"
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    reasons: bool = False
    demo: bool = False
    workers: int = 1
    fast_lane: bool = True
    max_policy_age_seconds: float | None = None
    decision_log: str | None = None
    decision_log_strict: bool = False
    decision_log_mask: tuple[str, ...] = ()
    decision_log_sample_allows: float = 1.0
    decision_log_max_bytes: int = 268_435_456
    decision_log_files: int = 0
    decision_log_queue: int = 20_000
    poll_seconds: float = 5.0
    settle_seconds: float = 1.5
    log_format: str = "text"
    orphaned_assignments: str = "refuse"
    authentication: str = "none"
    max_requests_per_second: float | None = None
    accept_model: tuple[str, ...] = ()
    max_analysis_steps: int = 1_000_000
    database_connect_seconds: float = 2.0
    database_read_seconds: float = 2.0
    database_write_seconds: float = 10.0
    database_lock_seconds: float = 5.0
    max_staleness_seconds: float = 1.0
    listen_url: str | None = None
    max_connections: int = 4096
    body_seconds: float = 5.0
    max_body_bytes: int = 1_048_576
    max_nesting_depth: int = 32
    max_string_characters: int = 65_536
    max_batch: int = 1000
    max_batch_bytes: int = 16_777_216
    max_request_id_characters: int = 1024

    @property
    def is_loopback(self) -> bool:
        """Whether the service listens on this machine alone."""
        try:
            return self.host in LOOPBACK_NAMES or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def base_url(self) -> str:
        """The address under which callers reach the service, without a slash at its end; never read from a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def public_host(self) -> str | None:
        """The host of the public URL, in small letters; None without one."""
        return urlsplit(self.public_url).hostname if self.public_url else None

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
        return "has a query, a fragment or credentials"
    if parts.path.strip("/") and any(part in ("", ".", "..") for part in parts.path.strip("/").split("/")):
        return "has an empty part, or `.` or `..`, in its path"
    return None
