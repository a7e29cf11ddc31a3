"""The small changes of a policy set that its tests should notice, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from klausel.core.conditions.tree import AllOf, AnyOf, Condition, negate, with_near_words
from klausel.core.difference.equivalence import everything_asked
from klausel.core.policy.fitting import fitted, wanted_cases
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.properties import PropertyTypes
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, Level, Role, RoleModel, depth_of, is_joint, parts_of
from klausel.core.policy.scope import Scope
from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Place

Kind = Literal[
    "grant dropped",
    "role raised",
    "role lowered",
    "condition dropped",
    "condition negated",
    "part of condition dropped",
    "word of condition changed",
    "place changed",
    "inheritance link dropped",
    "rule dropped",
    "naming changed",
    "declaration dropped",
]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change: what it is in words, where, and the policy set with it.

    `questions` are the (resource type, action) whose answers it can change; `changed` may have no grants about others.
    `missing_test` is the test that would notice one that changes no answer but what may be stored; else empty.
    """

    kind: Kind
    what: str
    place: Place
    changed: PolicySet
    questions: tuple[tuple[str, str], ...]
    missing_test: str = ""


def mutants(policy: PolicySet) -> Iterator[Mutant]:
    """Every small change of a policy set: of its grants in their order, then of its roles, levels, resource types and properties.

    A declared type is dropped only where that makes the condition of some grant another one.
    """
    for position, grant in enumerate(policy.grants):
        question = (grant.resource_type, grant.action)
        others = [other for other in policy.grants_about(*question) if other is not grant]
        at = sum(1 for other in policy.grants[:position] if (other.resource_type, other.action) == question)
        for kind, what, changed in _changes(grant, policy):
            grants = (*others[:at], *([changed] if changed else []), *others[at:])
            yield Mutant(kind, f"{grant}: {what}", grant.place, replace(policy, grants=grants), (question,))
    everything = tuple(everything_asked(policy))
    for role in policy.roles.roles.values():
        for contained in role.contains:
            weaker = replace(role, contains=tuple(name for name in role.contains if name != contained))
            roles = replace(policy.roles, roles=MappingProxyType({**policy.roles.roles, role.name: weaker}))
            what = f"{role.name} contains {contained}: dropped"
            yield Mutant("inheritance link dropped", what, role.place, replace(policy, roles=roles), everything)
        for link in role.contains_in:
            rest = tuple(other for other in role.contains_in if other != link)
            without = replace(role, contains_in=rest)
            everywhere = replace(without, contains=(*role.contains, link[0]))
            said = f"{role.name} contains {link[0]} in {link[1]}"
            changes: tuple[tuple[Kind, str, Role], ...] = (
                ("inheritance link dropped", f"{said}: dropped", without),
                ("place changed", f"{said}: everywhere instead", everywhere),
            )
            for kind, what, changed_role in changes:
                roles = replace(policy.roles, roles=MappingProxyType({**policy.roles.roles, role.name: changed_role}))
                yield Mutant(kind, what, role.place, replace(policy, roles=roles), everything)
        if role.keep_one:
            not_kept = MappingProxyType({**policy.roles.roles, role.name: replace(role, keep_one=False)})
            without_rule = replace(policy, roles=replace(policy.roles, roles=not_kept))
            missing = f"a person with other roles than {role.name} in a domain of its own, who says forbidden: true"
            yield Mutant("rule dropped", f"{role.name} keep_one: dropped", role.place, without_rule, (), missing)
    yield from _changes_of_levels(policy, everything)
    yield from _changes_of_types(policy)
    yield from _changes_of_properties(policy)


