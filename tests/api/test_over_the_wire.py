"""A server that really listens, asked over sockets: framing, hosts, and that it answers as the application does."""

from __future__ import annotations

import json
import socket
import threading
import time
from urllib.parse import urlencode

import pytest
from doors import (
    ALLOWED,
    ASSIGNMENTS,
    DENIED,
    DISCOVERY,
    EVALUATION,
    EVALUATIONS,
    EXPLAIN,
    POLICY,
    Answer,
    Doors,
    HttpDoor,
    asking,
)

BODY = json.dumps(ALLOWED).encode()
ALLOW = b'{"decision":true}'
JSON_LINES = b"Host: localhost\r\nContent-Type: application/json\r\n"
MOST = 20_000


def head(path: str = EVALUATION, method: str = "POST", version: str = "1.1", lines: bytes = JSON_LINES) -> bytes:
    return f"{method} {path} HTTP/{version}\r\n".encode() + lines


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


class Wire:
    """A connection on which bytes are sent and answers are read one after the other."""

    def __init__(self, server: HttpDoor) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> Answer:
        status = int(self._reader.readline().split()[1])
        headers = {}
        while line := self._reader.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        return Answer(status, headers, self._reader.read(int(headers.get("content-length", 0))))

    def is_closed(self) -> bool:
        return self._reader.read(1) == b""


def answers_to(server: HttpDoor, data: bytes, count: int = 1) -> list[Answer]:
    with Wire(server) as wire:
        wire.send(data)
        return [wire.answer() for _ in range(count)]


def answer_to(server: HttpDoor, data: bytes) -> Answer:
    (answer,) = answers_to(server, data)
    return answer


def is_json_error(answer: Answer, status: int) -> bool:
    return answer.status == status and answer.json["error"]["status"] == status


# --- The same as in the process -----------------------------------------------------------------------------------

QUESTIONS = [
    (EVALUATION, ALLOWED),
    (EVALUATION, DENIED),
    (EVALUATION, {}),
    (EVALUATION, {**ALLOWED, "subject": "leo"}),
    (EVALUATION, asking("leo", "edit", "quiz", account="a/b")),
    (EVALUATION, asking("ada", "delete", "account", "acme")),
    (EVALUATIONS, ALLOWED),
    (EVALUATIONS, {**ALLOWED, "evaluations": [{}, DENIED, 12, {"action": {"name": "é😀"}}]}),
    (EVALUATIONS, {**ALLOWED, "evaluations": 1}),
    (EVALUATIONS, {**ALLOWED, "options": {"evaluations_semantic": "x"}}),
    (EVALUATIONS, {**DENIED, "evaluations": [{}, ALLOWED], "options": {"evaluations_semantic": "deny_on_first_deny"}}),
    (ASSIGNMENTS, {"grant": [{"subject": "user:x", "role": "usr", "domain": "acme"}]}),
    (ASSIGNMENTS, {"grant": [{"subject": "user:x", "role": "agent", "domain": "acme/w"}]}),
    (ASSIGNMENTS, {"revoke": [{"subject": "user:grace", "role": "admin", "domain": "globex"}]}),
    ("/nothing", {}),
]


@pytest.mark.parametrize(("path", "request_body"), QUESTIONS)
def test_the_server_answers_with_the_bytes_of_the_application(
    server: HttpDoor, demo: Doors, path: str, request_body: object
) -> None:
    served = server.post(path, request_body)
    for door in (demo.flask, demo.lane):
        told = door.post(path, request_body)
        assert (served.status, served.body) == (told.status, told.body)


def test_the_routes_for_operators_answer(server: HttpDoor) -> None:
    for path in ("/healthz", "/readyz", POLICY):
        assert server.get(path).status == 200
    assert server.explain(ALLOWED)["decision"] is True
    assert server.ask("PUT", EVALUATION, BODY).headers["Allow"] == "POST"
    assert server.ask("HEAD", EVALUATION).status == 405


