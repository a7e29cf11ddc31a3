"""Roles and resource types that went on under another name: to people and requests a loss and a gain, to a reader one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from klausel.core.difference.compare import difference_between
from klausel.core.difference.former_names import with_role_renamed
from klausel.core.policy.policy_set import PolicySet

MOST_TRIED = 24


@dataclass(frozen=True, slots=True)
class Rename:
    """A role or type of one side that does under another name what one of the other side did.

    What is stored and sent goes by names, so it is reported as a loss and a gain all the same. A role `is_kept` where `was` says
    what it was called: what is stored under the name of before means it, so only what it may do otherwise is reported.
    """

    kind: Literal["role", "resource type"]
    before: str
    after: str
    is_kept: bool = False

    def __str__(self) -> str:
        if self.is_kept:
            return f"role {self.before} is called {self.after} now, and whoever is {self.before} in the database keeps it"
        if self.kind == "role":
            return (
                f"role {self.before} looks renamed to {self.after}: {self.after} may do exactly what {self.before} might; "
                f"but whoever is {self.before} in the database loses it until they are made {self.after}"
            )
        return (
            f"resource type {self.before} looks renamed to {self.after}: the same may do the same; "
            f"but requests that still say {self.before} are denied"
        )


def renames_between(before: PolicySet, after: PolicySet) -> tuple[Rename, ...]:
    """Roles and types of one side only for which everything would be the same, were they called as on the other side."""
    return tuple(_renamed_roles(before, after)) + tuple(_renamed_types(before, after))


def _renamed_roles(before: PolicySet, after: PolicySet) -> Iterator[Rename]:
    depths = before.roles.depths, after.roles.depths
    gone, new = list(depths[0].keys() - depths[1].keys()), list(depths[1].keys() - depths[0].keys())
    pairs = [(old, name) for old in sorted(gone) for name in sorted(new) if depths[0][old] == depths[1][name]]
    taken: set[str] = set()
    for old, name in pairs[:MOST_TRIED]:
        if taken & {old, name}:
            continue
        if after.roles.names_now.get(old) == name:
            taken |= {old, name}
            yield Rename("role", old, name, is_kept=True)
            continue
        changes = difference_between(with_role_renamed(before, old, name), after).changes
        if not any(role == name for change in changes for row in change.parts for role, _ in row.roles):
            taken |= {old, name}
            yield Rename("role", old, name)


def _renamed_types(before: PolicySet, after: PolicySet) -> Iterator[Rename]:
    gone = [name for name in before.resource_types if name not in after.resource_types]
    new = [name for name in after.resource_types if name not in before.resource_types]
    taken: set[str] = set()
    for old, name in [(old, name) for old in gone for name in new][:MOST_TRIED]:
        if taken & {old, name} or not any(grant.resource_type == old for grant in before.grants):
            continue
        changes = difference_between(_with_type_renamed(before, old, name), after).changes
        if not any(change.resource_type == name for change in changes):
            taken |= {old, name}
            yield Rename("resource type", old, name)


def _with_type_renamed(policy: PolicySet, old: str, new: str) -> PolicySet:
    named: Callable[[str], str] = lambda name: new if name == old else name  # noqa: E731
    types = {named(name): replace(type_, name=named(name)) for name, type_ in policy.resource_types.items()}
    grants = tuple(replace(grant, resource_type=named(grant.resource_type)) for grant in policy.grants)
    levels = tuple(
        replace(level, identified_by=level.identified_by and named(level.identified_by)) for level in policy.roles.levels
    )
    return replace(policy, resource_types=types, grants=grants, roles=replace(policy.roles, levels=levels))
