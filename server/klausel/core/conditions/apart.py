"""The ways in which questions about shared values turn out, found without going through every choice of all values.

Where some values are fixed, questions that shared no others have nothing to do with each other, and are looked at apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Answers = tuple[bool | None, ...]
Chosen = Mapping[int, object]
"""Values by the positions of what has them."""
Found = Mapping[Answers, Chosen]


@dataclass(frozen=True, slots=True)
class Question:
    """A question: the positions of the values that it depends on, and its answer, given at least these."""

    positions: frozenset[int]
    answer: Callable[[Chosen], bool | None]
    must_be_true: bool = False


class TooManySteps(Exception):
    """There is more to go through than was allowed."""


def ways_apart(questions: Sequence[Question], choices: Sequence[Sequence[object]], most_steps: int) -> Found:
    """The ways in which questions turn out over all choices of values, each with values for it, few of them there (not None).

    Those that must be true are, and are not among the answers. Raises `TooManySteps`.
    """
    answered = [number for number, one in enumerate(questions) if not one.must_be_true]
    found = _Search(questions, choices, most_steps).ways(tuple(range(len(questions))), {})
    return {tuple([answers[number] for number in answered]): chosen for answers, chosen in found.items()}


class _Search:
    def __init__(self, questions: Sequence[Question], choices: Sequence[Sequence[object]], most_steps: int) -> None:
        self._questions = questions
        self._choices = choices
        self._left = most_steps

    def ways(self, numbers: Sequence[int], fixed: Chosen) -> Found:
        """The ways of some questions together, in the order of their numbers, where some values are fixed."""
        order: list[int] = []
        found: dict[Answers, Chosen] = {(): {}}
        for part in self._parts(numbers, fixed):
            order += part
            of_part = self._ways_of_part(part, fixed)
            self._take(len(found) * len(of_part))
            found = {
                (*answers, *more): {**chosen, **further}
                for answers, chosen in found.items()
                for more, further in of_part.items()
            }
        places = [order.index(number) for number in numbers]
        return {tuple([answers[place] for place in places]): chosen for answers, chosen in found.items()}

    def _ways_of_part(self, numbers: Sequence[int], fixed: Chosen) -> Found:
        """The ways of questions that depend on the same values: the one that most ask for is fixed first."""
        asked_for = Counter(at for number in numbers for at in sorted(self._questions[number].positions - fixed.keys()))
        if not asked_for:
            answers = self._answers(numbers, fixed)
            return {} if answers is None else {answers: {}}
        at = max(asked_for, key=lambda at: (asked_for[at], -len(self._choices[at])))
        self._take(len(self._choices[at]))
        found: dict[Answers, Chosen] = {}
        chosen = dict(fixed)
        for value in self._choices[at]:
            chosen[at] = value
            if len(asked_for) > 1:
                ways = self.ways(numbers, chosen)
            else:
                answers = self._answers(numbers, chosen)
                ways = {} if answers is None else {answers: {}}
            for answers, further in ways.items():
                if answers not in found or _size({**further, at: value}) < _size(found[answers]):
                    found[answers] = {**further, at: value}
        return found

    def _answers(self, numbers: Sequence[int], chosen: Chosen) -> Answers | None:
        """The answers to questions; None where one that must be true is not."""
        answers = tuple([self._questions[number].answer(chosen) for number in numbers])
        for number, answer in zip(numbers, answers, strict=True):
            if self._questions[number].must_be_true and not answer:
                return None
        return answers

    def _parts(self, numbers: Sequence[int], fixed: Chosen) -> list[list[int]]:
        """Questions apart where they share no value that is not fixed, not even through others."""
        parts: list[tuple[set[int], list[int]]] = []
        for number in numbers:
            positions, members = set(self._questions[number].positions - fixed.keys()), [number]
            apart = []
            for others, theirs in parts:
                if positions.isdisjoint(others):
                    apart.append((others, theirs))
                else:
                    positions |= others
                    members = [*theirs, *members]
            parts = [*apart, (positions, members)]
        return [members for _, members in parts]

    def _take(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManySteps


def _size(chosen: Chosen) -> int:
    return sum(value is not None for value in chosen.values())
