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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from klausel.core.conditions.free_functions import Asked, is_free, kinds_fit, ways_together
from klausel.core.conditions.functions import FUNCTIONS
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
    Literal,
    Operand,
    Term,
    Truth,
    attributes_in,
    attributes_of,
    holds_a_list,
    kind_of_operand,
    kinds_taken,
    literals_of,
    negate,
    operands_of,
    terms_of,
    truth_of,
)
from klausel.core.conditions.values import Kind, kind_of

Truths = tuple[bool | None, ...]
Values = Mapping[Term, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which all atoms can turn out: their truths in the order of the space, and values that make them so.

    The values stand in `parts`, which share no attribute and which many outcomes share.
    """

    truths: Truths
    parts: tuple[Values, ...]

    @property
    def values(self) -> Values:
        """The values of all parts."""
        return {name: value for part in self.parts for name, value in part.items()}


@dataclass(frozen=True)
class TruthSpace:
    """The outcomes of some atoms; `has_free_matches` when some were taken as free, such as pattern matches.

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
            return self._common(true for true, _ in of_parts), union(false for _, false in of_parts)
        return union(true for true, _ in of_parts), self._common(false for _, false in of_parts)

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


def truth_space(all_atoms: Iterable[Atom], known: Known = MappingProxyType({}), most: int = MOST_CASES) -> TruthSpace:
    """The exact space of these atoms. Its size is the product over groups of attributes that share nothing.

    Raises `TooManyCases` where that is more than `most`, or a group is more than can be gone through.
    """
    atoms = tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms))
    if _parts(atoms, known) > _MOST_PARTS:
        raise _too_many_together(len(atoms))
    groups: list[tuple[tuple[Atom, ...], tuple[Outcome, ...]]] = []
    ways = 1
    for group in _groups(atoms):
        groups.append(_group_outcomes(group, known))
        ways *= len(groups[-1][1])
        if ways > most:
            raise _too_many_together(len(atoms))
    together = {atom: position for position, atom in enumerate(atom for group, _ in groups for atom in group)}
    order = [together[atom] for atom in atoms]
    outcomes = []
    for parts in itertools.product(*(outcomes for _, outcomes in groups)):
        truths = [truth for part in parts for truth in part.truths]
        outcomes.append(Outcome(tuple([truths[at] for at in order]), tuple([part.parts[0] for part in parts])))
    return TruthSpace(atoms, tuple(outcomes), _has_free(atoms))


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
    terms = sorted({term for atom in atoms for term in terms_of(atom)}, key=str)
    values_known = [value for term in terms for value in _known(term, known)]
    given = [item for value in values_known for item in (value if isinstance(value, list) else [value])]
    scalars = _scalar_values(atoms, given, len(terms))
    choices = [_known(term, known) or _values_of(term, atoms, scalars, given) for term in terms]
    group = _Group(atoms, terms)
    outcomes: dict[Truths, Outcome] = {}
    chosen_in_turn = choices_of_all(choices, values_alike(atoms, given, scalars))
    for number, chosen in enumerate(chosen_in_turn):
        if number >= MOST_CASES:
            names = ", ".join(map(str, terms))
            raise TooManyCases(f"its conditions compare too many values with each other: {names}")
        if not group.fit_together(chosen):
            continue
        for truths in group.truths(chosen):
            if truths not in outcomes:
                shown = {name: value for name, value in zip(terms, chosen, strict=True) if value is not None}
                outcomes[truths] = Outcome(truths, (shown,))
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


_Operands = Sequence[tuple[int | None, object]]
"""Where the value of each operand stands among those chosen for the terms; None where it is written, with the value."""


