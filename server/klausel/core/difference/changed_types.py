"""Declared types of properties that two policy sets have otherwise, whether or not that changes a decision."""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import PropertyTypes


def changed_types(before: PolicySet, after: PolicySet) -> Iterator[str]:
    """What is declared otherwise, a sentence for each resource type, and for subjects, actions and the context."""
    for name, now in after.resource_types.items():
        was = before.resource_types.get(name)
        changes = _changes(was.properties, now.properties) if was is not None else ()
        if changes:
            yield f"properties of {name}: {'; '.join(changes)} ({now.place.source})"
    for root in dict.fromkeys((*before.properties, *after.properties)):
        changes = _changes(before.properties.get(root), after.properties.get(root))
        if changes:
            yield f"properties of {root}: {'; '.join(changes)}"


def _changes(before: PropertyTypes | None, after: PropertyTypes | None) -> tuple[str, ...]:
    """How declarations differ: what is no longer declared, is new, or has another type."""
    old, new = before or {}, after or {}
    changes = [f"{name} is no longer declared" for name in old if name not in new]
    for name, type_ in new.items():
        if name not in old:
            changes.append(f"{name} is declared as {type_}")
        elif old[name] != type_:
            changes.append(f"{name} is {type_}; it was {old[name]}")
    return tuple(changes)
