"""Every way in which the comparisons of some conditions can turn out together: finite, exact, each with example values.

Attributes that are compared with each other, or with the same attribute, belong together. For each such group a finite set
of values stands for all: every literal, enough values between and beyond them, and none. Whatever real values a request has,
some choice of these makes every comparison come out the same. Some functions are free, such as pattern matches: of a text that
stands for others, they may be true or not, as far as one text can be so. What is computed from an attribute is taken as a value
of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from klausel.core.conditions.apart import Chosen, TooManySteps
from klausel.core.conditions.free_functions import is_free
from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.group import Group, Truths, overlap
from klausel.core.conditions.samples import few_values, own_values, samples, sent
from klausel.core.conditions.symmetry import Parts, choices_of_all, number_of_lists, parts_of_lists, values_alike
from klausel.core.conditions.tree import (
    CONTEXT_NOW,
    ORDERING,
    OWN_ATTRIBUTES,
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Call,
    Comparison,
    Computed,
    Condition,
    ListOf,
    Operand,
    Term,
    Truth,
    atoms,
    attributes_in,
    attributes_of,
    holds_a_list,
    is_about_the_subject_itself,
    kind_of_operand,
    kinds_taken,
    literals_of,
    negate,
    operands_of,
    terms_of,
)
from klausel.core.conditions.values import Kind, kind_of

Values = Mapping[Term, object]


@dataclass(frozen=True, slots=True)
class Example:
    """Values of the terms of one group; where some of its atoms are free, those that are shown are sought when they are."""

    terms: Sequence[Term]
    chosen: Chosen
    group: Group = field(compare=False)
    truths: Truths

    def __len__(self) -> int:
        return sum(value is not None for value in self.chosen.values())

    def shown(self) -> Values:
        """The values that there are, by term."""
        chosen = self.chosen
        if self.group.has_free:
            chosen = dict(enumerate(self.group.example([chosen[at] for at in range(len(self.terms))], self.truths)))
        return {term: chosen[at] for at, term in enumerate(self.terms) if chosen.get(at) is not None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which all atoms can turn out: their truths in the order of the space, and values that make them so.

    The values stand in `parts`, which share no attribute and which many outcomes share.
    """

    truths: Truths
    parts: tuple[Example, ...]

    @property
    def values(self) -> Values:
        """The values of all parts, to be shown."""
        return {name: value for part in self.parts for name, value in part.shown().items()}


@dataclass(frozen=True)
class TruthSpace:
    """The outcomes of some atoms; `has_free_matches` when some were taken as free, such as pattern matches.

    A set of outcomes is a number with one bit for each, by position. Where `is_merged`, outcomes of atoms in which some
    conditions turn out alike are one, and parts of these conditions stand in for their atoms.
    """

    atoms: tuple[Condition, ...]
    outcomes: tuple[Outcome, ...]
    has_free_matches: bool
    is_merged: bool = False

    @cached_property
    def everything(self) -> int:
        """All outcomes."""
        return (1 << len(self.outcomes)) - 1

    def true_and_false(self, condition: Condition | None) -> tuple[int, int]:
        """The outcomes in which a condition over these atoms is true, and those in which it is false; none is always true."""
        if condition is None:
            return self.everything, 0
        if self.is_merged and condition in self._columns:
            return self._columns[condition]
        if not isinstance(condition, AllOf | AnyOf):
            atom, kept = positive(condition)
            true, false = self._columns[atom]
            return (true, false) if kept else (false, true)
        of_parts = [self.true_and_false(part) for part in condition.parts]
        if isinstance(condition, AllOf):
            return self._common(true for true, _ in of_parts), union(false for _, false in of_parts)
        return union(true for true, _ in of_parts), self._common(false for _, false in of_parts)

    def together(self, conditions: Iterable[Condition]) -> tuple[Truths, ...]:
        """The ways in which conditions over these atoms turn out together, each once."""
        return tuple(self.ways(conditions))

    def ways(self, conditions: Iterable[Condition]) -> Mapping[Truths, int]:
        """The ways in which conditions over these atoms turn out together, each with the outcomes in which they do."""
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
        return found

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
    def _columns(self) -> Mapping[Condition, tuple[int, int]]:
        columns = list(zip(*(outcome.truths for outcome in self.outcomes), strict=True)) or [() for _ in self.atoms]
        return {
            atom: (_as_bits(truth is True for truth in column), _as_bits(truth is False for truth in column))
            for atom, column in zip(self.atoms, columns, strict=True)
        }

    @cached_property
    def _by_size(self) -> Sequence[int]:
        """The outcomes with the fewest values, then those with more."""
        sizes = [sum(map(len, outcome.parts)) for outcome in self.outcomes]
        return [_as_bits(size == wanted for size in sizes) for wanted in sorted(set(sizes))]


