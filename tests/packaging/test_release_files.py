"""A release is the same bytes wherever it is built, holds all that it needs, and works where the clone is not."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from command_line import ROOT
from release_files import build, release_commit
from releases import MADE_AT, Environment, copy_of_sources

STARTER = ROOT / "server" / "klausel" / "starter"
# The word stands apart, so that this file does not say it either.
BARE_NAME = re.compile(r"pip3? install\b[^\n`@#/]*[ '\"]" + r"klausel(?![\w./-])(?! @)")


def run(environment: Environment, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment[1], capture_output=True, encoding="utf-8", timeout=120)


def test_another_folder_other_rights_and_other_times_give_the_same_bytes(release: list[Path], tmp_path: Path) -> None:
    sources = copy_of_sources(tmp_path / "elsewhere")
    for path in sources.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    usual = os.umask(0o077)
    try:
        again = build(sources, tmp_path / "dist", MADE_AT)
    finally:
        os.umask(usual)
    assert [file.name for file in again] == [file.name for file in release]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in release]


def test_help_of_the_script_is_its_own_and_sets_nothing_up(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("package", "environment.sh"):
        shutil.copy(ROOT / "scripts" / name, scripts)
    result = subprocess.run([scripts / "package", "--help"], capture_output=True, encoding="utf-8", timeout=10)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: scripts/package [FOLDER]")
    assert not (tmp_path / ".venv").exists()


def test_the_sums_are_those_of_the_files(release: list[Path]) -> None:
    *files, sums = release
    expected = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert {line.split("  ")[1]: line.split("  ")[0] for line in sums.read_text().splitlines()} == expected


def test_the_wheel_holds_every_module_the_pages_the_starter_and_the_mark_of_types(release: list[Path]) -> None:
    with zipfile.ZipFile(release[0]) as wheel:
        held = set(wheel.namelist())
    package = ROOT / "server"
    wanted = {path.relative_to(package).as_posix() for path in package.glob("klausel/**/*.py")}
    wanted |= {path.relative_to(package).as_posix() for path in STARTER.rglob("*") if path.is_file()}
    pages = [path for path in (package / "klausel" / "api" / "console").rglob("*") if path.suffix in (".html", ".css")]
    assert pages
    wanted |= {path.relative_to(package).as_posix() for path in pages}
    assert wanted | {"klausel/py.typed"} <= held
    assert any("schemas/feature.schema.json" in name for name in held)


def test_the_source_archive_gives_the_same_wheel(release: list[Path], tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", str(release[1]), "-C", str(tmp_path / "unpacked")], check=True)
    (sources,) = (tmp_path / "unpacked").iterdir()
    wheel = build(sources, tmp_path / "dist", MADE_AT)[0]
    assert wheel.read_bytes() == release[0].read_bytes()


def test_the_last_commit_is_built_and_what_is_not_committed_is_not(tmp_path: Path) -> None:
    clone = copy_of_sources(tmp_path / "clone")
    names = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*names, "commit", "-qm", "All"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True)
    (clone / "server" / "klausel" / "left_over.py").write_text("")
    with zipfile.ZipFile(release_commit(clone, tmp_path / "dist")[0]) as wheel:
        assert "klausel/left_over.py" not in wheel.namelist()
        assert "klausel/cli/main.py" in wheel.namelist()


def test_the_installed_package_runs_a_policy_repository_outside_of_the_clone(installed: Environment, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "python", "-c", "import klausel; print(klausel.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed[0]), where.stdout + where.stderr
    assert run(installed, tmp_path, "klausel", "init", "permissions").returncode == 0
    repository = tmp_path / "permissions"
    for command in ("check --strict", "test", "prove", "fmt --check", "schema --check", "matrix"):
        done = run(installed, repository, "klausel", *command.split())
        assert done.returncode == 0, done.stdout + done.stderr
    imported = run(installed, repository, "klausel", "assignments", "import", "policies/demo/assignments.csv")
    assert imported.returncode == 0, imported.stderr
    asked = "klausel can user:emil edit document --in acme/website --set locked=false"
    assert run(installed, repository, *asked.split()).returncode == 0


def test_a_release_with_another_sum_is_not_installed(release: list[Path], empty: Environment, tmp_path: Path) -> None:
    wrong = f"klausel @ {release[0].as_uri()}#sha256={'0' * 64}"
    done = run(empty, tmp_path, "python", "-m", "pip", "download", "--quiet", "--dest", str(tmp_path), wrong)
    assert done.returncode != 0
    assert "HASHES" in done.stderr


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a clone knows which files are the project's")
def test_nothing_tells_anybody_to_install_a_name_that_is_not_ours() -> None:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True).stdout
    found = [
        f"{name}: {line.strip()}"
        for name in listed.decode().split("\0")
        if name and (ROOT / name).is_file() and (ROOT / name).suffix not in (".png", ".db")
        for line in (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines()
        if BARE_NAME.search(line)
    ]
    assert found == []


def test_a_bare_name_would_be_found() -> None:
    name = "klausel"
    for words in ("", "--quiet ", "-q --upgrade '"):
        for ending in ("", "==0.2.0", "[serve]"):
            assert BARE_NAME.search(f"run: pip install {words}{name}{ending}")
    assert not BARE_NAME.search('pip install "klausel @ https://example.com/klausel-0.2.0-py3-none-any.whl#sha256=…"')
