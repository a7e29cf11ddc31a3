"""Problems: what is wrong in a policy editor's files, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from klausel.core.terms.lookalikes import as_seen

Severity = Literal["error", "warning"]
SWITCH_OFF_MARK = "klausel:"
"""A comment that starts like this switches a warning off."""


class Place(NamedTuple):
    """A position in a file; line and column count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def source(self) -> str:
        """The line alone, as `file:line`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: place, stable kebab-case id, what (one sentence, small first letter), how to fix it."""

    place: Place
    id: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.place}: {self.severity}: {self.message}{hint} ({self.id})"


class PolicyError(Exception):
    """A policy set was refused; carries every problem found, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class FormatLossError(Exception):
    """The canonical form of a file would not say the same, or lose a comment; the message says which."""


Listed = TypeVar("Listed")
MOST_COMPARISONS = 250_000
MOST_SHOWN = 1_000


class Suggestions:
    """Looks for known names that are like unknown ones, until so many names were compared; afterwards it finds none."""

    def __init__(self, comparisons: int = MOST_COMPARISONS) -> None:
        self._left = comparisons

    @property
    def are_used_up(self) -> bool:
        """Whether no name is looked for any more."""
        return self._left < 0

    def nearest(self, name: str, known: Collection[str], likeness: float = 0.6) -> str | None:
        """As `nearest_name`."""
        self._left -= len(known)
        return nearest_name(name, known, likeness) if self._left >= 0 else None


def first_of(problems: Sequence[Listed], most: int = MOST_SHOWN) -> tuple[Sequence[Listed], str]:
    """So many of the problems, or groups of them, and what says that there are more; empty when there are not."""
    more = len(problems) - most
    return problems[:most], f"and {more:,} more" if more > 0 else ""


_LIKENESS_OF_SLIPS = 0.67
"""So like another name one must be to be a slip for it; less is words that share some letters."""


def nearest_name(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that is most like `name`, or None when none is near; ties go to the first in alphabetical order.

    Words that share letters by chance are not near: `restore` is no slip for `create`, but `manager` is one for
    `site_manager`, and so are the same letters in another order.
    """
    names = sorted(known)
    seen = as_seen(name)
    alike = next((one for one in names if as_seen(one).casefold() == seen.casefold() and one != name), None)
    if alike is not None:
        return alike
    name = seen
    near = difflib.get_close_matches(name, names, n=1, cutoff=likeness)
    if not near:
        return None
    is_part = name in near[0] or near[0] in name or sorted(name) == sorted(near[0])
    is_near = is_part or difflib.SequenceMatcher(None, near[0], name).ratio() >= _LIKENESS_OF_SLIPS
    return near[0] if is_near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The start of a hint: `did you mean "lead"?`, or an empty string when nothing is near."""
    near = nearest_name(name, known)
    return f'did you mean "{near}"? ' if near else ""


def problem_as_json(problem: Problem) -> dict[str, object]:
    """A problem as programs read it."""
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "severity": problem.severity,
        "id": problem.id,
        "message": problem.message,
        "hint": problem.hint,
    }