def union(sets: Iterable[int]) -> int:
    """The bits that are in at least one of the sets."""
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
        isinstance(atom, Truth | Call) and not atom.wanted
    )
    if not negated:
        return atom, True
    opposite = negate(atom)
    assert isinstance(opposite, Comparison | Truth | Call)
    return opposite, False


MOST_CASES = 200_000
"""Choices of values for one group of attributes, or outcomes, beyond which nothing is gone through."""
MOST_AT_ONCE = MOST_CASES
"""Choices of values for one group of attributes that are gone through as they are; more are taken apart first."""
_MOST_PARTS = 64
"""Parts of conditions beyond which nobody looks whether each can turn out in more than one way."""
TOO_MANY_CASES_HINT = "compare fewer values with each other, or make fewer different comparisons about one action"


class TooManyCases(Exception):
    """An exact answer would take too long; the text says why, and reads on after a name of what was asked and a colon."""

    def about(self, action: str, resource_type: str) -> TooManyCases:
        """The same, with the question whose conditions are meant."""
        return TooManyCases(f"{action} {resource_type}: {self}")


Known = Mapping[Attribute, tuple[object, ...]]
"""Attributes of which more is known: the values that they may have (None: missing)."""


def truth_space(
    all_atoms: Iterable[Atom],
    known: Known = MappingProxyType({}),
    most: int = MOST_CASES,
    conditions: Collection[Condition] = (),
) -> TruthSpace:
    """The exact space of these atoms. Its size is the product over groups of attributes that share nothing.

    Where that is more than `most` and all `conditions` are given that will be asked about, their outcomes are merged.
    Raises `TooManyCases` where that is still too many, or a group is more than can be gone through.
    """
    different = tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms))
    too_many = _too_many_together(len(different))
    if _parts(different, known) > _MOST_PARTS:
        raise too_many
    groups = _groups(different)
    units = _units(groups, conditions)
    parts: list[_Part] = []
    is_merged = False
    for group in groups:
        parts.append(_group_outcomes(group, known))
        if conditions and _ways(parts) > most:
            parts = [_merged(part, of_part) for part, of_part in zip(parts, units, strict=False)]
            is_merged = True
        if _ways(parts) > most:
            raise too_many
    order = [one for part, _ in parts for one in part] if is_merged else different
    return _product(order, parts, _has_free(different), is_merged)


_Part = tuple[tuple[Condition, ...], tuple[Outcome, ...]]
"""Atoms, or parts of conditions, and the ways in which they turn out together."""


def _ways(parts: Iterable[_Part]) -> int:
    return math.prod(len(outcomes) for _, outcomes in parts)


def _product(order: Sequence[Condition], parts: Sequence[_Part], has_free: bool, is_merged: bool) -> TruthSpace:
    """The outcomes of all parts together, with truths in this order."""
    together = {one: position for position, one in enumerate(one for part, _ in parts for one in part)}
    positions = [together[one] for one in order]
    outcomes = []
    for chosen in itertools.product(*(outcomes for _, outcomes in parts)):
        truths = [truth for part in chosen for truth in part.truths]
        outcomes.append(Outcome(tuple([truths[at] for at in positions]), tuple([part.parts[0] for part in chosen])))
    return TruthSpace(tuple(order), tuple(outcomes), has_free, is_merged)


def _units(groups: Sequence[Sequence[Atom]], conditions: Iterable[Condition]) -> list[dict[Condition, None]]:
    """For each group the largest parts of conditions that lie in it, and what it says of the subject itself."""
    group_of = {atom: number for number, members in enumerate(groups) for atom in members}
    units: list[dict[Condition, None]] = [
        dict.fromkeys(atom for atom in one if is_about_the_subject_itself(atom)) for one in groups
    ]

    def add(condition: Condition) -> None:
        within = {group_of[positive(atom)[0]] for atom in atoms(condition)}
        if not isinstance(condition, AllOf | AnyOf):
            units[within.pop()].setdefault(positive(condition)[0])
        elif len(within) == 1:
            units[within.pop()].setdefault(condition)
        else:
            for part in condition.parts:
                add(part)

    for condition in conditions:
        add(condition)
    return units


