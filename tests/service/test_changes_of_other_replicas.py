"""Replicas on one PostgreSQL with caches on: each sees what any other writes, and tells nothing that may be old."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ports import wait_until as wait_for
from serving import Served
from silent_servers import Proxy
from sqlalchemy import text
from sqlalchemy.engine import make_url
from storage_people import ROLES, row
from versions import batch
from werkzeug.test import Client

from klausel.api.access import SCOPES_OF_ROUTES
from klausel.app import create_service
from klausel.core.terms.caller import Caller
from klausel.core.terms.problem import PolicyError
from klausel.service import authentication
from klausel.service.authentication import ApiKeys, Unauthenticated
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.role_assignments import marks_of_writes
from klausel.settings import Settings
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.schema import open_database, upgrade_database
from klausel.storage.sql import change_feed
from klausel.storage.sql.access import Limits
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import read_url
from klausel.storage.sql.history import OtherSchema
from klausel.storage.sql.tables import CHANNEL, SCHEMA_VERSION

WIDE_SECONDS = 20.0
LIMITS = Limits(connect_seconds=2.0, read_seconds=2.0, write_seconds=10.0, lock_seconds=5.0)
NEVER = 3600.0
ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Replica:
    """A store with a feed, and a cache over it."""

    def __init__(self, url: str, max_staleness: float = NEVER, clock: Callable[[], float] | None = None) -> None:
        clocks = {} if clock is None else {"clock": clock}
        engine = open_database(url, LIMITS)
        self.feed = ChangeFeed(read_url(url), LIMITS, max_staleness, **clocks)
        self.store = AssignmentStore(engine, feed=self.feed)
        self.cache = EffectiveRolesCache(self.store, ROLES)
        wait_for(lambda: self.feed.is_trusted, "the feed does not begin")
        # No heartbeat helps from here on: what is seen was notified. The one that has begun ends by a notification.
        self.feed._seconds_per_heartbeat = NEVER
        first = self.feed.trusted_until
        with closing(psycopg.connect(plain(url), autocommit=True)) as other:
            other.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self.feed.known.lineage if self.feed.known else ''}-"))
        wait_for(lambda: self.feed.trusted_until != first, "a notification is not heard")

    def is_lead(self) -> bool:
        self.cache.refresh()
        return "lead" in self.cache.roles_in("user:bo", "acme/support")

    def reads(self) -> int:
        """How often a question about bo asks the database; 0 where it is kept."""
        reader, found = self.store.reader, 0
        ask = reader.held_by

        def counted(subject: str) -> Any:
            nonlocal found
            found += 1
            return ask(subject)

        reader.held_by = counted  # type: ignore[method-assign]
        self.is_lead()
        reader.held_by = ask  # type: ignore[method-assign]
        return found


@pytest.fixture
def replica_of(postgresql_schema_url: str) -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def make(**options: Any) -> Replica:
        made.append(Replica(postgresql_schema_url, **options))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def test_what_is_kept_costs_no_query_and_a_write_of_another_replica_is_seen(replica_of: Callable[..., Replica]) -> None:
    here, there = replica_of(), replica_of()
    for grant, revoke in (([ADMIN, USER, LEAD], []), ([], [LEAD]), ([LEAD], [])) * 3:
        there.store.write(ROLES, grant, revoke)
        wait_for(lambda grant=grant: here.is_lead() is (LEAD in grant), "a write of another replica is not seen")
        wait_for(lambda: here.reads() == 0, "nothing is kept")


def test_a_replica_tells_nothing_from_tables_that_another_version_upgraded(
    replica_of: Callable[..., Replica], postgresql_schema_url: str
) -> None:
    here = replica_of()
    here.store.write(ROLES, [ADMIN, USER, LEAD], [])
    assert here.is_lead()

    def is_refused() -> bool:
        try:
            here.is_lead()
        except OtherSchema:
            return True
        return False

    lineage = here.store.revision().partition("-")[0]
    with closing(psycopg.connect(plain(postgresql_schema_url), autocommit=True)) as other:
        for version, refused in ((SCHEMA_VERSION + 1, True), (SCHEMA_VERSION, False)):
            other.execute("UPDATE klausel_state SET schema_version = %s", (version,))
            other.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{lineage}-"))
            wait_for(lambda refused=refused: is_refused() is refused, "another schema is not noticed")
            if refused:
                with pytest.raises(OtherSchema, match=f"schema version {version} now"):
                    here.store.write(ROLES, [], [LEAD])
    assert here.is_lead()


def test_a_key_that_is_revoked_elsewhere_ends_by_a_notification(
    replica_of: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", NEVER)
    here, there = replica_of(), replica_of()
    keys = KeyStore(there.store.engine)
    id_, token = keys.new(Caller("shop", frozenset({"check"})), None)
    known = ApiKeys(KeyStore(here.store.engine), mark=marks_of_writes(here.store))
    here.store.close_first.append(known.close)
    assert known.caller_of(token).name == "shop"
    keys.revoke(id_)

    def is_ended() -> bool:
        try:
            known.caller_of(token)
        except Unauthenticated as error:
            return str(error) == "this API key is revoked"
        return False

    wait_for(is_ended, "a revoked key still counts")


def test_while_the_feed_is_cut_each_key_is_looked_up(
    replica_of: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", NEVER)
    here = replica_of()
    keys = KeyStore(here.store.engine)
    id_, token = keys.new(Caller("shop", frozenset({"check"})), None)
    known = ApiKeys(keys, mark=marks_of_writes(here.store))
    here.store.close_first.append(known.close)
    assert known.caller_of(token).name == "shop"
    here.feed.close()
    assert known.caller_of(token).name == "shop"
    keys.revoke(id_)
    with pytest.raises(Unauthenticated, match="revoked"):
        known.caller_of(token)


def test_a_service_that_cannot_start_follows_nothing(postgresql_schema_url: str, tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text("roles: {}\nrols: {}\n")
    before = threading.active_count()
    with pytest.raises(PolicyError):
        create_service(Settings(database=postgresql_schema_url, policies=str(tmp_path)))
    wait_for(lambda: threading.active_count() <= before, "the feed goes on")


def test_plain_sql_is_seen(replica_of: Callable[..., Replica], postgresql_schema_url: str) -> None:
    here = replica_of()
    here.store.write(ROLES, [ADMIN, USER, LEAD], [])
    assert here.is_lead()
    with psycopg.connect(plain(postgresql_schema_url)) as other:
        other.execute("DELETE FROM casbin_rule WHERE v1 = 'lead'")
        other.commit()
    wait_for(lambda: not here.is_lead(), "a revocation by plain SQL is not seen")


@pytest.mark.parametrize("version", [6, SCHEMA_VERSION])
def test_tables_made_before_plain_sql_notified_do_so_after_an_upgrade(postgresql_schema_url: str, version: int) -> None:
    engine = open_database(postgresql_schema_url)
    query = text("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = CAST(current_schema() AS regnamespace)")

    def sources() -> list[Any]:
        with engine.connect() as connection:
            return sorted(connection.execute(query))

    made = sources()
    with engine.begin() as connection:
        connection.execute(text("UPDATE klausel_state SET schema_version = :version"), {"version": version})
        # Without its notification, and with one for each row.
        for name, body in (("row", ""), ("entity", f"PERFORM pg_notify('{CHANNEL}', '');")):
            connection.exec_driver_sql(
                f"CREATE OR REPLACE FUNCTION klausel_note_{name}_change() RETURNS trigger LANGUAGE plpgsql "
                f"AS $$ BEGIN {body} RETURN NULL; END $$"
            )
    assert sources() != made
    upgrade_database(postgresql_schema_url)
    assert sources() == made
    engine.dispose()


def test_nothing_kept_is_told_while_the_listener_is_cut_and_it_comes_back(
    replica_of: Callable[..., Replica], postgresql_schema_url: str
) -> None:
    here, there = replica_of(), replica_of()
    there.store.write(ROLES, [ADMIN, USER, LEAD], [])
    wait_for(lambda: here.is_lead() and here.reads() == 0, "nothing is kept")
    before = here.feed.reconnects
    with psycopg.connect(plain(postgresql_schema_url), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (here.feed.process,))
    wait_for(lambda: here.feed.reconnects > before, "the cut is not noticed")
    there.store.write(ROLES, [], [LEAD])
    # Either it reads through, or it is trusted again and knows of the write.
    assert not here.is_lead()
    wait_for(lambda: here.feed.is_trusted, "the feed does not come back")
    assert not here.is_lead()
    wait_for(lambda: here.reads() == 0, "nothing is kept any more")


def test_what_was_not_confirmed_lately_is_read_again(replica_of: Callable[..., Replica]) -> None:
    ahead = 0.0
    here = replica_of(max_staleness=100.0, clock=lambda: time.monotonic() + ahead)
    here.store.write(ROLES, [ADMIN, USER, LEAD], [])
    wait_for(lambda: here.reads() == 0, "nothing is kept")
    ahead = 101.0
    # As after a pause: the heartbeat comes only afterwards.
    assert not here.feed.is_trusted
    assert here.reads() == 1


def test_an_answer_found_while_nothing_was_trusted_is_not_told_when_it_is_again(replica_of: Callable[..., Replica]) -> None:
    here, there = replica_of(), replica_of()
    there.store.write(ROLES, [ADMIN, USER, LEAD], [])
    wait_for(lambda: here.is_lead() and here.reads() == 0, "nothing is kept")
    until = here.feed.trusted_until

    class Slow(OrderedDict[str, Any]):
        """Between finding an entry and telling it, another replica writes, and the feed is trusted again."""

        is_first = True

        def get(self, key: str, default: Any = None) -> Any:
            found = super().get(key, default)
            if self.is_first:
                self.is_first = False
                there.store.write(ROLES, [], [LEAD])
                wait_for(lambda: here.feed.trusted_until > until and key not in self, "the write is not followed")
            return found

    here.feed.trusted_until = float("-inf")
    here.cache._entries = Slow(here.cache._entries)
    assert "lead" not in here.cache.roles_in("user:bo", "acme/support")


PAUSED = """
import sys, time
from klausel.app import create_service
from klausel.core.terms.caller import Caller
from klausel.core.terms.problem import PolicyError
from klausel.settings import Settings
from klausel.service import authentication
from klausel.service.authentication import ApiKeys, Unauthenticated
from klausel.service.role_assignments import marks_of_writes
from klausel.storage.callers.keys import KeyStore
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import read_url
from storage_people import ROLES
limits = Limits(2.0, 2.0, 10.0, 5.0)
store = AssignmentStore(open_database(sys.argv[1], limits), feed=ChangeFeed(read_url(sys.argv[1]), limits, 1.0))
cache = EffectiveRolesCache(store, ROLES)
while not store.feed.is_trusted: time.sleep(0.01)
cache.roles_in("user:bo", "acme/support")
while True:
    began = time.monotonic()
    told = "lead" in cache.roles_in("user:bo", "acme/support")
    print(began, told, flush=True)
    time.sleep(0.001)