class _Group:
    """Atoms that are looked at together; what does not depend on the values of their terms is found once.

    `chosen` is always a value for each term, in their order.
    """

    def __init__(self, atoms: Sequence[Atom], terms: Sequence[Term]) -> None:
        positions = {term: position for position, term in enumerate(terms)}
        self._written = {literal.value for atom in atoms if not isinstance(atom, Call) for literal in literals_of(atom)}
        self._atoms = [(atom, _places(operands_of(atom), positions)) for atom in atoms]
        self._free = frozenset(position for position, atom in enumerate(atoms) if is_free(atom))
        asked_for = {term for atom in atoms if isinstance(atom, Call) and atom.function == "has" for term in terms_of(atom)}
        self._inside: list[tuple[int, int, bool]] = []
        for one, other in itertools.combinations(terms, 2):
            if isinstance(one, Attribute) and isinstance(other, Attribute) and _overlap(one, other):
                outer, inner = (one, other) if len(one.path) < len(other.path) else (other, one)
                self._inside.append((positions[outer], positions[inner], outer in asked_for))
        self._computed = [
            (positions[term], term.function, _places(term.arguments, positions))
            for term in terms
            if isinstance(term, Computed) and all(_is_simple(argument, positions) for argument in term.arguments)
        ]

    def fit_together(self, chosen: Sequence[object]) -> bool:
        """Whether some request has all these values, as far as it is told here.

        An attribute that is looked into (`a.b` beside `a`) is an object while a part of it has a value; what is computed from
        nothing is nothing.
        """
        for outer, inner, is_asked_for in self._inside:
            is_object = chosen[outer] == {} or (chosen[outer] is None and not is_asked_for)
            if chosen[inner] is not None and not is_object:
                return False
        return all(
            chosen[position] is None or self._can_be_computed(function, operands, chosen)
            for position, function, operands in self._computed
        )

    def _can_be_computed(self, function: str, operands: _Operands, chosen: Sequence[object]) -> bool:
        values = _values_at(operands, chosen)
        stands_for_others = any(
            at is not None and isinstance(value, str) and value not in self._written
            for (at, _), value in zip(operands, values, strict=True)
        )
        return stands_for_others or FUNCTIONS[function](*values) is not None

    def truths(self, chosen: Sequence[object]) -> Iterator[Truths]:
        """The ways in which the atoms can turn out: one, but for free ones, which are the same for the same values."""
        if not self._free:
            yield tuple([truth_of(atom, _values_at(operands, chosen)) for atom, operands in self._atoms])
            return
        ways: dict[object, tuple[bool | None, ...]] = {}
        asked: dict[object, Asked] = {}
        keys: list[object] = []
        for position, (atom, operands) in enumerate(self._atoms):
            values = _values_at(operands, chosen)
            key: object = position
            if position not in self._free or not isinstance(atom, Call) or self._is_told(operands, values):
                ways[key] = (truth_of(atom, values),)
            elif not kinds_fit(atom, values):
                ways[key] = (None,)
            else:
                key = (atom.function, repr(values))
                ways[key] = FUNCTIONS[atom.function].may_be
                if self._is_told(operands[1:], values[1:]):
                    asked[key] = (atom.function, values)
            keys.append(key)
        yield from ways_together(keys, ways, asked)

    def _is_told(self, operands: _Operands, values: Sequence[object]) -> bool:
        """Whether a free function is asked about texts that are meant themselves, and stand for no others."""
        told = zip(operands, values, strict=True)
        return all(at is None or (isinstance(value, str) and value in self._written) for (at, _), value in told)


def _is_simple(operand: Operand, positions: Mapping[Term, int]) -> bool:
    return isinstance(operand, Literal | ListOf) or (isinstance(operand, Attribute) and operand in positions)


def _places(operands: Iterable[Operand], positions: Mapping[Term, int]) -> _Operands:
    found: list[tuple[int | None, object]] = []
    for operand in operands:
        match operand:
            case Literal(value):
                found.append((None, value))
            case ListOf(items):
                found.append((None, [item.value for item in items]))
            case _:
                found.append((positions[operand], None))
    return found


def _values_at(operands: _Operands, chosen: Sequence[object]) -> list[object]:
    return [written if at is None else chosen[at] for at, written in operands]