def _changes_of_levels(policy: PolicySet, everything: tuple[tuple[str, str], ...]) -> Iterator[Mutant]:
    """Each level without one of the things that `roles.yaml` says of it."""
    for level in policy.roles.levels:
        changes: list[tuple[Kind, str, Level]] = []
        if level.requires_role_above:
            changes.append(("rule dropped", "requires_role_above", replace(level, requires_role_above=False)))
        if level.named_by is not None:
            changes.append(("naming changed", f"named_by {level.named_by}", replace(level, named_by=None)))
        if level.identified_by is not None:
            changes.append(("naming changed", f"identified_by {level.identified_by}", replace(level, identified_by=None)))
        for kind, what, changed in changes:
            levels = tuple(changed if one is level else one for one in policy.roles.levels)
            roles = replace(policy.roles, levels=levels)
            yield Mutant(kind, f"level {level.name} {what}: dropped", level.place, replace(policy, roles=roles), everything)


def _changes_of_types(policy: PolicySet) -> Iterator[Mutant]:
    """Each action that is asked in a level of its own, asked where its resource lies instead, or in another level."""
    for declared in policy.resource_types.values():
        for action, level in declared.asked_in.items():
            others = [other.name for other in policy.roles.levels if other.name != level]
            for other in (None, *others):
                rest = {name: asked for name, asked in declared.asked_in.items() if name != action}
                asked_in = MappingProxyType(rest if other is None else {**rest, action: other})
                types = MappingProxyType({**policy.resource_types, declared.name: replace(declared, asked_in=asked_in)})
                change = "dropped" if other is None else f"in {other} instead"
                what = f"{action} {declared.name} is asked in {level}: {change}"
                changed = replace(policy, resource_types=types)
                yield Mutant("naming changed", what, declared.place, changed, ((declared.name, action),))


def _changes_of_properties(policy: PolicySet) -> Iterator[Mutant]:
    """Each property without its declared type."""
    for declared in policy.resource_types.values():
        for name in declared.properties or ():
            fewer = replace(declared, properties=_without(declared.properties, name))
            types = MappingProxyType({**policy.resource_types, declared.name: fewer})
            what = f"type of {name} of {declared.name}: dropped"
            yield from _without_declaration(policy, replace(policy, resource_types=types), what, declared.place)
    for root, properties in policy.properties.items():
        for name in properties:
            left = MappingProxyType({**policy.properties, root: _without(properties, name)})
            what = f"type of {root}.{name}: dropped"
            yield from _without_declaration(policy, replace(policy, properties=left), what, None)


def _without(properties: PropertyTypes | None, name: str) -> PropertyTypes:
    return MappingProxyType({other: type_ for other, type_ in (properties or {}).items() if other != name})


def _without_declaration(policy: PolicySet, fewer: PolicySet, what: str, place: Place | None) -> Iterator[Mutant]:
    """The mutant with fewer declarations; none where no grant's condition depends on them."""
    grants = tuple(
        grant if grant.as_written is None else _with_condition(grant, grant.as_written, grant.condition_text, fewer)
        for grant in policy.grants
    )
    changed = [old for old, new in zip(policy.grants, grants, strict=True) if old.condition != new.condition]
    if changed:
        questions = tuple(dict.fromkeys((grant.resource_type, grant.action) for grant in changed))
        where = changed[0].place if place is None else place
        yield Mutant("declaration dropped", what, where, replace(fewer, grants=grants), questions)


def _with_condition(grant: Grant, written: Condition, text: str, policy: PolicySet) -> Grant:
    decides = fitted(written, wanted_cases(grant.effect), policy.declarations(grant.resource_type))
    as_written = None if decides is written else written
    return replace(grant, condition=decides, condition_text=text, as_written=as_written)


