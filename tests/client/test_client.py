"""The client over real sockets: typed questions, denies where no answer comes, nothing sent twice that changes anything."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from at_least_checks import check_at_least
from doors import demo_people, grant, open_doors
from odd_services import odd_service, saying
from opentelemetry import context, trace
from served_apps import served

from klausel.client import Action, AsyncKlausel, CallFailed, Decision, Klausel, Question, Refused, Resource, Subject
from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})
SALES = Resource("quiz", "q1", {"account": "acme", "workspace": "sales", "status": "published"})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_doors(tmp_path_factory.mktemp("client") / "klausel.db") as doors:
        grant(doors.service, demo_people())
        with served(doors.flask._client.application) as url:  # type: ignore[attr-defined]
            yield url


@pytest.fixture
def klausel(address: str) -> Iterator[Klausel]:
    with Klausel(address) as client:
        yield client


def test_questions_are_answered(klausel: Klausel) -> None:
    assert klausel.allows("user:leo", "edit", QUIZ)
    assert not klausel.allows(Subject("user", "leo"), Action("edit"), SALES)
    assert klausel.evaluate("user:leo", "edit", QUIZ)
    questions = [Question("user:leo", "edit", one) for one in (QUIZ, SALES, QUIZ)]
    assert [bool(decision) for decision in klausel.evaluations(questions)] == [True, False, True]
    assert klausel.evaluations([]) == []
    assert klausel.explain("user:leo", "edit", SALES)["decision"] is False


def test_a_question_that_cannot_be_judged_is_a_deny_with_its_reason(klausel: Klausel) -> None:
    decision = klausel.evaluate("user:leo", "edit", Resource("quiz", "q1", {"workspace": "support"}))
    assert not decision
    assert decision.reason
    assert not decision.failed


def test_an_answer_has_seen_the_revision_that_is_asked_for_or_is_a_deny(klausel: Klausel) -> None:
    check_at_least(klausel)


def test_a_filter_is_told(klausel: Klausel) -> None:
    answer = klausel.filter("user:leo", "view", Resource("dashboard", properties={"account": "acme"}))
    assert answer.filter == "when"
    assert answer.condition
    assert klausel.filter("user:nobody", "view", Resource("dashboard"), domain="acme").filter == "never"


def test_role_assignments_are_changed_and_listed(klausel: Klausel) -> None:
    row = {"subject": "user:zoe", "role": "user", "domain": "acme"}
    revision = klausel.assign([row], reason="helps out")
    assert revision
    assert list(klausel.assignments(subject="user:zoe")) == [row]
    klausel.assign(revoke=[row])
    assert list(klausel.assignments(subject="user:zoe")) == []
    with pytest.raises(Refused) as refused:
        klausel.assign([{**row, "role": "emperor"}])
    assert refused.value.status == 400
    assert refused.value.body["faults"]


def test_pages_are_walked_to_the_end(klausel: Klausel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.api.assignments.DEFAULT_LIMIT", 2)
    found = [(row["subject"], row["role"], row["domain"]) for row in klausel.assignments(domain="acme")]
    wanted = {tuple(row[:3]) for row in demo_people() if row[2] == "acme"}
    # Other tests of this service may have added people of their own.
    assert [row for row in sorted(found) if row in wanted] == sorted(wanted)
    assert len(set(found)) == len(found)


def test_what_a_search_finds_is_given_page_after_page(klausel: Klausel) -> None:
    found = list(klausel.search_subjects("user", "edit", QUIZ, limit=1))
    assert Subject("user", "leo") in found
    assert found == list(klausel.search_subjects("user", "edit", QUIZ))
    assert all(klausel.allows(one, "edit", QUIZ) for one in found)
    places = list(klausel.search_resources("user:max", "view_settings", Resource("account"), limit=1))
    assert places and all(klausel.allows("user:max", "view_settings", place) for place in places)
    assert "edit" in list(klausel.search_actions("user:leo", QUIZ, limit=2))
    assert list(klausel.search_subjects("user", "fly", QUIZ)) == []


def test_why_somebody_is_on_the_list_is_one_call_away(klausel: Klausel) -> None:
    for found in klausel.search_subjects("user", "edit", QUIZ):
        why = klausel.explain(found, "edit", QUIZ)
        assert why["decision"] is True
        assert why["decided_by"]["source"]
        assert why["decided_by"]["role_assignment"]["subject"] == f"user:{found.id}"


def test_a_menu_is_told_for_each_resource(klausel: Klausel) -> None:
    here, there = klausel.permissions("user:leo", [QUIZ, SALES])
    assert "edit" in here.actions
    assert "edit" not in there.actions
    [open_] = klausel.permissions(
        "user:leo", [Resource("quiz", "q1", {"account": "acme", "workspace": "support"})], conditions=True
    )
    assert open_.conditional["edit"]
    assert klausel.permissions("user:leo", []) == []


def test_a_deny_says_why_where_it_is_asked(klausel: Klausel) -> None:
    assert klausel.evaluate("user:leo", "edit", SALES).reason is None
    assert (
        klausel.evaluate("user:leo", "edit", SALES, reasons=True).reason
        == klausel.explain("user:leo", "edit", SALES)["reason"]
    )
    [one] = klausel.evaluations([Question("user:leo", "edit", SALES)], reasons=True)
    assert one.reason
    assert one.reason_user == 'You are not allowed to do this ("edit").'


def test_a_leaver_and_a_group_are_changed_and_listed(klausel: Klausel) -> None:
    klausel.assign(
        [{"subject": "user:yul", "role": "user", "domain": "acme"}, {"subject": "user:yul", "group": "group:all"}]
    )
    assert [row["subject"] for row in klausel.assignments(group="group:all")] == ["user:yul"]
    assert klausel.remove_subject("user:yul", "acme", by="kim") == 1
    assert list(klausel.assignments(subject="user:yul", domain="acme")) == []
    klausel.assign(revoke=[{"subject": "user:yul", "group": "group:all"}])


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(client: type) -> dict[str, str]:
        names = [name for name in vars(client) if not name.startswith("_") and name not in ("close", "discover")]
        return {name: str(inspect.signature(getattr(client, name)).parameters) for name in names}

    assert methods(Klausel) == methods(AsyncKlausel)
    assert all(getattr(Klausel, name).__doc__ for name in methods(Klausel))


def test_the_trace_of_the_caller_goes_along() -> None:
    seen: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("traceparent"))
        saying(200, {"decision": True}, [])(handler)

    span = trace.NonRecordingSpan(trace.SpanContext(0x1234, 0x5678, False, trace.TraceFlags(1)))
    token = context.attach(trace.set_span_in_context(span))
    try:
        with odd_service(answer) as url, Klausel(url) as client:
            assert client.allows("user:leo", "edit", "quiz:q1")

            async def ask() -> None:
                async with AsyncKlausel(url) as other:
                    assert await other.allows("user:leo", "edit", "quiz:q1")

            asyncio.run(ask())
    finally:
        context.detach(token)
    assert seen == ["00-00000000000000000000000000001234-0000000000005678-01"] * 2


def test_the_same_can_be_awaited(address: str) -> None:
    async def ask() -> None:
        async with AsyncKlausel(address) as client:
            assert await client.allows("user:leo", "edit", QUIZ)
            many = await asyncio.gather(*(client.allows("user:leo", "edit", one) for one in [QUIZ, SALES] * 20))
            assert many == [True, False] * 20
            assert [bool(one) for one in await client.evaluations([Question("user:leo", "edit", SALES)])] == [False]
            assert (await client.explain("user:leo", "edit", QUIZ))["decision"] is True
            assert (await client.filter("user:leo", "view", Resource("dashboard"))).filter == "when"
            assert Subject("user", "leo") in [one async for one in client.search_subjects("user", "edit", QUIZ, limit=1)]
            assert "edit" in [one async for one in client.search_actions("user:leo", QUIZ)]
            assert "edit" in (await client.permissions("user:leo", [QUIZ]))[0].actions
            assert await client.evaluations([]) == []
            assert [row["role"] async for row in client.assignments(subject="user:leo", domain="acme/support")] == ["lead"]
            await client.assign([{"subject": "user:yan", "role": "user", "domain": "acme"}])
            await client.assign(revoke=[{"subject": "user:yan", "role": "user", "domain": "acme"}])

    asyncio.run(ask())


def test_a_key_is_sent(tmp_path: Path) -> None:
    with open_doors(tmp_path / "keys.db", authentication="keys") as doors:
        grant(doors.service, demo_people())
        key = KeyStore(doors.service.store.engine).new(Caller("app", frozenset({"check"})), None)[1]
        with served(doors.lane._client.application) as url:  # type: ignore[attr-defined]
            with Klausel(url, key=key) as client:
                assert client.allows("user:leo", "edit", QUIZ)
                told = client.evaluate("user:leo", "edit", SALES, reasons=True)
                assert told.reason == told.reason_user == 'You are not allowed to do this ("edit").'
                with pytest.raises(Refused, match="scope explain"):
                    client.explain("user:leo", "edit", QUIZ)
            with Klausel(url) as client:
                assert "does not say who calls" in (client.evaluate("user:leo", "edit", QUIZ).reason or "")


# --- Where no answer comes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"decision": "true"},
        {"decision": 1},
        {},
        [],
        None,
        b"<html>",
        {"decision": True, "context": {"error": {"status": 503, "message": "down"}}},
    ],
)
def test_what_is_no_decision_is_a_deny(body: object) -> None:
    with odd_service(saying(200, body, [])) as url, Klausel(url) as client:
        decision = client.evaluate("user:leo", "edit", "quiz:q1")
        assert (decision.allowed, decision.failed) == (False, True)


def test_a_batch_that_is_cut_is_all_denies() -> None:
    with odd_service(saying(200, {"evaluations": [{"decision": True}]}, [])) as url, Klausel(url) as client:
        answers = client.evaluations([Question("user:leo", "edit", "quiz:q1")] * 2)
        assert [(one.allowed, one.failed) for one in answers] == [(False, True)] * 2


def test_a_failing_service_is_asked_again_once_and_then_denied() -> None:
    seen: list[str] = []
    with odd_service(saying(503, {"error": {"status": 503, "message": "busy"}}, seen)) as url, Klausel(url) as client:
        assert client.evaluate("user:leo", "edit", "quiz:q1").reason == "busy"
        assert len(seen) == 2
        with pytest.raises(CallFailed, match="busy"):
            client.evaluate("user:leo", "edit", "quiz:q1", denies=False)


def test_a_change_is_never_sent_twice() -> None:
    seen: list[str] = []
    with odd_service(saying(503, {}, seen)) as url, Klausel(url, retries=5) as client:
        with pytest.raises(CallFailed):
            client.assign([{"subject": "user:zoe", "role": "user", "domain": "acme"}])
        assert seen == ["/v1/assignments"]


def test_a_service_that_never_answers_is_a_deny_within_the_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with Klausel(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2, retries=0) as client:
            decision = client.evaluate("user:leo", "edit", "quiz:q1")
            assert decision.reason == "the service did not answer within 0.2 s"
            assert not decision.allowed


def test_an_answer_that_comes_drop_by_drop_is_a_deny_within_the_time() -> None:
    whole: list[str] = []

    def drips(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"decision": true' + b" " * 200 + b"}"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            for byte in body:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.05)
        except OSError:  # who asked has gone
            return
        whole.append(handler.path)

    async def to_await(url: str) -> Decision:
        async with AsyncKlausel(url, seconds=0.3, retries=0) as client:
            return await client.evaluate("user:leo", "edit", "quiz:q1")

    with odd_service(drips) as url, Klausel(url, seconds=0.3, retries=0) as client:
        for decision in (client.evaluate("user:leo", "edit", "quiz:q1"), asyncio.run(to_await(url))):
            assert (decision.allowed, decision.reason) == (False, "the service did not answer within 0.3 s")
    assert not whole


@contextmanager
def dripping_heads() -> Iterator[str]:
    """A server whose first answer on a connection comes at once, and the head of each other byte by byte."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\nX-Long: " + b"x" * 200 + b"\r\n\r\n"
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            for number in range(9):
                if not connection.recv(65_536):
                    return
                for byte in [head] if number == 0 else [bytes([one]) for one in head]:
                    connection.sendall(byte)
                    time.sleep(0.02 if number else 0)
                connection.sendall(b'{"decision": true}')

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=[listening.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def test_a_head_that_comes_drop_by_drop_is_a_deny_within_the_time() -> None:
    """Also on a connection that is taken again; what comes in time after it is heard."""

    def took(began: float) -> bool:
        return time.monotonic() - began < 2  # the whole head takes five seconds

    async def to_await(url: str) -> list[Decision]:
        async with AsyncKlausel(url, seconds=0.5, retries=0) as client:
            return [await client.evaluate("user:leo", "edit", "quiz:q1") for _ in range(3)]

    with dripping_heads() as url, Klausel(url, seconds=0.5, retries=0) as client:
        for ask in (
            lambda: [client.evaluate("user:leo", "edit", "quiz:q1") for _ in range(3)],
            lambda: asyncio.run(to_await(url)),
        ):
            began = time.monotonic()
            first, dripped, again = ask()
            assert took(began)
            assert first.allowed and again.allowed
            assert (dripped.allowed, dripped.reason) == (False, "the service did not answer within 0.5 s")


def test_a_service_that_is_not_there_is_a_deny() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Klausel(f"http://127.0.0.1:{port}") as client:
        assert client.evaluate("user:leo", "edit", "quiz:q1").failed


def test_decisions_are_remembered_when_asked_for_and_failures_are_not() -> None:
    seen: list[str] = []
    with odd_service(saying(200, {"decision": True}, seen)) as url, Klausel(url, remembers=60) as client:
        assert client.allows("user:leo", "edit", "quiz:q1")
        assert client.allows("user:leo", "edit", "quiz:q1")
        assert not seen[1:]
        assert client.allows("user:leo", "edit", "quiz:q2")
        assert len(seen) == 2
    seen.clear()
    with odd_service(saying(500, {}, seen)) as url, Klausel(url, remembers=60, retries=0) as client:
        for _ in range(2):
            assert not client.allows("user:leo", "edit", "quiz:q1")
        assert len(seen) == 2


def test_what_was_asked_before_a_change_is_not_remembered() -> None:
    seen: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/v1/assignments":
            saying(200, {"revision": "7"}, seen)(handler)
            return
        if not seen:
            client.assign()  # while the first decision is under way
        saying(200, {"decision": True}, seen)(handler)

    with odd_service(answer) as url, Klausel(url, remembers=60) as client:
        for _ in range(3):
            assert client.allows("user:leo", "edit", "quiz:q1")
        client.assign()
        assert client.allows("user:leo", "edit", "quiz:q1")
    decision, change = "/access/v1/evaluation", "/v1/assignments"
    assert seen == [change, decision, decision, change, decision]


def test_a_policy_of_one_call_says_what_a_failure_means() -> None:
    with odd_service(saying(500, {}, [])) as url, Klausel(url, denies=False, retries=0) as client:
        assert not client.allows("user:leo", "edit", "quiz:q1", denies=True)
        assert client.evaluations([Question("user:leo", "edit", "quiz:q1")], denies=True)[0].failed
        with pytest.raises(CallFailed):
            client.allows("user:leo", "edit", "quiz:q1")


def test_connections_are_used_again(address: str) -> None:
    ports: list[object] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        saying(200, {"decision": True}, [])(handler)

    with odd_service(answer, keeps_connections=True) as url, Klausel(url) as client:
        assert all(client.allows("user:leo", "edit", "quiz:q1") for _ in range(5))
    assert len(ports) == 5
    assert len(set(ports)) == 1


def test_another_decision_point_is_asked_where_it_says(address: str) -> None:
    seen: list[str] = []
    metadata: dict[str, str] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        is_metadata = "well-known" in handler.path
        is_search = handler.path.endswith("/who")
        found = {"page": {"next_token": ""}, "results": [{"type": "user", "id": "leo"}]}
        saying(200, metadata if is_metadata else found if is_search else {"decision": True}, seen)(handler)

    with odd_service(answer) as url:
        metadata |= {"policy_decision_point": url, "access_evaluation_endpoint": f"{url}/pdp/ask"}
        metadata["search_subject_endpoint"] = f"{url}/pdp/who"
        with Klausel.discover(f"{url}/tenant") as client:
            assert client.allows("user:leo", "edit", "quiz:q1")
            assert list(client.search_subjects("user", "edit", "quiz:q1")) == [Subject("user", "leo")]

        async def ask() -> bool:
            async with await AsyncKlausel.discover(f"{url}/tenant") as client:
                return await client.allows("user:leo", "edit", "quiz:q1")

        assert asyncio.run(ask())
    metadata_path = "/.well-known/authzen-configuration/tenant"
    assert seen == [metadata_path, "/pdp/ask", "/pdp/who", metadata_path, "/pdp/ask"]


@pytest.mark.parametrize("written", ["leo", ":leo", "user:", ""])
def test_a_text_that_is_no_subject_is_told(klausel: Klausel, written: str) -> None:
    with pytest.raises(ValueError, match="is no subject; write type:id"):
        klausel.allows(written, "edit", QUIZ)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://", ""])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a service"):
        Klausel(url)
