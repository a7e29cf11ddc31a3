"""Who, and which resources, can be among the answers of a search: found from grants, before anybody is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal as Choice

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import Attribute, Call, Comparison, Computed, ListOf, Literal, Operand, operands_of
from klausel.core.conditions.values import Scalar, kind_of
from klausel.core.filters.filling import filled_in
from klausel.core.filters.tree import (
    Every,
    Filter,
    FilterCondition,
    InDomains,
    Missing,
    NamesDomain,
    Some,
    equal_to,
    every,
    some,
)
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.request import Request

SUBJECT_ID = Attribute("subject", ("id",))
RESOURCE_ID = Attribute("resource", ("id",))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Subjects of a type that may be allowed: who has one of the names, those with one of the ids, and whom `anyone` takes.

    That is a filter of subjects, without regard to those ids. Each of `on_condition` are a name, or `anyone`, and what must
    be stored of who has it; the names of these are not among the others.
    """

    anyone: Filter
    names: frozenset[str]
    ids: frozenset[str]
    on_condition: tuple[tuple[str, FilterCondition], ...] = ()


def candidates_among_subjects(policy: PolicySet, request: Request, domain: str | None) -> Candidates:
    """Nobody else than these can be allowed what the request asks in a domain; the id of its subject does not count.

    Nor do its properties, where the database may hold others for each subject.
    """
    are_stored = request.subject.type in policy.stored_subjects

    def is_open(attribute: Attribute) -> bool:
        return attribute == SUBJECT_ID or (are_stored and attribute.root == "subject" and attribute.path != ("type",))

    anyone: list[Filter] = []
    names: set[str] = set()
    ids: set[str] = set()
    on_condition: dict[tuple[str, str], tuple[str, FilterCondition]] = {}
    for grant in policy.grants_about(request.resource.type, request.action.name):
        if grant.effect == "deny" or not grant.scope.covers(domain, policy.roles):
            continue
        left: Filter = True if grant.condition is None else filled_in(grant.condition, request, is_open)
        needed = values_needed(left, SUBJECT_ID)
        if needed is not None:
            ids |= needed
        elif not isinstance(left, bool) and are_stored:
            on_condition[grant.grantee, str(left)] = grant.grantee, left
        elif grant.grantee == ANYONE:
            anyone.append(left)
        else:
            names.add(grant.grantee)
    return Candidates(some(anyone), frozenset(names), frozenset(ids), tuple(on_condition.values()))


def values_needed(filter_: Filter, attribute: Attribute) -> frozenset[str] | None:
    """The only texts that an attribute can be where a filter holds, or some more; None where it can be any."""
    match filter_:
        case False:
            return frozenset()
        case Comparison("==", left, Literal(value)) if left == attribute:
            return frozenset({value} if isinstance(value, str) else ())
        case Comparison("in", left, ListOf(items)) if left == attribute:
            return frozenset(item.value for item in items if isinstance(item.value, str))
        case InDomains(attributes, domains) if attribute in attributes:
            position = attributes.index(attribute)
            return frozenset(domain.split("/")[position] for domain in domains)
        case Every(parts):
            found = [needed for part in parts if (needed := values_needed(part, attribute)) is not None]
            return min(found, key=len) if found else None
        case Some(parts):
            together: set[str] = set()
            for part in parts:
                needed = values_needed(part, attribute)
                if needed is None:
                    return None
                together |= needed
            return frozenset(together)
    return None


def values_held(leaf: FilterCondition) -> tuple[Attribute, tuple[Scalar, ...]] | None:
    """An attribute, and values one of which it is, or holds in its list, where a leaf holds; None for other leaves."""
    match leaf:
        case Comparison("in", Literal(value), Attribute() as attribute):
            return attribute, (value,)
        case Call("overlaps", (Attribute() as attribute, ListOf(items)) | (ListOf(items), Attribute() as attribute), True):
            return attribute, tuple(item.value for item in items if item.value is not None)
        case Comparison():
            equal = equal_to(leaf)
            return None if equal is None else (equal[0], tuple(literal.value for literal in equal[1].values()))
    return None


@dataclass(frozen=True, slots=True)
class Bound:
    """What the value of an attribute is held to where a leaf holds: one number or text, which a time may be written as."""

    attribute: Attribute
    operator: Choice["<", "<=", ">", ">=", "==", "begins with"]
    value: int | float | str | datetime


def bound_of(leaf: FilterCondition) -> Bound | None:
    """How a leaf bounds the value of one attribute, which is no list; None for other leaves."""
    match leaf:
        case Call(function, (Attribute() as attribute, Literal(str() as start)), True) if (
            FUNCTIONS[function].meaning is str.startswith
        ):
            return Bound(attribute, "begins with", start)
        case Comparison(operator, Literal() as left, right):
            mirrored = FUNCTIONS[operator].mirrored
            return None if mirrored is None else _bound(mirrored, right, left)
        case Comparison(operator, left, Literal() as right):
            return _bound(operator, left, right)
    return None


def _bound(operator: str, left: Operand, right: Literal) -> Bound | None:
    match operator, left, right.value:
        case "<" | "<=" | ">" | ">=", Attribute(), bool():
            return None
        case "<" | "<=" | ">" | ">=", Attribute() as attribute, int() | float() as number if kind_of(number) is not None:
            return Bound(attribute, operator, number)
        case "<" | "<=" | ">" | ">=" | "==", Computed("time", (Attribute() as attribute,)), datetime() as moment:
            return Bound(attribute, operator, moment)
    return None


def by_id_alone(filter_: Filter) -> Filter:
    """What a filter comes to for resources of which nothing is known but their id."""
    match filter_:
        case bool():
            return filter_
        case Every(parts):
            return every(map(by_id_alone, parts))
        case Some(parts):
            return some(map(by_id_alone, parts))
        case Missing(attribute):
            return attribute != RESOURCE_ID
        case _:
            return filter_ if _reads_the_id_alone(filter_) else False


def _reads_the_id_alone(leaf: FilterCondition) -> bool:
    match leaf:
        case NamesDomain(attributes):
            return attributes == (RESOURCE_ID,)
        case Every() | Some() | Missing() | InDomains():
            return False
        case _:
            return all(operand == RESOURCE_ID or isinstance(operand, Literal | ListOf) for operand in operands_of(leaf))
