"""Names in policy files: all are found, all can be renamed, all are offered where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ROOT

from klausel.casbin_policies.engine import compile_policy
from klausel.core.editing.completion import offers_at
from klausel.core.editing.mentions import Mention, mentions_in, names_in_condition
from klausel.core.editing.renaming import RENAMED, CannotRename, Edit, edits_to_rename
from klausel.core.formatting.files import kind_of_file
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.testing.gate import unmet_expectations
from klausel.storage.policy_files.folder import read_folder

MODEL = ROOT / "model.conf"
FOLDERS = {"shipped": ROOT / "policies", "starter": ROOT / "server" / "klausel" / "starter" / "policies"}


def files_of(folder: Path) -> list[SourceFile]:
    found = read_folder(folder, MODEL)
    return [file for file in found.files if file.name != "model.conf"]


def with_edits(files: Iterable[SourceFile], edits: Iterable[Edit]) -> list[SourceFile]:
    """The files after these edits; each file's from its end to its start, so that places stay right."""
    todo = sorted(edits, key=lambda edit: (edit.file, edit.line, edit.column), reverse=True)
    changed = []
    for file in files:
        lines = file.content.decode().split("\n")
        for edit in todo:
            if edit.file == file.shown_as:
                row, at = lines[edit.line - 1], edit.column - 1
                lines[edit.line - 1] = row[:at] + edit.text + row[at + edit.length :]
        changed.append(replace(file, content="\n".join(lines).encode()))
    return changed


def problems_after(files: list[SourceFile]) -> list[str]:
    result = load_policy(files)
    found = [str(problem) for problem in result.problems if problem.severity == "error"]
    if result.policy is None:
        return found
    plan = compile_policy(result.policy, MODEL.read_text(encoding="utf-8"))
    return [*found, *map(str, unmet_expectations(result.policy, plan, result.tests))]


@pytest.mark.parametrize("kind", RENAMED)
@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_whatever_is_renamed_means_the_same_in_all_files(folder: Path, kind: str) -> None:
    files = files_of(folder)
    mentions = mentions_in(files)
    edits: dict[tuple[str, int, int], Edit] = {}
    renamed = []
    for mention in mentions:
        if mention.is_declaration and mention.kind == kind:
            try:
                found = edits_to_rename(files, mentions, mention, f"{mention.name}_2")
            except CannotRename as refused:
                # Some tests, and some entries, name an action of several types at once.
                assert kind == "action" and "several resource types" in str(refused)
                continue
            renamed.append(mention)
            edits |= {(edit.file, edit.line, edit.column): edit for edit in found}
    assert renamed
    changed = with_edits(files, edits.values())
    assert problems_after(changed) == []
    left = mentions_in(changed)
    assert not [one for mention in renamed for one in left if one.is_same(mention)]
    policy = load_policy(changed).or_raise()
    for mention in renamed if kind == "role" else ():
        assert policy.roles.name_now(mention.name) == f"{mention.name}_2"


def test_a_role_that_had_other_names_keeps_them_all() -> None:
    for was in ("was: old", "was: [old, older]", "was:\n      - old\n      - older", 'was: "old"'):
        for entry in (f"\n    level: company\n    {was}", f" {{level: company, {was}}}"):
            if "{" in entry and "\n" in was:
                continue
            text = f"levels:\n  company: {{named_by: company}}\nroles:\n  boss:{entry}\n"
            files = [SourceFile("roles.yaml", "roles.yaml", text.encode())]
            boss = next(one for one in mentions_in(files) if one.kind == "role" and one.is_declaration)
            policy = load_policy(with_edits(files, edits_to_rename(files, mentions_in(files), boss, "chief"))).or_raise()
            assert policy.roles.name_now("boss") == policy.roles.name_now("old") == "chief", entry


def test_a_role_that_may_be_given_has_its_new_name_in_conditions_and_tests_about_that() -> None:
    files = files_of(FOLDERS["shipped"])
    mentions = mentions_in(files)
    (lead,) = (one for one in mentions if one.is_declaration and (one.kind, one.name) == ("role", "lead"))
    changed = {
        file.name: file.content.decode() for file in with_edits(files, edits_to_rename(files, mentions, lead, "head"))
    }
    assert 'gives_workspace_role: resource.role in ["manager", "head", "reviewer", "agent"]' in changed["conditions.yaml"]
    assert "role: lead" not in changed["tests/people_test.yaml"]
    assert "role: head" in changed["tests/people_test.yaml"]


