"""The changes that the documentation leads policy editors through: every step is made, in order, and does what is shown."""

import shutil
import subprocess
from pathlib import Path

import pytest
from doc_blocks import ROOT, TUTORIAL, Block, blocks_of, changes, examples_of, matches

NOWHERE = "/dev/null"


@pytest.mark.parametrize("steps", [pytest.param(steps, id=name) for name, steps in changes()])
def test_a_change_is_made_step_by_step_and_ends_well(
    steps: list[Block], tmp_path: Path, environment: dict[str, str]
) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copy(ROOT / "model.conf", tmp_path)
    for step in steps:
        if step.kind == "diff":
            apply(step.text, tmp_path)
        else:
            assert step.kind == "console", step
            for example in examples_of(step):
                printed = run(example.command, tmp_path, environment)[1]
                assert example.output is None or matches(example.output, printed), f"{step}: {printed}"
    for command in ("klausel check", "klausel test --coverage --fail-under 100", "klausel prove"):
        code, printed = run(command, tmp_path, environment)
        assert code == 0, printed


def test_the_tutorial_leads_from_an_empty_folder_to_a_commit(tmp_path: Path, environment: dict[str, str]) -> None:
    people = {f"GIT_{who}_{what}": "ann@acme.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    folder = tmp_path
    for step in blocks_of(TUTORIAL):
        if step.kind == "diff":
            apply(step.text, folder)
            continue
        assert step.kind == "console", step
        for example in examples_of(step):
            if example.command.startswith("cd "):
                folder /= example.command.removeprefix("cd ")
                continue
            code, printed = run(example.command, folder, {**environment, **people})
            assert example.output is None or matches(example.output, printed), f"{step} {example.command}: {printed}"
            assert example.output is not None or code == 0, printed
    assert run("git status --porcelain", folder, environment)[1] == ""


def apply(text: str, folder: Path) -> None:
    """Makes the change of a diff without line numbers: what it shows stands in the file exactly once."""
    old, new, *lines = text.splitlines(keepends=True)
    before, after = (line.split()[1] for line in (old, new))
    file = folder / after
    was = "".join(line[1:] for line in lines if line[0] in " -")
    becomes = "".join(line[1:] for line in lines if line[0] in " +")
    if before == NOWHERE:
        assert not file.exists()
        file.write_text(becomes, encoding="utf-8")
        return
    content = file.read_text(encoding="utf-8")
    assert content.count(was) == 1, f"{after} does not hold once what the diff shows:\n{was}"
    file.write_text(content.replace(was, becomes), encoding="utf-8")


def run(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_recipes_are_those_that_editors_ask_for() -> None:
    assert [name for name, _ in changes()] == [
        "Change who may create quizzes",
        "Add a role",
        "Add a feature",
        "Make an exception for one account",
        "Only their own team",
        "An amount over 1,000",
        "Only from their own network",
        "Two pairs of eyes",
        "Share a folder",
        "Let an account make roles of its own",
        "Rename a role",
        "Freeze a workspace",
        "Tell environments apart",
        "Make a role between two",
        "Start a policy repository of your own",
    ]
