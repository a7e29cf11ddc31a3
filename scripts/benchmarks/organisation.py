"""A made-up organisation: accounts of 20 workspaces and the people in them, the same for the same number and seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel

WORKSPACES = 20
PEOPLE_PER_ACCOUNT = 500
_SPREAD = 2_654_435_761
_BITS = 2**32 - 1


def account_of(person: int) -> str:
    """The account that a person, counted from 0, belongs to."""
    return f"account{person // PEOPLE_PER_ACCOUNT}"


def subject_id(person: int) -> str:
    """The id of a person."""
    return f"person{person}"


def people(roles: RoleModel, count: int, seed: int = 1) -> Iterator[Assignment]:
    """The role assignments of so many people, person by person: one in the account, mostly one or two in its workspaces.

    Weaker roles are held by more people. The first person of each account has the strongest role.
    """
    in_account = [role.name for role in roles.roles.values() if roles.level_of(role.name).depth == 1]
    in_workspace = [role.name for role in roles.roles.values() if roles.level_of(role.name).depth == 2]
    account_wheel = _wheel(in_account, 6)
    workspace_wheel = _wheel(in_workspace, 2)
    account, workspaces = "", ()
    for person in range(count):
        if person % PEOPLE_PER_ACCOUNT == 0:
            account = account_of(person)
            workspaces = tuple(f"{account}/workspace{number}" for number in range(WORKSPACES))
        chance = ((person + seed) * _SPREAD & _BITS) >> 5
        subject = f"user:person{person}"
        first = person % PEOPLE_PER_ACCOUNT == 0
        yield Assignment(subject, in_account[0] if first else account_wheel[chance % len(account_wheel)], account)
        chance //= len(account_wheel)
        if in_workspace and chance % 10:
            place = chance // 10 % WORKSPACES
            yield Assignment(subject, workspace_wheel[chance % len(workspace_wheel)], workspaces[place])
            if chance % 4 == 0:
                other = workspace_wheel[chance // 7 % len(workspace_wheel)]
                yield Assignment(subject, other, workspaces[(place + 7) % WORKSPACES])


def holdings(roles: RoleModel, count: int) -> dict[str, tuple[tuple[str, str], ...]]:
    """What the first people hold: (role, domain) pairs by subject id."""
    found: dict[str, list[tuple[str, str]]] = {}
    for subject, role, domain, *_ in people(roles, count):
        found.setdefault(subject.partition(":")[2], []).append((role, domain))
    return {subject: tuple(held) for subject, held in found.items()}


def _wheel(names: list[str], steepness: int) -> list[str]:
    """Names repeated so that each weaker one comes `steepness` times as often as the one before it."""
    if not names:
        return []
    weights = [steepness**place for place in range(len(names))]
    total = list(accumulate(weights))[-1]
    size = min(total, 97)
    wheel = []
    for name, weight in zip(names, weights, strict=True):
        wheel += [name] * max(1, round(size * weight / total))
    return wheel
