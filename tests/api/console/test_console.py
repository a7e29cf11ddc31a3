"""The console: pages that show what the policies in force say, to those who may know it, and that run nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_pages import Browser, Html, calling
from doors import ALLOWED, DENIED, Door, Doors, HttpDoor, grant, read_strictly
from small_policies import PAYMENTS

from klausel.core.policy.assignment import Assignment

PAGES = ("/console", "/console/roles", "/console/try", "/console/who-can", "/console/what-can", "/console/changes")
SCRIPT = "console/console.js"
HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "a\x1b[31mred", "a\u202egnp.exe", "{{ 7*7 }}"]
TRIED = {
    "subject": "user:leo",
    "action": "edit",
    "type": "quiz",
    "id": "q1",
    "domain": "acme/support",
    "properties": "status=published",
}


def test_the_matrix_says_what_each_role_may(browser: Browser) -> None:
    told = browser.twin("/console")
    policy = told["files_digest"]
    assert policy.startswith("sha256:") or policy
    row = next(row for row in told["rows"] if (row["type"], row["action"]) == ("quiz", "edit"))
    assert row["cells"].keys() == set(told["roles"])
    assert {"yes", "no"} & set(row["cells"].values())
    assert all(grant["source"] and grant["grant"] for grant in row["grants"])
    page = browser.page("/console")
    assert "quiz edit" in page.text
    assert row["grants"][0]["source"] in page.text


def test_the_matrix_is_filtered_by_feature_and_by_role(browser: Browser) -> None:
    told = browser.twin("/console", feature="QUIZ ed", role="lead")
    assert [(row["type"], row["action"], list(row["cells"])) for row in told["rows"]] == [("quiz", "edit", ["lead"])]
    assert "No feature fits" in browser.page("/console", feature="nothing like it").text
    answer = browser.get("/console", role="<b>")
    assert answer.status == 400
    assert b"<b>" not in answer.body


def test_the_matrix_follows_the_policies(small: Callable[..., Doors], tmp_path: Path) -> None:
    doors = small()
    browser = Browser(doors.service)
    assert not any(row["action"] == "pay" for row in browser.twin("/console")["rows"])
    changed = (
        PAYMENTS.replace("[create, approve]", "[create, approve, pay]") + "  - {allow: head, to: pay, resource: payment}\n"
    )
    (tmp_path / "policies" / "features" / "payments.yaml").write_text(changed, encoding="utf-8")
    assert doors.service.reload_policy() == "taken"
    (row,) = (row for row in browser.twin("/console")["rows"] if row["action"] == "pay")
    assert row["cells"]["head"] == "yes"


def test_the_roles_are_drawn_and_counted(small: Callable[..., Doors]) -> None:
    doors = small()
    grant(
        doors.service, [("user:olga", "owner", "acme"), ("user:wim", "member", "acme"), ("user:wim", "worker", "acme/ops")]
    )
    browser = Browser(doors.service)
    told = {role["role"]: role for role in browser.twin("/console/roles")["roles"]}
    assert (told["owner"]["contains"], told["owner"]["stands_for"]) == (["member", "head"], ["member", "head", "worker"])
    assert {name: role["role_assignments"] for name, role in told.items()} == {
        "owner": 1,
        "member": 1,
        "head": 0,
        "worker": 1,
    }
    page = browser.page("/console/roles")
    assert len(list(page.all("svg"))) == 1
    assert len([one for one in page.all("rect") if one["class"] == "box role"]) == 4
    assert len([one for one in page.all("path") if one["class"] == "arrow"]) == 3


def test_an_allow_is_drawn_from_the_role_assignment_to_the_condition(browser: Browser) -> None:
    page = browser.page("/console/try", **TRIED)
    told = browser.twin("/console/try", **TRIED)["explanation"]
    assert told["decision"] is True
    steps = ["Role assignment", "Role chain", "Grant"] + (["Condition"] if told["decided_by"]["condition"] else [])
    places = [page.text.index(step) for step in ("Allowed", *steps)]
    assert places == sorted(places)
    assert told["decided_by"]["source"] in page.text
    assert " → ".join(told["decided_by"]["inheritance"]) in page.text


def test_the_values_that_a_condition_saw_are_shown(small: Callable[..., Doors]) -> None:
    doors = small()
    grant(doors.service, [("user:hal", "member", "acme"), ("user:hal", "head", "acme/ops")])
    asked = {"subject": "user:hal", "action": "approve", "type": "payment", "id": "p1", "domain": "acme/ops"}
    page = Browser(doors.service).page("/console/try", **asked, properties="amount=99\r\nfrozen=false\r\n")
    assert "resource.amount < 100 is true: resource.amount is 99" in page.text
    denied = Browser(doors.service).page("/console/try", **asked, properties="amount=100\nfrozen=false")
    assert "Denied" in denied.text
    assert "Nearest grants, and what each lacks" in denied.text
    assert "condition:" in denied.text


@pytest.mark.parametrize("asked", [ALLOWED, DENIED])
def test_what_is_tried_is_explained_as_over_http(demo: Doors, browser: Browser, asked: dict[str, Any]) -> None:
    told = browser.twin("/console/try", **{**TRIED, "action": asked["action"]["name"]})
    assert told["question"]["resource"]["properties"] == asked["resource"]["properties"]
    assert told["explanation"] == demo.lane.explain(told["question"])
    assert told["explanation"]["decision"] is demo.lane.allows(asked)


def test_the_link_and_the_command_ask_the_same_question(browser: Browser) -> None:
    page = browser.page("/console/try", **TRIED)
    (link, json_link) = (str(one["href"]) for one in page.all("a") if "try?" in str(one["href"]))
    assert browser.get(link.replace("../console", "/console")).body.decode() == page.source
    assert browser.get(json_link.replace("../console", "/console")).json == browser.twin("/console/try", **TRIED)
    words = shlex.split(next(text for text in page.texts if text.startswith("curl ")))
    assert words[-1].endswith("/v1/explain")
    assert read_strictly(words[words.index("-d") + 1].encode()) == browser.twin("/console/try", **TRIED)["question"]


def test_a_domain_fills_in_what_names_it(browser: Browser) -> None:
    told = browser.twin("/console/try", subject="user:leo", action="view", type="workspace", domain="acme/support")
    assert told["question"]["resource"]["id"] == "support"
    assert told["explanation"]["domain"] == "acme/support"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subject": ""}, "the field subject is empty"),
        ({"subject": "leo"}, "not type:id"),
        ({"domain": "a/b/c"}, "more parts than there are levels"),
        ({"domain": "a//b"}, "write it as acme, or acme/support"),
        ({"properties": "status"}, "line 1 of the properties is not name=value"),
        ({"properties": "\nresource.id=x"}, "line 2 of the properties: resource.id has a field of its own"),
        ({"properties": "account=other"}, "resource.account is given twice"),
        ({"properties": 'context.now="2020-01-01T00:00:00Z"'}, "context.now is the clock"),
        ({"properties": "a.b=1\na=2"}, "resource.a is given twice"),
        ({"properties": f"a={'x' * 65_537}"}, "65536"),
    ],
)
def test_a_fault_in_the_form_is_told_with_the_form(browser: Browser, changed: dict[str, str], message: str) -> None:
    given = {**TRIED, **changed}
    answer = browser.get("/console/try", **given)
    page = Html(answer.body.decode())
    status = 404 if "is empty" in message else 400
    assert (answer.status, message in page.text) == (status, True), page.text
    assert [one.get("role") for one in page.all("p")].count("alert") == 1
    assert next(one["value"] for one in page.all("input") if one["name"] == "subject") == given["subject"]
    told = browser.get("/console/try", **given, format="json")
    assert told.status == status
    assert message in told.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("true", True),
        ('"1"', "1"),
        ("[1, 2]", [1, 2]),
        ('1, "value": 2', '1, "value": 2'),
        ('1,"x":2', '1,"x":2'),
        ("NaN", "NaN"),
        ("", ""),
    ],
)
def test_the_value_of_a_property_is_json_or_a_text(browser: Browser, text: str, value: object) -> None:
    told = browser.twin("/console/try", **{**TRIED, "properties": f"x={text}\nsubject.a.b=c=d"})
    assert told["question"]["resource"]["properties"]["x"] == value
    assert told["question"]["subject"]["properties"] == {"a": {"b": "c=d"}}


def test_who_can_lists_all_of_them_page_by_page(small: Callable[..., Doors]) -> None:
    doors = small()
    people = [f"user:w{number:03}" for number in range(250)]
    rows = [(who, role, where) for who in people for role, where in (("member", "acme"), ("worker", "acme/ops"))]
    grant(doors.service, [*rows, ("user:olga", "owner", "acme"), ("user:far", "owner", "other")])
    browser = Browser(doors.service)
    asked = {"action": "create", "type": "payment", "domain": "acme/ops"}
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        told = browser.twin("/console/who-can", **asked, **({"after": after} if after else {}))
        found += [one["subject"] for one in told["found"]]
        assert len(told["found"]) <= 100
        after = told["next"]
    assert found == ["user:olga", *people]
    page = browser.page("/console/who-can", **asked)
    (following,) = (str(one["href"]) for one in page.all("a") if one.get("rel") == "next")
    assert "user:w099" in Html(browser.get(following.replace("../console", "/console")).body.decode()).text
    csv = browser.get("/console/who-can", **asked, format="csv")
    assert csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = csv.body.decode().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["subject", *found]


def test_who_can_knows_the_time(small: Callable[..., Doors]) -> None:
    ended = '  - {allow: member, to: create, resource: payment, when: context.now < time("2000-01-01T00:00:00Z")}\n'
    doors = small(
        ended + '  - {allow: worker, to: approve, resource: payment, when: context.now > time("2000-01-01T00:00:00Z")}\n'
    )
    grant(
        doors.service, [("user:wim", "member", "acme"), ("user:wil", "member", "acme"), ("user:wil", "worker", "acme/ops")]
    )
    browser = Browser(doors.service)
    asked = {"type": "payment", "domain": "acme/ops"}
    assert [one["subject"] for one in browser.twin("/console/who-can", **asked, action="create")["found"]] == ["user:wil"]
    (found,) = browser.twin("/console/who-can", **asked, action="approve")["found"]
    assert "context.now" not in str(found["condition"])


def test_a_cell_of_the_csv_is_no_formula(small: Callable[..., Doors]) -> None:
    doors = small()
    grant(doors.service, [("=cmd:x", "owner", "acme")])
    asked = {"action": "create", "type": "payment", "domain": "acme/ops", "format": "csv"}
    assert "\n'=cmd:x," in Browser(doors.service).get("/console/who-can", **asked).body.decode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"type": "quizz"}, 'declares "quizz"; did you mean "quiz"'),
        ({"action": "edti"}, 'no action "edti"'),
        ({"domain": "a/b/c"}, "more parts"),
        ({"action": ""}, "the field action is empty"),
    ],
)
def test_a_fault_in_who_can_is_told(browser: Browser, changed: dict[str, str], message: str) -> None:
    answer = browser.get("/console/who-can", **{"action": "edit", "type": "quiz", "domain": "acme/support", **changed})
    status = 404 if "is empty" in message else 400
    assert (answer.status, message in Html(answer.body.decode()).text) == (status, True)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_is_typed_becomes_markup_or_control(browser: Browser, hostile: str) -> None:
    for path, given in _typed(hostile).items():
        answer = browser.get(path, **given)
        assert answer.status in (200, 400)
        page = Html(answer.body.decode())
        assert not {"img", "iframe", "object", "style"} & {tag for tag, _ in page.tags}
        assert all(one["src"].endswith(SCRIPT) for one in page.all("script"))
        assert not any(name.startswith("on") or name == "style" for _, attributes in page.tags for name in attributes)
        assert "\x1b" not in page.source
        assert ("\u202e" in page.text) == ("\u202e" in hostile and path == "/console/try")
        assert "49" not in re.sub(r"\w{5,}", "", page.text)


def _typed(text: str) -> dict[str, dict[str, str]]:
    return {
        "/console": {"feature": text},
        "/console/try": {
            "subject": f"user:{text}",
            "action": text,
            "type": text,
            "id": text,
            "domain": "",
            "properties": f"{text}={text}",
        },
        "/console/who-can": {"action": text, "type": text, "domain": text},
        "/console/what-can": {"subject": f"user:{text}", "domain": text},
        "/console/changes": {"before": text, "after": text},
    }


def test_hostile_names_in_the_store_and_in_files_are_shown_as_what_they_are(small: Callable[..., Doors]) -> None:
    because = "<script>alert('x')</script> \\u202egnp \\e[31m"
    doors = small(
        f'  - {{allow: worker, to: approve, resource: payment, when: \'resource.note == "<b>"\', because: "{because}"}}\n'
    )
    evil = "user:<img src=x>\u202egnp"
    doors.service.store.write(
        doors.service.policy.compiled.policy.roles,
        [Assignment(evil, "member", "<i>"), Assignment(evil, "worker", '<i>/"ops"')],
        [],
    )
    browser = Browser(doors.service)
    asked = {"action": "approve", "type": "payment", "domain": '<i>/"ops"'}
    pages = [
        browser.page("/console"),
        browser.page("/console/who-can", **asked),
        browser.page("/console/try", **asked, subject=evil, id="p", properties='note="<b>"\nfrozen=false'),
    ]
    for page in pages:
        assert not {"img", "i", "b"} & {tag for tag, _ in page.tags}
        assert all(one["src"].endswith(SCRIPT) for one in page.all("script"))
        assert "\x1b" not in page.source
    assert all("<script>alert('x')</script> ⟨U+202E⟩gnp ⟨U+001B⟩[31m" in page.text for page in (pages[0], pages[2]))
    assert all("<img src=x>⟨U+202E⟩gnp" in page.text for page in pages[1:])
    assert "Allowed" in pages[2].text


@pytest.mark.parametrize("path", PAGES)
def test_every_page_runs_nothing_and_can_be_used_without_a_mouse(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    page = Html(answer.body.decode())
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not {"style", "iframe"} & {tag for tag, _ in page.tags}
    assert [one["src"] for one in page.all("script")] == [SCRIPT if path == "/console" else f"../{SCRIPT}"]
    assert next(page.all("html"))["lang"] == "en"
    labelled = {one["for"] for one in page.all("label")}
    fields = [one for tag in ("input", "select", "textarea") for one in page.all(tag)]
    assert all(one["id"] in labelled for one in fields)
    ids = [one["id"] for _, one in page.tags if one.get("id")]
    assert len(set(ids)) == len(ids)
    assert [one.get("method") for one in page.all("form")] == ["get"] * len(list(page.all("form")))
    assert [one for one in page.all("a") if one.get("aria-current") == "page"]
    assert next(page.all("meta")) == {"charset": "utf-8"}


@pytest.mark.parametrize("path", PAGES)
def test_every_link_between_the_pages_leads_to_one(browser: Browser, path: str) -> None:
    hrefs = [str(one["href"]) for tag in ("a", "link") for one in browser.page(path).all(tag)]
    for href in hrefs:
        if href.startswith("#"):
            assert href.removeprefix("#") in {one["id"] for _, one in browser.page(path).tags if one.get("id")}
            continue
        assert href.startswith("console" if path == "/console" else "../console")
        assert browser.get("/" + href.removeprefix("../")).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_unknown_parameters_and_formats_are_refused(browser: Browser, path: str) -> None:
    for parameters in ({"x": "1"}, {"format": "<b>"}):
        answer = browser.get(path, **parameters)
        assert answer.status == 400
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert b"<b>" not in answer.body


@pytest.mark.parametrize(
    ("path", "scope"), [*zip(PAGES, ("policy", "policy", "explain", "search", "search", "policy"), strict=True)]
)
def test_a_page_needs_a_key_with_its_scope(guarded: Doors, path: str, scope: str) -> None:
    nobody = Browser(guarded.service).get(path, format="json")
    assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="klausel"')
    wrong = Browser(guarded.service, "klausel_wrong").get(path)
    assert (wrong.status, "sign in" in Html(wrong.body.decode()).text) == (401, True)
    assert calling(guarded, "check", "assign", "audit").get(path).status == 403
    assert calling(guarded, scope).get(path).status == 200
    assert Browser(guarded.service).get("/console/style.css").status == 200


def test_a_limited_caller_learns_of_its_accounts_alone(guarded: Doors) -> None:
    browser = calling(guarded, "explain", "search", "policy", accounts=frozenset({"acme"}))
    who = {"action": "edit", "type": "quiz"}
    for path, given in (("/console/try", {**TRIED, "properties": ""}), ("/console/who-can", who)):
        assert browser.get(path, **{**given, "domain": "acme/support"}).status == 200
        for domain in ("", "other/support"):
            refused = browser.get(path, **{**given, "domain": domain})
            assert refused.status == 403
            assert b"user:" not in refused.body
    assert browser.get("/console/who-can", **who, domain="other/support", format="csv").status == 403
    assert all("role_assignments" not in role for role in browser.twin("/console/roles")["roles"])


def test_without_proofs_there_is_no_console_beyond_this_machine(opened: Callable[..., Doors]) -> None:
    browser = Browser(opened(host="0.0.0.0").service)
    assert [browser.get(path).status for path in (*PAGES, "/console/style.css")] == [404] * 7


def test_a_page_of_another_site_may_not_address_it(demo: Doors) -> None:
    answer = demo.lane._send("GET", "/console", b"", {"Host": "evil.example"})
    assert answer.status == 403


def test_a_tried_question_is_recorded(opened: Callable[..., Doors], tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    doors = opened(decision_log=str(log), decision_log_strict=True)
    assert Browser(doors.service).get("/console/try", **TRIED).status == 200
    (line,) = log.read_bytes().splitlines()
    assert read_strictly(line)["route"] == "explain"


def test_it_is_served_over_the_wire(server: HttpDoor) -> None:
    for path in (*PAGES, "/console/style.css", "/console/console.js"):
        answer = server._send("GET", path, b"", {"Host": "localhost"})
        assert (answer.status, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
    door: Door = server
    assert door.get("/console?format=json").json["rows"]


def test_an_address_where_nothing_is_leads_people_on_and_tells_programs(browser: Browser) -> None:
    people = browser.get("/console/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (people.status, people.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"there is nothing at /console/nothing" in people.body and b"/console/try" in people.body.replace(
        b'"../console', b'"/console'
    )
    for path, accept in (("/console/nothing", "application/json"), ("/console/nothing", "*/*"), ("/v2", "text/html")):
        assert browser.get(path, headers={"Accept": accept}).json["error"]["status"] == 404
