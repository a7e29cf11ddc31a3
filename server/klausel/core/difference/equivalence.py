"""Whether two policy sets decide alike: exactly, over every combination of roles and every way conditions can turn out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from klausel.core.analysis.alike import NAMES_ASKED
from klausel.core.analysis.both_sides import PlacementOfBoth
from klausel.core.analysis.decision_table import Question, Remembered, View, shown_values, views
from klausel.core.analysis.question_space import Held
from klausel.core.policy.policy_set import PolicySet


@dataclass(frozen=True, slots=True)
class Difference:
    """One case that the two decide otherwise: what the subject holds, what is asked where, with which attributes.

    Where it `has_free_matches`, another text than the one that is shown may be needed.
    """

    resource_type: str
    action: str
    held: Held
    domain: str | None
    values: tuple[tuple[str, object], ...]
    allowed_by_first: bool
    has_free_matches: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Over how many combinations two policy sets were compared, and the smallest difference; None when they decide alike.

    A pattern match is taken as free, so that None is certain, but a difference may need a text that cannot be.
    """

    combinations: int
    difference: Difference | None


def compare(
    first: PolicySet, second: PolicySet, questions: Iterable[Question], remembered: Remembered | None = None
) -> Comparison:
    """Compares the decisions on some questions, whatever the two sets differ in; raises `TooManyCases`."""
    combinations = 0
    differences: list[Difference] = []
    for question in questions:
        for view in views(first, second, question, remembered=remembered):
            combinations += len(view.role_combinations) * len(view.space.outcomes)
            differences += _differences(question, view)
    smallest = min(differences, key=lambda case: (case.domain is None, len(case.held), len(case.values)), default=None)
    return Comparison(combinations, smallest)


def _differences(question: Question, view: View) -> Iterator[Difference]:
    domain = view.placement.domains[0] if view.placement.domains else None
    for role_combination in view.role_combinations:
        before, after = view.allowed((role_combination.before, role_combination.after))
        for outcomes, allowed in ((before & ~after, True), (after & ~before, False)):
            if outcomes:
                values = (*_naming(view.placement), *shown_values(view.smallest_outcome(outcomes)))
                yield Difference(*question, role_combination.held, domain, values, allowed, view.space.has_free_matches)


def _naming(placement: PlacementOfBoth) -> Iterator[tuple[str, object]]:
    """What the request says of its domain, where the two sides read it otherwise."""
    if placement.before != placement.after:
        for name, values in placement.known.items():
            if values != (None,) and name not in NAMES_ASKED:
                yield str(name), values[0]


def everything_asked(policy: PolicySet) -> Iterator[Question]:
    """Each (resource type, action) that a policy set declares."""
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield declared.name, action
