"""A picture as data: boxes in columns and bands, and arrows between them. What writes it decides how it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["role", "allow", "deny", "action", "more", "less", "other"]
"""What a box stands for: a role; a grant; actions; or a change by which more is allowed, less, or something else."""

MOST_LINES = 14


@dataclass(frozen=True, slots=True)
class Box:
    """A thing with a title and lines below it; `id` is its own within the picture.

    It stands in a band (counted from the top) and a column (from the left). `hint` is what a pointer over it shows, whole.
    """

    id: str
    title: str
    kind: Kind
    column: int
    band: int = 0
    lines: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another one, by their ids; dashed where it holds in one place alone, which `text` says."""

    start: str
    end: str
    text: str = ""
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: `bands` are the headings of the bands, from the top; an empty one has none.

    `remarks` say how to read it.
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    bands: tuple[str, ...] = ("",)
    remarks: tuple[str, ...] = ()


def by_type(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines `type: action, action` for pairs of a resource type and an action, the types in the order of their first pair."""
    found: dict[str, dict[str, None]] = {}
    for resource_type, action in named:
        found.setdefault(resource_type, {})[action] = None
    for resource_type, actions in found.items():
        yield f"{resource_type}: {', '.join(actions)}"


def capped(lines: Iterable[str]) -> tuple[str, ...]:
    """The first of these lines, and how many more there are."""
    given = tuple(lines)
    return given if len(given) <= MOST_LINES else (*given[: MOST_LINES - 1], f"and {len(given) - MOST_LINES + 1} more")
