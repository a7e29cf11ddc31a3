"""Whether all contestants give the same decisions, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from benchmarks.contestants import Contestant
from benchmarks.workload import Question

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many questions a contestant was asked, and those that it answered otherwise, in words."""

    name: str
    asked: int
    differences: tuple[str, ...]

    def __str__(self) -> str:
        if not self.differences:
            return f"{self.name}: the same {self.asked:,} decisions"
        shown = "".join(f"\n    {text}" for text in self.differences[:MOST_SHOWN])
        return f"{self.name}: {len(self.differences):,} of {self.asked:,} decisions differ{shown}"


def agreement_of(
    name: str, contestant: Contestant, questions: Sequence[Question], wanted: Sequence[bool], seconds: float
) -> Agreement:
    """A contestant's answers beside the wanted ones, of as many questions as it gets through in some seconds."""
    give_up_at = perf_counter() + seconds
    differences = []
    asked = 0
    for question, expected, answer in zip(questions, wanted, contestant.answers(questions), strict=False):
        asked += 1
        if answer != expected:
            differences.append(f"{name} says {_word(answer)}, klausel says {_word(expected)}: {_told(question)}")
        if perf_counter() > give_up_at:
            break
    return Agreement(name, asked, tuple(differences))


def _told(question: Question) -> str:
    subject, action, resource, _ = question.request
    held = ", ".join(f"{role} in {domain}" for role, domain in question.held)
    return f"{subject.id} ({held}) {action.name} {resource.type} {dict(resource.properties)}"


def _word(allowed: bool) -> str:
    return "allow" if allowed else "deny"
