"""Giving a thing another name in all files of a policy set at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from klausel.core.editing.mentions import Mention, mentions_in
from klausel.core.loading.load import ROLES_FILE, SourceFile
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.identifiers import ROLE_CHARACTERS, is_name, is_type_or_action
from klausel.core.text.csv_rows import read_csv
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, Items, Text, read_yaml

RENAMED = ("role", "level", "resource type", "action", "condition")
"""The kinds of things that can be renamed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In a file, from a line and column on (counted from 1), so many characters become this text."""

    file: str
    line: int
    column: int
    length: int
    text: str


class CannotRename(Exception):
    """Why something keeps its name; for the person who asked."""


def edits_to_rename(files: Collection[SourceFile], mentions: Iterable[Mention], one: Mention, new: str) -> list[Edit]:
    """What to change so that everything that names the same thing has the new name; raises `CannotRename`.

    A role keeps its old name under `was`, so that stored role assignments go on counting.
    """
    mentions = mentions_in(files, with_roles_given=True) if one.kind == "role" else list(mentions)
    _check_name(one, new, mentions)
    same = [other for other in mentions if other.is_same(one)]
    declared = [other for other in same if other.is_declaration]
    if not declared:
        raise CannotRename(f'no file declares the {one.kind} "{one.name}", so it is not known what it is')
    of = {type_ for other in declared for type_ in other.types}
    for other in same:
        if not other.is_exact:
            raise CannotRename(f"{other.place} writes it over several lines or with escapes; write it plainly first")
        mixed = [type_ for type_ in other.types if type_ not in of]
        if one.kind == "action" and (len(declared) > 1 or not other.types or mixed):
            raise CannotRename(
                f"{other.place} names the action of several resource types at once; split that first, or rename by hand"
            )
    edits = [Edit(other.place.file, other.place.line, other.place.column, len(other.name), new) for other in same]
    if one.kind == "role":
        edits += _old_name(files, one.name)
    return edits


def edits_in_rows(text: str, file: str, role: str, new: str) -> Iterator[Edit]:
    """What to change in a CSV file of role assignments, such as the demo people, when a role has a new name."""
    for row in read_csv(text, file)[0]:
        if len(row) > 1 and row[1].value == role:
            yield Edit(file, row[1].place.line, row[1].place.column, len(role), new)


def _check_name(one: Mention, new: str, mentions: Iterable[Mention]) -> None:
    if one.kind not in RENAMED:
        raise CannotRename(f"a {one.kind} is not renamed here: applications send it, too")
    is_good = is_type_or_action(new) if one.kind in ("action", "resource type") else is_name(new)
    if not is_good or new in ("any", ANYONE):
        raise CannotRename(
            f'"{new}" cannot be the name of a {one.kind}: letters, digits, _ and -, a letter first, at most {ROLE_CHARACTERS}'
        )
    for other in mentions:
        is_taken = other.is_declaration and (other.kind, other.name) == (one.kind, new)
        if is_taken and (one.kind != "action" or not one.types or set(one.types) & set(other.types)):
            raise CannotRename(f'there is a {one.kind} "{new}" already, in {other.place}')


def _old_name(files: Iterable[SourceFile], role: str) -> Iterator[Edit]:
    """What writes the old name of a role beside it."""
    for file in files:
        text = decode(file.content, file.shown_as)[0] if file.name == ROLES_FILE else None
        root = read_yaml(text, file.shown_as)[0] if text is not None else None
        roles = root.get("roles") if root is not None else None
        entry = roles.entry(role) if isinstance(roles, Fields) else None
        if entry is None or text is None or not isinstance(entry[1], Fields) or not entry[1].entries:
            continue
        lines = text.splitlines()
        was = entry[1].get("was")
        if was is None:
            first = entry[1].entries[0][0].place
            if first.line == entry[0].place.line:
                yield Edit(file.shown_as, first.line, first.column, 0, f"was: {role}, ")
            else:
                yield Edit(file.shown_as, first.line, first.column, 0, f"was: {role}\n{' ' * (first.column - 1)}")
        elif isinstance(was, Text):
            # Quotes around it go.
            yield Edit(
                file.shown_as,
                was.place.line,
                was.place.column - was.is_quoted,
                len(was.value) + 2 * was.is_quoted,
                f"[{role}, {was.value}]",
            )
        elif isinstance(was, Items):
            is_flow = lines[was.place.line - 1][was.place.column - 1 : was.place.column] == "["
            first_text = f"{role}, " if is_flow else f"- {role}\n{' ' * (was.place.column - 1)}"
            yield Edit(file.shown_as, was.place.line, was.place.column + is_flow, 0, first_text)
