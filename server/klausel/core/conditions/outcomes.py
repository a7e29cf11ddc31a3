"""Every way in which the comparisons of some conditions can turn out together: finite, exact, each with example values.

Attributes that are compared with each other, or with the same attribute, belong together. For each such group a finite set
of values stands for all: every literal, enough values between and beyond them, and none. Whatever real values a request has,
some choice of these makes every comparison come out the same. A pattern match is free: any text may match or not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Match,
    Operand,
    Truth,
    attributes_of,
    compare,
    matches_every_text,
    negate,
)

Truths = tuple[bool | None, ...]
Values = Mapping[Attribute, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which all atoms can turn out: their truths in the order of the space, and values that make them so."""

    truths: Truths
    values: Values


@dataclass(frozen=True)
class TruthSpace:
    """The outcomes of some atoms; `has_free_matches` when a pattern match was taken as free.

    A set of outcomes is a number with one bit for each, by position.
    """

    atoms: tuple[Atom, ...]
    outcomes: tuple[Outcome, ...]
    has_free_matches: bool

    @cached_property
    def everything(self) -> int:
        """All outcomes."""
        return (1 << len(self.outcomes)) - 1

    def true_and_false(self, condition: Condition | None) -> tuple[int, int]:
        """The outcomes in which a condition over these atoms is true, and those in which it is false; none is always true."""
        if condition is None:
            return self.everything, 0
        if not isinstance(condition, AllOf | AnyOf):
            atom, kept = positive(condition)
            true, false = self._columns[atom]
            return (true, false) if kept else (false, true)
        of_parts = [self.true_and_false(part) for part in condition.parts]
        if isinstance(condition, AllOf):
            return self._common(true for true, _ in of_parts), _union(false for _, false in of_parts)
        return _union(true for true, _ in of_parts), self._common(false for _, false in of_parts)

    def together(self, conditions: Iterable[Condition]) -> tuple[Truths, ...]:
        """The ways in which conditions over these atoms turn out together, each once."""
        found: dict[Truths, int] = {(): self.everything}
        for condition in conditions:
            true, false = self.true_and_false(condition)
            parted = ((True, true), (False, false), (None, ~(true | false)))
            found = {
                (*truths, value): common
                for truths, outcomes in found.items()
                for value, those in parted
                if (common := outcomes & those)
            }
        return tuple(found)

    def smallest(self, outcomes: int) -> int:
        """The position of the first outcome with the fewest values among some; there is at least one."""
        found = next(common for of_size in self._by_size if (common := of_size & outcomes))
        return (found & -found).bit_length() - 1

    def _common(self, sets: Iterable[int]) -> int:
        found = self.everything
        for one in sets:
            found &= one
        return found

    @cached_property
    def _columns(self) -> Mapping[Atom, tuple[int, int]]:
        columns = list(zip(*(outcome.truths for outcome in self.outcomes), strict=True)) or [() for _ in self.atoms]
        return {
            atom: (_as_bits(truth is True for truth in column), _as_bits(truth is False for truth in column))
            for atom, column in zip(self.atoms, columns, strict=True)
        }

    @cached_property
    def _by_size(self) -> Sequence[int]:
        """The outcomes with the fewest values, then those with more."""
        sizes = [len(outcome.values) for outcome in self.outcomes]
        return [_as_bits(size == wanted for size in sizes) for wanted in sorted(set(sizes))]