def _merged(part: _Part, units: Collection[Condition]) -> _Part:
    """One outcome for each way in which these turn out, with the fewest values."""
    space = TruthSpace(*part, has_free_matches=False, is_merged=True)
    ways = space.ways(units)
    return tuple(units), tuple(Outcome(truths, part[1][space.smallest(those)].parts) for truths, those in ways.items())


def _too_many_together(atoms: int) -> TooManyCases:
    return TooManyCases(f"its conditions make {atoms} different comparisons, which can turn out in too many ways together")


def _parts(atoms: Iterable[Atom], known: Known) -> int:
    """How many parts the atoms fall into at least that share no attribute and are not settled: found without going far.

    Attributes count by their first word here, `resource.owner` for `resource.owner.name`.
    """
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def part_of(word: tuple[str, str]) -> tuple[str, str]:
        while joined.setdefault(word, word) != word:
            joined[word] = joined[joined[word]]
            word = joined[word]
        return word

    for atom in atoms:
        words = [(name.root, name.path[0]) for name in attributes_of(atom) if name not in known]
        for word in words:
            joined[part_of(word)] = part_of(words[0])
    return len({part_of(word) for word in joined})


def most_steps(all_atoms: Iterable[Atom], known: Known = MappingProxyType({})) -> int:
    """How many choices of values `truth_space` goes through at most; found without going through them."""
    return sum(
        _most_choices(group, known) for group in _groups(tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms)))
    )


def _has_free(atoms: Sequence[Atom]) -> bool:
    """Whether an outcome may be none that a request can have: functions that are free, and attributes read in several ways."""
    if any(is_free(atom) for atom in atoms):
        return True
    terms = {term for atom in atoms for term in terms_of(atom)}
    ways = [name for term in terms for name in {*attributes_in(term)}]
    return any(isinstance(term, Computed) for term in terms) and len(ways) > len(set(ways))


def _most_choices(group: tuple[Atom, ...], known: Known) -> int:
    terms = {term for atom in group for term in terms_of(atom)}
    given = [value for term in terms for value in _known(term, known)]
    scalars = _scalar_values(group, given, len(terms))
    choices = math.prod(len(FUNCTIONS[atom.function].may_be) for atom in group if isinstance(atom, Call) and is_free(atom))
    for term in terms:
        if _known(term, known):
            choices *= len(_known(term, known))
        elif any(holds_a_list(term, atom) for atom in group):
            choices *= (
                number_of_lists(parts_of_lists(term, group, _elements_of(term, group, scalars), given)) + len(scalars) + 2
            )
        else:
            choices *= len(_values_of(term, group, scalars, given))
    return choices


def _known(term: Term, known: Known) -> tuple[object, ...]:
    return known.get(term, ()) if isinstance(term, Attribute) else ()


def _groups(atoms: Sequence[Atom]) -> list[tuple[Atom, ...]]:
    """The atoms, apart where they share no attribute, not even through others. A path inside another shares it."""
    groups: list[tuple[set[Attribute], list[Atom]]] = []
    for atom in atoms:
        attributes, members = set(attributes_of(atom)), [atom]
        apart = []
        for others, their_members in groups:
            if any(overlap(one, other) for one in attributes for other in others):
                attributes |= others
                members = [*their_members, *members]
            else:
                apart.append((others, their_members))
        groups = [*apart, (attributes, members)]
    return [tuple(members) for _, members in groups]


def _group_outcomes(atoms: tuple[Atom, ...], known: Known) -> _Part:
    terms = sorted({term for atom in atoms for term in terms_of(atom)}, key=str)
    values_known = [value for term in terms for value in _known(term, known)]
    given = [item for value in values_known for item in (value if isinstance(value, list) else [value])]
    scalars = _scalar_values(atoms, given, len(terms))
    choices = [_known(term, known) or _values_of(term, atoms, scalars, given) for term in terms]
    group = Group(atoms, terms, given)
    outcomes: dict[Truths, Outcome] = {}
    alike = values_alike(atoms, given, scalars)
    too_many = TooManyCases(f"its conditions compare too many values with each other: {', '.join(map(str, terms))}")
    if not alike and not group.has_free and math.prod(map(len, choices)) > MOST_AT_ONCE:
        try:
            ways = group.ways_apart(choices, MOST_CASES)
        except TooManySteps:
            raise too_many from None
        return atoms, tuple(Outcome(truths, (Example(terms, chosen, group, truths),)) for truths, chosen in ways.items())
    for number, chosen in enumerate(choices_of_all(choices, alike)):
        if number >= MOST_CASES:
            raise too_many
        if not group.fit_together(chosen):
            continue
        for truths in group.truths(chosen):
            if truths not in outcomes:
                outcomes[truths] = Outcome(truths, (Example(terms, dict(enumerate(chosen)), group, truths),))
                if len(outcomes) > MOST_CASES:
                    raise _too_many_together(len(atoms))
    return atoms, tuple(outcomes.values())


