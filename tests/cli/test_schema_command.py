"""`klausel schema`: the files by which editors complete and check."""

import json
from pathlib import Path

from command_line import Change, Klausel


def grantees(folder: Path) -> list[str]:
    schema = json.loads((folder / "policies" / "schemas" / "feature.schema.json").read_text(encoding="utf-8"))
    return list(schema["definitions"]["grantee"]["enum"])


def test_the_shipped_schemas_are_up_to_date(klausel: Klausel) -> None:
    result = klausel("schema", "--check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "the schemas in policies/schemas are up to date\n"


def test_a_new_role_makes_them_stale_and_is_offered_when_they_are_written(
    klausel: Klausel, change: Change, tmp_path: Path
) -> None:
    change("policies/roles.yaml", "roles:\n", "roles:\n  auditor: {level: workspace}\n")
    checked = klausel("schema", "--check")
    assert checked.exit_code == 1
    assert "policies/schemas/feature.schema.json: not up to date; run klausel schema\n" in checked.stdout
    assert "auditor" not in grantees(tmp_path)
    written = klausel("schema")
    assert written.exit_code == 0
    assert "policies/schemas/feature.schema.json: written\n" in written.stdout
    assert {"auditor", "any auditor"} <= set(grantees(tmp_path))
    assert klausel("schema", "--check").exit_code == 0


def test_files_with_problems_lose_no_name(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    before = grantees(tmp_path)
    change("policies/roles.yaml", "contains: lead", "contains: leed")
    change("policies/features/quizzes.yaml", "allow:", "alow:")
    assert klausel("check").exit_code == 1
    assert klausel("schema").exit_code == 0
    assert grantees(tmp_path) == before


def test_a_file_that_is_no_yaml_leaves_the_schemas_as_they_are(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    before = grantees(tmp_path)
    change("policies/roles.yaml", "roles:\n", "roles: [\n")
    result = klausel("schema")
    assert result.exit_code == 1
    assert "policies/roles.yaml:" in result.stderr
    assert "the schemas are left as they are" in result.stderr
    assert grantees(tmp_path) == before


def test_a_folder_that_is_not_there_is_named(klausel: Klausel) -> None:
    result = klausel("schema", "--policies", "nowhere")
    assert result.exit_code == 1
    assert "nowhere: there is no such folder" in result.stderr


def test_the_folder_of_schemas_is_no_part_of_the_policies(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "policies" / "schemas" / "mine.json").write_text("{")
    assert klausel("check").exit_code == 0


def test_a_folder_without_roles_gets_no_schemas(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    result = klausel("schema", "--policies", str(tmp_path / "elsewhere"))
    assert result.exit_code == 1
    assert "roles.yaml:1:1: error: there is no roles.yaml" in result.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []
