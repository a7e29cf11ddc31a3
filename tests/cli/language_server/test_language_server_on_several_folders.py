"""`klausel lsp` on a set of several policy folders: all that it tells is of the whole set."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ROOT
from editor_session import Editor, Session, edited, position_of
from lsprotocol import types as lsp

FREEZE = "production/features/quizzes.yaml"
QUIZZES = "policies/features/quizzes.yaml"
TEXT = """resource_types:
  invoice:
    actions: [pay]

grants:
  - deny: any lead
    to: edit
    resource: quiz
    when: is_published

  - allow: payer
    to: pay
    resource: invoice
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The shipped policies without their tests and invariants, and a folder that is joined to them."""
    root = tmp_path / "work"
    shutil.copytree(ROOT / "policies", root / "policies", ignore=shutil.ignore_patterns("tests", "invariants.yaml"))
    shutil.copy(ROOT / "model.conf", root)
    (root / "production" / "features").mkdir(parents=True)
    (root / FREEZE).write_text(TEXT, encoding="utf-8")
    (root / "production" / "roles.yaml").write_text("roles:\n  payer: {level: account}\n", encoding="utf-8")
    return root


@pytest.fixture
def session(workspace: Path) -> Iterator[Session]:
    started = Session(workspace, "--policies", "policies", "--policies", "production")
    yield started
    started.close()


def test_a_later_folder_knows_the_names_of_the_first_and_a_rename_reaches_both(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        warned = [(5, "deny-reaches-stronger-role")]
        text = editor.open(FREEZE)
        document = editor.document(FREEZE)
        await editor.until(lambda: {workspace / QUIZZES, workspace / FREEZE} <= editor.told.keys())
        assert editor.problems(FREEZE) == warned, "the roles and types of the first folder are known"
        wrong = text.replace("any lead", "any laed")
        editor.type(FREEZE, wrong)
        await editor.until(lambda: editor.problems(FREEZE) == [(5, "unknown-role")])
        typed = text + "\n  - allow: ["
        editor.type(FREEZE, typed)
        place = lsp.Position(typed.count("\n"), len(typed.split("\n")[-1]))
        offered = await editor.client.text_document_completion_async(lsp.CompletionParams(document, place))
        assert isinstance(offered, list) and {"lead", "payer", "any lead"} <= {one.label for one in offered}
        editor.type(FREEZE, text)
        await editor.until(lambda: editor.problems(FREEZE) == warned)

        place = position_of(text, "is_published", after=3)
        told = await editor.client.text_document_hover_async(lsp.HoverParams(document, place))
        assert told is not None and isinstance(told.contents, lsp.MarkupContent)
        assert 'resource.status == "published"' in told.contents.value
        renamed = await editor.client.text_document_rename_async(
            lsp.RenameParams(document, position_of(text, "lead", after=1), "team_lead")
        )
        assert renamed is not None and renamed.changes is not None
        for uri, edits in renamed.changes.items():
            path = next(one for one in workspace.rglob("*.*") if one.as_uri() == uri)
            path.write_text(edited(path.read_text(encoding="utf-8"), list(edits)), encoding="utf-8")
        assert {Path(uri).parent.parent.name for uri in renamed.changes} >= {"policies", "production"}
        editor.type(FREEZE, (workspace / FREEZE).read_text(encoding="utf-8"))
        editor.open(QUIZZES)
        await editor.until(lambda: (workspace / QUIZZES) in editor.told)
        assert editor.problems(FREEZE) == warned
        assert "unknown-role" not in {id_ for _, id_ in editor.problems(QUIZZES)}

    session.play(workspace, scene)
    assert "deny: any team_lead" in (workspace / FREEZE).read_text(encoding="utf-8")
    assert "was: lead" in (workspace / "policies" / "roles.yaml").read_text(encoding="utf-8")