def _union(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found


def _as_bits(flags: Iterable[bool]) -> int:
    """A number with a bit for each flag, the first one the lowest."""
    return int("".join("1" if flag else "0" for flag in flags)[::-1] or "0", 2)


def positive(atom: Atom) -> tuple[Atom, bool]:
    """The atom without negation, and whether it is the same; so that an atom and its opposite count as one."""
    negated = (isinstance(atom, Comparison) and atom.operator in ("!=", "not in", ">", ">=")) or (
        isinstance(atom, Truth | Match) and not atom.wanted
    )
    if not negated:
        return atom, True
    opposite = negate(atom)
    assert isinstance(opposite, Comparison | Truth | Match)
    return opposite, False


MOST_CASES = 200_000
"""Choices of values for one group of attributes, or outcomes, beyond which nothing is gone through."""


TOO_MANY_CASES_HINT = "compare fewer values with each other, or make fewer different comparisons about one action"


class TooManyCases(Exception):
    """An exact answer would take too long; the text says why, and reads on after a name of what was asked and a colon."""

    def about(self, action: str, resource_type: str) -> TooManyCases:
        """The same, with the question whose conditions are meant."""
        return TooManyCases(f"{action} {resource_type}: {self}")


Known = Mapping[Attribute, tuple[object, ...]]
"""Attributes of which more is known: the values that they may have (None: missing)."""


def truth_space(all_atoms: Iterable[Atom], known: Known = MappingProxyType({})) -> TruthSpace:
    """The exact space of these atoms. Its size is the product over groups of attributes that share nothing.

    Raises `TooManyCases` where that is more than can be gone through.
    """
    atoms = tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms))
    groups = [_group_outcomes(group, known) for group in _groups(atoms)]
    if math.prod(len(outcomes) for _, outcomes in groups) > MOST_CASES:
        raise TooManyCases(
            f"its conditions make {len(atoms)} different comparisons, which can turn out in too many ways together"
        )
    outcomes = []
    for parts in itertools.product(*(outcomes for _, outcomes in groups)):
        found: dict[Atom, bool | None] = {}
        values: dict[Attribute, object] = {}
        for (group, _), part in zip(groups, parts, strict=True):
            found.update(zip(group, part.truths, strict=True))
            values.update(part.values)
        outcomes.append(Outcome(tuple(found[atom] for atom in atoms), values))
    return TruthSpace(
        atoms, tuple(outcomes), any(isinstance(atom, Match) and not matches_every_text(atom) for atom in atoms)
    )


def most_steps(all_atoms: Iterable[Atom], known: Known = MappingProxyType({})) -> int:
    """How many choices of values, or outcomes, `truth_space` goes through at most; found without going through them."""
    choices, outcomes = 0, 1
    for group in _groups(tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms))):
        of_group = _most_choices(group, known)
        choices += of_group
        outcomes *= min(of_group, 3 ** len(group))
    return max(choices, outcomes)


def _most_choices(group: tuple[Atom, ...], known: Known) -> int:
    attributes = {attribute for atom in group for attribute in attributes_of(atom)}
    given = [value for attribute in attributes for value in known.get(attribute, ())]
    scalars = _scalar_values(group, given, len(attributes))
    containers = {atom.right for atom in group if isinstance(atom, Comparison) and atom.operator == "in"}
    choices: int = 2 ** sum(isinstance(atom, Match) for atom in group)
    for attribute in attributes:
        if attribute in known:
            choices *= len(known[attribute])
        elif attribute in containers:
            choices *= 2 ** (len(scalars) + 1) + len(scalars) + 1
        else:
            choices *= len(_values_of(attribute, group, scalars))
    return choices


def _groups(atoms: Sequence[Atom]) -> list[tuple[Atom, ...]]:
    """The atoms, apart where they share no attribute, not even through others. A path inside another shares it."""
    groups: list[tuple[set[Attribute], list[Atom]]] = []
    for atom in atoms:
        attributes, members = set(attributes_of(atom)), [atom]
        apart = []
        for others, their_members in groups:
            if any(_overlap(one, other) for one in attributes for other in others):
                attributes |= others
                members = [*their_members, *members]
            else:
                apart.append((others, their_members))
        groups = [*apart, (attributes, members)]
    return [tuple(members) for _, members in groups]


def _overlap(one: Attribute, other: Attribute) -> bool:
    length = min(len(one.path), len(other.path))
    return one.root == other.root and one.path[:length] == other.path[:length]


