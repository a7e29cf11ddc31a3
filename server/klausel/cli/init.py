"""The command `init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.storage.file_rules import STARTER

_HIDDEN = {"github": ".github"}
"""Folders of the starter that are hidden where they are written; packaging leaves hidden files out."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a small policy repository into DIR to start from: model, roles, a feature, tests, invariants, a CI file.

    DIR is made when it is not there. Nothing is ever overwritten.

    \b
    Examples:
      klausel init my-policies
      cd my-policies && klausel check && klausel test
    """
    contents = {folder / _target(path.relative_to(STARTER)): path.read_bytes() for path in _files_in(STARTER)}
    present = [str(path) for path in contents if os.path.lexists(path)]
    if present:
        fail(f"nothing was written, because these exist: {', '.join(present)}; name another folder")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}")
    for path in contents:
        say(str(path))
    say(f"Start with {folder / 'README.md'}, then: cd {folder} && klausel check && klausel test", err=True)


def _files_in(starter: Path) -> list[Path]:
    return sorted(path for path in starter.rglob("*") if path.is_file())


def _target(path: Path) -> Path:
    return Path(_HIDDEN.get(path.parts[0], path.parts[0]), *path.parts[1:])
