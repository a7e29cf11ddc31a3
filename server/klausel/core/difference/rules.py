"""What two policy sets demand beside their decisions: rules on role assignments, types of properties, and invariants."""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tree import Condition, with_one_spelling
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import PropertyTypes


def changed_rules(before: PolicySet, after: PolicySet) -> tuple[str, ...]:
    """What is demanded otherwise, a sentence each.

    First `keep_one` of roles on both sides, then declared types of properties, then invariants by their names.
    """
    return (*_kept_roles(before, after), *_types(before, after), *_invariants(before, after))


def _kept_roles(before: PolicySet, after: PolicySet) -> Iterator[str]:
    for name, role in before.roles.roles.items():
        other = after.roles.roles.get(name)
        if other is not None and other.keep_one != role.keep_one:
            now = "is now kept" if other.keep_one else "is no longer kept"
            yield f"keep_one: the last {name} {now} from being revoked ({_source(other.place.file, other.place.line)})"


def _types(before: PolicySet, after: PolicySet) -> Iterator[str]:
    for name, now in after.resource_types.items():
        was = before.resource_types.get(name)
        changes = _changed_types(was.properties, now.properties) if was is not None else ()
        if changes:
            source = _source(now.place.file, now.place.line)
            yield f"properties of {name}: {'; '.join(changes)} ({source})"
    for root in dict.fromkeys((*before.properties, *after.properties)):
        changes = _changed_types(before.properties.get(root), after.properties.get(root))
        if changes:
            yield f"properties of {root}: {'; '.join(changes)}"


def _changed_types(before: PropertyTypes | None, after: PropertyTypes | None) -> tuple[str, ...]:
    """How declarations differ: what is no longer declared, is new, or has another type."""
    old, new = before or {}, after or {}
    changes = [f"{name} is no longer declared" for name in old if name not in new]
    for name, type_ in new.items():
        if name not in old:
            changes.append(f"{name} is declared as {type_}")
        elif old[name] != type_:
            changes.append(f"{name} is {type_}; it was {old[name]}")
    return tuple(changes)


def _invariants(before: PolicySet, after: PolicySet) -> Iterator[str]:
    old, new = ({invariant.name: invariant for invariant in policy.invariants} for policy in (before, after))
    for name, invariant in old.items():
        source = _source(invariant.place.file, invariant.place.line)
        if name not in new:
            yield f'the invariant "{name}" is demanded no more (it stood at {source})'
        elif _demand(new[name]) != _demand(invariant):
            yield f'the invariant "{name}" demands something else ({_source(new[name].place.file, new[name].place.line)})'
    for name, invariant in new.items():
        if name not in old:
            yield f'the invariant "{name}" is new ({_source(invariant.place.file, invariant.place.line)})'


def _demand(invariant: Invariant) -> tuple[object, ...]:
    condition: Condition | None = None if invariant.condition is None else with_one_spelling(invariant.condition)
    return invariant.kind, frozenset(invariant.who), frozenset(invariant.things), invariant.scope, condition


def _source(file: str, line: int) -> str:
    return f"{file}:{line}"