def _group_outcomes(atoms: tuple[Atom, ...], known: Known) -> tuple[tuple[Atom, ...], tuple[Outcome, ...]]:
    attributes = sorted({attribute for atom in atoms for attribute in attributes_of(atom)}, key=str)
    values_known = [value for attribute in attributes for value in known.get(attribute, ())]
    given = [item for value in values_known for item in (value if isinstance(value, list) else [value])]
    scalars = _scalar_values(atoms, given, len(attributes))
    choices = [known.get(attribute) or _values_of(attribute, atoms, scalars) for attribute in attributes]
    outcomes: dict[Truths, Outcome] = {}
    chosen_in_turn = _choices_of_all(choices, _alike(atoms, given, scalars))
    for number, chosen in enumerate(chosen_in_turn):
        if number >= MOST_CASES:
            names = ", ".join(map(str, attributes))
            raise TooManyCases(f"its conditions compare too many values with each other: {names}")
        values = dict(zip(attributes, chosen, strict=True))
        if not _fit_together(values):
            continue
        for truths in itertools.product(*(_truths_of(atom, values) for atom in atoms)):
            if truths not in outcomes:
                shown = {name: value for name, value in values.items() if value is not None}
                outcomes[truths] = Outcome(truths, shown)
    return atoms, tuple(outcomes.values())


_Key = tuple[type, object]


def _alike(atoms: Sequence[Atom], given: Sequence[object], scalars: Sequence[object]) -> dict[_Key, tuple[str, int]]:
    """The values that nothing tells apart but whether they are equal: for each its kind and its number among them.

    There are none where the order of values matters, or where lists are made of them.
    """
    comparisons = [atom for atom in atoms if isinstance(atom, Comparison)]
    if any(
        atom.operator in ("<", "<=") or (atom.operator == "in" and isinstance(atom.right, Attribute)) for atom in comparisons
    ):
        return {}
    named = {_key(value) for value in (*given, *(value for atom in atoms for value in _literals(atom)))}
    alike: dict[_Key, tuple[str, int]] = {}
    counts = {"text": 0, "number": 0}
    for value in scalars:
        if isinstance(value, bool) or _key(value) in named:
            continue
        kind = "text" if isinstance(value, str) else "number"
        alike[_key(value)] = kind, counts[kind]
        counts[kind] += 1
    return alike