def _scalar_values(atoms: Sequence[Atom], given: Sequence[object], count: int) -> list[object]:
    """The literals, and between and beyond them as many values as there are terms to differ from each other."""
    literals = [*given, *(literal.value for atom in atoms for literal in literals_of(atom))]
    for atom in atoms:
        terms = terms_of(atom)
        literals += [value for term in terms if len(terms) > 1 for value in few_values(term)]
    kinds = {kind_of_operand(term) for atom in atoms for term in terms_of(atom)} | {kind_of(value) for value in literals}
    orders = any(isinstance(atom, Comparison) and atom.operator in ORDERING for atom in atoms) or any(
        isinstance(atom, Call) and not is_free(atom) for atom in atoms
    )
    return samples(literals, kinds, count, orders)


def _values_of(term: Term, atoms: Sequence[Atom], scalars: list[object], given: Sequence[object]) -> list[object]:
    """What a term may be: nothing, values of the kinds that it is compared with, and lists where it holds some."""
    if isinstance(term, Attribute) and _is_own(term):  # a subject without a name is refused
        return [value for value in scalars if isinstance(value, str) and (value or term.root != "subject")]
    own_kind = kind_of_operand(term)
    if isinstance(term, Computed) or own_kind is not None:
        few = own_values(term, scalars)
        found = few or [value for value in scalars if kind_of(value) == own_kind]
        return found if set(attributes_in(term)) <= {CONTEXT_NOW} else [None, *found]
    kinds: set[Kind | None] = set()
    objects: list[object] = []  # of a kind that nothing else takes
    is_list = any(holds_a_list(term, atom) for atom in atoms)
    lists = _lists(parts_of_lists(term, atoms, _elements_of(term, atoms, scalars), given)) if is_list else []
    for atom in atoms:
        if term not in terms_of(atom):
            continue
        if isinstance(atom, Truth):
            kinds |= {"boolean"}
        elif isinstance(atom, Call):
            taken = kinds_taken(atom, term)
            kinds |= taken
            objects += [] if taken else [{}]
        elif not holds_a_list(term, atom):
            kinds |= _kinds(atom.right if atom.left == term else atom.left)
    for computed in {one for atom in atoms for one in terms_of(atom) if isinstance(one, Computed)}:
        kinds |= kinds_taken(computed, term) & {"text", "number"}  # without a value, nothing could be computed from it
    return [None, *lists, *objects, *(value for value in scalars if kind_of(value) in kinds)]


def _elements_of(term: Term, atoms: Iterable[Atom], scalars: list[object]) -> list[object]:
    """What a list under a name may hold, as far as the atoms about it tell."""
    found: list[object] = []
    for atom in atoms:
        if isinstance(atom, Comparison) and holds_a_list(term, atom):
            other = atom.right if atom.left == term else atom.left
            found += sent(scalars) if kind_of_operand(other) is None else _like(other, scalars)
        elif isinstance(atom, Call) and "list" in kinds_taken(atom, term):
            found += [value for one in operands_of(atom) if isinstance(one, ListOf) for value in _like(one, scalars)]
    return [value for value in scalars if any(value is one for one in found)]


def _is_own(term: Term) -> bool:
    return isinstance(term, Attribute) and len(term.path) == 1 and term.path[0] in OWN_ATTRIBUTES[term.root]


def _kinds(operand: Operand) -> set[Kind | None]:
    """The kinds with which a comparison with this can be true or false."""
    if isinstance(operand, ListOf):
        return {kind_of(item.value) for item in operand.items}
    kind = kind_of_operand(operand)
    return {"text", "number", "boolean"} if kind is None else {kind}


def _like(operand: Operand, scalars: list[object]) -> list[object]:
    return [value for value in scalars if kind_of(value) in _kinds(operand)]


def _lists(parts: Sequence[Parts]) -> list[object]:
    """Every list of these parts, alone and with one more element of a kind that nothing equals; raises `TooManyCases`."""
    if number_of_lists(parts) > MOST_CASES:
        raise TooManyCases("its conditions look for too many different values in one list")
    plain: list[list[object]] = [[value for part in chosen for value in part] for chosen in itertools.product(*parts)]
    plain.sort(key=len)
    return [*plain, *([*chosen, {}] for chosen in plain)]