def _changes(grant: Grant, policy: PolicySet) -> Iterator[tuple[Kind, str, Grant | None]]:
    roles = policy.roles
    yield "grant dropped", "dropped", None
    for stronger in _one_step_up(grant.grantee, roles):
        yield "role raised", f"for {stronger} instead", replace(grant, grantee=stronger)
    for weaker in _one_step_down(grant.grantee, roles):
        yield "role lowered", f"for {weaker} instead", replace(grant, grantee=weaker)
    if grant.written is not None:
        without = replace(grant, condition=None, condition_text="", as_written=None)
        yield "condition dropped", "without its condition", without
        text = f"not ({grant.condition_text})"
        yield "condition negated", f"when {text} instead", _with_condition(grant, negate(grant.written), text, policy)
        for condition in _with_a_part_less(grant.written):
            text = str(condition)
            yield "part of condition dropped", f"when {text} instead", _with_condition(grant, condition, text, policy)
        for condition in with_near_words(grant.written):
            text = str(condition)
            yield "word of condition changed", f"when {text} instead", _with_condition(grant, condition, text, policy)
    other = _other_place(grant.grantee, roles)
    if other:
        yield "place changed", f"for {other} instead", replace(grant, grantee=other)
    for scope in _other_scopes(grant.scope, roles):
        yield "place changed", f"{scope.words or 'everywhere'} instead", replace(grant, scope=scope)


def _one_step_up(grantee: str, roles: RoleModel) -> Iterator[str]:
    """The roles that directly contain a role; for `anyone`, the weakest roles."""
    if grantee == ANYONE:
        yield from (role.name for role in roles.roles.values() if not role.contains)
        return
    if is_joint(grantee):
        return
    for role in roles.roles.values():
        if grantee.removeprefix(ANY_PREFIX) in role.contains:
            is_any = grantee.startswith(ANY_PREFIX) and roles.is_earned_anywhere(role.name)
            yield ANY_PREFIX + role.name if is_any else role.name


def _one_step_down(grantee: str, roles: RoleModel) -> Iterator[str]:
    """The roles that a role directly contains, or `anyone`, where it contains none; of a joint name its parts."""
    if grantee == ANYONE:
        return
    if is_joint(grantee):
        yield from parts_of(grantee)
        return
    contained = roles.roles[grantee.removeprefix(ANY_PREFIX)].contains
    for name in contained:
        is_any = grantee.startswith(ANY_PREFIX) and roles.is_earned_anywhere(name)
        yield ANY_PREFIX + name if is_any else name
    if not contained:
        yield ANYONE


def _other_place(grantee: str, roles: RoleModel) -> str | None:
    if is_joint(grantee):
        return None
    if grantee.startswith(ANY_PREFIX):
        return grantee.removeprefix(ANY_PREFIX)
    return ANY_PREFIX + grantee if roles.is_earned_anywhere(grantee) else None


def _other_scopes(scope: Scope, roles: RoleModel) -> Iterator[Scope]:
    if scope.domain is not None:
        for place in _wider_places(scope.domain):
            yield Scope(place, scope.level)
    if scope.level is not None:
        yield Scope(scope.domain, None)
        for level in roles.levels:
            if level.name != scope.level and (scope.domain is None or depth_of(scope.domain) <= level.depth):
                yield Scope(scope.domain, level.name)


def _wider_places(place: str) -> Iterator[str | None]:
    """Everywhere, the place one part shorter, and the place with `*` for one of its ids."""
    yield None
    *above, last = place.split("/")
    if any(part != EVERY for part in above):
        yield "/".join(above)
    for number, part in enumerate([*above, last]):
        if above and part != EVERY:
            yield "/".join([*above[:number], EVERY, *[*above, last][number + 1 :]])


def _with_a_part_less(condition: Condition) -> Iterator[Condition]:
    """The condition without one part of an `and` or an `or`, at any depth."""
    if not isinstance(condition, AllOf | AnyOf):
        return
    parts = condition.parts
    for position, part in enumerate(parts):
        rest = (*parts[:position], *parts[position + 1 :])
        yield rest[0] if len(rest) == 1 else type(condition)(rest)
        for smaller in _with_a_part_less(part):
            yield type(condition)((*parts[:position], smaller, *parts[position + 1 :]))