def test_the_metadata_names_the_public_url_at_the_path_of_the_tenant(server: HttpDoor) -> None:
    forged = {"Host": "127.0.0.1:1", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assert server.get(DISCOVERY + "/tenant1", **forged).json["policy_decision_point"] == "https://pdp.example.com/tenant1"
    assert server.get(DISCOVERY).status == 404


def test_ids_travel_through_urls_and_bodies_unchanged(server: HttpDoor) -> None:
    names = ["a,b", "#c", "é😀", "a b", "a+b", "%41", '"']
    account = "wire ä,#"
    rows = [{"subject": f"user:{name}", "role": "admin", "domain": account} for name in names]
    assert server.post(ASSIGNMENTS, {"grant": rows}).status == 200
    told = server.get(f"{ASSIGNMENTS}?{urlencode({'domain': account})}").json["assignments"]
    assert told == sorted(rows, key=lambda row: row["subject"])
    for name in names:
        assert server.allows(asking(name, "delete", "account", account))
        query = urlencode({"subject": f"user:{name}", "account": account})
        assert server.ask("DELETE", f"{ASSIGNMENTS}?{query}").json["removed"] == 1
        assert not server.allows(asking(name, "delete", "account", account))


# --- Framing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
def test_a_body_in_chunks_is_read(server: HttpDoor, path: str) -> None:
    for parts in ([BODY], [BODY[:10], BODY[10:]], [bytes([byte]) for byte in BODY]):
        assert answer_to(server, head(path) + chunked(*parts)).body == ALLOW


def test_a_body_in_chunks_is_read_by_every_route(server: HttpDoor) -> None:
    assert answer_to(server, head(EXPLAIN) + chunked(BODY)).json["decision"] is True
    assert is_json_error(answer_to(server, head(ASSIGNMENTS) + chunked(b"{}")), 400)


def test_a_body_that_comes_slowly_is_waited_for(server: HttpDoor) -> None:
    parts = (BODY[:5], BODY[5:50], BODY[50:])
    with Wire(server) as wire:
        wire.send(head() + b"Transfer-Encoding: chunked\r\n\r\n")
        for part in parts:
            wire.send(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.05)
        wire.send(b"0\r\n\r\n")
        assert wire.answer().body == ALLOW
        wire.send(head() + b"Content-Length: %d\r\n\r\n" % len(BODY))
        for part in parts:
            wire.send(part)
            time.sleep(0.05)
        assert wire.answer().body == ALLOW


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, EXPLAIN, ASSIGNMENTS])
def test_too_large_a_body_is_a_413_and_the_connection_is_not_confused(server: HttpDoor, path: str) -> None:
    large = BODY + b" " * MOST
    again = head() + sized(BODY)
    for sent in (head(path) + sized(large), head(path) + chunked(large[:9], large[9:])):
        first, second = answers_to(server, sent + again, 2)
        assert is_json_error(first, 413)
        assert second.body == ALLOW


def test_a_body_of_just_the_bound_is_read_in_either_framing(server: HttpDoor) -> None:
    full = BODY + b" " * (MOST - len(BODY))
    assert answer_to(server, head() + sized(full)).body == ALLOW
    assert answer_to(server, head() + chunked(full[:7], full[7:])).body == ALLOW
    assert answer_to(server, head() + chunked(full, b" ")).status == 413


def test_a_body_announced_too_large_is_refused_before_it_is_sent(server: HttpDoor) -> None:
    assert is_json_error(answer_to(server, head() + b"Content-Length: 999999\r\n\r\n"), 413)
    waiting = head() + b"Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
    assert is_json_error(answer_to(server, waiting), 413)


def test_no_content_length_is_an_empty_body(server: HttpDoor) -> None:
    for path in (EVALUATION, EVALUATIONS, EXPLAIN, ASSIGNMENTS):
        assert is_json_error(answer_to(server, head(path) + b"\r\n"), 400)
        assert is_json_error(answer_to(server, head(path) + b"Content-Length: 0\r\n\r\n"), 400)


