"""Behind a proxy: a prefix of the path, and who is believed about the sender. TLS by settings, both ways."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from command_line import LONGEST_SECONDS, Klausel, run
from doors import open_doors
from running_service import QUESTION, running
from werkzeug.test import Client, EnvironBuilder

from klausel.api.behind_proxy import BehindProxy
from klausel.app import create_flask_app


def handed_on(
    path: str = "/healthz", sender: str = "192.0.2.1", forwarded: str | None = None, **given: Any
) -> dict[str, Any]:
    """What the application behind is handed: its path, and the address of the sender."""
    seen: dict[str, Any] = {}

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(path=environ["PATH_INFO"], sender=environ["REMOTE_ADDR"])
        start_response("200 OK", [])
        return []

    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    built = EnvironBuilder(path, headers=headers, environ_base={"REMOTE_ADDR": sender})
    Client(BehindProxy(application, **{"prefix": "", "trusted": (), **given})).open(built)
    return seen


@pytest.mark.parametrize(
    ("path", "seen"),
    [("/authz/healthz", "/healthz"), ("/healthz", "/healthz"), ("/authzs/healthz", "/authzs/healthz"), ("/authz", "/authz")],
)
def test_only_a_path_under_the_prefix_loses_it(path: str, seen: str) -> None:
    assert handed_on(path, prefix="/authz")["path"] == seen


@pytest.mark.parametrize(
    ("sender", "forwarded", "believed"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:192.0.2.1", "203.0.113.9", "::ffff:192.0.2.1"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
    ],
)
def test_who_sent_a_request_is_believed_only_as_far_as_trusted_proxies_wrote_it(
    sender: str, forwarded: str | None, believed: str
) -> None:
    assert handed_on(sender=sender, forwarded=forwarded, trusted=("10.0.0.0/8",))["sender"] == believed
    assert handed_on(sender=sender, forwarded=forwarded)["sender"] == sender


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--trusted-proxy", "proxy.internal"), '"proxy.internal" is no address and no network'),
        (("--trusted-proxy", "10.0.0.1/8"), "with zeros behind the mask"),
        (("--path-prefix", "authz"), '"authz" is no path; write it as /authorization'),
        (("--path-prefix", "/a//b"), '"/a//b" is no path'),
        (("--tls-key", "key.pem"), "the other settings of TLS need --tls-certificate"),
        (("--tls-certificate", "cert.pem"), "--tls-certificate needs --tls-key"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_wrong_usage(klausel: Klausel, options: tuple[str, ...], said: str) -> None:
    result = klausel("serve", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_files_of_tls_that_cannot_be_read_stop_the_start(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing\n")
    for name in ("cert.pem", "nowhere.pem"):
        result = klausel("serve", "--tls-certificate", name, "--tls-key", name)
        assert result.exit_code == 1
        assert "is no private key in PKCS#8" in result.stderr or "TLS cannot be served with" in result.stderr
    certificate(tmp_path, "one")
    certificate(tmp_path, "other")
    result = klausel("serve", "--tls-certificate", "one.pem", "--tls-key", "other.key")
    said = "other.key is not the private key of one.pem; name PEM files that belong together"
    assert (result.exit_code, said in result.stderr) == (1, True)


@pytest.mark.parametrize("which", ["--tls-certificate", "--tls-client-ca"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it.pem holds no certificate in PEM; name the file that does, or make one: openssl x509"),
        (b"\x30\x82\x01\x00", "it.pem holds no certificate in PEM; name the file that does, or make one: openssl x509"),
        (b"-----BEGIN CERTIFICATE-----\n", "name whole PEM files that belong together"),
        (None, "TLS cannot be served with it.pem: is a directory; name a PEM file that the service may read"),
    ],
)
def test_what_is_no_certificate_is_told_by_its_own_name(
    klausel: Klausel, tmp_path: Path, which: str, content: bytes | None, said: str
) -> None:
    certificate(tmp_path, "one")
    file = tmp_path / "it.pem"
    file.mkdir() if content is None else file.write_bytes(content)
    given = {"--tls-certificate": "one.pem", "--tls-key": "one.key", which: "it.pem"}
    result = klausel("serve", *(word for pair in given.items() for word in pair))
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr


@pytest.fixture
def klausel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Klausel:
    monkeypatch.chdir(tmp_path)
    return run


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("days", "host", "said"),
    [
        ((-30, -2), "pdp.example.com", f"ended on {NOW - timedelta(days=2):%Y-%m-%d}, so callers refuse it; put a new one"),
        ((2, 30), "pdp.example.com", f"is good from {NOW + timedelta(days=2):%Y-%m-%d} on, so callers refuse it now"),
        ((-1, 30), "other.example.com", "is for other.example.com, and --public-url names pdp.example.com"),
        ((-1, 30), None, "is for 127.0.0.1, and --public-url names pdp.example.com"),
        ((-1, 30), "*.com", "is for *.com, and"),
        ((-1, 30), "pdp.example.com", ""),
        ((-1, 30), "*.Example.com", ""),
    ],
)
def test_a_certificate_that_callers_refuse_is_warned_of(
    klausel: Klausel, tmp_path: Path, days: tuple[int, int], host: str | None, said: str
) -> None:
    certificate(tmp_path, "one", days=days, host=host)
    tls = ("--tls-certificate", "one.pem", "--tls-key", "one.key")
    result = klausel("config", "show", *tls, "--public-url", "https://PDP.example.com:8443/x")
    assert result.exit_code == 0, result.stderr
    assert said in result.stderr
    assert result.stderr.count("warning: the certificate one.pem") == bool(said)


def test_its_end_is_a_metric(tmp_path: Path) -> None:
    certificate(tmp_path, "one", days=(-1, 10))
    with open_doors(tmp_path / "own.db", tls_certificate=str(tmp_path / "one.pem")) as doors:
        told = (
            create_flask_app(doors.service)
            .test_client()
            .get("/metrics", headers={"Host": "localhost"})
            .get_data(as_text=True)
        )
    (line,) = (
        line for line in told.splitlines() if line.startswith("klausel_tls_certificate_expiration_timestamp_seconds{")
    )
    assert abs(float(line.split()[1]) - (time.time() + 10 * 86400)) < 3600


def test_tls_answers_callers_with_a_certificate_under_a_prefix_and_the_log_names_who_sent_it(tmp_path: Path) -> None:
    certificate(tmp_path, "authority")
    certificate(tmp_path, "service", "authority")
    certificate(tmp_path, "caller", "authority")
    anybody = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    caller = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    caller.load_cert_chain(tmp_path / "caller.pem", tmp_path / "caller.key")
    options = ["--demo", "--path-prefix", "/authz/", "--trusted-proxy", "127.0.0.1", "--decision-log", "decisions.jsonl"]
    options += ["--tls-certificate", "service.pem", "--tls-key", "service.key"]
    with running(tmp_path, *options, "--tls-client-ca", "authority.pem", tls=caller) as (_, port):
        base = f"https://127.0.0.1:{port}/authz"
        headers = {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.9"}
        request = urllib.request.Request(f"{base}/access/v1/evaluation", json.dumps(QUESTION).encode(), headers)
        with urllib.request.urlopen(request, timeout=LONGEST_SECONDS, context=caller) as answer:
            assert json.load(answer) == {"decision": True}
        discovery = f"https://127.0.0.1:{port}/.well-known/authzen-configuration/authz"
        with urllib.request.urlopen(discovery, timeout=LONGEST_SECONDS, context=caller) as answer:
            assert json.load(answer)["access_evaluation_endpoint"] == f"{base}/access/v1/evaluation"
        with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
            urllib.request.urlopen(f"{base}/healthz", timeout=LONGEST_SECONDS, context=anybody)
        with pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=LONGEST_SECONDS)
    (line,) = (tmp_path / "decisions.jsonl").read_text().splitlines()
    assert "203.0.113.9" in line
