"""Whom in the database a difference concerns: for each of its changes, and for each row of a review.

What opens a database is imported where it is opened: most who compare count nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import click

from klausel.cli.database_options import database_at
from klausel.cli.progress import progress
from klausel.core.difference.compare import PolicyDifference, difference_between
from klausel.core.difference.people import Concerned, Flips
from klausel.core.difference.report import People
from klausel.core.policy.assignment import GROUP_PREFIX
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, parts_of

people_option = click.option("--people", is_flag=True, help="Count the people in the database who gain and lose each thing.")

_Held = tuple[tuple[str, str], ...]


def people_concerned(difference: PolicyDifference, database: str, names: bool = False) -> tuple[list[People], People]:
    """Who gains and loses by each change, and by any of them; each person counts once, and groups apart from people."""
    gains: list[list[str]] = [[] for _ in difference.changes]
    losses: list[list[str]] = [[] for _ in difference.changes]
    gaining: list[str] = []
    losing: list[str] = []
    for subject, _, (gain, loss) in _flips(difference, database):
        for positions, lists, together in ((gain, gains, gaining), (loss, losses, losing)):
            for position in positions:
                lists[position].append(subject)
            if positions:
                together.append(subject)

    def people(gain: list[str], loss: list[str]) -> People:
        (gainers, groups_gaining), (losers, groups_losing) = _people_and_groups(gain), _people_and_groups(loss)
        counts = len(gainers), len(losers), len(groups_gaining), len(groups_losing)
        return People(*counts, gainers, losers, groups_gaining, groups_losing) if names else People(*counts)

    return [people(gain, loss) for gain, loss in zip(gains, losses, strict=True)], people(gaining, losing)


def _people_and_groups(subjects: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are no group, and the groups: a group is nobody, and its members are listed themselves."""
    groups = tuple(subject for subject in subjects if subject.startswith(GROUP_PREFIX))
    return tuple(subject for subject in subjects if not subject.startswith(GROUP_PREFIX)), groups


def holders_concerned(before: PolicySet, after: PolicySet, database: str) -> Callable[[str, str, str], int | None]:
    """Tells how many people who hold a role gain or lose an action on a resource type, by type, action and role.

    None where that action has too many cases to compare.
    """
    counted: Counter[tuple[str, str, frozenset[str]]] = Counter()
    difference = difference_between(before, after)
    for subject, held, (gain, loss) in _flips(difference, database):
        if subject.startswith(GROUP_PREFIX):
            continue
        names = frozenset(name for role, _ in held for name in (role, after.roles.name_now(role)))
        changes = [difference.changes[position] for position in gain | loss]
        counted.update({(change.resource_type, change.action, names) for change in changes})

    def holders(resource_type: str, action: str, role: str) -> int | None:
        if (resource_type, action) not in difference.views:
            return None
        wanted = {part.removeprefix(ANY_PREFIX) for part in parts_of(role)} - {ANYONE}
        return sum(
            number
            for (of_type, of_action, names), number in counted.items()
            if (of_type, of_action) == (resource_type, action) and names >= wanted
        )

    return holders


def _flips(difference: PolicyDifference, database: str) -> Iterator[tuple[str, _Held, Flips]]:
    """Everybody who may be concerned, with what they hold, and the changes by which they gain and lose."""
    if not difference.changes:
        return
    from klausel.storage.assignments.people_of_roles import people_holding

    concerned = Concerned(difference)
    with database_at(database) as engine:
        found = people_holding(engine, concerned.roles())
        for subject, held in progress(found, unit=" people", is_short=False):
            yield subject, held, concerned.flips(subject, held)
