"""The clock of the machine is set back and forth while a service runs: nothing that has ended counts again.

libfaketime moves the clock. Set back by more than a minute it is believed, as the manual says.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faults.under_load import CLIENTS, Load
from joserfc import jws
from joserfc.jwk import ECKey
from moved_clocks import MovedClock
from ports import wait_until
from running_service import running
from storage_people import ROLES

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import SCOPES, Caller
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore, SignIn
from klausel.storage.schema import open_database

ISSUER, AUDIENCE = "https://issuer.example", "klausel"
MAX_STALENESS = 0.3
PAUSE = 0.05
ENDS_AFTER = 1000
"""Seconds until all of it ends: a role, a key, a token, a sign-in, a role that lets its holder give roles."""
ALL = {"role", "giving", "key", "token", "sign-in"}
QUIZ = {"type": "quiz", "id": "q1", "properties": {"account": "acme", "workspace": "support", "status": "published"}}


class Asked:
    """A service, and what it says of all that ends."""

    def __init__(self, port: int, lasting: str, ending: dict[str, str]) -> None:
        self._port, self._lasting, self._ending = port, lasting, ending

    def counts(self) -> dict[str, bool]:
        """Which of it counts now."""
        return {
            "role": self._send(self._lasting, "/access/v1/evaluation", _question("user:ends"))[1].get("decision") is True,
            "giving": self._gives(),
            "key": self._send(self._ending["key"], "/v1/policy")[0] == 200,
            "token": self._send(self._ending["token"], "/v1/policy")[0] == 200,
            "sign-in": self._send("", "/console?format=json", cookie=self._ending["sign-in"])[0] == 200,
        }

    def _gives(self) -> bool:
        row = {"subject": "user:new", "role": "user", "domain": "acme"}
        status, _ = self._send(self._lasting, "/v1/assignments", {"grant": [row], "on_behalf_of": "user:gives"})
        self._send(self._lasting, "/v1/assignments", {"revoke": [row]})
        return status == 200

    def _send(self, proof: str, path: str, body: object = None, cookie: str = "") -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if proof:
            request.add_header("Authorization", f"Bearer {proof}")
        if cookie:
            request.add_header("Cookie", f"klausel-{self._port}={cookie}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {}


def _question(subject: str) -> dict[str, object]:
    type_, _, id_ = subject.partition(":")
    return {"subject": {"type": type_, "id": id_}, "action": {"name": "edit"}, "resource": QUIZ}


def fill(database: str, ends: int) -> tuple[str, dict[str, str]]:
    """Puts all that ends into a database; gives a key that lasts, and what proves who calls until then."""
    engine = open_database(database)
    store = AssignmentStore(engine)
    until = instant_text(ends)
    store.write(ROLES, [Assignment("user:stays", "admin", "acme"), Assignment("user:ends", "user", "acme")], [])
    store.write(ROLES, [Assignment("user:gives", "admin", "acme", ends=until)], [])
    store.write(ROLES, [Assignment("user:ends", "lead", "acme/support", ends=until)], [])
    keys, sessions = KeyStore(engine), SessionStore(engine)
    keys.prepare()
    sessions.prepare()
    id_, lasting = keys.new(Caller("stays", frozenset(SCOPES), None), None)
    ending = {
        "key": keys.new(Caller("ends", frozenset(SCOPES), None), ends)[1],
        "sign-in": sessions.begin(SignIn(Caller("stays", frozenset(SCOPES), None)), ends, id_),
    }
    store.close()
    return lasting, ending


@pytest.fixture
def asked(tmp_path: Path, database_url: str) -> Iterator[tuple[Asked, MovedClock]]:
    clock = MovedClock(tmp_path / "clock")
    ends = int(time.time()) + ENDS_AFTER
    lasting, ending = fill(database_url, ends)
    key = ECKey.generate_key("P-256", {"kid": "k"}, private=True)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": ends, "sub": "app", "scope": " ".join(SCOPES)}
    ending["token"] = jws.serialize_compact({"alg": "ES256", "kid": "k"}, json.dumps(claims).encode(), key)
    proofs = ["--authentication", "keys-or-oauth", "--oauth-issuer", ISSUER, "--oauth-audience", AUDIENCE]
    options = [*proofs, "--oauth-keys", str(tmp_path / "keys.json"), "--oauth-leeway-seconds", "0"]
    with running(tmp_path, "--database", database_url, *options, environment=clock.environment) as (_, port):
        yield Asked(port, lasting, ending), clock


def what_counts(service: Asked) -> set[str]:
    return {name for name, counts in service.counts().items() if counts}


def test_nothing_that_has_ended_counts_again_after_the_clock_was_set_back(asked: tuple[Asked, MovedClock]) -> None:
    service, clock = asked
    assert what_counts(service) == ALL
    for ahead in (ENDS_AFTER, ENDS_AFTER - 30, ENDS_AFTER - 55, ENDS_AFTER + 3600):
        clock.move(ahead)
        assert what_counts(service) == set(), f"{ahead} seconds ahead"
    # Back by an hour: it was wrong before.
    clock.move(0)
    assert what_counts(service) == ALL


def test_replicas_whose_clocks_go_back_and_forth_tell_nothing_old(postgresql_schema_url: str, tmp_path: Path) -> None:
    clocks = [MovedClock(tmp_path / name) for name in ("first", "second")]
    options = ["--database", postgresql_schema_url, "--max-staleness", str(MAX_STALENESS)]
    with ExitStack() as stack:
        ports = []
        for clock in clocks:
            environment = clock.environment
            ports.append(stack.enter_context(running(tmp_path, "--demo", *options, environment=environment))[1])
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        load = stack.enter_context(Load(urls, MAX_STALENESS, with_tokens=False, pause=PAUSE))
        wait_until(lambda: load.counts["writes acknowledged"] >= CLIENTS, "the clients do not begin")
        for first, second in ((3600, -3600), (-30, 30), (0, -86400), (0, 0)):
            clocks[0].move(first)
            clocks[1].move(second)
            before = load.counts["writes acknowledged"]
            wait_until(lambda before=before: load.counts["writes acknowledged"] >= before + 4, "no write is taken")
        load.end(postgresql_schema_url.replace("+psycopg", ""))
    assert load.faults == {}, load.told()
