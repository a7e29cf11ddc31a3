"""Two policy sets by the names under which roles are stored: a role that goes on under another name is one role on both sides.

Role assignments keep the name under which they were stored, and `was` says which role that means. So a former name that means
another role, or none, on the other side is a role of its own here, which contains the one that it means.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX, Role, RoleModel, is_joint, joint_name, parts_of


def by_stored_names(before: PolicySet, after: PolicySet) -> tuple[PolicySet, PolicySet, tuple[str, ...]]:
    """Both sets so that equal role names mean the same stored role assignments, and what former names mean otherwise now."""
    for old, name in after.roles.names_now.items():
        if old in before.roles.roles and name not in before.roles.roles and name not in before.roles.names_now:
            before = with_role_renamed(before, old, name)
    said = []
    for old in dict.fromkeys((*before.roles.names_now, *after.roles.names_now)):
        meant, means = (_meaning(policy.roles, old) for policy in (before, after))
        if meant == means and meant != old:
            continue
        if meant != means:
            said.append(_in_words(old, meant, means))
        before, after = (_with_role_of_its_own(policy, old) for policy in (before, after))
    return before, after, tuple(said)


def _meaning(roles: RoleModel, stored: str) -> str | None:
    name = roles.name_now(stored)
    return name if name in roles.roles else None


def _in_words(old: str, meant: str | None, means: str | None) -> str:
    whoever = f"whoever is stored as {old} in the database"
    if means is None:
        return f"{whoever} is {meant} no more, and loses what that may do"
    if meant is None:
        return f"{whoever} is {means} from now on, and gains what that may do"
    return f"{whoever} is {means} from now on, and was {meant}"


def _with_role_of_its_own(policy: PolicySet, old: str) -> PolicySet:
    """The set in which a former name is the name of a role that contains the one that it means; itself where it is none."""
    roles = policy.roles
    name = roles.names_now.get(old)
    if name is None:
        return policy
    role = roles.roles[name]
    is_own = Role(old, role.level, (name,), role.keep_one, role.place)
    known = {**roles.roles, name: replace(role, was=tuple(one for one in role.was if one != old)), old: is_own}
    return replace(policy, roles=replace(roles, roles=MappingProxyType(known)))


def with_role_renamed(policy: PolicySet, old: str, new: str) -> PolicySet:
    """The set with a role under another name, wherever it is named; what is stored under the one before means it, too."""

    def named(text: str) -> str:
        if is_joint(text):
            return joint_name(map(named, parts_of(text)))
        return {old: new, ANY_PREFIX + old: ANY_PREFIX + new}.get(text, text)

    roles = {
        named(role.name): replace(
            role,
            name=named(role.name),
            contains=tuple(map(named, role.contains)),
            contains_in=tuple((named(one), place) for one, place in role.contains_in),
            was=(*role.was, old) if role.name == old else role.was,
        )
        for role in policy.roles.roles.values()
    }
    model = replace(
        policy.roles,
        roles=MappingProxyType(roles),
        joint=frozenset(map(named, policy.roles.joint)),
        separate=tuple((named(one), named(other)) for one, other in policy.roles.separate),
    )
    grants = tuple(replace(grant, grantee=named(grant.grantee)) for grant in policy.grants)
    invariants = tuple(replace(one, who=tuple(map(named, one.who))) for one in policy.invariants)
    return replace(policy, roles=model, grants=grants, invariants=invariants)
