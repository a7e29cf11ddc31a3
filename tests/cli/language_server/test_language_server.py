"""`klausel lsp`, driven over its protocol as an editor does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import INSTALLED, ROOT
from editor_session import Editor, Session, edited, position_of
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

QUIZZES = "policies/features/quizzes.yaml"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    started = Session(tmp_path_factory.mktemp("elsewhere"))
    yield started
    started.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with the shipped policies, committed."""
    root = tmp_path / "spaces and ümlaut"
    root.mkdir()
    shutil.copytree(ROOT / "policies", root / "policies")
    shutil.copy(ROOT / "model.conf", root)
    git = ["git", "-C", str(root), "-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "Policies"]):
        subprocess.run([*git, *arguments], check=True)
    return root


def test_problems_come_as_one_types_and_go_when_they_are_fixed(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        text = editor.open(QUIZZES)
        await editor.until(lambda: (workspace / QUIZZES) in editor.told)
        assert editor.problems(QUIZZES) == []
        wrong = text.replace("allow: agent", "allow: agnet")
        editor.type(QUIZZES, wrong)
        line = position_of(wrong, "agnet").line
        await editor.until(lambda: editor.problems(QUIZZES) == [(line, "unknown-role")])
        editor.type(QUIZZES, text.replace("- allow: agent\n    to: take", "- allow: reviewer\n    to: take"))
        failing = "policies/tests/quizzes_test.yaml"
        await editor.until(lambda: editor.problems(QUIZZES) == [] and editor.problems(failing))
        assert {id_ for _, id_ in editor.problems(failing)} == {"policy-test-failed"}
        editor.type(QUIZZES, text)
        await editor.until(lambda: editor.problems(QUIZZES) == [] and not editor.problems(failing))

    session.play(workspace, scene)


def test_what_fits_is_offered_while_the_file_cannot_be_read(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        text = editor.open(QUIZZES)

        async def offered(typed: str) -> set[str]:
            editor.type(QUIZZES, text + typed)
            lines = (text + typed).split("\n")
            place = lsp.Position(len(lines) - 1, len(lines[-1]))
            found = await editor.client.text_document_completion_async(lsp.CompletionParams(editor.document(QUIZZES), place))
            assert isinstance(found, list)
            return {item.label for item in found}

        entry = "\n  - allow: lead\n    resource: quiz\n    "
        assert {"lead", "any lead", "anyone"} <= await offered("\n  - allow: [")
        assert await offered(entry + "to: [publish, ") == {
            *("create", "take", "edit", "view_draft", "publish", "archive", "delete"),
            '"*"',
        }
        assert {"when", "in", "to"} <= await offered(entry) and "resource" not in await offered(entry)
        in_condition = await offered(entry + "to: edit\n    when: is_published and resource.")
        assert {"creator_is_self", "resource.status", "resource.creator"} <= in_condition
        assert "resource.approvers" not in in_condition
        assert "acme/support" in await offered(entry + "in: ")

    session.play(workspace, scene)


def test_a_name_is_explained_found_and_renamed_in_all_files(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        text = editor.open(QUIZZES)
        await editor.until(lambda: (workspace / QUIZZES) in editor.told)
        document = editor.document(QUIZZES)

        async def hover(word: str, after: int = 1) -> str:
            place = position_of(text, word, after=after)
            told = await editor.client.text_document_hover_async(lsp.HoverParams(document, place))
            assert told is not None and isinstance(told.contents, lsp.MarkupContent)
            return told.contents.value

        assert "Contained by" in await hover("lead]")
        assert 'resource.status == "published"' in await hover("is_published")
        assert "| lead | yes" in (await hover("create, take")).replace("in the workspace: ", "")
        assert "May by this grant: account_manager, admin" in await hover("allow: account_manager\n")
        assert (await hover("because: Who")).startswith("**because**: ")

        place = position_of(text, "is_published", after=3)
        definition = await editor.client.text_document_definition_async(lsp.DefinitionParams(document, place))
        assert isinstance(definition, list)
        assert [Path(one.uri).name for one in definition if isinstance(one, lsp.Location)] == ["conditions.yaml"]
        context = lsp.ReferenceContext(include_declaration=True)
        found = await editor.client.text_document_references_async(lsp.ReferenceParams(context, document, place))
        assert found is not None and len(found) > 2

        renamed = await editor.client.text_document_rename_async(
            lsp.RenameParams(document, position_of(text, "lead]", after=1), "team_lead")
        )
        assert renamed is not None and renamed.changes is not None
        for uri, edits in renamed.changes.items():
            path = next(one for one in workspace.rglob("*.*") if one.as_uri() == uri)
            path.write_text(edited(path.read_text(encoding="utf-8"), list(edits)), encoding="utf-8")
        with pytest.raises(JsonRpcException, match="already"):
            await editor.client.text_document_rename_async(
                lsp.RenameParams(document, position_of(text, "lead]", after=1), "agent")
            )

    session.play(workspace, scene)
    for command in (["check", "--strict"], ["test"]):
        done = subprocess.run([INSTALLED, *command], cwd=workspace, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "was: lead" in (workspace / "policies" / "roles.yaml").read_text(encoding="utf-8")


def test_a_problem_can_be_fixed_and_a_warning_switched_off(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        text = editor.open(QUIZZES)

        async def actions(typed: str, word: str) -> dict[str, str]:
            editor.type(QUIZZES, typed)
            await editor.until(lambda: any(line == position_of(typed, word).line for line, _ in editor.problems(QUIZZES)))
            place = position_of(typed, word)
            asked = lsp.CodeActionParams(editor.document(QUIZZES), lsp.Range(place, place), lsp.CodeActionContext([]))
            found = await editor.client.text_document_code_action_async(asked)
            told = {}
            for one in found or ():
                assert isinstance(one, lsp.CodeAction) and one.edit is not None and one.edit.changes is not None
                (edits,) = one.edit.changes.values()
                told[one.title] = edited(typed, list(edits))
            return told

        wrong = text.replace("allow: agent", "allow: agnet")
        assert (await actions(wrong, "agnet"))['Change "agnet" to "agent"'] == text
        wrong = text.replace("    when: is_published", "    wehn: is_published", 1)
        assert (await actions(wrong, "wehn"))['Change "wehn" to "when"'] == text
        doubled = text + "\n  - allow: agent\n    to: take\n    resource: quiz\n    when: is_published and creator_is_self\n"
        offered = await actions(doubled, "allow: agent\n    to: take\n    resource: quiz\n    when: is_published and")
        (switched,) = [new for title, new in offered.items() if title.startswith("Switch")]
        editor.type(QUIZZES, switched.replace("because \n", "because it is tried\n"))
        await editor.until(lambda: editor.problems(QUIZZES) == [])

    session.play(workspace, scene)


def test_a_file_is_formatted_and_each_grant_tells_its_tests_and_commit(session: Session, workspace: Path) -> None:
    async def scene(editor: Editor) -> None:
        text = editor.open(QUIZZES)
        await editor.until(lambda: (workspace / QUIZZES) in editor.told)
        document = editor.document(QUIZZES)
        lenses = await editor.client.text_document_code_lens_async(lsp.CodeLensParams(document))
        titles = [one.command.title for one in lenses or () if one.command is not None]
        assert len(titles) == text.count("- allow:")
        assert all(" test" in title and "Ann, " in title for title in titles)
        editor.type(QUIZZES, text.replace("to: create\n    resource: quiz", "resource:   quiz\n    to: create"))
        options = lsp.FormattingOptions(2, True)
        edits = await editor.client.text_document_formatting_async(lsp.DocumentFormattingParams(document, options))
        typed = text.replace("to: create\n    resource: quiz", "resource:   quiz\n    to: create")
        assert edited(typed, list(edits or ())) == text

    session.play(workspace, scene)
