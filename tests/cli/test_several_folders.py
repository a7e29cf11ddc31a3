"""Several policy folders named to a command: their grants, tests and invariants are those of one set."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import Klausel
from git_in_tests import Repository

FREEZE = "grants:\n  - {deny: any agent, to: edit, resource: quiz, because: Frozen.}\n"
OPEN = "grants:\n  - {allow: user, to: delete, resource: account}\n"
ASKED = ("--as", "admin@acme", "delete", "account")


@pytest.fixture
def production(tmp_path: Path) -> Path:
    """A folder that is joined to the shipped policies, and denies what they allow."""
    folder = tmp_path / "production"
    (folder / "features").mkdir(parents=True)
    (folder / "features" / "account.yaml").write_text("grants:\n  - {deny: anyone, to: delete, resource: account}\n")
    return folder


@pytest.mark.usefixtures("production")
def test_they_are_named_by_repeating_the_option_or_with_the_separator_of_search_paths(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = os.pathsep.join(("policies", "production"))
    denied = klausel("can", "--policies", "policies", "--policies", "production", *ASKED)
    assert denied.exit_code == 3
    assert "denied by production/features/account.yaml:2" in denied.output
    assert klausel("can", "--policies", "policies", *ASKED).exit_code == 0
    assert klausel("can", "--policies", together, *ASKED).exit_code == 3
    monkeypatch.setenv("KLAUSEL_POLICIES", together)
    assert klausel("can", *ASKED).exit_code == 3
    assert klausel("can", "--policies", "policies", *ASKED).exit_code == 0


def test_check_prove_and_test_speak_of_all_and_problems_name_the_folder(
    klausel: Klausel, tmp_path: Path, production: Path
) -> None:
    named = ("--policies", "policies", "--policies", "production")
    (tmp_path / "policies" / "tests").mkdir()
    (tmp_path / "policies" / "tests" / "account_test.yaml").write_text(
        "people: {ada: {roles: {acme: admin}}}\nresources: {it: {type: account, in: acme}}\n"
        "tests: [{name: Admins delete, resource: it, actions: delete, allowed: {ada: delete}}]\n"
    )
    assert klausel("test", "--policies", "policies").exit_code == 0
    failed = klausel("test", *named)
    assert failed.exit_code == 1 and "policies/tests/account_test.yaml:3" in failed.output
    (production / "invariants.yaml").write_text("invariants:\n  - {name: No look, never: user, to: take, resource: quiz}\n")
    proved = klausel("prove", *named)
    assert proved.exit_code == 1 and "No look" in proved.output
    assert "9 of 11 invariants hold" in proved.output, "one of the first folder breaks by what the second denies"
    (production / "roles.yaml").write_text("roles:\n  lead: {level: account}\n")
    checked = klausel("check", *named)
    assert checked.exit_code == 1
    assert "production/roles.yaml:2:3: error: role lead is declared in policies/roles.yaml:" in checked.output


def test_diff_shows_what_a_folder_adds_as_such(klausel: Klausel, production: Path) -> None:
    (production / "features" / "account.yaml").write_text(OPEN)
    compared = klausel("diff", "policies", os.pathsep.join(("policies", "production")))
    assert "more permissive" in compared.stdout
    assert "production/features/account.yaml:2: new: allow user to delete account" in compared.stdout


@pytest.mark.usefixtures("production")
def test_revisions_are_of_all_folders(klausel: Klausel, tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit({})
    repository.commit({"production/features/quizzes.yaml": FREEZE})
    named = ("--policies", "policies", "--policies", "production")
    compared = klausel("diff", "HEAD~1", "HEAD", *named, "--format", "json")
    assert json.loads(compared.stdout)["verdict"] == "less permissive"
    edit = ("--as", "lead@acme/support, user@acme", "edit", "quiz", "--set", "status=published", *named)
    assert klausel("can", *edit).exit_code == 3
    assert klausel("can", *edit, "--at", "HEAD~1").exit_code == 0
    assert klausel("check", ".@HEAD:policies:production").exit_code == 0
    several = klausel("check", "--policies", ".@HEAD:policies", "--policies", "production")
    assert several.exit_code == 2 and "REPO@REF:BASE:PRODUCTION" in several.output


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("words", ["declare", "log", "blame quiz edit"])
def test_what_works_on_one_folder_says_so_and_why(klausel: Klausel, words: str) -> None:
    done = klausel(*words.split(), "--policies", "policies", "--policies", "production")
    assert done.exit_code == 2
    assert ", and several policy folders are named" in done.output
    assert ("klausel diff" if words != "declare" else "right without the others") in done.output


def test_each_folder_is_formatted(klausel: Klausel, production: Path) -> None:
    named = ("--policies", "policies", "--policies", "production")
    canonical = (production / "features" / "account.yaml").read_text()
    (production / "features" / "account.yaml").write_text(canonical.replace("deny: anyone", "deny:   anyone"))
    assert klausel("fmt", "--check", *named).exit_code == 1
    done = klausel("fmt", *named)
    assert "production/features/account.yaml: rewritten" in done.output and done.exit_code == 0
    assert klausel("fmt", "--check", "--policies", os.pathsep.join(("policies", "production"))).exit_code == 0


def test_each_folder_has_schemas_with_the_names_of_those_before_it(klausel: Klausel, production: Path) -> None:
    named = ("--policies", "policies", "--policies", "production")
    (production / "features" / "account.yaml").write_text("resource_types: {invoice: {actions: [pay]}}\n")
    (production / "roles.yaml").write_text("roles: {payer: {level: account}}\n")
    assert klausel("schema", "--check", *named).exit_code == 1
    assert klausel("schema", *named).exit_code == 0
    first = Path("policies/schemas/feature.schema.json").read_text()
    second = (production / "schemas" / "feature.schema.json").read_text()
    assert all(f'"{name}"' in second for name in ("admin", "payer", "quiz", "invoice"))
    assert "payer" not in first and "invoice" not in first and '"admin"' in first
    assert klausel("schema", "--check", "--policies", "policies").exit_code == 0, "it is right without the others, too"
    assert "policies/schemas and production/schemas are up to date" in klausel("schema", "--check", *named).output
