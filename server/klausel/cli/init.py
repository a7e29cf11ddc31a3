"""The command `init`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click

from klausel.cli.options import fail
from klausel.cli.output import say, say_lines
from klausel.storage.file_rules import STARTER
from klausel.storage.git.objects import GitError
from klausel.storage.git.repository import GitRepository

_HIDDEN = {"github": ".github", "gitignore": ".gitignore"}
"""What of the starter is hidden where it is written; packaging leaves hidden files out."""
_WORKFLOW = Path(".github/workflows/policies.yml")
_README = Path("README.md")
_IGNORED = Path(".gitignore")
_USUAL_BRANCH = "main"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a small policy repository into DIR to start from: model, roles, a feature, tests, invariants, a CI file.

    DIR is made when it is not there. Nothing is ever overwritten. In a git repository the CI file goes where its host looks
    for it, and names the branch that is there; a .gitignore that is there gets the lines that keep databases out of commits.

    \b
    Examples:
      klausel init my-policies
      cd my-policies && klausel check && klausel test
      klausel init .
    """
    contents = dict(_contents(folder))
    ignored = contents.pop(folder / _IGNORED)
    present = [str(path) for path in contents if os.path.lexists(path)]
    if present:
        fail(f"nothing was written, because these exist: {', '.join(present)}; name another folder")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
        said = _ignore(folder / _IGNORED, ignored)
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}")
    say_lines(contents)
    say(said)
    readme = next(path for path in contents if path.name == _README.name)
    go = "" if folder == Path() else f"cd {folder} && "
    say(f"Start with {readme}, then: {go}klausel check && klausel test", err=True)


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files to write, with what they hold."""
    top, branch = _repository_around(folder)
    for path in _files_in(STARTER):
        target, content = _target(path.relative_to(STARTER)), path.read_bytes()
        if target == _WORKFLOW:
            above = Path() if top is None else folder.resolve().relative_to(top)
            content = _workflow(content.decode(), above, branch)
            yield (folder if above == Path() else Path(os.path.relpath(top or folder))) / target, content
        elif target == _README and os.path.lexists(folder / target):
            yield folder / "policies" / target, content
        else:
            yield folder / target, content


def _repository_around(folder: Path) -> tuple[Path | None, str]:
    """The work tree that a folder lies in, None outside of git, and the name of its branch."""
    try:
        with GitRepository.containing(folder) as repository:
            return repository.work_tree and repository.work_tree.resolve(), repository.branch() or _USUAL_BRANCH
    except GitError:
        return None, _USUAL_BRANCH


def _workflow(text: str, above: Path, branch: str) -> bytes:
    """The workflow for policies in a folder of a repository, and for its branch."""
    # Texts of JSON are texts of YAML too, whatever the names hold.
    if branch != _USUAL_BRANCH:
        text = text.replace(f"branches: [{_USUAL_BRANCH}]", f"branches: [{json.dumps(branch)}]")
    if above != Path():
        for name in ("policies/**", "model.conf"):
            text = text.replace(f'"{name}"', json.dumps((above / name).as_posix()))
        text = text.replace("KLAUSEL_POLICIES: policies", f"KLAUSEL_POLICIES: {json.dumps((above / 'policies').as_posix())}")
    return text.encode()


def _ignore(path: Path, content: bytes) -> str:
    """Makes git ignore what the starter ignores, in a file that may be there already; what to say about it."""
    if not os.path.lexists(path):
        path.write_bytes(content)
        return str(path)
    there = path.read_bytes()
    lines = [line for line in content.splitlines() if line not in there.splitlines()]
    if all(line.startswith(b"#") for line in lines):
        return f"{path} (as it was)"
    gap = b"" if not there or there.endswith(b"\n") else b"\n"
    with path.open("ab") as file:
        file.write(gap + b"".join(line + b"\n" for line in lines))
    return f"{path} (lines added)"


def _files_in(starter: Path) -> list[Path]:
    return sorted(path for path in starter.rglob("*") if path.is_file())


def _target(path: Path) -> Path:
    return Path(_HIDDEN.get(path.parts[0], path.parts[0]), *path.parts[1:])
