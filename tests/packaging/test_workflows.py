"""The workflows, the action and the hooks that we hand out: their steps do what they say, as far as that needs no code host."""

import os
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
            assert all("uses" not in step and "klausel" not in step["run"] for step in job["steps"])
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
        "klausel @ git+https://example.com/klausel@v0.2.0",
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
    del kept[-1]["if"]
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
    host = tmp_path / "host"
    host.mkdir()
    (host / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments; cat > comment\n')
    (host / "gh").chmod(0o755)
    (comment,) = read_workflow(WORKFLOWS[name])["jobs"]["comment"]["steps"]
    values = {
        "github.token": "secret",
        "github.repository": "us/permissions",
        "github.event.pull_request.number": "7",
        "needs.policies.outputs.difference": difference,
        "needs.difference.outputs.difference": difference,
    }
    environment = {**runner, "PATH": f"{host}{os.pathsep}{runner['PATH']}"}
    told = run_step(comment, tmp_path, environment, values)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "arguments").read_text().split()[:5] == ["pr", "comment", "7", "--body-file", "-"]
    return (tmp_path / "comment").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pull_request_is_told_what_it_changes(
    name: str, repository: Repository, runner: dict[str, str], tmp_path: Path
) -> None:
    repository.git("checkout", "--quiet", "-b", "wish")
    repository.replace("policies/features/documents.yaml", "allow: editor", "allow: reader")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"NEWS.md": "Meanwhile.\n"})
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merged to see", "wish")
    told = comment_of(name, repository, runner, tmp_path)
    assert "reader" in told
    assert "policies/features/documents.yaml" in told


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pull_request_whose_policies_do_not_load_is_told_why(
    name: str, repository: Repository, runner: dict[str, str], tmp_path: Path
) -> None:
    repository.replace("policies/features/documents.yaml", "allow: editor", "allow: edtior")
    told = comment_of(name, repository, runner, tmp_path)
    assert told.startswith("What changes cannot be said, because:\n\n    policies/features/documents.yaml:")
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
