"""The playground of a running service: a copy is judged and leaves as a patch, and nothing is stored."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from console_pages import Browser, Html, calling
from doors import ALLOWED, EVALUATION, Doors
from git_in_tests import Repository

from klausel.api.console.playground_page import playground_of
from klausel.service.playground import editable_files, judged, patch_between, text_of, with_changes
from klausel.service.playground_work import Busy, Judgement, Workbench
from klausel.storage.policy_files.folder import PolicyFiles

PAGE = "/console/playground"
HOSTILE = "</textarea><script>alert(1)</script>"


def judge_here(workbench: Workbench, before: PolicyFiles, after: PolicyFiles) -> Judgement:
    """The judgement without a process of its own, which takes a while to start."""
    parts = dict(judged(before, after, (), 1_000_000, "in force"))
    return Judgement(parts.get("problems"), parts.get("tests"), None, (), parts.get("difference"), None)


def opened_file(page: Html, name: str) -> dict[str, str]:
    hidden = {str(one["name"]): one.get("value") or "" for one in page.all("input") if one.get("type") == "hidden"}
    assert hidden["file"] == name
    text = page.source.partition('<textarea id="text"')[2].partition(">\n")[2].partition("</textarea>")[0]
    return {**hidden, "text": unescape(text)}


def test_a_hostile_policy_is_shown_as_text_and_goes_through_unchanged(
    small: Callable[..., Doors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workbench, "judge", judge_here)
    monkeypatch.setattr(Workbench, "patch", lambda _, before, after: patch_between(before, after, ["policies"]))
    doors = small(f"# {HOSTILE} \u200b\n")
    browser = Browser(doors.service)
    name = f"{tmp_path}/policies/features/payments.yaml"
    page = browser.page(PAGE, file=name)
    assert "<script>alert" not in page.source
    fields = opened_file(page, name)
    assert HOSTILE in fields["text"]
    untouched = browser.send(PAGE, {**fields, "do": "patch"})
    assert untouched.status == 409 and "nothing is changed" in Html(untouched.body.decode()).text
    # In a problem, too.
    told = browser.send(PAGE, {**fields, "text": fields["text"] + f'  - {{allow: "{HOSTILE}"}}\n', "do": "live"})
    assert told.status == 200
    assert b"<script>" not in told.body and b"unknown-role" in told.body
    assert browser.send(PAGE, {**fields, "open": f"{name}<b>"}).status == 404


def test_a_copy_is_edited_without_a_script_and_leaves_as_a_patch(small: Callable[..., Doors], tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    doors = small()
    repository.git("add", "policies")
    repository.git("commit", "--quiet", "--message", "Policies")
    browser = Browser(doors.service)
    roles, features = (f"{tmp_path}/policies/{name}" for name in ("roles.yaml", "features/payments.yaml"))
    fields = opened_file(browser.page(PAGE, file=features), features)
    fields["text"] = (fields["text"] + "  - {allow: worker, to: approve, resource: payment}").replace("\n", "\r\n")
    # To another file and back; what was written goes with the page.
    other = Html(browser.send(PAGE, {**fields, "open": roles}).body.decode())
    back = Html(browser.send(PAGE, {**opened_file(other, roles), "open": features}).body.decode())
    assert "payments.yaml changed" in back.text
    fields = opened_file(back, features)
    answer = browser.send(PAGE, {**fields, "do": "patch"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="policies.patch"'
    repository.git("apply", "-", stdin=answer.body)
    assert Path(features).read_text(encoding="utf-8").endswith("approve, resource: payment}")
    assert browser.send(PAGE, {**fields, "do": "save"}).status == 403
    added = Html(browser.send(PAGE, {**fields, "do": "new", "new": "features/more.yaml"}).body.decode())
    assert opened_file(added, f"{tmp_path}/policies/features/more.yaml")["base"] == ""


def test_files_are_renamed_deleted_and_brought_back_without_a_script(small: Callable[..., Doors], tmp_path: Path) -> None:
    browser = Browser(small().service)
    roles, features = (f"{tmp_path}/policies/{name}" for name in ("roles.yaml", "features/payments.yaml"))

    def pressed(fields: dict[str, str], **more: str) -> Html:
        answer = browser.send(PAGE, {**fields, **more})
        assert answer.status == 200
        return Html(answer.body.decode())

    fields = opened_file(browser.page(PAGE, file=features), features)
    renamed = pressed(fields, do="rename", new="features/bills.yaml")
    bills = opened_file(renamed, f"{tmp_path}/policies/features/bills.yaml")
    assert "bills.yaml new" in renamed.text and "payments.yaml deleted" in renamed.text
    assert (bills["text"], bills["base"]) == (fields["text"], "")
    assert json.loads(bills["changes"]) == {features: {"text": None, "base": fields["base"]}}
    # The name that was left is free again, and then only the text counts.
    back = opened_file(pressed(bills, do="rename", new="features/payments.yaml"), features)
    assert (back["text"], back["base"], back["changes"]) == (fields["text"], fields["base"], "{}")
    gone = pressed(fields, do="delete")
    assert "This file is deleted in your copy." in gone.text and "Bring it back" in gone.text
    hidden = {str(one["name"]): one.get("value") or "" for one in gone.all("input") if one.get("type") == "hidden"}
    brought = opened_file(pressed(hidden, back=features), features)
    assert {**brought, "token": ""} == {**fields, "token": ""}
    opened = opened_file(pressed(hidden, open=roles), roles)
    assert browser.send(PAGE, {**opened, "do": "rename", "new": roles}).status == 409
    new = pressed(fields, do="new", new="features/more.yaml")
    assert "more.yaml" not in pressed(opened_file(new, f"{tmp_path}/policies/features/more.yaml"), do="delete").text


def test_a_cursor_is_told_what_may_be_written_there(small: Callable[..., Doors], tmp_path: Path) -> None:
    browser = Browser(small().service)
    features = f"{tmp_path}/policies/features/payments.yaml"
    fields = opened_file(browser.page(PAGE, file=features), features)
    line = str(fields["text"].count("\n"))
    asked = {**fields, "text": fields["text"] + "  - {allow: wo", "do": "offers"}
    offers = browser.send(PAGE, {**asked, "line": line, "column": "14"}).json["offers"]
    assert "worker" in {one["text"] for one in offers}
    for faulty in ("-1", "x", "99999999", "٣"):
        assert browser.send(PAGE, {**asked, "line": faulty, "column": "1"}).status == 400
        assert browser.send(PAGE, {**asked, "do": "check", "column": faulty}).status == 400
    assert browser.send(PAGE, {**asked, "line": "9999999", "column": "9999999"}).json == {"offers": []}


def test_the_twin_answers_with_what_changes(guarded: Doors) -> None:
    browser = calling(guarded, "policy")
    name = next(one for one in browser.twin(PAGE)["files"] if one.endswith("features/quizzes.yaml"))
    opened = browser.twin(PAGE, file=name)
    text = opened["text"] + "  - {allow: agent, to: delete, resource: quiz, because: An experiment}\n"
    changes = json.dumps({name: {"text": text, "base": opened["base"]}})
    told = browser.send(f"{PAGE}?format=json", {"changes": changes}).json
    assert told["problems"]["errors"] == 0 and told["unknown"] is None
    assert told["tests"]["unmet"] > 0
    assert "agent" in json.dumps(told["difference"]["changes"])
    assert calling(guarded, "check", "explain").get(PAGE).status == 403


def test_what_cannot_be_taken_is_refused(demo: Doors) -> None:
    browser = Browser(demo.service)
    assert browser.send(PAGE, {"do": "check"}).status == 403
    fields = {str(one["name"]): one.get("value") or "" for one in browser.page(PAGE).all("input")}
    too_much = browser.send(PAGE, {**fields, "text": "x" * 5_000_000})
    assert too_much.status == 413 and b"larger than 2000000 bytes" in too_much.body
    for faulty in ("[", "[]", '{"a": 1}', '{"a": {"text": 1, "base": ""}}', "[" * 100_000):
        assert browser.send(PAGE, {**fields, "changes": faulty}).status == 409
    assert browser.send(PAGE, {**fields, "do": "drop"}).status == 400
    assert browser.send(PAGE, {**fields, "new": "../x.yaml", "do": "new"}).status == 409


def test_who_comes_while_another_copy_is_looked_at_keeps_what_was_written(
    demo: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise Busy("another copy is being looked at; try again in a moment")

    monkeypatch.setattr(Workbench, "judge", busy)
    browser = Browser(demo.service)
    fields = {str(one["name"]): one.get("value") or "" for one in browser.page(PAGE).all("input")}
    answer = browser.send(PAGE, {**fields, "text": "mine: 1\n", "do": "check"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert b"another copy is being looked at" in answer.body and b"mine: 1" in answer.body
    assert browser.send(PAGE, {**fields, "text": "mine: 1\n", "do": "live"}).status == 503


def test_decisions_go_on_while_a_copy_uses_up_its_time(demo: Doors) -> None:
    found = demo.service.live.files
    name = next(one for one in editable_files(found) if one.endswith("features/quizzes.yaml"))
    roles = ", ".join(f'"r{number}"' for number in range(60))
    costly = f"resource.role in resource.offered and resource.role in [{roles}] and resource.other in [{roles}]"
    more = "".join(
        f"  - {{allow: agent, to: delete, resource: quiz, when: '{costly}'}}\n".replace("r1", f"q{n}") for n in range(200)
    )
    copy = with_changes(found, {name: text_of(editable_files(found)[name]) + more})
    workbench = Workbench(playground_of(demo.service), seconds=0.5)
    judgements: list[Judgement] = []
    thread = threading.Thread(target=lambda: judgements.append(workbench.judge(found, copy)))
    thread.start()
    answered = 0
    while thread.is_alive():
        assert demo.lane.post(EVALUATION, ALLOWED).json["decision"] is True
        answered += 1
    thread.join()
    assert answered > 5
    assert "within 0.5 seconds" in (judgements[0].unknown or "")
