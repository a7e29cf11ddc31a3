"""What is the same on every route: content types, strict bodies, methods, request ids, Host, and one shape of errors.

`Door.ask` holds every answer of every test to that shape.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from doors import (
    ALLOWED,
    ASSIGNMENTS,
    DENIED,
    DISCOVERY,
    EVALUATION,
    EVALUATIONS,
    EXPLAIN,
    JSON_ROUTES,
    POLICY,
    ROOT,
    Answer,
    Door,
    Doors,
    WsgiDoor,
    demo_people,
    grant,
    with_subject,
)

from klausel import app
from klausel.settings import Settings

BODY = json.dumps(ALLOWED).encode()
MEBIBYTE = 1_048_576
ROUTES = {
    EVALUATION: {"POST"},
    EVALUATIONS: {"POST"},
    EXPLAIN: {"POST"},
    ASSIGNMENTS: {"POST", "GET", "HEAD", "DELETE"},
    DISCOVERY: {"GET", "HEAD"},
    DISCOVERY + "/tenant": {"GET", "HEAD"},
    POLICY: {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


def padded(request: object, size: int) -> bytes:
    body = json.dumps(request).encode()
    return body + b" " * (size - len(body))


# --- Content types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "Application/JSON",
        "application/json ; charset=utf-8",
        "application/json;",
        "application/json; profile=x; charset=utf-8",
    ],
)
def test_json_with_any_spelling_of_utf_8_is_read(client: Door, content_type: str) -> None:
    assert client.ask("POST", EVALUATION, BODY, content_type).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        " ",
        "text/plain",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/vnd.api+json",
        "json",
        "*/*",
    ],
)
def test_another_content_type_is_a_400(client: Door, content_type: str | None) -> None:
    for path in JSON_ROUTES:
        answer = client.ask("POST", path, BODY, content_type)
        assert answer.status == 400
        assert "ontent-Type" in answer.message


# --- Bodies -------------------------------------------------------------------------------------------------------

SUBJECT = b'"subject":{"type":"user","id":"leo"}'
REST = b'"action":{"name":"edit"},"resource":{"type":"quiz","id":"q1"}'
BROKEN = {
    "empty": b"",
    "only space": b" \r\n\t",
    "cut off": BODY[:-1],
    "a stray character": BODY + b"x",
    "two bodies": BODY + BODY,
    "single quotes": BODY.replace(b'"', b"'"),
    "a trailing comma": BODY[:-1] + b",}",
    "a comment": b"/* hello */" + BODY,
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "broken UTF-8": BODY.replace(b"leo", b"l\xe9o"),
    "an overlong NUL": BODY.replace(b"leo", b"l\xc0\x80o"),
    "a surrogate in UTF-8": BODY.replace(b"leo", b"l\xed\xa0\x80o"),
    "half of a surrogate pair": BODY.replace(b"leo", rb"l\ud800o"),
    "the other half": BODY.replace(b"leo", rb"l\udc00o"),
    "halves in the wrong order": BODY.replace(b"leo", rb"\udc00\ud800"),
    "half of a pair in a name": b'{"\\ud800":1,' + BODY[1:],
    "a raw control character": BODY.replace(b"leo", b"l\no"),
    "a repeated name": b"{" + SUBJECT + b"," + SUBJECT + b"," + REST + b"}",
    "a repeated name with another value": b'{"subject":{"type":"user","id":"leo","id":"ada"},' + REST + b"}",
    "a repeated name spelt with an escape": b'{"subject":{"type":"user","id":"leo","\\u0069d":"ada"},' + REST + b"}",
    "a repeated name deep inside": BODY[:-1] + b',"context":{"a":[{"b":1,"b":1}]}}',
    "NaN": BODY[:-1] + b',"context":{"a":NaN}}',
    "Infinity": BODY[:-1] + b',"context":{"a":Infinity}}',
    "-Infinity": BODY[:-1] + b',"context":{"a":[-Infinity]}}',
    "a number beyond a float": BODY[:-1] + b',"context":{"a":1e999}}',
    "a very long integer": BODY[:-1] + b',"context":{"a":' + b"9" * 5000 + b"}}",
    "a leading zero": BODY[:-1] + b',"context":{"a":01}}',
    "a list": b"[" + BODY + b"]",
    "a string": b'"subject"',
    "a number": b"1",
    "null": b"null",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_body_that_is_no_strict_json_object_is_a_400(client: Door, kind: str) -> None:
    for path in JSON_ROUTES:
        answer = client.ask("POST", path, BROKEN[kind])
        assert answer.status == 400
        assert "missing" not in answer.message


def nested(depth: int) -> bytes:
    """A good request whose deepest list is so many levels down; the body is the first, its context the second."""
    return BODY[:-1] + b',"context":{"a":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


def test_a_body_may_nest_32_levels_and_no_more(client: Door) -> None:
    assert client.ask("POST", EVALUATION, nested(32)).status == 200
    answer = client.ask("POST", EVALUATION, nested(33))
    assert (answer.status, "32" in answer.message) == (400, True)
    for path in JSON_ROUTES:
        assert client.ask("POST", path, nested(100_000)).status == 400


def test_a_string_may_have_65536_characters_and_no_more(client: Door) -> None:
    for text in ("x" * 65_536, "é" * 65_536, "😀" * 65_536):
        assert client.post(EVALUATION, {**ALLOWED, "context": {"a": text}}).status == 200
        answer = client.post(EVALUATION, {**ALLOWED, "context": {"a": text + "x"}})
        assert (answer.status, "65536" in answer.message) == (400, True)
        assert client.post(EVALUATION, {**ALLOWED, text + "x": 1}).status == 400


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_a_body_over_a_mebibyte_is_a_413(client: Door, path: str) -> None:
    answer = client.ask("POST", path, padded(ALLOWED, MEBIBYTE + 1))
    assert (answer.status, str(MEBIBYTE) in answer.message) == (413, True)


def test_a_body_of_just_a_mebibyte_is_read(client: Door) -> None:
    assert client.ask("POST", EVALUATION, padded(ALLOWED, MEBIBYTE)).status == 200


@pytest.mark.parametrize(
    "item",
    [
        {**ALLOWED, "context": {"prompt": "x" * 65_537}},
        {**ALLOWED, "context": {"deep": [{"x" * 65_537: 1}]}},
        {**ALLOWED, "y" * 65_537: "x" * 65_537},
        "x" * 65_537,
    ],
    ids=["a value", "a name", "both", "the item"],
)
def test_a_string_that_is_too_long_fails_its_item_of_a_batch_alone(client: Door, item: object) -> None:
    told = client.evaluate_all({"evaluations": [ALLOWED, item, ALLOWED]})
    assert [one["decision"] for one in told] == [True, False, True]
    error = told[1]["context"]["error"]
    assert (error["status"], "evaluations[1]" in error["message"], "65536" in error["message"]) == (400, True, True)
    assert client.post(EVALUATIONS, {**ALLOWED, "context": {"a": "x" * 65_537}, "evaluations": [{}]}).status == 400


def test_a_half_of_a_pair_in_an_item_fails_the_whole_batch(client: Door) -> None:
    for text in ("\\ud800", "\\ud800" + "x" * 65_537):
        body = f'{{"evaluations": [{{"context": {{"a": "{text}"}}}}]}}'.encode()
        assert client.ask("POST", EVALUATIONS, body).status == 400


def test_each_bound_of_a_body_is_a_setting(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened(max_body_bytes=300, max_nesting_depth=3, max_string_characters=20).named(door_name)
    assert door.ask("POST", EVALUATION, padded(ALLOWED, 300)).status == 200
    assert door.ask("POST", EVALUATION, padded(ALLOWED, 301)).status == 413
    assert door.post(EVALUATION, {**ALLOWED, "context": {"a": {}}}).status == 200
    assert door.post(EVALUATION, {**ALLOWED, "context": {"a": {"b": {}}}}).status == 400
    assert door.post(EVALUATION, with_subject(ALLOWED, id="x" * 20)).status == 200
    assert door.post(EVALUATION, with_subject(ALLOWED, id="x" * 21)).status == 400


# --- Methods and paths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
def test_a_method_that_a_route_does_not_have_is_a_405_that_says_which_it_has(client: Door, path: str) -> None:
    for method in METHODS:
        answer = client.ask(method, path, BODY if method not in ("GET", "HEAD", "DELETE") else b"")
        if method in ROUTES[path]:
            assert answer.status != 405
        else:
            assert answer.status == 405
            assert set(answer.headers["Allow"].split(", ")) == ROUTES[path]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/access/v1",
        "/access/v1/evaluation/",
        "/access/v1/evaluations/",
        "/access//v1/evaluation",
        "/access/v1//evaluations",
        "/x/../access/v1/evaluation",
        "/ACCESS/v1/evaluation",
        "/access/v1/search/nothing",
        "/healthz/",
        "/v1//policy",
        "/é%ff%00<script>",
    ],
)
def test_a_path_that_is_not_there_is_a_404(client: Door, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        assert client.ask(method, path, BODY if method == "POST" else b"").status == 404


def test_there_is_no_folder_of_static_files(service: Door) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert service.ask(method, "/static/x").status == 404


def test_an_answer_to_head_has_no_body(service: Door) -> None:
    assert service.ask("HEAD", "/healthz").status == 200
    assert service.ask("HEAD", POLICY).status == 200


def test_a_query_on_an_evaluation_is_ignored(client: Door) -> None:
    assert client.ask("POST", EVALUATION + "?decision=false&subject=ada", BODY).json == {"decision": True}


# --- X-Request-ID -------------------------------------------------------------------------------------------------


@pytest.fixture
def answers_of_each_status(
    demo: Doors, client: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[[dict[str, str]], dict[int, Answer]]:
    """An answer of each status to a request with these headers."""

    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    def ask(headers: dict[str, str]) -> dict[int, Answer]:
        forbidden = json.dumps({"grant": [{"subject": "user:late", "role": "user", "domain": "nobody_here"}]}).encode()
        answers = [
            client.ask("POST", EVALUATION, BODY, headers=headers),
            client.ask("POST", EVALUATION, b"{}", headers=headers),
            client.ask("POST", EVALUATION, BODY, headers={"Host": "evil.example", **headers}),
            client.ask("POST", "/nothing", BODY, headers=headers),
            client.ask("PUT", EVALUATION, BODY, headers=headers),
            client.ask("POST", ASSIGNMENTS, forbidden, headers=headers),
            client.ask("POST", EVALUATION, padded(ALLOWED, MEBIBYTE + 1), headers=headers),
        ]
        with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL, "klausel"):
            patch.setattr("klausel.api.routes.explanation_as_json", fail)
            answers.append(client.ask("POST", EXPLAIN, BODY, headers=headers))
        return {answer.status: answer for answer in answers}

    return ask


def test_the_request_id_is_sent_back_on_every_answer(
    answers_of_each_status: Callable[[dict[str, str]], dict[int, Answer]],
) -> None:
    answers = answers_of_each_status({"X-Request-ID": 'a "b" ~ 1'})
    assert set(answers) == {200, 400, 403, 404, 405, 409, 413, 500}
    assert {answer.headers["X-Request-ID"] for answer in answers.values()} == {'a "b" ~ 1'}


def test_a_request_without_an_id_gets_none_and_does_not_fail(
    answers_of_each_status: Callable[[dict[str, str]], dict[int, Answer]],
) -> None:
    answers = answers_of_each_status({})
    assert set(answers) == {200, 400, 403, 404, 405, 409, 413, 500}


def test_a_failure_tells_nothing_of_its_cause(
    answers_of_each_status: Callable[[dict[str, str]], dict[int, Answer]],
) -> None:
    body = answers_of_each_status({})[500].body
    assert b"SELECT" not in body
    assert b"RuntimeError" not in body
    assert b"Traceback" not in body


def test_the_id_is_not_in_the_body(client: Door) -> None:
    for path, body in [(EVALUATION, BODY), (EVALUATION, b"{}"), (EXPLAIN, BODY), ("/nothing", BODY)]:
        plain = client.ask("POST", path, body)
        assert client.ask("POST", path, body, headers={"X-Request-ID": "unlikely"}).body == plain.body


def test_a_request_id_may_have_1024_characters_of_printable_ascii(client: Door) -> None:
    for good in ("a", "x" * 1024, "".join(map(chr, range(0x21, 0x7F)))):
        assert client.ask("POST", EVALUATION, BODY, headers={"X-Request-ID": good}).status == 200


ODD_IDS = ["x" * 1025, "x" * 5000, "caf\xe9", "a\tb", "a\x7fb", "a\x1bb", "\xa0", ""]


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: ascii(odd[:9]))
def test_an_odd_request_id_is_left_out_and_fails_nothing(client: Door, odd: str) -> None:
    for method, path, status in [("POST", EVALUATION, 200), ("GET", "/healthz", 200), ("GET", "/nothing", 404)]:
        answer = client.ask(method, path, BODY if method != "GET" else b"", headers={"X-Request-ID": odd})
        assert answer.status == status
        assert "X-Request-ID" not in answer.headers


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: ascii(odd[:9]))
def test_an_odd_request_id_is_in_no_log(opened: Callable[..., Doors], door_name: str, tmp_path: Path, odd: str) -> None:
    doors = opened(decision_log=str(tmp_path / "decisions.jsonl"))
    door = doors.named(door_name)
    row = {"subject": "user:zoe", "role": "admin", "domain": "acme"}
    headers = {"X-Request-ID": odd}
    assert door.ask("POST", EVALUATION, BODY, headers=headers).status == 200
    assert door.ask("POST", ASSIGNMENTS, json.dumps({"grant": [row]}).encode(), headers=headers).status == 200
    assert door.get("/v1/assignment-log").json["changes"][0]["request_id"] is None
    assert doors.service.decision_log is not None
    doors.service.decision_log.close()
    logged = json.loads((tmp_path / "decisions.jsonl").read_text().splitlines()[0])["request_id"]
    assert logged and logged != odd and not odd.startswith(logged)


def test_the_length_of_a_request_id_is_a_setting(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened(max_request_id_characters=4).named(door_name)
    assert door.ask("POST", EVALUATION, BODY, headers={"X-Request-ID": "abcd"}).headers["X-Request-ID"] == "abcd"
    assert "X-Request-ID" not in door.ask("POST", EVALUATION, BODY, headers={"X-Request-ID": "abcde"}).headers


# --- Host ---------------------------------------------------------------------------------------------------------

GOOD_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    "localhost:8080",
    "LocalHost:1",
    "127.0.0.1:65535",
    "[::1]:8080",
    "localhost:",
]
BAD_HOSTS = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "localhost.evil.example:8080",
    "evil-localhost",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io:8080",
    "192.168.0.1",
    "0.0.0.0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::1",
    "::1:x",
    "localhost,evil.example",
    "localhost@evil.example",
    "evil.example@localhost",
    "localhost/evil.example",
    "localhost?evil.example",
    "localhost#evil.example",
    "localhost\\evil.example",
    "localhost evil.example",
    "",
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_loopback_name_may_address_the_service(client: Door, host: str) -> None:
    assert client.ask("POST", EVALUATION, BODY, headers={"Host": host}).status == 200
    assert client.get("/healthz", Host=host).status == 200


@pytest.mark.parametrize("host", BAD_HOSTS, ids=repr)
def test_on_loopback_another_host_is_refused_on_every_route(client: Door, host: str) -> None:
    for path in (EVALUATION, EVALUATIONS, EXPLAIN, ASSIGNMENTS):
        assert client.ask("POST", path, BODY, headers={"Host": host}).status == 403
    for path in ("/healthz", "/readyz", POLICY, DISCOVERY, ASSIGNMENTS, "/nothing", EVALUATION):
        assert client.get(path, Host=host).status == 403


def test_a_proxy_may_keep_the_host_of_the_public_url(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened(public_url="https://PDP.example/tenant1").named(door_name)
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "pdp.example"}).status == 200
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "pdp.example.evil"}).status == 403


def test_an_allowed_host_may_address_the_service(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened(allowed_hosts=("pdp.internal",)).named(door_name)
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "PDP.internal:8443"}).status == 200
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "x.pdp.internal"}).status == 403


def test_a_refused_host_changes_nothing(demo: Doors, client: Door) -> None:
    before = demo.service.store.revision()
    row = {"subject": "user:evil", "role": "admin", "domain": "evil"}
    answer = client.ask("POST", ASSIGNMENTS, json.dumps({"grant": [row]}).encode(), headers={"Host": "evil.example"})
    assert answer.status == 403
    assert (
        client.ask("DELETE", f"{ASSIGNMENTS}?subject=user:ann&account=acme", headers={"Host": "evil.example"}).status == 403
    )
    assert demo.service.store.revision() == before


def test_beyond_loopback_any_host_may_address_the_service(opened: Callable[..., Doors], door_name: str) -> None:
    doors = opened(host="0.0.0.0")
    grant(doors.service, demo_people())
    door = doors.named(door_name)
    for host in ("evil.example", "klausel.internal:80", ""):
        assert door.ask("POST", EVALUATION, BODY, headers={"Host": host}).json == {"decision": True}


def test_an_address_of_this_machine_that_is_listened_on_may_be_named(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened(host="127.0.0.5").named(door_name)
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "127.0.0.5:8080"}).status == 200
    assert door.ask("POST", EVALUATION, BODY, headers={"Host": "127.0.0.6:8080"}).status == 403


# --- Health -------------------------------------------------------------------------------------------------------


def test_a_healthy_service_says_so(service: Door) -> None:
    assert service.get("/healthz").json == {"status": "ok"}
    assert service.get("/readyz").json == {"status": "ready"}


def test_no_answer_sets_a_cookie_or_invites_another_site(client: Door) -> None:
    for answer in (
        client.ask("POST", EVALUATION, BODY, headers={"Origin": "https://evil.example", "Cookie": "session=1"}),
        client.ask(
            "OPTIONS", EVALUATION, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        ),
        client.get("/healthz", Origin="https://evil.example"),
    ):
        assert "Set-Cookie" not in answer.headers
        assert not any(name.lower().startswith("access-control") for name, _ in answer.headers.items())


@pytest.mark.parametrize("path", [ASSIGNMENTS, POLICY, "/healthz", "/v1/nothing", "/v1/casbin-js", DISCOVERY])
def test_what_is_read_is_kept_by_nobody_and_no_other_page_has_it(service: Door, path: str) -> None:
    headers = service.get(path).headers
    assert (headers["X-Content-Type-Options"], headers["Cross-Origin-Resource-Policy"]) == ("nosniff", "same-origin")
    assert headers["Cache-Control"] == ("public, max-age=3600" if path == DISCOVERY else "no-store")


@pytest.mark.parametrize("fast_lane", [True, False])
def test_the_application_answers_with_and_without_its_fast_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_lane: bool
) -> None:
    settings = Settings(
        policies=str(ROOT / "policies"),
        model=str(ROOT / "model.conf"),
        database=f"sqlite:///{tmp_path}/klausel.db",
        fast_lane=fast_lane,
    )
    service = app.create_service(settings)
    monkeypatch.setattr(app, "create_service", lambda _: service)
    door = WsgiDoor(app.create_app(settings))
    people = [dict(zip(("subject", "role", "domain"), row, strict=True)) for row in demo_people()]
    assert door.post(ASSIGNMENTS, {"grant": people}).status == 200
    assert door.decisions({"evaluations": [ALLOWED, DENIED]}) == [True, False]
    assert door.get("/readyz").status == 200
    service.store.close()
