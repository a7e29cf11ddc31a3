"""never-applies: a grant, or an invariant, that can never apply.

No request and no role assignment makes it decide: its condition contradicts itself, its type is never asked about at the level
that it names, nobody holds its role there, or a deny beats it in every case. This is exact: every combination of roles,
places and conditions is gone through. The editor meant something, and it does not happen. Grants for a role that nobody can
hold anywhere are not named here; `unused-role` and `any-never-earned` name it.

    grants:
      - allow: lead
        to: publish
        resource: quiz
        when: resource.status == "draft" and resource.status == "final"   # never both

An invariant whose condition is never true holds whatever the policies say, and so guards nothing.

Fix the part that the message names, or remove the grant or the invariant.

To keep it: `# klausel: off never-applies because <reason>` behind its first line or above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klausel.core.analysis.decision_table import PartedView
from klausel.core.conditions.simplify import small_space
from klausel.core.conditions.tree import Condition, atoms
from klausel.core.lint.redundancy import Redundant
from klausel.core.lint.survey import Survey, by_entry, role_of, warning
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import Grant
from klausel.core.policy.roles import is_joint
from klausel.core.terms.problem import Problem

ID = "never-applies"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, what, is_one, by in by_entry(one for one in survey.redundant if one.why == "always denied"):
        message = f"{what} never {_applies(is_one)}, always beaten by {by}"
        yield warning(place, ID, message, "remove it, or narrow the deny")
    reasons: dict[str, list[Redundant]] = {}
    for one in survey.redundant:
        if one.why == "never holds" and one.grant.grantee in survey.names_reached:
            reasons.setdefault(_reason(survey, one.grant), []).append(one)
    for reason, together in reasons.items():
        for place, what, is_one, _ in by_entry(together):
            yield warning(place, ID, f"{what} never {_applies(is_one)}: {reason}", "fix it, or remove it")
    for invariant in survey.policy.invariants:
        if _speaks_of_nothing(invariant):
            message = f'the invariant "{invariant.name}" never applies: its condition is never true'
            yield warning(invariant.place, ID, message, "fix it, or remove it")


def _speaks_of_nothing(invariant: Invariant) -> bool:
    """Whether its condition is never true, whatever is asked; False where there are too many cases to go through."""
    conditions = {
        id(one): one
        for thing in invariant.things
        for one in [invariant.condition_on(thing.resource_type)]
        if one is not None
    }
    return bool(conditions) and all(map(_is_never_true, conditions.values()))


def _is_never_true(condition: Condition) -> bool:
    space = small_space(atoms(condition))
    return space is not None and not space.true_and_false(condition)[0]


def _applies(is_one: bool) -> str:
    return "applies" if is_one else "apply"


def _reason(survey: Survey, grant: Grant) -> str:
    roles = survey.policy.roles
    everywhere = survey.tables.views(grant.resource_type, grant.action)
    here = [view for view in everywhere if grant.scope.covers(view.placement.domain, roles)]
    if not here:
        return f"{grant.action} {grant.resource_type} is asked only {_levels(survey, everywhere)}"
    wanted = frozenset({grant.grantee})
    if not any(wanted in survey.tables.least.least(view.depth, wanted) for view in here):
        if is_joint(grant.grantee):
            return f"nobody can be {grant.grantee} {_levels(survey, here)}"
        role = role_of(grant.grantee)
        return f"{role}, a role of level {roles.level_of(role).name}, counts for nothing {_levels(survey, here)}"
    if not survey.tables.can_hold(grant):
        return "its condition is never true" if grant.effect == "allow" else "its condition is always false"
    return "its role, its place and its condition never come together"


def _levels(survey: Survey, views: Iterable[PartedView]) -> str:
    """The levels in which these are asked, such as `at level site`; `in no domain` where there is none."""
    depths = sorted({view.depth for view in views} - {0})
    names = [survey.policy.roles.levels[depth - 1].name for depth in depths]
    return f"at level {' or '.join(names)}" if names else "in no domain"
