"""What is left of a condition when something of the request is known; only that matters whether it is certainly true.

Without negation above the atoms, an atom that is unknown counts there like one that is false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from klausel.core.conditions.outcomes import Known, TooManyCases, TruthSpace, most_steps, positive, truth_space
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Condition,
    atoms,
    attributes_of,
    evaluate_atom,
    holds_a_list,
    terms_of,
    with_one_spelling,
)
from klausel.core.terms.request import Action, Request, Resource, Subject

MOST_COMPARISONS = 8
"""With more of them left open, too many ways for them to turn out together to look at each."""
MOST_STEPS = 20_000
"""Choices of values for them, beyond which going through all would take longer than people wait for `check`."""

Folded = Condition | bool
"""A condition of which only that matters whether it is certainly true, or what it always comes to."""


def with_known_atoms(condition: Condition, known: Known) -> Folded:
    """The condition without the atoms that what is known settles."""

    def settled(atom: Atom) -> bool | None:
        values = {name: known[name][0] for name in attributes_of(atom) if len(known.get(name, ())) == 1}
        if len(values) < len(set(attributes_of(atom))):
            return None
        return evaluate_atom(atom, _request_with(values)) is True

    return fold(condition, settled)


def _request_with(values: Mapping[Attribute, object]) -> Request:
    own = {name: value for name, value in values.items() if len(name.path) == 1}
    properties: dict[str, dict[str, object]] = {"subject": {}, "resource": {}, "action": {}, "context": {}}
    for name, given in values.items():
        value = dict(given) if isinstance(given, dict) else given
        holder = properties[name.root]
        for part in name.path[:-1]:
            inner = holder.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = holder[part] = {}
            holder = inner
        holder.setdefault(name.path[-1], value)

    def text(root: str, name: str) -> str:
        return str(own.get(Attribute(root, (name,)), ""))

    return Request(
        Subject(text("subject", "type"), text("subject", "id"), properties["subject"]),
        Action(text("action", "name"), properties["action"]),
        Resource(text("resource", "type"), text("resource", "id"), properties["resource"]),
        properties["context"],
    )


def fold(condition: Condition, settled: Callable[[Atom], bool | None]) -> Folded:
    """The condition without the atoms that are settled, as true or as not true."""
    match condition:
        case AllOf(parts):
            return all_of([fold(part, settled) for part in parts])
        case AnyOf(parts):
            return any_of([fold(part, settled) for part in parts])
        case _:
            value = settled(condition)
            return condition if value is None else value


def all_of(parts: Iterable[Folded]) -> Folded:
    """`and` of what is left, each part once."""
    return _joined(parts, AllOf, True)


def any_of(parts: Iterable[Folded]) -> Folded:
    """`or` of what is left, each part once."""
    return _joined(parts, AnyOf, False)


def _joined(parts: Iterable[Folded], kind: type[AllOf] | type[AnyOf], of_none: bool) -> Folded:
    found: dict[Condition, None] = {}
    for part in parts:
        if isinstance(part, bool):
            if part is not of_none:
                return part
        else:
            found.update(dict.fromkeys(part.parts if isinstance(part, kind) else (part,)))
    return of_none if not found else next(iter(found)) if len(found) == 1 else kind(tuple(found))


def same_condition(one: Condition | None, other: Condition | None) -> bool:
    """Whether two conditions are certainly true for the same requests; where that is too much to look at, by their spelling."""
    if one is None or other is None:
        return one is other
    both = [*atoms(one), *atoms(other)]
    space = small_space(both)
    if space is None:
        return with_one_spelling(one) == with_one_spelling(other)
    return space.true_and_false(one)[0] == space.true_and_false(other)[0]


def small_space(open_atoms: Iterable[Atom], known: Known = MappingProxyType({})) -> TruthSpace | None:
    """Every way in which these comparisons turn out together; None where that is too much to look at."""
    different = {positive(atom)[0]: None for atom in open_atoms}
    containers = [atom for atom in different if any(holds_a_list(term, atom) for term in terms_of(atom))]
    if len(different) > MOST_COMPARISONS or len(containers) > 1 or most_steps(different, known) > MOST_STEPS:
        return None
    try:
        return truth_space(different, known)
    except TooManyCases:
        return None
