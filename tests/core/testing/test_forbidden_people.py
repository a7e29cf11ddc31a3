"""A policy test may state what people may do whom the rules forbid: so a flag of a level cannot go unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from klausel.core.terms.problem import PolicyError
from klausel.service.pipeline import load_checked
from klausel.storage.policy_files.folder import read_folder

ROOT = Path(__file__).parents[3]
ROLES = """\
levels:
  account: {named_by: account}
  workspace: {named_by: workspace, requires_role_above: true}
roles:
  user: {level: account}
  agent: {level: workspace}
"""
NOTES = """\
resource_types: {note: {actions: [read]}}
grants:
  - {allow: agent, to: read, resource: note}
  - {allow: user, to: read, resource: note, at_level: account}
"""
TEST = """\
people:
  stray: {roles: {acme/support: agent}, forbidden: true}
resources:
  a note: {type: note, in: acme/support}
tests:
  - {name: A role counts only with one above it, resource: a note, people: stray, actions: read}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    for name, text in (("roles.yaml", ROLES), ("features/notes.yaml", NOTES), ("tests/notes_test.yaml", TEST)):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    shutil.copy(ROOT / "model.conf", tmp_path)
    return made


def test_a_dropped_requirement_of_a_role_above_fails_the_test(folder: Path) -> None:
    load_checked(read_folder(folder, folder.parent / "model.conf"))
    (folder / "roles.yaml").write_text(ROLES.replace(", requires_role_above: true", ""))
    with pytest.raises(PolicyError) as caught:
        load_checked(read_folder(folder, folder.parent / "model.conf"))
    # The person is not forbidden any more, and is told to be.
    assert [problem.message for problem in caught.value.problems] == ["nothing forbids the roles of this person"]
