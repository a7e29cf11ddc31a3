"""`klausel serve`: what it refuses before it listens, and that it answers when it does."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import DEMO, INSTALLED, LONGEST_SECONDS, Change, Klausel
from ports import free_port

from klausel.cli.worker_server import WorkerServer
from klausel.settings import ENVIRONMENT_VARIABLE, Settings


class Server:
    """Stands where Granian would listen, and keeps what it was given."""

    given: dict[str, Any]

    def __init__(self, target: str, **given: Any) -> None:
        Server.given = {"target": target, **given}

    def on_startup(self, hook: Callable[[], object]) -> None:
        Server.given["on_startup"] = hook

    def on_shutdown(self, hook: Callable[[], object]) -> None:
        Server.given["on_shutdown"] = hook

    def tell_when_it_answers(self, tell: Callable[[], None]) -> None:
        Server.given["tell"] = tell

    def serve(self, target_loader: object) -> None:
        Server.given["tell"]()
        Server.given["settings"] = Settings.from_text(os.environ[ENVIRONMENT_VARIABLE])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[Server]:
    monkeypatch.setattr("klausel.cli.serve.WorkerServer", Server)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    Server.given = {}
    return Server


@pytest.fixture
def serve(klausel: Klausel, server: type[Server]) -> Klausel:
    port = free_port()
    return lambda *arguments: klausel("serve", "--port", port, *arguments)


def test_it_listens_on_this_machine_alone_unless_told_otherwise(serve: Klausel, server: type[Server]) -> None:
    result = serve()
    assert result.exit_code == 0
    assert server.given["address"] == "127.0.0.1"
    port = server.given["port"]
    assert result.stdout == f"Klausel answers at http://127.0.0.1:{port} (74 grants from policies); stop it with Ctrl-C\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_refuses_to_listen_beyond_this_machine_and_says_why(serve: Klausel, server: type[Server], host: str) -> None:
    result = serve("--host", host)
    assert (result.exit_code, server.given) == (2, {})
    said = " ".join(result.stderr.split())
    assert "callers are not authenticated, so on " in said
    assert "Give --authentication keys or oauth, listen on 127.0.0.1 behind a proxy that authenticates, or give" in said
    assert "--insecure-no-authentication." in said
    assert not Path("klausel.db").exists()


def test_it_listens_beyond_this_machine_when_told_that_it_is_insecure(serve: Klausel, server: type[Server]) -> None:
    assert serve("--host", "0.0.0.0", "--insecure-no-authentication").exit_code == 0
    assert server.given["address"] == "0.0.0.0"


@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("127.1.2.3", "127.1.2.3")])
def test_a_name_becomes_the_address_to_listen_on(serve: Klausel, server: type[Server], host: str, address: str) -> None:
    assert serve("--host", host).exit_code == 0
    assert server.given["address"] == address


def test_a_name_that_only_looks_like_loopback_is_judged_by_its_address(
    serve: Klausel, server: type[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
    result = serve("--host", "127.0.0.1.example.com")
    assert (result.exit_code, server.given) == (2, {})
    assert "so on 192.0.2.7 anybody" in " ".join(result.stderr.split())


@pytest.mark.parametrize("host", ["", "no host at all", "x" * 70 + ".example"])
def test_a_name_without_an_address_is_wrong_usage(serve: Klausel, host: str) -> None:
    result = serve("--host", host)
    assert result.exit_code == 2
    assert "write one such as 127.0.0.1, ::1 or localhost" in " ".join(result.stderr.split())


def test_it_refuses_a_broken_policy_set_with_the_words_of_check(klausel: Klausel, serve: Klausel, change: Change) -> None:
    change("policies/features/quizzes.yaml", "to: take", "to: tke")
    change("model.conf", "g = _, _, _", "g = _, _")
    result = serve()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(klausel("check").stdout)
    assert result.stderr.endswith("klausel: the policies in policies have problems; fix them first\n")
    assert not Path("klausel.db").exists()


def test_it_refuses_a_folder_that_is_not_there_with_the_words_of_check(klausel: Klausel, serve: Klausel) -> None:
    result = serve("--policies", "nowhere")
    assert result.exit_code == 1
    assert result.stderr.startswith(klausel("check", "nowhere").stdout)


def test_it_prints_the_warnings_and_serves(serve: Klausel, server: type[Server], tmp_path: Path) -> None:
    (tmp_path / "policies/features/more.yaml").write_text("grants: [{deny: lead, to: take, resource: quiz}]\n")
    (tmp_path / "policies/invariants.yaml").unlink()
    result = serve()
    assert result.exit_code == 0
    assert "policies/features/more.yaml:1:17: warning: " in result.stderr
    assert server.given["settings"].policies == "policies"


def test_a_port_that_is_taken_is_told_before_anything_is_written(klausel: Klausel, server: type[Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = klausel("serve", "--demo", "--port", port)
    assert (result.exit_code, server.given) == (1, {})
    assert result.stderr == (
        f"klausel: cannot listen on 127.0.0.1:{port}: Address already in use; choose another port with --port\n"
    )
    assert not Path("klausel.db").exists()


def test_an_address_of_another_machine_is_told(serve: Klausel) -> None:
    result = serve("--host", "192.0.2.1", "--insecure-no-authentication")
    assert result.exit_code == 1
    assert "Cannot assign requested address; choose another address with --host" in result.stderr


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_wrong_usage(klausel: Klausel, port: str) -> None:
    assert klausel("serve", "--port", port).exit_code == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "the database URL cannot be read; write it as sqlite:////folder/klausel.db or postgresql://user@host"),
        ("", "the database URL cannot be read"),
        ("postgresql://u:geheim@127.0.0.1:port/x", "the database URL cannot be read"),
        ("postgresql://u:geheim@127.0.0.1:1/x", "check that the server runs and that host, port, user, password and name"),
        ("nosuch://u:geheim@h/x", 'Klausel keeps its data in SQLite or PostgreSQL, not in "nosuch"'),
        ("sqlite:////nonexistent/klausel.db", "the folder /nonexistent of the SQLite file klausel.db does not exist"),
    ],
)
def test_an_unusable_database_is_told_in_one_line_without_its_password(serve: Klausel, url: str, said: str) -> None:
    result = serve("--database", url, "--demo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "geheim" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1/klausel", "sqlite:///klausel.db"])
def test_to_listen_without_postgresql_is_wrong_usage(serve: Klausel, server: type[Server], url: str) -> None:
    result = serve("--listen-url", url)
    assert (result.exit_code, server.given) == (2, {})
    assert "only changes in PostgreSQL are listened for" in " ".join(result.stderr.split())


def test_a_database_in_memory_is_wrong_usage(serve: Klausel) -> None:
    result = serve("--database", "sqlite://")
    assert result.exit_code == 2
    assert "a database in memory is lost between processes; name a file" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://pdp.example.com", "is not https, which every address but this machine's own needs"),
        ("ftp://pdp.example.com", "is not an https URL"),
        ("", "is not an https URL"),
        ("https://", "is not an https URL"),
        ("https://pdp.example.com:port", "is not a URL"),
        ("https://ann:secret@pdp.example.com", "has a query, a fragment or credentials"),
        ("https://pdp.example.com/?tenant=1", "has a query, a fragment or credentials"),
        ("https://pdp.example.com/#x", "has a query, a fragment or credentials"),
    ],
)
def test_a_bad_public_url_is_wrong_usage(serve: Klausel, server: type[Server], url: str, said: str) -> None:
    result = serve("--public-url", url)
    assert (result.exit_code, server.given) == (2, {})
    assert said in " ".join(result.stderr.split())


def test_a_public_url_without_a_scheme_is_https(serve: Klausel, server: type[Server]) -> None:
    result = serve("--public-url", "pdp.example.com/tenant1", "--allowed-host", "PDP.internal")
    assert "https://pdp.example.com/tenant1" in result.stdout
    assert "not https" not in result.stderr
    assert server.given["settings"].allowed_hosts == ["pdp.internal"]


@pytest.mark.parametrize("options", [(), ("--public-url", "http://localhost:8080")])
def test_metadata_without_https_are_warned_of(serve: Klausel, server: type[Server], options: tuple[str, ...]) -> None:
    assert (
        "which is not https, so callers elsewhere will not take it; give --public-url an https address"
        in serve(*options).stderr
    )


@pytest.mark.parametrize("url", ["https://pdp.example.com/tenant1", "http://127.0.0.1:9000", "http://localhost"])
def test_a_good_public_url_is_what_the_service_says_it_is_reached_by(serve: Klausel, server: type[Server], url: str) -> None:
    assert url in serve("--public-url", url).stdout
    assert server.given["settings"].base_url == url


def test_demo_people_go_into_an_empty_database(klausel: Klausel, serve: Klausel) -> None:
    result = serve("--demo")
    assert result.stdout.startswith("17 role assignments of demo people loaded into the empty database\n")
    exported = klausel("assignments", "export").stdout
    assert sorted(exported.splitlines()) == sorted(DEMO.read_text().splitlines())
    assert serve("--demo").stdout.startswith(
        "the database has role assignments already, so the demo people were not loaded\n"
    )


def test_demo_people_never_join_real_people(klausel: Klausel, serve: Klausel) -> None:
    klausel("assignments", "import", "-", stdin="subject,role,domain\nuser:real,admin,realco\n")
    assert "the demo people were not loaded" in serve("--demo").stdout
    assert klausel("assignments", "export").stdout == "subject,role,domain\nuser:real,admin,realco\n"


def test_without_demo_nobody_is_loaded(klausel: Klausel, serve: Klausel) -> None:
    assert "demo" not in serve().stdout
    assert klausel("assignments", "export").stdout == "subject,role,domain\n"


def test_demo_without_demo_people_is_told(serve: Klausel, server: type[Server], tmp_path: Path) -> None:
    (tmp_path / "policies/demo/assignments.csv").unlink()
    result = serve("--demo")
    assert (result.exit_code, server.given) == (1, {})
    assert result.stderr == "klausel: there are no demo people in policies/demo/assignments.csv; start without --demo\n"


def test_demo_people_that_do_not_fit_the_policies_are_told_with_their_line(serve: Klausel, change: Change) -> None:
    change("policies/demo/assignments.csv", "user:leo,lead,", "user:leo,led,")
    result = serve("--demo")
    assert result.exit_code == 1
    assert result.stderr.startswith('policies/demo/assignments.csv:7: error: unknown role "led"; did you mean "lead"?')


def test_policies_that_orphan_stored_role_assignments_are_refused_unless_told_otherwise(
    klausel: Klausel, serve: Klausel, server: type[Server], tmp_path: Path
) -> None:
    klausel("assignments", "import", "-", stdin="subject,role,domain\nuser:eve,admin,acme\n")
    roles = "levels: {account: {named_by: account}}\nroles: {member: {level: account}}\n"
    features = "resource_types: {note: {actions: [read]}}\ngrants: [{allow: member, to: read, resource: note}]\n"
    (tmp_path / "small" / "features").mkdir(parents=True)
    (tmp_path / "small" / "roles.yaml").write_text(roles)
    (tmp_path / "small" / "features" / "notes.yaml").write_text(features)
    refused = serve("--policies", "small")
    assert (refused.exit_code, server.given) == (1, {})
    told = '1 stored role assignment has the role "admin", which no policy file declares, so whoever holds it would be locked out'
    assert refused.stderr.startswith(f"small/roles.yaml:1:1: error: {told}; ")
    assert "--orphaned-assignments warn" in refused.stderr
    taken = serve("--policies", "small", "--orphaned-assignments", "warn")
    assert taken.exit_code == 0, taken.output
    assert f"small/roles.yaml:1:1: warning: {told}" in taken.stderr
    assert server.given["settings"].orphaned_assignments == "warn"
    checked = klausel("check", "small", "--database", "sqlite:///klausel.db")
    assert checked.exit_code == 1
    assert f"small/roles.yaml:1:1: error: {told}; " in checked.stdout
    assert klausel("check", "small").exit_code == 0
    assert klausel("check", "--database", "sqlite:///klausel.db").exit_code == 0


def test_every_option_reaches_the_service(serve: Klausel, server: type[Server]) -> None:
    bounds = {
        "max_body_bytes": 11,
        "max_nesting_depth": 12,
        "max_string_characters": 13,
        "max_batch": 14,
        "max_request_id_characters": 15,
    }
    options = [part for name, value in bounds.items() for part in (f"--{name.replace('_', '-')}", value)]
    options += ["--max-policy-age", 60]
    bounds["max_policy_age_seconds"] = 60
    result = serve("--workers", 2, "--database", "sqlite:///other.db", "--model", "model.conf", *options)
    assert result.exit_code == 0, result.output
    settings: Settings = server.given["settings"]
    assert {name: getattr(settings, name) for name in bounds} == bounds
    assert (settings.database, settings.model, settings.workers) == ("sqlite:///other.db", "model.conf", 2)
    assert server.given["workers"] == 2
    assert Path("other.db").exists()


def test_workers_may_end_what_they_have_begun_before_they_are_killed(serve: Klausel, server: type[Server]) -> None:
    assert serve("--body-seconds", 7, "--database-write-seconds", 20).exit_code == 0
    assert server.given["workers_kill_timeout"] > 27


@pytest.fixture
def listening() -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts the installed command and gives the process and its address once it answers."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        address = f"http://127.0.0.1:{free_port()}"
        command = [INSTALLED, "serve", "--port", address.rpartition(":")[2], *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        give_up_at = time.monotonic() + LONGEST_SECONDS
        while process.poll() is None and time.monotonic() < give_up_at:
            try:
                urllib.request.urlopen(f"{address}/readyz", timeout=5).close()
                return process, address
            except OSError:
                time.sleep(0.05)
        raise AssertionError(process.communicate(timeout=5))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_installed_command_answers_until_it_is_stopped(
    listening: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    process, address = listening("--demo", "--host", "localhost")
    body = {
        "subject": {"type": "user", "id": "max"},
        "action": {"name": "create"},
        "resource": {"type": "quiz", "id": "q1", "properties": {"account": "acme"}},
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/access/v1/evaluation", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as answer:
        assert json.load(answer) == {"decision": True}
    assert process.stdout is not None
    said = next(line for line in process.stdout if "answers" in line)
    assert f"Klausel answers at {address} (" in said
    process.send_signal(signal.SIGINT)
    _, faults = process.communicate(timeout=LONGEST_SECONDS)
    assert (process.returncode, faults.count("\n"), "which is not https" in faults) == (0, 1, True), faults


def test_it_says_that_it_answers_when_it_does() -> None:
    port = free_port()
    command = [INSTALLED, "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Klausel answers at http://127.0.0.1:{port} (")
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=LONGEST_SECONDS).close()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=LONGEST_SECONDS) == ("", None)


KEY_SET = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
OAUTH = ("--authentication", "oauth", "--oauth-issuer", "https://issuer.example", "--oauth-audience", "klausel")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--authentication", "oauth"), "needs --oauth-issuer and --oauth-audience and --oauth-keys"),
        (("--oauth-issuer", "https://x.example"), "it needs --authentication oauth"),
        ((*OAUTH, "--oauth-keys", "http://issuer.example/jwks"), "is not an https address"),
        ((*OAUTH, "--oauth-keys", "nowhere.json"), "is no file; name one, or an https address"),
        ((*OAUTH, "--oauth-keys", "jwks.json", "--oauth-algorithm", "none"), '"none" is none that is taken'),
        ((*OAUTH, "--oauth-keys", "jwks.json", "--oauth-algorithm", "HS256"), '"HS256" is none that is taken'),
        ((*OAUTH, "--oauth-keys", "jwks.json", "--oauth-scope", "read"), "is not of the form THEIRS=OURS"),
        ((*OAUTH, "--oauth-keys", "jwks.json", "--oauth-keys-max-age-seconds", "5"), "so keys would be too old"),
        ((*OAUTH, "--oauth-keys", "empty.json"), "holds no public key that can sign a token"),
        ((*OAUTH, "--oauth-keys", "no.json"), "it is no key set"),
    ],
)
def test_settings_of_tokens_that_cannot_be_stop_the_start(
    serve: Klausel, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("jwks.json", KEY_SET), ("empty.json", '{"keys": []}'), ("no.json", "[]")):
        (tmp_path / name).write_text(text)
    result = serve(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", "").split())


def test_tokens_alone_are_proof_enough_to_listen_beyond_this_machine(
    serve: Klausel, server: type[Server], tmp_path: Path
) -> None:
    (tmp_path / "jwks.json").write_text(KEY_SET)
    result = serve("--host", "0.0.0.0", *OAUTH, "--oauth-keys", str(tmp_path / "jwks.json"))
    assert result.exit_code == 0, result.stderr
    assert server.given["settings"].takes_tokens


OIDC = ("--oidc-issuer", "https://login.example", "--oidc-client-id", "klausel", "--oidc-allow", "sub=*:policy")


def test_settings_of_an_openid_provider_that_cannot_be_stop_the_start(serve: Klausel, server: type[Server]) -> None:
    keys = ("--authentication", "keys")
    for arguments, said in (
        (("--oidc-issuer", "https://login.example", *keys), "needs --oidc-client-id and --oidc-allow too"),
        (OIDC, "needs --authentication, such as keys"),
        ((*keys, *OIDC, "--oidc-issuer", "http://login.example"), "is not an https address"),
        ((*keys, *OIDC, "--oidc-issuer", "login.example"), "is not an https address"),
        ((*keys, *OIDC, "--oidc-allow", "sub=*"), "is no CLAIM=VALUE:SCOPES@ACCOUNTS"),
        ((*keys, *OIDC, "--oidc-allow", "sub=*:fly"), 'there is no scope "fly"'),
        ((*keys, *OIDC, "--oidc-person-type", ""), '""'),
    ):
        result = serve(*arguments)
        assert result.exit_code == 2, arguments
        assert said in " ".join(result.stderr.replace("│", "").split())
    result = serve(*keys, *OIDC)
    assert result.exit_code == 0, result.stderr
    assert list(server.given["settings"].oidc_allow) == ["sub=*:policy"]


class Worker:
    """A worker that has ended, which is known only the third time that it is asked."""

    def __init__(self) -> None:
        self.idx = 0
        self.done: list[str] = []

    def terminate(self) -> None:
        self.done.append("told")

    def join(self, timeout: float | None = None) -> None:
        self.done.append("awaited")

    def kill(self) -> None:
        self.done.append("killed")

    def is_alive(self) -> bool:
        self.done.append("asked")
        return self.done.count("asked") < 3


def test_a_worker_whose_end_is_known_late_is_not_killed() -> None:
    server, worker = WorkerServer.__new__(WorkerServer), Worker()
    server.wrks, server.workers_kill_timeout = [worker], 10
    server._stop_workers()
    assert worker.done == ["told", "asked", "asked", "asked"]
    assert server.wrks == []


def test_a_worker_that_cannot_start_says_why_without_a_traceback(tmp_path: Path) -> None:
    port = free_port()
    command = [INSTALLED, "serve", "--port", str(port), "--database", f"sqlite:///{tmp_path}/klausel.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Klausel answers")
            (tmp_path / "klausel.db").write_bytes(b"no database at all, but some other text" * 100)
            (tmp_path / "klausel.db-wal").unlink(missing_ok=True)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            assert process.stderr is not None
            said: list[str] = []
            while not any("a worker cannot start: the SQLite file" in line for line in said):
                said.append(process.stderr.readline())
                assert said[-1], said
            assert "is not an SQLite database" in said[-1]
            assert not any("Traceback" in line for line in said)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONGEST_SECONDS)
