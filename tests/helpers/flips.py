"""What a difference says of one request, read off its tables: to be held against deciding on both sides."""

from __future__ import annotations

from collections.abc import Iterable

from klausel.core.analysis.decision_table import covering_grants
from klausel.core.conditions.tree import evaluate
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.compare import PolicyDifference
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.terms.request import Request


def flip(difference: PolicyDifference, held: Iterable[tuple[str, str]], request: Request) -> bool | None:
    """Whether a request of who holds these roles is newly allowed (True), newly denied (False), or neither (None)."""
    question = (request.resource.type, request.action.name)
    pairs = tuple(held)
    sides = [_side_of(policy, pairs, request) for policy in (difference.before, difference.after)]
    key = sides[0][1], sides[1][1]
    for view in difference.views.get(question, ()):
        if (view.before.grants, view.after.grants) != (sides[0][0], sides[1][0]) or key not in view.keys:
            continue
        truths = tuple(evaluate(atom, request) for atom in view.space.atoms)
        for position, outcome in enumerate(view.space.outcomes):
            if outcome.truths == truths:
                before, after = (allowed >> position & 1 for allowed in view.allowed(key))
                return None if before == after else bool(after)
    return None


def _side_of(
    policy: PolicySet, held: Iterable[tuple[str, str]], request: Request
) -> tuple[tuple[Grant, ...], frozenset[str]]:
    """The grants that cover a request on one side, and those of their grantees' names that the subject reaches."""
    resource = request.resource
    asked = domain_of(policy.roles, policy.resource_types.get(resource.type), request.action.name, resource)
    grants = policy.grants_about(resource.type, request.action.name)
    names = EffectiveRoles.of(policy.roles, held).roles_in(None if isinstance(asked, BadDomain) else asked)
    return covering_grants(grants, asked, policy.roles), names & {grant.grantee for grant in grants}
