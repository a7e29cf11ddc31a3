"""Who may give and take roles, as the policies themselves say: questions about a resource type, and nobody raises themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import GROUP_PREFIX
from klausel.core.policy.holding import Rows, held_at, moments_of_change
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import fault_in_subject_key, split_subject_key
from klausel.core.terms.moment import instant_text
from klausel.core.terms.request import Resource

ROLE_ASSIGNMENT = "role_assignment"
GRANT, REVOKE = "grant", "revoke"


class RoleGiven(NamedTuple):
    """One role that a change gives or takes: to or from whom, where, and through which group where it is by membership."""

    action: str
    holder: str
    role: str
    domain: str
    group: str | None = None

    def __str__(self) -> str:
        role = f"{self.role} in {self.domain}" if self.domain else "no role yet"
        way = f" through {self.group}" if self.group else ""
        return f"{role} {'to' if self.action == GRANT else 'from'} {self.holder}{way}"


def fault_in_person(person: str) -> str | None:
    """Why nobody can act under this name, as a sentence; None for a subject in its stored form (`user:ann`)."""
    if person.startswith(GROUP_PREFIX):
        return f"{person} is a group, and no person; name one, such as user:ann"
    if split_subject_key(person) is None:
        return f'"{person}" has no type; write it as type:id, such as user:ann'
    fault = fault_in_subject_key(person)
    return f'"{person}" {fault}' if fault else None


def fault_in_declarations(policy: PolicySet) -> str | None:
    """Why a policy set cannot say who may give roles, with what to declare; None where it can."""
    declared = policy.resource_types.get(ROLE_ASSIGNMENT)
    lacking = [action for action in (GRANT, REVOKE) if declared is None or action not in declared.actions]
    if not lacking:
        return None
    what = "no resource type" if declared is None else f"no action {' and no action '.join(lacking)} of the resource type"
    return (
        f"the policies do not say who may give roles: they declare {what} {ROLE_ASSIGNMENT}; "
        f"declare it in a feature file with the actions {GRANT} and {REVOKE}, and grant them"
    )


def resource_of(policy: PolicySet, given: RoleGiven) -> Resource | str:
    """The resource that it is asked about who may give a role, or why none can be, as a sentence.

    It lies where the role is held. Of the properties, `level` is missing for a role that is not declared, `role` and the
    place for a group without roles, and `group` where the role does not come by a membership.
    """
    roles = policy.roles
    type_, id_ = split_subject_key(given.holder) or ("", given.holder)
    properties: dict[str, object] = {"grantee_type": type_, "grantee_id": id_}
    if given.group is not None:
        properties["group"] = given.group.removeprefix(GROUP_PREFIX)
    if given.role:
        role = roles.name_now(given.role)
        properties["role"] = role
        if role in roles.roles:
            properties["level"] = roles.roles[role].level
    parts = given.domain.split("/") if given.domain else []
    for level, part in zip(roles.levels, parts, strict=False):
        if level.named_by is not None:
            properties[level.named_by] = part
    resource = Resource(ROLE_ASSIGNMENT, f"{given.holder} {given.role} {given.domain}".strip(), properties)
    if not given.domain:
        return resource
    declared = policy.resource_types.get(ROLE_ASSIGNMENT)
    asked_in = declared is not None and given.action in declared.asked_in
    domain = domain_of(roles, declared, given.action, resource)
    if isinstance(domain, BadDomain):
        return domain.reason
    # Where the file says so, it is asked in a level above; it is never asked elsewhere.
    if domain == given.domain or (asked_in and domain is not None and given.domain.startswith(domain + "/")):
        return resource
    return f'no request can be asked in "{given.domain}"; give each level a named_by in roles.yaml'


class Raised(NamedTuple):
    """A name that a subject would have in a domain and does not have without the change; `moment` None where at once."""

    name: str
    domain: str
    moment: str | None

    def __str__(self) -> str:
        since = f" from {self.moment} on" if self.moment else ""
        return f"{self.name} in {self.domain}{since}"


def raise_by(roles: RoleModel, subject: str, before: Rows, after: Rows, now: float) -> Raised | None:
    """The first role that a change gives to a subject that would not hold it else at that moment; None where there is none.

    What it holds through groups counts, and what it will hold later, so that no change makes a role last longer either.
    """
    if before == after:
        return None
    moments = {now, *moments_of_change((*before.others, *after.others), now)}
    for moment in sorted(moments):
        had = EffectiveRoles.of_held(roles, held_at(subject, before, moment))
        has = EffectiveRoles.of_held(roles, held_at(subject, after, moment))
        found = next(_gained(had, has), None)
        if found is not None:
            return Raised(*found, instant_text(moment) if moment > now else None)
    return None


def _gained(had: EffectiveRoles, has: EffectiveRoles) -> Iterator[tuple[str, str]]:
    """The roles themselves first, then what else grants may name, such as a role that is held somewhere in a domain."""
    for role, domain in has.held:
        if role not in had.roles_in(domain):
            yield role, domain
    for domain in sorted(has.named_domains):
        for name in sorted(has.roles_in(domain) - had.roles_in(domain)):
            yield name, domain