def test_a_body_without_a_length_is_never_taken_for_a_request(server: HttpDoor) -> None:
    hidden = head("/v1/policy", "GET") + b"\r\n"
    with Wire(server) as wire:
        wire.send(head() + sized(b" " * 5 + hidden))
        assert is_json_error(wire.answer(), 400)
        wire.send(head() + sized(BODY))
        assert wire.answer().body == ALLOW


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1.5", b"99999999999999999999999999", b"5, 6", b"0x10"])
def test_a_content_length_that_is_no_number_is_refused(server: HttpDoor, length: bytes) -> None:
    with Wire(server) as wire:
        wire.send(head() + b"Content-Length: " + length + b"\r\n\r\n" + BODY)
        assert wire.answer().status == 400
        assert wire.is_closed()


def test_two_lengths_that_differ_are_refused(server: HttpDoor) -> None:
    with Wire(server) as wire:
        wire.send(head() + b"Content-Length: 3\r\n" + sized(BODY))
        assert wire.answer().status == 400
        assert wire.is_closed()


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n folded: yes\r\n",
    ],
)
def test_a_body_whose_end_two_servers_could_see_elsewhere_is_refused(server: HttpDoor, framing: bytes) -> None:
    hidden = head("/v1/policy", "GET") + b"\r\n"
    with Wire(server) as wire:
        wire.send(head() + framing + b"\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY) + hidden)
        assert wire.answer().status == 400
        assert wire.is_closed()


def test_chunks_win_over_a_length_and_end_the_connection(server: HttpDoor) -> None:
    hidden = head("/v1/policy", "GET") + b"\r\n"
    with Wire(server) as wire:
        wire.send(head() + b"Content-Length: 4\r\n" + chunked(BODY) + hidden)
        assert wire.answer().body == ALLOW
        assert wire.is_closed()


def test_leading_zeros_of_a_length_mean_nothing(server: HttpDoor) -> None:
    assert answer_to(server, head() + b"Content-Length: " + b"0" * 30 + b"%d\r\n\r\n" % len(BODY) + BODY).body == ALLOW


def test_requests_on_one_connection_are_answered_in_order(server: HttpDoor) -> None:
    asked = [head() + sized(BODY), head() + sized(b"{}"), head("/nothing") + sized(BODY), head(POLICY, "GET") + b"\r\n"]
    asked += [head(EVALUATIONS) + chunked(BODY), head() + sized(json.dumps(DENIED).encode())]
    answers = answers_to(server, b"".join(asked), len(asked))
    assert [answer.status for answer in answers] == [200, 400, 404, 200, 200, 200]
    assert (answers[0].body, answers[4].body, answers[5].body) == (ALLOW, ALLOW, b'{"decision":false}')


def test_an_answer_that_reads_no_body_leaves_the_next_request_whole(server: HttpDoor) -> None:
    smuggled = sized(head(ASSIGNMENTS, "DELETE") + b"\r\n")
    refused = {
        404: head("/nothing") + smuggled,
        405: head(EVALUATION, "PUT") + smuggled,
        403: head(lines=JSON_LINES.replace(b"localhost", b"evil.example")) + smuggled,
        400: head(lines=JSON_LINES.replace(b"application/json", b"text/plain")) + smuggled,
    }
    for status, sent in refused.items():
        first, second = answers_to(server, sent + head() + sized(BODY), 2)
        assert is_json_error(first, status)
        assert second.body == ALLOW


def test_expect_100_continue_is_honoured(server: HttpDoor) -> None:
    with Wire(server) as wire:
        wire.send(head() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert wire.answer().status == 100
        wire.send(BODY)
        assert wire.answer().body == ALLOW


# --- Host, version, headers ---------------------------------------------------------------------------------------

HOSTS = {
    b"localhost": 200,
    b"LOCALHOST:8080": 200,
    b"127.0.0.1": 200,
    b"[::1]:80": 200,
    b"evil.example": 403,
    b"evil.example:8080": 403,
    b"localhost.evil.example": 403,
    b"127.0.0.1.nip.io": 403,
    b"localhost@evil.example": 403,
    b"evil.example@localhost": 403,
    b"\xc3\xa9vil.example": 403,
    b"": 403,
}


@pytest.mark.parametrize("host", HOSTS)
def test_on_loopback_only_a_loopback_host_is_answered(server: HttpDoor, host: bytes) -> None:
    for path in (EVALUATION, EXPLAIN):
        lines = JSON_LINES.replace(b"localhost", host)
        assert answer_to(server, head(path, lines=lines) + sized(BODY)).status == HOSTS[host]
    assert answer_to(server, head("/healthz", "GET", lines=b"Host: " + host + b"\r\n") + b"\r\n").status == HOSTS[host]


def test_two_hosts_are_refused(server: HttpDoor) -> None:
    for first, second in ((b"localhost", b"evil.example"), (b"evil.example", b"localhost")):
        lines = b"Host: %s\r\nHost: %s\r\nContent-Type: application/json\r\n" % (first, second)
        assert answer_to(server, head(lines=lines) + sized(BODY)).status in (400, 403)


def test_a_request_without_host_is_refused_but_for_http_1_0_which_needs_none(server: HttpDoor) -> None:
    lines = b"Content-Type: application/json\r\n"
    assert answer_to(server, head(lines=lines) + sized(BODY)).status in (400, 403)
    with Wire(server) as wire:
        wire.send(head(version="1.0", lines=lines) + sized(BODY))
        assert wire.answer().body == ALLOW
        assert wire.is_closed()
    evil = JSON_LINES.replace(b"localhost", b"evil.example")
    assert answer_to(server, head(version="1.0", lines=evil) + sized(BODY)).status == 403


def test_the_host_in_the_request_line_does_not_help_a_wrong_header(server: HttpDoor) -> None:
    lines = JSON_LINES.replace(b"localhost", b"evil.example")
    assert answer_to(server, head("http://localhost/access/v1/evaluation", lines=lines) + sized(BODY)).status == 403


def test_the_request_id_is_sent_back_over_the_wire_too(server: HttpDoor) -> None:
    for sent, status in (
        (head() + b"X-Request-ID: r 1\r\n" + sized(BODY), 200),
        (head("/no") + b"X-Request-ID: r 1\r\n\r\n", 404),
    ):
        answer = answer_to(server, sent)
        assert (answer.status, answer.headers["x-request-id"]) == (status, "r 1")


@pytest.mark.parametrize("bad", [b"caf\xc3\xa9", b"\xff", b"x" * 1025, b"a\tb", b""], ids=repr)
def test_an_odd_request_id_is_left_out_over_the_wire_too(server: HttpDoor, bad: bytes) -> None:
    answer = answer_to(server, head() + b"X-Request-ID: " + bad + b"\r\n" + sized(BODY))
    assert (answer.status, answer.body) == (200, ALLOW)
    assert "x-request-id" not in answer.headers


def test_what_is_no_http_gets_an_error_and_the_server_lives_on(server: HttpDoor) -> None:
    for garbage in (
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20,
        b"GET /healthz\r\n\r\n",
        b"POST " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with Wire(server) as wire:
            wire.send(garbage)
            assert wire.answer().status >= 400
    assert server.allows(ALLOWED)


def test_many_callers_at_once_get_their_own_answers(server: HttpDoor) -> None:
    wrong: list[object] = []

    def ask(user: str, expected: bool) -> None:
        request = {**ALLOWED, "subject": {"type": "user", "id": user}}
        for _ in range(25):
            if server.allows(request) is not expected:
                wrong.append(user)

    callers = [
        threading.Thread(target=ask, args=who) for who in (("leo", True), ("rosa", False), ("ada", True), ("sam", False)) * 2
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert wrong == []


def test_a_caller_who_hangs_up_in_mid_body_harms_nobody(server: HttpDoor) -> None:
    for _ in range(10):
        with Wire(server) as wire:
            wire.send(head() + b"Content-Length: 500\r\n\r\n{")
    assert server.allows(ALLOWED)


def test_http_2_is_not_served_without_being_asked_for(server: HttpDoor) -> None:
    """One connection of it would hold any number of half bodies, and nothing seen from outside tells so."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        try:
            first = connection.recv(9)
        except ConnectionError:
            first = b""
    # A server of HTTP/2 begins with its settings, a frame of type 4.
    assert first[3:4] != b"\x04"
