"""Comparisons that share attributes, looked at together: how they turn out for given values, and which values fit together."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from klausel.core.conditions.apart import Chosen, Question, ways_apart
from klausel.core.conditions.free_functions import Asked, is_free, kinds_fit, likely_texts, ways_together
from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import (
    Atom,
    Attribute,
    Call,
    Computed,
    ListOf,
    Literal,
    Operand,
    Term,
    literals_of,
    operands_of,
    terms_of,
    truth_of,
)

Truths = tuple[bool | None, ...]


_Operands = Sequence[tuple[int | None, object]]
"""Where the value of each operand stands among those chosen for the terms; None where it is written, with the value."""
_Values = Sequence[object] | Chosen
"""The values chosen for the terms, by their positions."""


class Group:
    """Atoms that are looked at together; what does not depend on the values of their terms is found once.

    `chosen` is always a value for each term, in their order; texts that are `given` mean themselves, as those that are written.
    """

    def __init__(self, atoms: Sequence[Atom], terms: Sequence[Term], given: Iterable[object] = ()) -> None:
        positions = {term: position for position, term in enumerate(terms)}
        self._written = {literal.value for atom in atoms if not isinstance(atom, Call) for literal in literals_of(atom)}
        self._written.update(value for value in given if isinstance(value, str))
        self._atoms = [(atom, _places(operands_of(atom), positions)) for atom in atoms]
        self._free = frozenset(position for position, atom in enumerate(atoms) if is_free(atom))
        asked_for = {term for atom in atoms if isinstance(atom, Call) and atom.function == "has" for term in terms_of(atom)}
        self._inside: list[tuple[int, int, bool]] = []
        for one, other in itertools.combinations(terms, 2):
            if isinstance(one, Attribute) and isinstance(other, Attribute) and overlap(one, other):
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
        return all(self._is_object_where_needed(pair, chosen) for pair in self._inside) and all(
            self._can_be_computed(one, chosen) for one in self._computed
        )

    def _is_object_where_needed(self, pair: tuple[int, int, bool], chosen: _Values) -> bool:
        outer, inner, is_asked_for = pair
        return chosen[inner] is None or chosen[outer] == {} or (chosen[outer] is None and not is_asked_for)

    def _can_be_computed(self, computed: tuple[int, str, _Operands], chosen: _Values) -> bool:
        position, function, operands = computed
        if chosen[position] is None:
            return True
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

    def example(self, chosen: Sequence[object], truths: Truths) -> Sequence[object]:
        """The same choice, with texts that turn out so in place of those that stand for others, as far as some are found."""
        asked: dict[str, list[tuple[Asked, bool | None]]] = {}
        for position in sorted(self._free):
            atom, operands = self._atoms[position]
            values = _values_at(operands, chosen)
            first = values[0]
            if isinstance(atom, Call) and isinstance(first, str) and first not in self._written and kinds_fit(atom, values):
                asked.setdefault(first, []).append(((atom.function, values), truths[position]))
        waiting = set(asked)
        for text, questions in asked.items():
            waiting.remove(text)
            likely = likely_texts([one for one, _ in questions], [truth for _, truth in questions])
            others = ([_with(value, text, one) for value in chosen] for one in likely)
            chosen = next((other for other in others if self._turn_out(other, truths, waiting)), chosen)
        return chosen

    def _turn_out(self, chosen: Sequence[object], truths: Truths, waiting: Collection[str]) -> bool:
        """Whether the atoms turn out so, those free ones aside that are about a text which another is still sought for."""
        for position, (atom, operands) in enumerate(self._atoms):
            values = _values_at(operands, chosen)
            is_open = position in self._free and isinstance(values[0], str) and values[0] in waiting
            if not is_open and truth_of(atom, values) is not truths[position]:
                return False
        return self.fit_together(chosen)

    @property
    def has_free(self) -> bool:
        """Whether some comparisons may turn out in several ways for given values, as others let them."""
        return bool(self._free)

    def ways_apart(self, choices: Sequence[Sequence[object]], most_steps: int) -> Mapping[Truths, Chosen]:
        """All the ways in which the atoms turn out over all choices that fit together; raises `TooManySteps`."""
        questions = [Question(_read(operands), partial(_truth, atom, operands)) for atom, operands in self._atoms]
        for pair in self._inside:
            questions.append(Question(frozenset(pair[:2]), partial(self._is_object_where_needed, pair), must_be_true=True))
        for one in self._computed:
            positions = {one[0], *_read(one[2])}
            questions.append(Question(frozenset(positions), partial(self._can_be_computed, one), must_be_true=True))
        return ways_apart(questions, choices, most_steps)

    def _is_told(self, operands: _Operands, values: Sequence[object]) -> bool:
        """Whether a free function is asked about texts that are meant themselves, and stand for no others."""
        told = zip(operands, values, strict=True)
        return all(at is None or (isinstance(value, str) and value in self._written) for (at, _), value in told)


def _with(value: object, old: str, new: str) -> object:
    """The value, with one text in place of another, also as an item of a list."""
    if isinstance(value, list):
        return [_with(item, old, new) for item in value]
    return new if isinstance(value, str) and value == old else value


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


def _read(operands: _Operands) -> frozenset[int]:
    return frozenset(at for at, _ in operands if at is not None)


def _truth(atom: Atom, operands: _Operands, chosen: _Values) -> bool | None:
    return truth_of(atom, _values_at(operands, chosen))


def _values_at(operands: _Operands, chosen: _Values) -> list[object]:
    return [written if at is None else chosen[at] for at, written in operands]


def overlap(one: Attribute, other: Attribute) -> bool:
    """Whether one attribute is the other, or is inside it."""
    length = min(len(one.path), len(other.path))
    return one.root == other.root and one.path[:length] == other.path[:length]
