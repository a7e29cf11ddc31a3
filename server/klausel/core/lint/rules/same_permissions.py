"""same-permissions: a role that may do exactly what another of its level may.

Whatever else somebody holds, wherever and however conditions turn out, each decision is the same with the one role as with the
other. This is exact. Either a grant of the stronger one is missing, or one of the two is one too many.

    roles:
      lead: {level: workspace, contains: agent}     # and no grant names lead
      agent: {level: workspace}

Write what tells them apart, or remove one.

To keep it: `# klausel: off same-permissions because <reason>` behind its line or above it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from klausel.core.analysis.states import Mask, everything_together
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.roles import Role
from klausel.core.terms.problem import Problem

ID = "same-permissions"
MOST_ROLES = 100


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule. A role with more than a hundred beside it is compared by the names that grants use alone."""
    roles = survey.policy.roles
    for level in roles.levels:
        here = [role for role in roles.roles.values() if role.level == level.name and role.name not in survey.unused_roles]
        reported: set[str] = set()
        is_exact = len(here) <= MOST_ROLES
        for first, second in itertools.combinations(here, 2) if is_exact else _alike_by_names(survey, here):
            if second.name not in reported and (not is_exact or may_do_the_same(survey, first, second)):
                stronger, weaker = (first, second) if second.name in roles.closure[first.name] else (second, first)
                if stronger.name in reported:
                    continue
                reported.add(stronger.name)
                what = f"may do exactly what {weaker.name} may ({weaker.place})"
                yield warning(
                    stronger.place, ID, f"role {stronger.name} {what}", "write what tells them apart, or remove one"
                )


def _alike_by_names(survey: Survey, roles: Iterable[Role]) -> Iterator[tuple[Role, Role]]:
    """Each role that stands for the same names that grants use as one before it, beside the first such."""
    found: dict[object, Role] = {}
    for role in roles:
        names = survey.policy.roles.reach[role.name] & survey.grants_of.keys()
        first = found.setdefault((frozenset(names), role.contains_in), role)
        if first is not role:
            yield first, role


def may_do_the_same(survey: Survey, first: Role, second: Role) -> bool:
    """Whether two roles of one level give the same decisions, whatever else a subject holds."""
    reach = survey.policy.roles.reach
    apart = (reach[first.name] ^ reach[second.name]) & survey.grants_of.keys()
    if not apart:
        return first.contains_in == second.contains_in
    if first.contains_in or second.contains_in:
        return False
    questions = {(grant.resource_type, grant.action) for name in apart for grant in survey.grants_of[name]}
    return all(_same_answers(survey, question, first.name, second.name) for question in questions)


def _same_answers(survey: Survey, question: tuple[str, str], first: str, second: str) -> bool:
    """Whether the roles give the same answers to one question, beside what they require and any one further role."""
    level = survey.policy.roles.level_of(first)
    least = survey.tables.least
    with_joint = survey.policy.roles.with_joint
    allows = survey.cases[question].allows
    for here in survey.tables.views(*question):
        wanted = survey.policy.roles.with_parts(here.grantees)
        for is_above in least.where(level, here.depth):
            one, other = (least.names_of(role, is_above, wanted) for role in (first, second))
            if one == other:
                continue
            holding = everything_together(here.states, survey.tables.bounds.steps)
            if holding is None:
                return False
            for needed in least.required(level, is_above, here.depth, wanted):
                for more in least.least(here.depth, wanted):
                    with_one, with_other = (
                        here.reached(with_joint(names | needed | more) & here.grantees) for names in (one, other)
                    )
                    if any(_allowed(mask & with_one, allows) is not _allowed(mask & with_other, allows) for mask in holding):
                        return False
    return True


def _allowed(holding: Mask, allows: Mask) -> bool:
    """Whether these grants together allow: one of them does, and all of them do."""
    return holding != 0 and not holding & ~allows