def _key(value: object) -> _Key:
    """A value apart from those of other types that Python calls equal."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float, value
    return type(value), value


def _choices_of_all(
    choices: Sequence[Sequence[object]], alike: Mapping[_Key, tuple[str, int]]
) -> Iterator[tuple[object, ...]]:
    """Every choice of one value each; of choices that differ only in which of the values alike they take, the first."""

    def go_on(chosen: tuple[object, ...], used: Mapping[str, int]) -> Iterator[tuple[object, ...]]:
        if len(chosen) == len(choices):
            yield chosen
            return
        for value in choices[len(chosen)]:
            kind, number = alike.get(_key(value), ("", 0)) if alike and not isinstance(value, list) else ("", 0)
            if kind and number > used[kind]:
                continue
            grown = {**used, kind: number + 1} if kind and number == used[kind] else used
            yield from go_on((*chosen, value), grown)

    if not alike:
        yield from itertools.product(*choices)
    else:
        yield from go_on((), {"text": 0, "number": 0})


def _fit_together(values: Values) -> bool:
    """An attribute that is looked into (`a.b` beside `a`) has no value of its own while a part of it has one."""
    for one, other in itertools.combinations(values, 2):
        if _overlap(one, other) and values[one] is not None and values[other] is not None:
            return False
    return True


def _scalar_values(atoms: Sequence[Atom], given: Sequence[object], count: int) -> list[object]:
    """The literals, and between and beyond them as many values as there are attributes to differ from each other."""
    literals = [*given, *(value for atom in atoms for value in _literals(atom))]
    orders = any(isinstance(atom, Comparison) and atom.operator in ("<", "<=") for atom in atoms)
    texts = sorted({value for value in literals if isinstance(value, str)})
    numbers = sorted({value for value in literals if not isinstance(value, bool | str) and isinstance(value, int | float)})
    return [True, False, *_texts(texts, count, orders), *_numbers(numbers, count, orders)]


def _texts(literals: list[str], count: int, orders: bool) -> list[str]:
    if not orders:
        fresh = (name for name in map("x{}".format, itertools.count(1)) if name not in literals)
        return [*literals, *itertools.islice(fresh, count)]
    between = [text + "\x00" * step for text in literals for step in range(1, count + 1)]
    return sorted({"", *literals, *between, *("x" * step for step in range(1, count + 1) if not literals)})


def _numbers(literals: list[int | float], count: int, orders: bool) -> list[int | float]:
    beyond = literals[-1] if literals else 0
    above = [beyond + step for step in range(1, count + 1)]
    if not orders or not literals:
        return [*literals, *above]
    below = [literals[0] - step for step in range(1, count + 1)]
    between = [
        low + (high - low) * step / (count + 1) for low, high in itertools.pairwise(literals) for step in range(1, count + 1)
    ]
    return [*literals, *below, *between, *above]


def _literals(atom: Atom) -> Iterator[object]:
    if isinstance(atom, Comparison):
        for operand in (atom.left, atom.right):
            if isinstance(operand, Literal):
                yield operand.value
            elif isinstance(operand, ListOf):
                yield from (item.value for item in operand.items)


def _values_of(attribute: Attribute, atoms: Sequence[Atom], scalars: list[object]) -> list[object]:
    """What an attribute may be: nothing, values of the kinds that it is compared with, and lists where it holds some."""
    if _is_own(attribute):
        return [value for value in scalars if isinstance(value, str)]
    kinds: set[type] = set()
    values: list[object] = [None]
    for atom in atoms:
        if attribute not in attributes_of(atom):
            continue
        if isinstance(atom, Comparison):
            other = atom.right if atom.left == attribute else atom.left
            if atom.operator == "in" and atom.right == attribute:
                values += _lists(scalars if isinstance(other, Attribute) and not _is_own(other) else _like(other, scalars))
                continue
            kinds |= {str, bool, int, float} if isinstance(other, Attribute) and not _is_own(other) else _kinds(other)
        else:
            kinds |= {bool} if isinstance(atom, Truth) else {str}
    values += [value for value in scalars if type(value) in kinds]
    return values


def _is_own(attribute: Attribute) -> bool:
    return len(attribute.path) == 1 and attribute.path[0] in OWN_ATTRIBUTES[attribute.root]


def _kinds(operand: Operand) -> set[type]:
    if isinstance(operand, Attribute):
        return {str}
    literals = [operand] if isinstance(operand, Literal) else operand.items
    kinds = {type(literal.value) for literal in literals}
    return kinds | {int, float} if kinds & {int, float} else kinds


def _like(operand: Operand, scalars: list[object]) -> list[object]:
    return [value for value in scalars if type(value) in _kinds(operand)]


def _lists(elements: list[object]) -> list[object]:
    """Every list of these elements, alone and with one more of a kind that nothing equals."""
    plain: list[object] = [
        list(chosen) for size in range(len(elements) + 1) for chosen in itertools.combinations(elements, size)
    ]
    return [*plain, *([*chosen, {}] for chosen in plain if isinstance(chosen, list))]


def _truths_of(atom: Atom, values: Values) -> tuple[bool | None, ...]:
    match atom:
        case Comparison(operator, left, right):
            return (compare(operator, _value(left, values), _value(right, values)),)
        case Truth(attribute, wanted):
            value = values[attribute]
            return (value is wanted if isinstance(value, bool) else None,)
        case Match(_, attribute, _, wanted):
            if not isinstance(values[attribute], str):
                return (None,)
            return (wanted,) if matches_every_text(atom) else (True, False)


def _value(operand: Operand, values: Values) -> object:
    match operand:
        case Literal(value):
            return value
        case ListOf(items):
            return [item.value for item in items]
        case Attribute():
            return values[operand]
