"""What nothing tells apart is gone through once: values that may only be equal or not, and lists of such values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.samples import few_values
from klausel.core.conditions.tree import (
    ORDERING,
    Atom,
    Call,
    Comparison,
    Computed,
    ListOf,
    Literal,
    Term,
    holds_a_list,
    literals_of,
    operands_of,
    terms_of,
)
from klausel.core.conditions.values import kind_of

Parts = list[list[object]]
"""Values that nothing tells apart, and how many of them a list may hold, as the lists of those: the first ones, or all."""
_Key = tuple[type, object]


def values_alike(atoms: Sequence[Atom], given: Sequence[object], scalars: Sequence[object]) -> dict[_Key, tuple[str, int]]:
    """The values that nothing tells apart but whether they are equal: for each its kind and its number among them.

    There are none where the order of values matters, or may matter to a function, or where lists are made of them.
    """
    if any(_may_order(atom) or any(holds_a_list(term, atom) for term in terms_of(atom)) for atom in atoms):
        return {}
    named = {_key(value) for value in given if kind_of(value) not in (None, "list")}
    named |= {_key(literal.value) for atom in atoms for literal in literals_of(atom)}
    alike: dict[_Key, tuple[str, int]] = {}
    counts = {"text": 0, "number": 0}
    for value in scalars:
        kind = kind_of(value)
        if kind not in counts or _key(value) in named:
            continue
        alike[_key(value)] = kind, counts[kind]
        counts[kind] += 1
    return alike


def _may_order(atom: Atom) -> bool:
    """Whether what comes out may depend on more than which values are equal. A free function says itself how it may turn out."""
    if isinstance(atom, Comparison):
        return atom.operator in ORDERING
    return isinstance(atom, Call) and FUNCTIONS[atom.function].told_by == "values" and _looks_into_values(atom)


def _looks_into_values(atom: Call) -> bool:
    return any(one.kinds not in ((), ("list",)) for one in FUNCTIONS[atom.function].parameters)


def _key(value: object) -> _Key:
    """A value apart from those of other types that Python calls equal."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float, value
    return type(value), value


def choices_of_all(
    choices: Sequence[Sequence[object]], alike: Mapping[_Key, tuple[str, int]]
) -> Iterator[tuple[object, ...]]:
    """Every choice of one value each; of choices that differ only in which of the values alike they take, the first."""

    def go_on(chosen: tuple[object, ...], used: Mapping[str, int]) -> Iterator[tuple[object, ...]]:
        if len(chosen) == len(choices):
            yield chosen
            return
        for value in choices[len(chosen)]:
            kind, number = alike.get(_key(value), ("", 0)) if alike and not isinstance(value, list | dict) else ("", 0)
            if kind and number > used[kind]:
                continue
            grown = {**used, kind: number + 1} if kind and number == used[kind] else used
            yield from go_on((*chosen, value), grown)

    if not alike:
        yield from itertools.product(*choices)
    else:
        yield from go_on((), {"text": 0, "number": 0})


def parts_of_lists(term: Term, atoms: Sequence[Atom], elements: Sequence[object], given: Sequence[object]) -> list[Parts]:
    """For each class of elements that nothing tells apart, what of it a list under this name may hold.

    A list need hold no more of a class than there are other terms to be looked for in it, or else all; which of the class it
    holds is all the same. Where several lists are compared with each other, each element is a class of its own.
    """
    terms = {one for atom in atoms for one in terms_of(atom)}
    others = len([one for one in terms if one != term])
    classes: dict[object, list[object]] = {}
    is_alone = [one for one in terms if any(holds_a_list(one, atom) for atom in atoms)] == [term]
    for number, value in enumerate(elements):
        signature = _signature(value, atoms, given) if is_alone else None
        classes.setdefault(number if signature is None else signature, []).append(value)
    return [
        [alike[:size] for size in (*range(min(max(1, others), len(alike) - 1) + 1), len(alike))]
        for alike in classes.values()
    ]


def _signature(value: object, atoms: Sequence[Atom], given: Sequence[object]) -> object:
    """What tells a value apart from others of its kind: where it is written; None where anything may."""
    kind = kind_of(value)
    for atom in atoms:
        if isinstance(atom, Comparison) and atom.operator in ORDERING and kind == "number":
            return None
        if isinstance(atom, Call) and _looks_into_values(atom):
            return None
    if any(value == one and kind == kind_of(one) for one in given):
        return None
    return kind, tuple(any(value == one and kind == kind_of(one) for one in written) for written in _written_together(atoms))


def _written_together(atoms: Sequence[Atom]) -> Iterator[Sequence[object]]:
    for atom in atoms:
        for operand in operands_of(atom):
            match operand:
                case Literal(value):
                    yield (value,)
                case ListOf(items):
                    yield tuple(item.value for item in items)
                case Computed():
                    yield few_values(operand)


def number_of_lists(parts: Sequence[Parts]) -> int:
    """How many lists there are of these parts, alone and with one more element."""
    return 2 * math.prod(map(len, parts))
