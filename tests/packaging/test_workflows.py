"""The workflows, the action and the hooks that we hand out: their steps do what they say, as far as that needs no code host."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from git_in_tests import Repository
from releases import Environment
from workflow_steps import is_pinned, plain_environment, read_workflow, run_step

STARTER = ROOT / "server" / "klausel" / "starter"
WORKFLOWS = {
    "starter": STARTER / "github" / "workflows" / "policies.yml",
    "documented": ROOT / "docs" / "pull-request.yml",
}
ACTION = ROOT / "action" / "action.yml"
INSTALLED = re.compile(r"^\s*(\S*python\S*|pip|klausel) ", re.M)
"""A command of what was installed, or that installs."""
VARIABLE = "vars.KLAUSEL_PACKAGE"


def steps_of(path: Path) -> list[dict[str, Any]]:
    return [step for job in read_workflow(path)["jobs"].values() for step in job["steps"]]


def named(steps: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (step for step in steps if step.get("name") == name)
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A policy repository as `klausel init` writes it, with one commit."""
    made = Repository(tmp_path / "permissions")
    shutil.copytree(STARTER, made.folder, dirs_exist_ok=True)
    made.commit({}, "As klausel init writes it")
    return made


@pytest.fixture
def runner(tmp_path: Path, installed: Environment) -> dict[str, str]:
    folder = tmp_path / "runner"
    folder.mkdir()
    return plain_environment(folder, installed[0] / "bin")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_that_may_write_installs_nothing_and_takes_no_action(name: str) -> None:
    workflow = read_workflow(WORKFLOWS[name])
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        if "write" in job["permissions"].values():
            assert job["permissions"] == {"pull-requests": "write"}
            assert all("uses" not in step and not INSTALLED.search(step["run"]) for step in job["steps"])
        else:
            assert job["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_named_by_commit_and_no_token_is_left_in_the_checkout(name: str) -> None:
    steps = steps_of(WORKFLOWS[name])
    assert all(map(is_pinned, steps))
    assert [step["with"]["persist-credentials"] for step in steps if "checkout" in step.get("uses", "")] == ["false"]


@pytest.mark.parametrize("name", WORKFLOWS)
@pytest.mark.parametrize(
    "package",
    [
        "",
        "klausel",
        "klausel==0.2.0",
        "klausel @ https://example.com/klausel-0.2.0-py3-none-any.whl",
        "klausel @ https://example.com/klausel-0.2.0-py3-none-any.whl#sha256=123",
        "klausel @ https://example.com/klausel-0.2.0-py3-none-any.whl\n#sha256=" + 64 * "a",
        "klausel @ git+https://example.com/klausel@v0.2.0",
        # What stands behind # or ? names no commit: pip takes whatever the branch holds.
        "klausel @ git+https://example.com/klausel@main#@" + 40 * "a",
        "klausel @ git+https://example.com/klausel?@" + 40 * "a",
        "--find-links https://example.com klausel",
    ],
)
def test_a_package_that_is_not_named_or_not_pinned_ends_with_a_sentence(name: str, package: str, tmp_path: Path) -> None:
    step = named(steps_of(WORKFLOWS[name]), "Install Klausel")
    done = run_step(step, tmp_path, plain_environment(tmp_path), {VARIABLE: package})
    assert done.returncode == 1
    assert done.stdout.startswith("::error::The variable KLAUSEL_PACKAGE of this repository must name the release")
    assert ("It is '" in done.stdout) == bool(package)
    assert done.stderr == ""


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pinned_release_is_installed(name: str, release: list[Path], installed: Environment, tmp_path: Path) -> None:
    sums = {line.split()[1]: line.split()[0] for line in release[-1].read_text().splitlines()}
    package = f"klausel @ {release[0].as_uri()}#sha256={sums[release[0].name]}"
    step = named(steps_of(WORKFLOWS[name]), "Install Klausel")
    done = run_step(step, tmp_path, installed[1], {VARIABLE: package})
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documented_workflow_is_that_of_the_starter_without_its_checks() -> None:
    starter, documented = (read_workflow(WORKFLOWS[name])["jobs"] for name in ("starter", "documented"))
    kept = [step for step in starter["policies"]["steps"] if not step.get("run", "").startswith("klausel ")]
    del named(kept, "Say what the pull request allows and forbids")["if"]
    assert documented["difference"]["steps"] == kept
    assert documented["difference"]["outputs"] == starter["policies"]["outputs"]
    assert documented["comment"]["steps"][0]["run"] == starter["comment"]["steps"][0]["run"]


def test_the_checks_of_the_starter_pass_on_what_init_writes(repository: Repository, runner: dict[str, str]) -> None:
    steps = [step for step in steps_of(WORKFLOWS["starter"]) if step.get("run", "").startswith("klausel ")]
    assert [step["run"].split()[1] for step in steps] == ["check", "fmt", "schema", "test", "prove", "mutate"]
    for step in steps:
        done = run_step(step, repository.folder, runner, {})
        assert done.returncode == 0, done.stdout + done.stderr


def comment_of(name: str, repository: Repository, runner: dict[str, str], tmp_path: Path) -> str:
    """What a pull request with the last commit of a repository is told, by both jobs; only the code host is not real."""
    step = named(steps_of(WORKFLOWS[name]), "Say what the pull request allows and forbids")
    done = run_step(step, repository.folder, runner, {})
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines = Path(runner["GITHUB_OUTPUT"]).read_text(encoding="utf-8").splitlines()
    output, _, end = first.partition("<<")
    assert (output, lines[-1]) == ("markdown", end)
    difference = "\n".join(lines[:-1])
    assert Path(runner["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8").strip() == difference.strip()
    assert commented(name, difference, runner, tmp_path) == ["pr comment 7 --body-file comment.md"]
    return (tmp_path / "comment.md").read_text(encoding="utf-8")


def commented(name: str, difference: str, runner: dict[str, str], tmp_path: Path, *present: dict[str, Any]) -> list[str]:
    """What the job that comments changes on a code host where some comments are present."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "comments").write_text(json.dumps(present), encoding="utf-8")
    # What only reads is answered as the host does, by jq.
    lists = f"for last; do :; done; exec jq -r \"$last\" '{host}/comments'" if present else "exit 0"
    (host / "gh").write_text(
        f'#!/bin/sh\ncase "$2" in --paginate) {lists};; esac\nprintf "%s\\n" "$*" >> \'{host}/asked\'\n'
    )
    (host / "gh").chmod(0o755)
    (comment,) = read_workflow(WORKFLOWS[name])["jobs"]["comment"]["steps"]
    values = {
        "github.token": "secret",
        "github.repository": "us/permissions",
        "github.event.pull_request.number": "7",
        "needs.policies.outputs.difference": difference,
        "needs.difference.outputs.difference": difference,
    }
    address = {"GITHUB_SERVER_URL": "https://example.com", "GITHUB_RUN_ID": "11"}
    environment = {**runner, **address, "PATH": f"{host}{os.pathsep}{runner['PATH']}"}
    told = run_step(comment, tmp_path, environment, values)
    assert told.returncode == 0, told.stderr
    text = (tmp_path / "comment.md").read_text(encoding="utf-8")
    assert text.startswith("<!-- klausel: policy difference -->\n")
    assert "(https://example.com/us/permissions/actions/runs/11)" in text
    assert len(text) <= 60_000
    return (host / "asked").read_text(encoding="utf-8").splitlines()


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed; it stands in for that of the code host")
@pytest.mark.parametrize("name", WORKFLOWS)
def test_only_the_comment_that_the_job_wrote_itself_is_edited(name: str, tmp_path: Path) -> None:
    mark = "<!-- klausel: policy difference -->"
    ours = {"id": 3, "user": {"login": "github-actions[bot]"}, "body": f"{mark}\nold"}
    others = (
        {"id": 1, "user": {"login": "eve"}, "body": f"{mark}\nforged"},
        {"id": 2, "user": {"login": "github-actions[bot]"}, "body": f"of another job, about {mark}"},
    )
    (tmp_path / "new").mkdir()
    runner = plain_environment(tmp_path)
    told = commented(name, "é" * 29_000, runner, tmp_path, *others, ours, {**ours, "id": 4})
    assert told == ["api --silent --method PATCH repos/us/permissions/issues/comments/3 --field body=@comment.md"]
    assert commented(name, "x", runner, tmp_path / "new", *others) == ["pr comment 7 --body-file comment.md"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_comment_on_very_many_problems_has_room_for_them_and_the_artefact_has_all(name: str, tmp_path: Path) -> None:
    (tmp_path / "klausel").write_text('#!/bin/sh\nseq -f "policies/features/a.yaml:%.0f: unknown role" 9000 >&2; exit 1\n')
    (tmp_path / "klausel").chmod(0o755)
    runner = plain_environment(tmp_path, tmp_path)
    done = run_step(named(steps_of(WORKFLOWS[name]), "Say what the pull request allows and forbids"), tmp_path, runner, {})
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "difference" / "comment.md").read_text(encoding="utf-8")
    assert told.startswith("What changes cannot be said, because:\n\n    policies/features/a.yaml:1: unknown role\n")
    assert told.endswith("\n    … and more\n")
    assert 49_000 < len(told.encode()) < 51_000
    assert (tmp_path / "difference" / "problems.txt").read_text().count("\n") == 9000


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pull_request_is_told_what_it_changes(
    name: str, repository: Repository, runner: dict[str, str], tmp_path: Path
) -> None:
    repository.git("checkout", "--quiet", "-b", "wish")
    repository.replace("policies/features/documents.yaml", "allow: editor", "allow: viewer")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"NEWS.md": "Meanwhile.\n"})
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merged to see", "wish")
    told = comment_of(name, repository, runner, tmp_path)
    assert "more permissive" in told
    assert "viewer" in told
    assert "policies/features/documents.yaml" in told
    page = (Path(runner["RUNNER_TEMP"]) / "difference" / "difference.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pull_request_whose_policies_do_not_load_is_told_why(
    name: str, repository: Repository, runner: dict[str, str], tmp_path: Path
) -> None:
    repository.replace("policies/features/documents.yaml", "allow: editor", "allow: edtior")
    told = comment_of(name, repository, runner, tmp_path)
    assert told.partition("\n")[2].startswith(
        "What changes cannot be said, because:\n\n    policies/features/documents.yaml:"
    )
    assert 'unknown role "edtior"' in told


def test_the_action_checks_the_policies_and_installs_nothing_but_its_own_clone(
    repository: Repository, runner: dict[str, str]
) -> None:
    steps = yaml.load(ACTION.read_text(encoding="utf-8"), yaml.BaseLoader)["runs"]["steps"]
    assert all(map(is_pinned, steps))
    assert named(steps, "Install Klausel")["run"] == 'python -m pip install --quiet "$GITHUB_ACTION_PATH/.."'
    values = {"inputs.policies": "policies", "inputs.coverage": "100"}
    checking = named(steps, "Check the policies")
    assert run_step(checking, repository.folder, runner, values).returncode == 0
    repository.write({"policies/features/documents.yaml": "grants: []\n"})
    assert run_step(checking, repository.folder, runner, values).returncode == 1


def test_each_hook_of_pre_commit_passes_on_what_init_writes(repository: Repository, runner: dict[str, str]) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == [f"klausel-{name}" for name in ("check", "fmt", "schema", "test", "prove")]
    for hook in hooks:
        assert (hook["language"], hook["pass_filenames"]) == ("python", False)
        done = subprocess.run(hook["entry"].split(), cwd=repository.folder, env=runner, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
