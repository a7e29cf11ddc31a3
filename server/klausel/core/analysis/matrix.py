"""The matrix of roles by actions: what each role gives by itself, in every kind of place; exact on conditions.

It shares only the placements of the decision table: a cell says a condition, which is simplified from those of the grants,
and going through the outcomes of all conditions together would tell no more and end where these are too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from klausel.core.analysis.condition_wording import in_words
from klausel.core.analysis.permission import Permission, Question, question_at
from klausel.core.analysis.question_space import Placement, domains_and_atoms, placements
from klausel.core.conditions.simplify import same_condition
from klausel.core.policy.policy_set import Grant, NamedCondition, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, is_joint, parts_of
from klausel.core.policy.scope import Scope
from klausel.core.terms.places import EVERY

Nearness = Literal["inside", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a role gives in one kind of place: inside the domain where it is held, or elsewhere below the same top.

    `is_named` for a place that a grant or a condition names and that differs from others of its kind.
    """

    where: str
    nearness: Nearness
    is_named: bool
    permission: Permission


@dataclass(frozen=True, slots=True)
class Cell:
    """What a role gives for one action: `yes`, `no` or `when …`, in words; `told` says it place by place."""

    text: str
    told: tuple[Told, ...]

    @property
    def is_no(self) -> bool:
        """Whether it is given nowhere."""
        return self.text == "no"


@dataclass(frozen=True, slots=True)
class Row:
    """One action on a resource type: a cell for each grantee column, and the grants about it."""

    resource_type: str
    action: str
    cells: Mapping[str, Cell]
    grants: tuple[Grant, ...]


Wording = tuple[Sequence[str], Mapping[str, NamedCondition]]
"""Which columns rows have, those of which a part is no role left out, and which named conditions their cells may use."""


def columns_of(policy: PolicySet) -> tuple[str, ...]:
    """The roles in the order of the file; after them what grants name that is none: several together, and `anyone`."""
    joint = sorted(policy.roles.joint)
    anyone = [ANYONE] if any(grant.grantee == ANYONE for grant in policy.grants) else []
    return (*policy.roles.roles, *joint, *anyone)


def matrix_rows(policy: PolicySet, wording: Wording | None = None) -> Iterator[Row]:
    """A row for each action of each resource type, in the order of the files."""
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield matrix_row(policy, declared.name, action, wording)


def matrix_row(policy: PolicySet, resource_type: str, action: str, wording: Wording | None = None) -> Row:
    """The row of one action; with its own columns and names, unless `wording` has others."""
    columns, names = wording or (columns_of(policy), policy.conditions)
    grants = policy.grants_about(resource_type, action)
    places = [
        (_place(policy.roles, placement), question_at(policy, resource_type, action, placement))
        for placement in placements(policy, resource_type, action, *domains_and_atoms(grants))
    ]
    cells = {name: _cell(policy, name, places, names) for name in columns if _is_there(policy.roles, name)}
    return Row(resource_type, action, cells, grants)


def _is_there(roles: RoleModel, column: str) -> bool:
    """Whether everything that a column stands for can be held."""
    return column == ANYONE or all(part.removeprefix(ANY_PREFIX) in roles.roles for part in parts_of(column))


@dataclass(frozen=True, slots=True)
class _Place:
    """A kind of domain: its depth (0: none), and where it is, in words, where a grant or a condition names a part of it."""

    depth: int
    name: str | None
    domain: str = ""


def _place(roles: RoleModel, placement: Placement) -> _Place:
    if not any(placement.shape):
        return _Place(len(placement.shape), None, placement.domain or "")
    levels = roles.levels[: len(placement.shape)]
    shown = [part or level.constant or EVERY for level, part in zip(levels, placement.shape, strict=True)]
    where = Scope("/".join(shown), levels[-1].name if len(levels) < len(roles.levels) else None)
    return _Place(len(shown), where.words, placement.domain or "")


def _cell(
    policy: PolicySet, column: str, places: Iterable[tuple[_Place, Question]], names: Mapping[str, NamedCondition]
) -> Cell:
    """Places that a grant or a condition names are told only where they differ from others of their depth."""
    roles = policy.roles
    told: list[Told] = []
    usual: dict[tuple[int, Nearness], Permission] = {}
    for place, question in sorted(places, key=lambda one: one[0].name is not None):
        for nearness, held in _resolved_roles(roles, column, place):
            permission = question.permission(held)
            everybody = question.permission({ANYONE})
            if nearness == "elsewhere" and everybody.verdict != "never" and same_permission(permission, everybody):
                continue
            kind = (place.depth, nearness)
            if place.name is None:
                usual[kind] = permission
            elif kind in usual and same_permission(permission, usual[kind]):
                continue
            told.append(Told(_where(roles, column, place, nearness), nearness, place.name is not None, permission))
    return Cell(_text(roles, told, names), tuple(told))


