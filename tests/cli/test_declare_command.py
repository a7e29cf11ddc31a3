"""`klausel declare`: writes the types of properties that follow from conditions and tests, where nothing is declared yet."""

from pathlib import Path

from command_line import Change, Klausel

OTHERS = "  - {allow: lead, to: edit, resource: quiz, when: 'context.channel == \"web\" and subject.level > 3'}\n"


def read(folder: Path, name: str) -> str:
    return (folder / "policies" / name).read_text(encoding="utf-8")


def test_it_writes_what_was_taken_away_and_keeps_comments(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    declared = "    properties: {status: [draft, published, archived], creator: user id}\n"
    change("policies/features/quizzes.yaml", declared, "")
    change("policies/features/quizzes.yaml", "grants:\n", f"# All of them.\ngrants:\n{OTHERS}")
    result = klausel("declare")
    assert result.exit_code == 0, result.stderr
    assert set(result.stdout.splitlines()) == {
        "resource.status of quiz: text",
        "resource.creator of quiz: user id",
        "context.channel: text",
        "subject.level: number",
    }
    assert "    properties: {status: text, creator: user id}\n" in read(tmp_path, "features/quizzes.yaml")
    assert "# All of them.\ngrants:\n" in read(tmp_path, "features/quizzes.yaml")
    assert read(tmp_path, "properties.yaml") == "subject:\n  level: number\n\ncontext:\n  channel: text\n"
    assert klausel("check", "--strict").exit_code == 0
    assert klausel("test").exit_code == 0
    assert klausel("fmt", "--check").exit_code == 0


def test_it_adds_to_what_is_declared(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    change("policies/features/quizzes.yaml", ", creator: user id}", "}")
    (tmp_path / "policies/properties.yaml").write_text("# Ours.\nsubject:\n  team: text  # of the wiki\n", encoding="utf-8")
    change("policies/features/quizzes.yaml", "grants:\n", f"grants:\n{OTHERS}")
    assert klausel("declare").exit_code == 0
    expected = "    properties: {status: [draft, published, archived], creator: user id}\n"
    assert expected in read(tmp_path, "features/quizzes.yaml")
    assert "# Ours.\nsubject:\n  team: text  # of the wiki\n  level: number\n" in read(tmp_path, "properties.yaml")


def test_what_nothing_tells_is_named_and_left(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    wanted = "grants:\n  - {allow: lead, to: edit, resource: quiz, when: resource.team == subject.team}\n"
    change("policies/features/quizzes.yaml", "grants:\n", wanted)
    result = klausel("declare")
    assert result.exit_code == 1
    assert "resource.team of quiz: nothing tells its type; declare it by hand\n" in result.stderr
    assert not (tmp_path / "policies/properties.yaml").exists()


def test_nothing_is_written_where_the_policies_have_problems(klausel: Klausel, change: Change) -> None:
    change("policies/features/quizzes.yaml", "to: take", "to: tak")
    result = klausel("declare")
    assert result.exit_code == 1
    assert "fix them first" in result.stderr
