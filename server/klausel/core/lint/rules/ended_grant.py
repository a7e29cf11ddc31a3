"""ended-grant: a grant that held once and never will again: its time is over.

The condition asks for a time that has passed. Nothing is wrong with the decisions, but the line only costs its readers' time.

    grants:
      - allow: agent
        to: edit
        resource: quiz
        when: context.now < time("2025-01-01T00:00:00Z")      # over

Remove the grant, or give it a new end.

To keep it: `# klausel: off ended-grant because <reason>` behind its first line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from klausel.core.conditions.outcomes import TooManyCases, truth_space
from klausel.core.conditions.samples import times_from
from klausel.core.conditions.tree import CONTEXT_NOW, Condition, atoms, attributes_of, literals_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_set import Grant
from klausel.core.terms.problem import Problem

ID = "ended-grant"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule; none where the time is not known."""
    if survey.now is None:
        return
    ended: dict[tuple[int, str], bool] = {}
    for grant in survey.policy.grants:
        if grant.condition is None:
            continue
        key = (id(grant.condition), grant.effect)
        if key not in ended:
            ended[key] = _has_ended(grant, grant.condition, survey.now)
        if ended[key]:
            message = f"{grant} has ended: its condition is never true again"
            yield warning(grant.place, ID, message, "remove it, or give it a new end")


def _has_ended(grant: Grant, condition: Condition, now: datetime) -> bool:
    """Whether a grant held at some time, and does at none from now on."""
    different = list(dict.fromkeys(atoms(condition)))
    if not any(CONTEXT_NOW in attributes_of(atom) for atom in different):
        return False
    literals = [literal.value for atom in different for literal in literals_of(atom)]
    later = times_from(now, [value for value in literals if isinstance(value, datetime)])
    try:
        spaces = truth_space(different), truth_space(different, {CONTEXT_NOW: later})
    except TooManyCases:
        return False
    could, can = ({*space.together([condition])} for space in spaces)
    return any(grant.holds(truth) for (truth,) in could) and not any(grant.holds(truth) for (truth,) in can)