def _resolved_roles(roles: RoleModel, column: str, place: _Place) -> Iterator[tuple[Nearness, frozenset[str]]]:
    """How the holder of a role may stand to a place, and the names held there."""
    if column == ANYONE:
        yield "inside", frozenset({ANYONE})
        return
    if place.depth == 0:
        return
    if is_joint(column):
        if _depth(roles, column) <= place.depth:
            yield "inside", roles.names_of(frozenset(parts_of(column)))
        return
    depth = roles.depths[column]
    ids = place.domain.split("/")
    if depth <= place.depth:
        yield "inside", _names(roles, column, "/".join(ids[:depth]), place)
    if depth > 1:
        yield "elsewhere", _names(roles, column, "/".join([ids[0], *[""] * (depth - 1)]), place)


def _names(roles: RoleModel, column: str, held_in: str, place: _Place) -> frozenset[str]:
    """What a role held in a domain is in a place; empty ids are those of domains that nothing names."""
    return roles.with_joint(roles.names_given(column, held_in, place.domain) | {ANYONE})


def _depth(roles: RoleModel, column: str) -> int:
    """How deep a domain must be for all that a column stands for to be held there."""
    return max(roles.depths.get(part, 1) for part in parts_of(column))


def _where(roles: RoleModel, column: str, place: _Place, nearness: Nearness) -> str:
    if place.name is not None:
        return place.name
    if place.depth == 0:
        return "where no domain is named"
    level = roles.levels[place.depth - 1]
    depth = _depth(roles, column)
    if nearness == "inside":
        return f"in the {level.name}" if place.depth == depth else f"in any {level.name} of it"
    return f"in the {level.name}" if place.depth < depth else f"in another {level.name}"


def _text(roles: RoleModel, told: Iterable[Told], names: Mapping[str, NamedCondition]) -> str:
    said = [(one, verdict_in_words(one.permission, names)) for one in told]
    inside = [(one.where, text) for one, text in said if one.nearness == "inside" and not one.is_named]
    elsewhere = [(one.where, text) for one, text in said if one.nearness == "elsewhere" and not one.is_named]
    parts = _by_place(inside)
    top = roles.levels[0].name
    if len({text for _, text in elsewhere}) > 1:
        parts += [f"{where}: {text}" for where, text in elsewhere if text != "no"]
    elif elsewhere and elsewhere[0][1] != "no":
        text = elsewhere[0][1]
        parts.append(f"also elsewhere in the {top}" if parts == [text] else f"elsewhere in the {top}: {text}")
    for one, text in said:
        if one.is_named:
            parts.append(f"{one.where}{'' if one.nearness == 'inside' else ', held elsewhere'}: {text}")
    return "; ".join(parts if parts[:1] != ["no"] else parts[1:]) or "no"


def _by_place(told: list[tuple[str, str]]) -> list[str]:
    if len({text for _, text in told}) <= 1:
        return [text for _, text in told[:1]]
    return [f"{where}: {text}" for where, text in told if text != "no"]


def verdict_in_words(permission: Permission, names: Mapping[str, NamedCondition]) -> str:
    """`yes`, `no`, or `when` with the condition, under its names where it has some."""
    if permission.condition is None:
        return "yes" if permission.verdict == "always" else "no"
    return f"when {in_words(permission.condition, names, permission.brought)}"


def same_permission(one: Permission, other: Permission) -> bool:
    """Whether two permissions allow the same requests."""
    return one.verdict == other.verdict and same_condition(one.condition, other.condition)


def same_cell(one: Cell | None, other: Cell | None) -> bool:
    """Whether two cells allow the same everywhere; None is a cell of a role or an action that is not there."""
    if one is None or other is None:
        return (one is None or one.is_no) and (other is None or other.is_no)
    first, second = ({(told.where, told.nearness): told.permission for told in cell.told} for cell in (one, other))
    return first.keys() == second.keys() and all(same_permission(first[place], second[place]) for place in first)
