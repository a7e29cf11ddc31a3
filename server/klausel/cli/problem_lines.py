"""Problems as people read them: what causes others first, what says the same folded, and on a terminal the line itself."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

import click

from klausel.cli.output import say_painted
from klausel.core.terms.problem import Problem, first_of

FEWEST_FOLDED = 3
"""So many problems behind one like them are folded; fewer are shown."""
_HIDES_NAMES = re.compile(r"yaml-|csv-quoting|not-utf8|invisible-character|byte-order-mark|unreadable-file|unknown-file")
_NAMES_NOBODY_DECLARES = re.compile(r"unknown-(role|resource-type|action|condition|level|grant|person|resource)")
_WORD = re.compile(r"[\w.@:/*-]+|\S|$")
_COLOURS = {"error": "red", "warning": "yellow"}

TextOf = Callable[[str], str | None]
"""The text of a file by its name for people; None where it cannot be shown."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the reader sees it on."""

    columns: int
    has_colours: bool

    @classmethod
    def of(cls, stream: IO[str]) -> Terminal | None:
        """The terminal that a stream writes to; None for a pipe or a file."""
        if not stream.isatty():
            return None
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(max(shutil.get_terminal_size().columns, 40), not plain)


@dataclass(slots=True)
class Group:
    """A problem, and those that need not be shown beside it; `why` says why, as the end of a sentence."""

    first: Problem
    more: list[Problem] = field(default_factory=list)
    why: str = ""


def grouped(problems: Iterable[Problem]) -> list[Group]:
    """The problems in order, with what follows from one behind it, and what says the same as one.

    A file that cannot be read hides what it declares, so names that nobody declares follow from that.
    """
    problems = sorted(problems)
    hiding = [problem for problem in problems if _HIDES_NAMES.match(problem.id)]
    hidden = [problem for problem in problems if hiding and _NAMES_NOBODY_DECLARES.fullmatch(problem.id)]
    if hidden:
        apart = {*hiding, *hidden}
        problems = [*hiding, *(problem for problem in problems if problem not in apart)]
    groups: list[Group] = []
    same: dict[tuple[str, str], Group] = {}
    for problem in problems:
        alike = same.get((problem.id, problem.message))
        if alike is None:
            alike = same[problem.id, problem.message] = Group(problem)
            groups.append(alike)
        else:
            alike.more.append(problem)
            alike.why = "say the same"
    root = groups[0] if hidden else None
    if root is not None:
        root.why = "say the same or may follow from it" if root.more else "may follow from it"
        root.more += hidden
    folded = [group for group in groups if len(group.more) >= FEWEST_FOLDED]
    single = [Group(one) for group in groups if len(group.more) < FEWEST_FOLDED for one in (group.first, *group.more)]
    first = None if root is None else root.first
    return sorted([*folded, *single], key=lambda group: (group.first != first, group.first))


def lines_of(
    problems: Iterable[Problem], terminal: Terminal | None, text_of: TextOf = lambda file: None, show_all: bool = False
) -> Iterator[str]:
    """The lines to print: one a problem, or, on a terminal, with the line that it is about under it."""
    if show_all:
        for problem in problems:
            yield from _lines(problem, terminal, text_of)
        return
    groups, more = first_of(grouped(problems))
    for group in groups:
        yield from _lines(group.first, terminal, text_of)
        if group.more:
            files = len({problem.place.file for problem in group.more})
            where = f"in {group.more[0].place.file}" if files == 1 else f"in {files} files"
            yield f"  and {len(group.more)} more that {group.why}, {where} (klausel check --all shows them)"
    if more:
        yield f"{more} (klausel check --all shows them)"


def _lines(problem: Problem, terminal: Terminal | None, text_of: TextOf) -> Iterator[str]:
    if terminal is None:
        yield str(problem)
        return

    def styled(text: str, **style: object) -> str:
        return click.style(text, **style) if terminal.has_colours else text  # type: ignore[arg-type]

    colour = _COLOURS[problem.severity]
    yield f"{styled(str(problem.place), bold=True)}: {styled(problem.severity, fg=colour, bold=True)} ({problem.id})"
    said = problem.message + (f"; {problem.hint}" if problem.hint else "")
    for line in textwrap.wrap(said, terminal.columns - 2, break_on_hyphens=False):
        yield f"  {line}"
    text = text_of(problem.place.file)
    shown = None if text is None else _excerpt(text, problem.place.line, problem.place.column, terminal.columns)
    if shown is not None:
        number = str(problem.place.line)
        yield f"  {number} | {shown[0]}"
        yield f"  {' ' * len(number)} | {styled(shown[1], fg=colour, bold=True)}"
    yield ""


def _excerpt(text: str, line: int, column: int, columns: int) -> tuple[str, str] | None:
    """A line of a text, cut to what fits, and the carets below the word at a column; None where there is no such line."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return None
    source = "".join(sign if sign.isprintable() else " " if sign == "\t" else "�" for sign in lines[line - 1])
    start = min(column - 1, len(source))
    found = _WORD.match(source, start)
    length = max(len(found[0]) if found else 1, 1)
    room = columns - len(str(line)) - 6
    cut = max(0, min(start - room // 3, len(source) - room))
    shown = source[cut : cut + room]
    if cut:
        shown = "…" + shown[1:]
    if cut + room < len(source):
        shown = shown[:-1] + "…"
    source = shown
    before = source[: start - cut]
    carets = "^" * max(1, min(_width(source[start - cut : start - cut + length]), room - _width(before)))
    return source, " " * _width(before) + carets


def _width(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def print_problems(problems: Iterable[Problem]) -> None:
    """Prints problems for people to standard error."""
    say_painted(lines_of(problems, Terminal.of(sys.stderr)), err=True)
