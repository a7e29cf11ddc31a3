"""What an editor offers to do about a problem: the name that was meant, or a comment that switches a warning off."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from klausel.core.editing.cursor import spot_at
from klausel.core.editing.mentions import Kind, Mention
from klausel.core.editing.renaming import Edit
from klausel.core.formatting.files import kind_of_file
from klausel.core.lint.registry import WARNINGS
from klausel.core.loading.declared_names import DeclaredNames
from klausel.core.terms.problem import SWITCH_OFF_MARK, Problem, nearest_name


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing to choose: what it does, in words, and the change."""

    title: str
    edit: Edit
    is_preferred: bool = False


def fixes_of(problem: Problem, text: str, name: str, names: DeclaredNames, mentions: Collection[Mention]) -> Iterator[Fix]:
    """What can be done about a problem in a file with this text and this name in the policy folder."""
    place = problem.place
    known = set()
    for mention in mentions:
        if mention.place == place and mention.is_exact:
            known = set(_declared(mention, names))
            near = nearest_name(mention.name, known) if mention.name not in known else None
            if near is not None:
                edit = Edit(place.file, place.line, place.column, len(mention.name), near)
                yield Fix(f'Change "{mention.name}" to "{near}"', edit, True)
    yield from _key_that_was_meant(problem, text, name)
    if problem.id in WARNINGS and problem.severity == "warning":
        lines = text.split("\n")
        row = lines[place.line - 1] if place.line <= len(lines) else ""
        indent = row[: len(row) - len(row.lstrip())]
        comment = f"{indent}# {SWITCH_OFF_MARK} off {problem.id} because \n"
        yield Fix(f"Switch {problem.id} off here, and say why", Edit(place.file, place.line, 1, 0, comment))


def _declared(mention: Mention, names: DeclaredNames) -> Collection[str]:
    kinds: dict[Kind, Collection[str]] = {
        "role": names.roles,
        "level": names.levels,
        "resource type": names.resource_types,
        "condition": names.conditions,
        "action": [
            action for type_ in mention.types or names.resource_types for action in names.resource_types.get(type_, ())
        ],
    }
    return kinds.get(mention.kind, ())


def _key_that_was_meant(problem: Problem, text: str, name: str) -> Iterator[Fix]:
    kind = kind_of_file(name)
    if problem.id != "unknown-key" or kind is None:
        return
    place = problem.place
    row = text.split("\n")[place.line - 1]
    typed = row[place.column - 1 :].partition(":")[0].rstrip()
    spot = spot_at(text, kind, place.line - 1, place.column - 1 + len(typed))
    near = nearest_name(typed, spot.table.names) if spot.table else None
    if near is not None:
        yield Fix(f'Change "{typed}" to "{near}"', Edit(place.file, place.line, place.column, len(typed), near), True)
