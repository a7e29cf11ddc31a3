"""Copies of policies are judged as the files themselves would be, within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_policies import CAST, MODEL, PAYMENTS, ROLES, WHOLE

from klausel.core.loading.load import SourceFile
from klausel.service import playground_work
from klausel.service.playground import (
    NotEditable,
    Playground,
    editable_files,
    judged,
    new_file,
    patch_between,
    text_of,
    with_changes,
)
from klausel.service.playground_work import Busy, Workbench
from klausel.storage.policy_files.folder import PolicyFiles

FEATURES = "policies/features/payments.yaml"


def files(more: Mapping[str, bytes] = {}) -> PolicyFiles:
    texts = {
        "roles.yaml": ROLES.encode(),
        "features/payments.yaml": PAYMENTS.encode(),
        "tests/payments_test.yaml": f"{CAST}tests:\n{WHOLE}".encode(),
        **more,
    }
    found = [SourceFile(name, f"policies/{name}", content) for name, content in texts.items()]
    return PolicyFiles((*found, SourceFile("model.conf", "model.conf", MODEL.encode())), (), "model.conf", lambda: None)


def said(text: str, most_steps: int = 1_000_000, more: Mapping[str, bytes] = {}) -> dict[str, Any]:
    before = files(more)
    return dict(judged(before, with_changes(before, {FEATURES: text}), (), most_steps, "in force"))


def test_an_error_is_told_at_its_line_and_the_rest_waits() -> None:
    found = said(PAYMENTS + "  - {allow: wrker, to: approve, resource: payment}\n")
    (problem,) = (one for one in found["problems"]["shown"] if one["severity"] == "error")
    assert (problem["file"], problem["line"], problem["id"]) == (FEATURES, PAYMENTS.count("\n") + 1, "unknown-role")
    assert "tests" not in found and "difference" not in found and "end" in found


def test_a_copy_without_errors_is_tested_proved_and_compared() -> None:
    at_most = b"invariants:\n  - {name: workers do not approve, at_most: head, to: approve, resource: payment}\n"
    found = said(PAYMENTS + "  - {allow: worker, to: approve, resource: payment}\n", more={"invariants.yaml": at_most})
    assert found["problems"]["errors"] == 0
    assert found["tests"]["unmet"] > 0
    assert found["proof"]["verdict"] == "BROKEN"
    assert any("worker" in row["who"] for row in found["difference"]["shown"]["rows"])


def test_what_goes_beyond_the_budget_is_unknown() -> None:
    at_most = b"invariants:\n  - {name: workers do not approve, at_most: head, to: approve, resource: payment}\n"
    found = said(PAYMENTS + "  - {allow: worker, to: approve, resource: payment}\n", 1, {"invariants.yaml": at_most})
    assert found["proof"]["verdict"] == "UNKNOWN"
    assert any("not compared" in one for one in found["difference"]["shown"]["notes"])


def test_the_same_text_keeps_every_byte_and_line_ends_keep_their_kind() -> None:
    before = files({"features/windows.yaml": b"a: 1\r\nb: 2\r\n", "features/mixed.yaml": b"a: 1\r\nb: 2\n"})
    same = {name: text_of(file) for name, file in editable_files(before).items()}
    assert with_changes(before, same).files == before.files
    after = editable_files(with_changes(before, {"policies/features/windows.yaml": "a: 1\nb: 3\n"}))
    assert after["policies/features/windows.yaml"].content == b"a: 1\r\nb: 3\r\n"


@pytest.mark.parametrize(
    "name", ["../x.yaml", "/features/x.yaml", "features/../../x.yaml", "features/.x.yaml", "x.yaml", "model.conf", "a\nb"]
)
def test_only_names_of_policy_files_are_made(name: str) -> None:
    with pytest.raises(NotEditable):
        new_file(files(), name)
    with pytest.raises(NotEditable):
        with_changes(files(), {name: "a: 1\n"})


def test_a_new_file_stands_in_the_folder_of_the_others() -> None:
    assert new_file(files(), "features/x.yaml") == "policies/features/x.yaml"
    after = with_changes(files(), {"policies/features/x.yaml": "resource_types: {}\n"})
    assert after.files[-1] == SourceFile("features/x.yaml", "policies/features/x.yaml", b"resource_types: {}\n")


def test_a_file_that_is_deleted_is_missed_where_it_is_named() -> None:
    before = files()
    after = with_changes(before, {FEATURES: None, "policies/features/x.yaml": "resource_types: {}\n"})
    assert [one.shown_as for one in editable_files(after).values()] == [
        *("policies/roles.yaml", "policies/tests/payments_test.yaml", "policies/features/x.yaml"),
    ]
    assert dict(judged(before, after, (), 1_000, "in force"))["problems"]["errors"] > 0
    told = patch_between(before, after, ["policies"]).decode()
    assert f"deleted file mode 100644\n--- a/{FEATURES}\n+++ /dev/null\n" in told


@pytest.mark.parametrize("in_a_process", [False, True])
def test_what_may_be_written_and_what_a_name_means_is_told_of_the_copy(
    monkeypatch: pytest.MonkeyPatch, in_a_process: bool
) -> None:
    monkeypatch.setattr(playground_work, "MOST_READ_HERE", 0 if in_a_process else 10_000)
    before = files()
    typed = PAYMENTS + "  - {allow: wo"
    roles = ROLES + "  woodcutter: {level: team}\n"
    after = with_changes(before, {FEATURES: typed, "policies/roles.yaml": roles})
    workbench = Workbench(Playground(lambda: before, "policies", "in force", (), 1_000))
    line = PAYMENTS.count("\n")
    offers = workbench.at_cursor(before, after, FEATURES, line, 14, "offers")
    assert {"worker", "woodcutter"} <= {one["text"] for one in offers}
    assert {one["from"] for one in offers} == {12}
    # Nothing of a file that cannot be read yet; in another one, what the policy set says as it stands.
    assert workbench.at_cursor(before, after, FEATURES, line, 13, "about") == ""
    about = workbench.at_cursor(before, before, FEATURES, 5 + PAYMENTS[: PAYMENTS.index("grants")].count("\n"), 13, "about")
    assert "deny" not in about and "freeze" not in about
    told = workbench.at_cursor(
        before, before, "policies/roles.yaml", ROLES[: ROLES.index("  head:")].count("\n"), 3, "about"
    )
    assert "**head**" in told or "head" in told
    assert workbench.at_cursor(before, after, "policies/none.yaml", 0, 0, "offers") == []


def test_what_is_no_text_is_not_edited() -> None:
    before = files({"features/x.yaml": b"\xff", "features/y.yaml": b"a\x00"})
    for name in ("policies/features/x.yaml", "policies/features/y.yaml"):
        with pytest.raises(NotEditable):
            with_changes(before, {name: "a"})


def test_work_that_takes_too_long_ends_and_says_what_is_not_known(tmp_path: Path) -> None:
    found = files()
    playground = Playground(lambda: found, str(tmp_path), "in force", (), 1_000_000)
    workbench = Workbench(playground, seconds=0.05)
    judgement = workbench.judge(found, found)
    assert judgement.problems is None
    assert judgement.unknown is not None and "0.05 seconds" in judgement.unknown
    with workbench._its_turn("judge"), pytest.raises(Busy):
        workbench.judge(found, found)