def test_names_in_cells_of_csv_with_several_of_them_are_renamed() -> None:
    rows = (
        "p, all of any lead and agent, acme/* at level workspace, quiz, take, is_published, allow\n"
        "p, all of any agent and leads, *, quiz, take, is_published, allow\n"
    )
    roles = "roles: {leads: {level: workspace}, lead: {level: workspace}, agent: {level: workspace}}\n"
    levels = "levels: {account: {named_by: account}, workspace: {named_by: workspace}}\n"
    texts = {"roles.yaml": levels + roles, "features/quizzes.csv": rows}
    files = [SourceFile(name, name, text.encode()) for name, text in texts.items()]
    mentions = mentions_in(files)

    def renamed(kind: str, name: str) -> str:
        (declared,) = (one for one in mentions if one.is_declaration and (one.kind, one.name) == (kind, name))
        return with_edits(files, edits_to_rename(files, mentions, declared, "other"))[1].content.decode()

    assert renamed("role", "lead") == rows.replace("any lead and", "any other and")
    assert renamed("role", "agent") == rows.replace("agent", "other")
    assert renamed("role", "leads") == rows.replace("leads", "other")
    assert renamed("level", "workspace") == rows.replace("workspace", "other")


def test_what_cannot_be_renamed_is_refused_with_the_reason() -> None:
    files = files_of(ROOT / "policies")
    mentions = mentions_in(files)
    lead = next(one for one in mentions if (one.kind, one.name, one.is_declaration) == ("role", "lead", True))
    for new, why in (("agent", "already"), ("any", "cannot be"), ("two words", "cannot be"), ("", "cannot be")):
        with pytest.raises(CannotRename, match=why):
            edits_to_rename(files, mentions, lead, new)
    with pytest.raises(CannotRename, match="no file declares"):
        edits_to_rename(files, mentions, replace(lead, name="leda"), "chief")


def test_names_in_conditions_are_told_from_texts_words_and_functions() -> None:
    text = 'is_open and not (resource.team == "is_closed" or has subject.team) and starts_with(resource.id, "x")'
    assert list(names_in_condition(text, {"is_open"})) == [
        ("condition", "is_open", 0),
        ("property", "resource.team", 17),
        ("property", "subject.team", 53),
        ("property", "resource.id", 83),
    ]
    assert [name for _, name, _ in names_in_condition('matches_glob(resource.id, "a*") or is_opne', ())] == [
        "resource.id",
        "is_opne",
    ]


def typed_so_far(file: SourceFile, mention: Mention, characters: int) -> tuple[str, int, int]:
    """The file as it is while somebody types a name: the rest of its line is not there yet."""
    lines = file.content.decode().split("\n")
    line, column = mention.place.line - 1, mention.place.column - 1 + characters
    lines[line] = lines[line][:column]
    return "\n".join(lines), line, column


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_every_name_is_offered_where_it_stands_while_it_is_typed(folder: Path) -> None:
    files = files_of(folder)
    mentions = mentions_in(files)
    names, _ = declared_names(files)
    by_file = {file.shown_as: file for file in files}
    missed = []
    asked = 0
    for mention in mentions:
        file = by_file[mention.place.file]
        row = file.content.decode().split("\n")[mention.place.line - 1]
        in_text = re.search(r": (allow|deny) .* to ", row[: mention.place.column + 20]) is not None
        if mention.is_declaration or kind_of_file(file.name) is None or in_text or not mention.is_exact:
            continue
        text, line, column = typed_so_far(file, mention, 0)
        offered = {offer.text.removesuffix(": ") for offer in offers_at(text, file.name, line, column, names, mentions)}
        asked += 1
        wanted = (
            mention.name.partition(".")[2] if mention.kind == "property" and mention.name not in offered else mention.name
        )
        if wanted not in offered and not any(offer.endswith(f" {wanted}") for offer in offered):
            missed.append((str(mention.place), mention.kind, mention.name, sorted(offered)[:5]))
    assert asked > 30
    assert missed == [], missed
