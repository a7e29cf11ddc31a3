"""What the documentation shows is loaded, run and posted, and does what is shown."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from doc_blocks import ROOT, TUTORIAL, Block, Example, blocks, blocks_of, changes, examples_of, matches
from flask.testing import FlaskClient
from read_policies import check_policy
from schema_files import refusals

from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.settings import Settings
from klausel.storage.policy_files.folder import read_files

NOT_RUN = ("scripts/serve", "scripts/test")
GOOD_ENDS = (0, 3)
LONGEST_SECONDS = 60


@pytest.mark.parametrize("block", blocks("yaml", "csv"), ids=str)
def test_an_example_of_a_policy_file_loads(block: Block, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("tests"))
    _put(block, folder)
    problems = check_policy(folder, ROOT / "model.conf")
    assert not [str(problem) for problem in problems if problem.severity == "error"]
    assert list(refusals(read_files(folder, ROOT / "model.conf")[0])) == []


def _put(block: Block, folder: Path) -> None:
    """Puts an example where it belongs, and takes away what it would repeat, and what speaks of what is gone then."""
    if block.kind == "csv":
        (folder / "features" / "example.csv").write_text(block.text)
        return
    keys = set(yaml.load(block.text, yaml.BaseLoader))
    if keys == {"invariants"}:
        (folder / "invariants.yaml").write_text(block.text)
    elif keys <= {"description", "subjects", "resources"} and "subjects" in keys:
        (folder / "entities.yaml").write_text(block.text)
        (folder / "properties.yaml").write_text("stored: {subjects: user, resources: [quiz, dashboard]}\n")
    elif "leavers_lose" in keys:
        (folder / "provisioning.yaml").write_text(block.text)
    elif keys <= {"description", "people", "resources", "tests"}:
        (folder / "tests").mkdir()
        (folder / "tests" / "example_test.yaml").write_text(block.text)
    elif keys <= {"subject", "action", "context", "stored", "subject_types"}:
        (folder / "properties.yaml").write_text(block.text)
    elif keys <= {"description", "in", "grants"}:
        (folder / "features" / "example.yaml").write_text(block.text)
    else:
        shutil.rmtree(folder / "features")
        (folder / "features").mkdir()
        (folder / "invariants.yaml").unlink()
        if keys <= {"levels", "roles"}:
            (folder / "conditions.yaml").unlink()
            (folder / "roles.yaml").write_text(block.text)
        elif keys <= {"description", "resource_types", "grants"}:
            (folder / "features" / "example.yaml").write_text(block.text)
        else:
            (folder / "conditions.yaml").write_text(block.text)


STEPS = {*blocks_of(TUTORIAL), *(step for _, steps in changes() for step in steps)}


@pytest.mark.parametrize("block", [block for block in blocks("console") if block not in STEPS], ids=str)
def test_commands_do_what_is_shown(block: Block, served: tuple[Path, int], environment: dict[str, str]) -> None:
    for example in examples_of(block):
        if example.command.startswith(NOT_RUN):
            assert os.access(ROOT / example.command.split()[0], os.X_OK)
        else:
            _run(example, served, environment)


def _run(example: Example, served: tuple[Path, int], environment: dict[str, str]) -> None:
    folder, port = served
    if example.command.startswith("curl") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["bash", "-c", example.command.replace("127.0.0.1:8080", f"127.0.0.1:{port}")]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=LONGEST_SECONDS
    )
    if example.output is None:
        assert done.returncode in GOOD_ENDS, done.stderr
    else:
        assert matches(example.output, done.stdout + done.stderr), done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("json")
    database = f"sqlite:///{folder}/klausel.db"
    shutil.copytree(ROOT / "policies", folder / "policies")
    (folder / "policies" / "properties.yaml").write_text("stored: {subjects: user, resources: quiz}\n")
    settings = Settings(policies=str(folder / "policies"), model=str(ROOT / "model.conf"), database=database)
    service = create_service(settings)
    lines = (ROOT / "policies" / "demo" / "assignments.csv").read_text().splitlines()[1:]
    service.store.write(service.policy.compiled.policy.roles, [Assignment(*line.split(",")) for line in lines], [])
    yield create_flask_app(service).test_client()
    service.store.close()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_example_is_accepted_or_is_what_the_service_answers(block: Block, client: FlaskClient) -> None:
    def post(path: str, body: object) -> tuple[int, Any]:
        answer = client.post(path, json=body)
        return answer.status_code, answer.get_json()

    body = json.loads(block.text)
    if "error" in body:
        asked = {"subject": {"type": "user"}, "action": {"name": "edit"}, "resource": {"type": "quiz", "id": "q1"}}
        assert post("/access/v1/evaluation", asked) == (400, body)
    elif "evaluations" in body:
        status, answer = post("/access/v1/evaluations", body)
        assert (status, [one["decision"] for one in answer["evaluations"]]) == (200, [True, False])
    elif "subject" in body:
        assert post("/access/v1/evaluation", body) == (200, {"decision": True})
        assert post("/v1/explain", body)[1]["decision"] is True
    elif "put" in body:
        status, answer = post("/v1/entities", body)
        assert (status, answer["stored"]) == (200, len(body["put"]))
    else:
        known = {"grant", "revoke", "by", "reason", "ticket", "on_behalf_of"}
        assert set(body) <= known, "no test knows what to do with this example"
        status, answer = post("/v1/assignments", body)
        assert (status, set(answer)) == (200, {"revision"})


PAGES_WITH_PYTHON = sorted({block.place.partition(":")[0] for block in blocks("python")})


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str, served: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = served
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"__name__": "example"}
    for block in blocks_of(ROOT / page):
        if block.kind == "python":
            exec(compile(block.text.replace("127.0.0.1:8080", f"127.0.0.1:{port}"), block.place, "exec"), namespace)


def test_the_tests_that_are_shown_pass(served: tuple[Path, int], environment: dict[str, str]) -> None:
    folder, _ = served
    shown = [block for block in blocks_of(ROOT / "docs" / "applications.md") if "@pytest.fixture" in block.text]
    assert len(shown) == 1
    (folder / "test_shown.py").write_text(shown[0].text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=LONGEST_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_every_fenced_block_is_of_a_kind_that_is_tested() -> None:
    for page in {block.place.partition(":")[0] for block in blocks("", "yaml", "csv", "json", "console", "text", "python")}:
        for block in blocks_of(ROOT / page):
            # What is text is only shown: drawings, which test_architecture compares with setup.cfg, and what needs a server that
            # is not here. test_picture_command compares other drawings with the policies.
            shown = {"docs/casbin.md": "js", "policies/README.md": "mermaid", "docs/applications.md": "py"}.get(page, "text")
            assert block.kind in {"yaml", "csv", "json", "console", "diff", "python", "text", shown}, block.place


def test_a_line_of_dots_stands_for_any_lines_and_nothing_else_does() -> None:
    assert matches("a\n…\nb", "a\nx\ny\nb\n")
    assert matches("a\n…", "a")
    assert matches("revision …", "revision 12")
    assert not matches("a\nb", "a\nx\nb")
    assert not matches("a", "a\nb")
