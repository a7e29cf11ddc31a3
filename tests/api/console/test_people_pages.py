"""The console about one subject: what it holds, what it can do, and the matrix for it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from console_pages import Browser, Html, calling
from doors import Doors, asking, grant

from klausel.core.policy.assignment import Assignment

WHERE = {"subject": "user:leo", "domain": "acme/support"}


def test_what_somebody_can_do_is_what_decisions_allow(demo: Doors, browser: Browser) -> None:
    told = browser.twin("/console/what-can", **WHERE)
    found = {(one["type"], one["action"]): one for one in told["found"]}
    policy = demo.service.policy.compiled.policy
    certain = {key for key, one in found.items() if one["verdict"] == "always"}
    assert certain
    for declared in policy.resource_types.values():
        for action in declared.actions:
            id_ = {"account": "acme", "workspace": "support"}.get(declared.name, "x")
            question = asking("leo", action, declared.name, id_, account="acme", workspace="support")
            may = demo.lane.allows(question)
            assert not may or (declared.name, action) in found
            assert may or (declared.name, action) not in certain
    page = browser.page("/console/what-can", **WHERE)
    assert all(f"{type_} {action}" in page.text for type_, action in found)
    assert found["quiz", "edit"]["allowed_by"][0]["source"] in page.text


def test_the_page_says_through_which_groups_and_until_when(small: Callable[..., Doors]) -> None:
    service = small().service
    rows = [
        Assignment("user:wim", "member", "acme"),
        Assignment("user:wim", "group:ops", "", None, "2999-01-01T00:00:00Z"),
        Assignment("group:ops", "worker", "acme/ops"),
        Assignment("user:wim", "head", "acme/ops", None, "2001-01-01T00:00:00Z"),
        Assignment("user:wim", "member", "other"),
    ]
    service.store.write(service.policy.compiled.policy.roles, [row for row in rows if row.role != "head"], [])
    service.store.import_rows(service.policy.compiled.policy.roles, rows)
    browser = Browser(service)
    told = browser.twin("/console/what-can", subject="user:wim", domain="acme/ops")
    assert told["roles_held"] == [
        {"role": "member", "domain": "acme"},
        {"role": "worker", "domain": "acme/ops", "through": ["group:ops"], "until": "2999-01-01T00:00:00Z"},
    ]
    assert [(one["role"], "ended" in one["message"]) for one in told["untimely"]] == [("head", True)]
    page = browser.page("/console/what-can", subject="user:wim", domain="acme/ops")
    assert "worker in acme/ops through group:ops until 2999-01-01T00:00:00Z" in page.text
    everywhere = browser.twin("/console/what-can", subject="user:wim")
    assert [one["domain"] for one in everywhere["roles_held"]] == ["acme", "acme/ops", "other"]
    assert (everywhere["found"], everywhere["next"]) == ([], None)


def asked_through(browser: Browser, path: str, **asked: str) -> list[Any]:
    """What stands in all parts of a list, followed by the links that the pages show."""
    found: list[Any] = []
    number: int | None = 1
    while number is not None:
        told = browser.twin(path, **asked, page=str(number))
        found.append(told)
        page = browser.page(path, **asked, page=str(number))
        links = [str(one["href"]) for one in page.all("a") if one.get("rel") == "next"]
        number = told["next"]
        assert [f"page={number}" in link for link in links] == [True] * (number is not None)
    return found


def test_a_long_list_comes_in_parts_and_as_csv(bulk: Browser) -> None:
    asked = {"subject": "user:mia", "domain": "acme/ops"}
    parts = asked_through(bulk, "/console/what-can", **asked)
    found = [one["action"] for part in parts for one in part["found"]]
    assert len(found) == len(set(found)) >= 230
    assert all(len(part["found"]) <= 100 for part in parts)
    csv = bulk.get("/console/what-can", **asked, format="csv")
    lines = csv.body.decode().splitlines()
    assert lines[0] == "type,action,domain,verdict,reasons"
    assert [line.split(",")[1] for line in lines[1:]] == found


def test_the_matrix_comes_in_parts_and_none_is_missing(bulk: Browser) -> None:
    parts = asked_through(bulk, "/console")
    rows = [(row["type"], row["action"]) for part in parts for row in part["rows"]]
    assert len(rows) == len(set(rows)) == parts[0]["count"] >= 230
    assert all(len(part["rows"]) <= 50 for part in parts)
    assert len(bulk.twin("/console", feature="payment a22")["rows"]) == 10
    assert bulk.twin("/console", page="99")["rows"] == []
    for page in ("0", "x", "-1", "٣"):
        assert bulk.get("/console", page=page).status == 400


@pytest.fixture
def bulk(small: Callable[..., Doors]) -> Browser:
    """A service with more actions than fit on a page."""
    actions = [f"a{number:03}" for number in range(230)]
    doors = small(
        "".join(f"  - {{allow: member, to: {action}, resource: payment}}\n" for action in actions),
        declared=f"[create, approve, {', '.join(actions)}]",
    )
    grant(doors.service, [("user:mia", "member", "acme")])
    return Browser(doors.service)


def test_the_matrix_of_one_subject_says_what_its_list_says(browser: Browser) -> None:
    told = browser.twin("/console", **WHERE)
    assert (told["subject"], told["domain"], told["roles"]) == ("user:leo", "acme/support", [])
    cells = {
        (row["type"], row["action"]): row["cells"]["user:leo"]
        for part in asked_through(browser, "/console", **WHERE)
        for row in part["rows"]
    }
    found = {(one["type"], one["action"]): one["verdict"] for one in browser.twin("/console/what-can", **WHERE)["found"]}
    words = {"always": "yes", "when": "when"}
    assert {key: text.split(" ")[0] for key, text in cells.items() if text != "no"} == {
        key: words[verdict] for key, verdict in found.items()
    }
    assert "user:leo" in browser.page("/console", **WHERE).text
    link = next(
        str(one["href"]) for one in browser.page("/console/what-can", **WHERE).all("a") if "subject" in str(one["href"])
    )
    assert browser.get(link.replace("../console", "/console")).status == 200


def test_a_text_that_stands_in_many_cells_is_written_once(browser: Browser) -> None:
    told = browser.twin("/console")
    texts = {text for row in told["rows"] for text in row["cells"].values() if text not in ("yes", "no")}
    page = browser.page("/console")
    notes = [text for text in page.texts if text in texts]
    assert sorted(notes) == sorted(texts)
    ids = {one.get("id") for one in page.all("li")}
    assert {str(one["href"])[1:] for one in page.all("a") if str(one["href"]).startswith("#n")} <= ids


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("/console/what-can", {"subject": ""}, "the field subject is empty"),
        ("/console/what-can", {"subject": "leo"}, "write it as type:id"),
        ("/console/what-can", {"subject": "user:leo", "domain": "a/b/c"}, "more parts"),
        ("/console/what-can", {"subject": "user:leo", "page": "0"}, 'no page "0"'),
        ("/console", {"subject": "leo"}, "write it as type:id"),
        ("/console", {"domain": "acme"}, "fill in the subject"),
    ],
)
def test_a_fault_about_a_subject_is_told(browser: Browser, path: str, given: dict[str, str], message: str) -> None:
    answer = browser.get(path, **given)
    status = 404 if "is empty" in message else 400
    assert (answer.status, message in Html(answer.body.decode()).text) == (status, True)
    assert message in browser.get(path, **given, format="json").message


def test_a_limited_caller_sees_a_subject_inside_its_accounts_alone(guarded: Doors) -> None:
    grant(guarded.service, [("user:leo", "admin", "elsewhere")])
    browser = calling(guarded, "search", "policy", accounts=frozenset({"acme"}))
    told = browser.twin("/console/what-can", **WHERE)
    assert {one["domain"].partition("/")[0] for one in told["roles_held"]} == {"acme"}
    assert "elsewhere" not in browser.page("/console/what-can", **WHERE).text
    for path in ("/console/what-can", "/console"):
        for domain in ("", "elsewhere"):
            assert browser.get(path, subject="user:leo", domain=domain).status == 403
    assert browser.get("/console/what-can", subject="user:leo", domain="elsewhere", format="csv").status == 403


def test_the_matrix_of_a_subject_needs_the_scope_of_searches_too(guarded: Doors) -> None:
    assert calling(guarded, "policy").get("/console", **WHERE).status == 403
    assert calling(guarded, "policy", "search").get("/console", **WHERE).status == 200
