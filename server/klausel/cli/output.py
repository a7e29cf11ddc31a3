"""What commands print. Everything goes this way, so that nothing from a database or a request reaches a terminal as it is."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from klausel.core.terms.escaping import shown, shown_in_json

_COLOURS = {"+": "green", "-": "red", "±": "yellow"}
_PAINT = re.compile(r"(\x1b\[(?:0|1|3[0-7])m)")


def say(line: str = "", err: bool = False) -> None:
    """Prints one line; a line end within it is shown as one."""
    click.echo(shown(line), err=err)


def say_lines(lines: Iterable[object], err: bool = False) -> None:
    """Prints lines, each as `say` does."""
    for line in lines:
        say(str(line), err)


def say_painted(lines: Iterable[str], err: bool = False) -> None:
    """Prints lines with the colours that `click.style` gave to parts of them; all else is shown as `say` does."""
    for line in lines:
        parts = _PAINT.split(line)
        click.echo("".join(part if index % 2 else shown(part) for index, part in enumerate(parts)), err=err)


def painted(text: str, how: str) -> str:
    """A part of a difference in the colour of its sign (`+`, `-`, `±`), or `bold`; for `say_painted`."""
    return click.style(text, bold=True) if how == "bold" else click.style(text, fg=_COLOURS[how])


VERSION_OF_JSON = 1
"""Within a version members come, and none goes or changes its meaning; `klausel.cli.output_schemas` describes them."""


def say_json(value: Mapping[str, object] | Sequence[Mapping[str, object]], indent: int | None = None) -> None:
    """Prints an object as JSON, or a list of objects, each with the version of its form as its first member."""
    versioned = (
        {"version": VERSION_OF_JSON, **value}
        if isinstance(value, Mapping)
        else [{"version": VERSION_OF_JSON, **one} for one in value]
    )
    click.echo(shown_in_json(json.dumps(versioned, indent=indent, ensure_ascii=False)))


def say_json_list(facts: Mapping[str, object], name: str, items: Iterable[object]) -> None:
    """Prints a JSON object of some facts and, as its last member, a list of any length, an item a line as each comes."""
    head = json.dumps({"version": VERSION_OF_JSON, **facts}, ensure_ascii=False)[:-1]
    click.echo(shown_in_json(f'{head}, "{name}": ['), nl=False)
    separator = "\n  "
    for item in items:
        click.echo(separator + shown_in_json(json.dumps(item, ensure_ascii=False)), nl=False)
        separator = ",\n  "
    click.echo("\n]}")


@contextmanager
def rows_to_standard_output() -> Iterator[TextIO]:
    """What rows of CSV are written to: UTF-8 on every system, with the line ends as they are written."""
    text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()
