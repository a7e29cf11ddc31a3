"""The option `--format`: made from a table of writers, so that no format can be offered that nothing writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])
Writers = Mapping[str, Callable[..., Any]]
"""What writes the result of a command, by the name of the format; the first is the default."""


class FormatOption(click.Option):
    """The option `--format` of a command: its choices are the names in a table, its value is the writer of that name."""

    def __init__(self, declared: list[str], writers: Writers, **attributes: Any) -> None:
        for name, writer in writers.items():
            if not callable(writer):
                raise TypeError(f"--format {name} has no writer: its entry in the table is {writer!r}")
        self.writers = writers
        super().__init__(
            declared,
            type=click.Choice(list(writers)),
            default=next(iter(writers)),
            show_default=True,
            callback=lambda _context, _parameter, name: writers[name],
            **attributes,
        )


def format_option(writers: Writers, help: str = "How to write it.") -> Callable[[Command], Command]:
    """Gives a command the option; what is chosen reaches it as the parameter `write`, to be called with the result.

    All writers of a table take the same arguments. Nobody else asks for the name of a format.
    """
    return click.option("--format", "write", cls=FormatOption, writers=writers, help=help)