"""


def test_a_process_that_was_paused_tells_nothing_old(replica_of: Callable[..., Replica], postgresql_schema_url: str) -> None:
    there = replica_of()
    there.store.write(ROLES, [ADMIN, USER, LEAD], [])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PAUSED, postgresql_schema_url]
    paused = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert paused.stdout is not None
        assert paused.stdout.readline().split()[1] == "True"
        os.kill(paused.pid, signal.SIGSTOP)
        there.store.write(ROLES, [], [LEAD])
        written = time.monotonic()
        time.sleep(2.0)
        os.kill(paused.pid, signal.SIGCONT)
        asked_after = 0
        for line in paused.stdout:
            began, told = line.split()
            if float(began) > written + 1.0:
                assert told == "False", "a process that was paused told what is older than it may be"
                asked_after += 1
                if asked_after == 200:
                    break
    finally:
        paused.kill()
        paused.wait()
        if paused.stdout is not None:
            paused.stdout.close()


def ask_at_least(served: Served, revision: str, door: str = "lane") -> Any:
    body = {name: value for name, value in batch().items() if name != "evaluations"} | {"action": {"name": "view"}}
    headers = {"X-Klausel-At-Least": revision}
    return Client(served.applications[door]).post("/access/v1/evaluation", json=body, headers=headers)


@pytest.mark.parametrize("door", ["lane", "flask"])
def test_an_answer_is_as_fresh_as_the_caller_asks_or_503(
    opened: Callable[..., Served], database_url: str, door: str
) -> None:
    here, there = opened(database=database_url), opened(database=database_url)
    ann = {"subject": "user:ann", "role": "agent", "domain": "acme/support"}
    for name in ("revoke", "grant") * 5:
        written = there.ask("POST", "/v1/assignments", {name: [ann]}).get_json()["revision"]
        answer = ask_at_least(here, written, door)
        assert (answer.status_code, answer.get_json()) == (200, {"decision": name == "grant"})
    lineage, _, counter = written.rpartition("-")
    for unknown in (f"{lineage}-{int(counter) + 1}", f"0{lineage[1:]}0-1"):
        answer = ask_at_least(here, unknown, door)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
    assert ask_at_least(here, "yesterday", door).status_code == 400
    open_to_all = [path for (method, path), scopes in SCOPES_OF_ROUTES.items() if method == "GET" and not scopes]
    for path in open_to_all:
        bare = Client(here.applications[door]).get(path.partition("<")[0])
        for odd in ("yesterday", unknown):
            answer = Client(here.applications[door]).get(path.partition("<")[0], headers={"X-Klausel-At-Least": odd})
            assert answer.status_code == bare.status_code, path
    assert "/healthz" in open_to_all
    assert Client(here.applications[door]).get("/v1/policy", headers={"X-Klausel-At-Least": unknown}).status_code == 503


def test_an_answer_is_as_fresh_as_asked_while_the_listener_is_down(
    opened: Callable[..., Served], postgresql_schema_url: str
) -> None:
    nowhere = str(make_url(postgresql_schema_url).set(port=1))
    here = opened(database=postgresql_schema_url, listen_url=nowhere)
    there = opened(database=postgresql_schema_url, max_staleness_seconds=60.0)
    wait_for(lambda: there.service.store.feed.is_trusted, "the feed does not begin")
    ann = {"subject": "user:ann", "role": "agent", "domain": "acme/support"}
    for name in ("revoke", "grant"):
        written = there.ask("POST", "/v1/assignments", {name: [ann]}).get_json()["revision"]
        assert ask_at_least(here, written).get_json() == {"decision": name == "grant"}
    assert not here.service.store.feed.is_trusted
    metrics = [served.ask("GET", "/metrics").get_data(as_text=True) for served in (here, there)]
    assert [re.findall(r"klausel_changes_trusted\{.*\} (.*)", text) for text in metrics] == [["0.0"], ["1.0"]]
    assert re.search(r"klausel_staleness_seconds\{.*\} \+Inf", metrics[0])
    assert [served.ask("GET", "/readyz").status_code for served in (here, there)] == [503, 200]


def test_a_service_that_hears_of_no_changes_for_long_is_not_ready_but_answers(
    opened: Callable[..., Served], postgresql_schema_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = make_url(postgresql_schema_url)
    listening = Proxy(at.host or "127.0.0.1", at.port or 5432)
    with closing(listening):
        url = at.set(host="127.0.0.1", port=listening.port).render_as_string(hide_password=False)
        limits = {"max_staleness_seconds": 0.2, "database_read_seconds": 1.0, "database_connect_seconds": 1.0}
        here = opened(database=postgresql_schema_url, listen_url=url, **limits)
        feed = here.service.store.feed

        def is_ready() -> bool:
            return bool(here.ask("GET", "/readyz").status_code == 200)

        wait_for(is_ready, "it does not begin")
        listening.hang_up()
        wait_for(lambda: not feed.is_trusted, "the cut is not noticed")
        # A connection that was cut may come back first.
        assert is_ready()
        monkeypatch.setattr(change_feed, "SECONDS_TO_COME_BACK", 0.3)
        wait_for(lambda: not is_ready(), "it is ready though it hears of no changes")
        message = here.ask("GET", "/readyz").get_json()["error"]["message"]
        assert message.startswith("changes of role assignments are not heard, so each decision reads the database")
        ann = {"subject": "user:ann", "role": "agent", "domain": "acme/support"}
        written = here.ask("POST", "/v1/assignments", {"revoke": [ann]}).get_json()["revision"]
        assert ask_at_least(here, written).get_json() == {"decision": False}
        listening.answer_again()
        wait_for(is_ready, "it does not come back")
