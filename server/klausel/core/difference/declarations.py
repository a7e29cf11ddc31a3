"""What a policy set declares beside its grants, as short statements that two sets can be compared by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import Level


@dataclass(frozen=True, slots=True)
class Declaration:
    """One statement, with the roles, the resource type and the action that it is about; empty where it is about none."""

    text: str
    roles: tuple[str, ...] = ()
    resource_type: str = ""
    action: str = ""


def declarations(policy: PolicySet) -> Iterator[Declaration]:
    """Every level, role, link of inheritance, type with its actions and properties, and pair of roles that are kept apart."""
    roles = policy.roles
    for level in roles.levels:
        yield Declaration(f"level {level.name} {_naming(level)}")
        if level.requires_role_above:
            yield Declaration(f"level {level.name} requires a role above")
    for role in roles.roles.values():
        yield Declaration(f"role {role.name} at level {role.level}", (role.name,))
        if role.keep_one:
            yield Declaration(f"role {role.name} is kept by one at least", (role.name,))
        if role.is_privileged:
            yield Declaration(f"role {role.name} is privileged", (role.name,))
        for old in role.was:
            yield Declaration(f"role {role.name} was called {old}", (role.name,))
        for contained in role.contains:
            yield Declaration(f"role {role.name} contains {contained}", (role.name, contained))
        for contained, place in role.contains_in:
            yield Declaration(f"role {role.name} contains {contained} in {place}", (role.name, contained))
    for pair in roles.separate:
        yield Declaration(f"nobody holds both {' and '.join(pair)}", pair)
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield Declaration(f"action {action} of {declared.name}", (), declared.name, action)
        for action in declared.privileged:
            yield Declaration(f"action {action} of {declared.name} is privileged", (), declared.name, action)
        for action, name in declared.asked_in.items():
            yield Declaration(f"{action} {declared.name} is asked at level {name}", (), declared.name, action)
        for name, type_ in (declared.properties or {}).items():
            yield Declaration(f"property {name} of {declared.name} is {type_}", (), declared.name)
    for root, properties in policy.properties.items():
        for name, type_ in properties.items():
            yield Declaration(f"property {root}.{name} is {type_}")


def _naming(level: Level) -> str:
    if level.constant is not None:
        return f"is always {level.constant}"
    ways = [f"by the property {level.named_by}"] if level.named_by else []
    ways += [f"by the id of a {level.identified_by}"] if level.identified_by else []
    return f"at depth {level.depth} is named {' and '.join(ways)}"
