"""Trying a question: fields by declared type, another time, and lines that ask the same elsewhere."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from console_pages import Browser, Html
from doors import Doors, grant
from served_apps import served

from klausel.app import create_flask_app
from klausel.cli.main import main
from klausel.client import Action, Klausel, Resource, Subject
from klausel.core.policy.assignment import Assignment

ASKED = {"subject": "user:hal", "action": "approve", "type": "payment", "id": "p1", "domain": "acme/ops"}
DECLARED = (
    "{actions: [create, approve], properties: {amount: number, frozen: boolean, note: text, due: time, "
    "kind: [paper, card], tags: list of text}}"
)
PEOPLE = [("user:hal", "member", "acme"), ("user:hal", "head", "acme/ops")]


@pytest.fixture
def paying(small: Callable[..., Doors]) -> Doors:
    """Small policies that declare a property of every type."""
    doors = small(
        '  - {allow: member, to: create, resource: payment, when: context.now < time("2020-01-01T00:00:00Z")}\n',
        payment=DECLARED,
    )
    grant(doors.service, PEOPLE)
    return doors


def test_what_is_declared_has_a_field_of_its_type(paying: Doors) -> None:
    page = Browser(paying.service).page("/console/try", type="payment")
    inputs = {one["name"]: one for one in page.all("input")}
    assert inputs["resource.amount"]["inputmode"] == "decimal"
    assert inputs["resource.due"]["type"] == "datetime-local"
    assert inputs["resource.note"].get("type") is None
    selects = [one["name"] for one in page.all("select")]
    assert selects == ["resource.frozen", "resource.kind"]
    assert {"paper", "card", "true", "false"} <= {one["value"] for one in page.all("option")}


def test_a_field_is_read_by_its_type_and_shown_as_it_was_filled_in(paying: Doors) -> None:
    filled = {
        "resource.amount": "12.5",
        "resource.frozen": "false",
        "resource.note": "17",
        "resource.due": "2026-03-01T12:00",
        "resource.kind": "card",
        "resource.tags": '["a", "b"]',
        "context.ip": "10.0.0.1",
    }
    browser = Browser(paying.service)
    told = browser.twin("/console/try", **ASKED, **filled)
    properties = told["question"]["resource"]["properties"]
    assert properties == {
        "company": "acme",
        "team": "ops",
        "amount": 12.5,
        "frozen": False,
        "note": "17",
        "due": "2026-03-01T12:00:00Z",
        "kind": "card",
        "tags": ["a", "b"],
    }
    assert told["question"]["context"] == {"ip": "10.0.0.1"}
    assert told["explanation"]["decision"] is True
    page = browser.page("/console/try", **ASKED, **filled)
    shown = {one["name"]: one.get("value") for one in page.all("input")}
    assert {name: shown[name] for name in filled if name in shown} == {
        name: value for name, value in filled.items() if name not in ("resource.frozen", "resource.kind")
    }
    chosen = [one["value"] for one in page.all("option") if "selected" in one]
    assert chosen == ["false", "card"]


def test_what_names_the_domain_has_no_field_of_its_own(browser: Browser) -> None:
    page = browser.page("/console/try", type="quiz")
    names = {one["name"] for tag in ("input", "select") for one in page.all(tag)}
    assert any(str(name).startswith("resource.") for name in names)
    assert not {"resource.account", "resource.workspace", "context.now"} & names


def test_a_property_twice_is_a_fault(paying: Doors) -> None:
    answer = Browser(paying.service).get("/console/try", **ASKED, **{"resource.amount": "1"}, properties="amount=2")
    assert (answer.status, "resource.amount is given twice" in Html(answer.body.decode()).text) == (400, True)


def test_another_time_counts_for_conditions_and_for_roles(paying: Doors, tmp_path: Path) -> None:
    roles = paying.service.policy.compiled.policy.roles
    ended = Assignment("user:eva", "member", "acme", None, "2010-01-01T00:00:00Z")
    paying.service.store.import_rows(roles, [ended])
    browser = Browser(paying.service)
    asked = {**ASKED, "subject": "user:eva", "action": "create"}
    assert browser.twin("/console/try", **asked)["explanation"]["decision"] is False
    told = browser.twin("/console/try", **asked, time="2009-06-01T00:00")
    assert (told["time"], told["explanation"]["decision"]) == ("2009-06-01T00:00", True)
    page = browser.page("/console/try", **asked, time="2009-06-01T00:00")
    assert not any(text.startswith("curl ") for text in page.texts)
    answer = browser.get("/console/try", **asked, time="soon")
    assert (answer.status, "is no moment" in Html(answer.body.decode()).text) == (400, True)


def test_a_question_about_another_time_is_not_recorded_as_a_decision(small: Callable[..., Doors], tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    browser = Browser(small(decision_log=str(log), decision_log_strict=True).service)
    for time in ({"time": "2009-06-01T00:00"}, {}):
        assert browser.get("/console/try", **ASKED, **time).status == 200
    assert len(log.read_bytes().splitlines()) == 1


def line_after(page: Html, start: str) -> str:
    return next(text for text in page.texts if text.startswith(start))


EXACT = {
    "properties": 'amount=12\nfrozen=false\nnote="it\'s $HOME `x`"\ncontext.ip=::1\nsubject.team.name=blue\n',
    "id": "-p 1;rm",
}


def test_the_line_for_the_command_line_asks_the_same(paying: Doors, tmp_path: Path) -> None:
    browser = Browser(paying.service)
    for more in ({}, {"time": "2009-06-01T00:00"}):
        told = browser.twin("/console/try", **{**ASKED, **EXACT}, **more)
        words = shlex.split(line_after(browser.page("/console/try", **{**ASKED, **EXACT}, **more), "klausel explain "))
        settings = paying.service.settings
        options = ["--policies", str(settings.policies), "--model", str(settings.model), "--database", settings.database]
        done = CliRunner().invoke(main, ["explain", *options, "--format", "json", *words[2:]])
        assert done.exit_code == (0 if told["explanation"]["decision"] else 3), done.output
        said = json.loads(done.stdout)
        assert {name: said[name] for name in ("decision", "reason", "domain")} == {
            name: told["explanation"][name] for name in ("decision", "reason", "domain")
        }


def called(node: ast.expr) -> Any:
    """What an expression of calls and literals gives."""
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if isinstance(node.func, ast.Attribute):
        made = getattr(called(node.func.value), node.func.attr)
    else:
        assert isinstance(node.func, ast.Name)
        made = {"Klausel": Klausel, "Subject": Subject, "Action": Action, "Resource": Resource}[node.func.id]
    return made(*map(called, node.args))


def test_the_line_for_python_asks_the_same(paying: Doors) -> None:
    browser = Browser(paying.service)
    line = line_after(browser.page("/console/try", **{**ASKED, **EXACT}), "Klausel(")
    with served(create_flask_app(paying.service)) as address:
        line = line.replace(repr(paying.service.settings.base_url), repr(address))
        assert (
            called(ast.parse(line, mode="eval").body)
            is browser.twin("/console/try", **{**ASKED, **EXACT})["explanation"]["decision"]
            is True
        )


@pytest.mark.parametrize("odd", ["a\u202eb", "a\x1b[31mb", "a\nb"])
def test_what_a_terminal_would_show_otherwise_has_no_line(paying: Doors, odd: str) -> None:
    page = Browser(paying.service).page("/console/try", **{**ASKED, "id": odd})
    assert not any(text.startswith("klausel explain") for text in page.texts)
    assert line_after(page, "curl ").isascii()
    assert line_after(page, "Klausel(").isascii()
