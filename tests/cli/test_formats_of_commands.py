"""Each format that a command offers is written: on the same input no two formats print the same."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import ROOT, Change, Klausel, run
from doors import Door  # noqa: F401
from git_in_tests import Repository

from klausel.cli.main import main

INPUTS = {
    "check": "check",
    "compile": "compile",
    "test": "test",
    "mutate": "mutate --processes 1",
    "prove": "prove",
    "diff": "diff HEAD~1 HEAD",
    "explain": "explain user:leo edit quiz --in acme/support",
    "who-can": "who-can edit quiz --in acme/support",
    "what-can": "what-can user:leo --in acme/support",
    "matrix": "matrix",
    "log": "log",
    "blame": "blame quiz edit",
    "review": "review --since HEAD~1",
    "replay": "replay decisions.jsonl",
    "unused": "unused decisions.jsonl",
    "audit show": "audit show",
    "audit verify": "audit verify",
    "keys list": "keys list",
}


def formats() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command that offers formats, with those."""

    def inside(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if isinstance(command, click.Group):
                yield from inside(command, (*path, name))
            elif command is not None:
                for parameter in command.params:
                    if "--format" in parameter.opts:
                        assert isinstance(parameter.type, click.Choice)
                        yield " ".join((*path, name)), tuple(map(str, parameter.type.choices))

    yield from inside(main, ())


FORMATS = dict(formats())


def test_every_command_with_formats_has_an_input_here() -> None:
    assert set(FORMATS) == set(INPUTS)
