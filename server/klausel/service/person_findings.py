"""What `klausel findings` says of one subject, and of the places that it has roles in, without going through everybody."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from klausel.core.analysis.findings import NO_KEEPER, Finding, FindingsSearch
from klausel.core.analysis.held_permissions import HeldPermissions
from klausel.core.analysis.search import Holders
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment
from klausel.core.policy.holding import Rows, held_at
from klausel.core.policy.keepers import holders_of
from klausel.core.policy.policy_set import PolicySet
from klausel.storage.assignments.holders import people_who_hold

MOST_PLACES = 50
"""The places of one subject that are looked at; `klausel findings` looks at all."""
MOST_HOLDERS = 200
"""How many holders of a role are looked at in a place until two of them hold it without an end."""


def findings_about(
    policy: PolicySet, engine: Engine, own: list[Assignment], rows: Rows, now: float, soon: float, account: str | None
) -> Iterator[Finding]:
    """The findings about one subject by its rows, and about places of its own: that nobody keeps them, or only this subject.

    With an `account`, only what concerns that. Raises `StorageError`.
    """
    subject = own[0].subject
    search = FindingsSearch(policy.roles, now, soon, account, HeldPermissions(policy))
    yield from search.of_subject(own, rows)
    for domain in {domain for _, domain in held_at(subject, rows, now).pairs}:
        search.note_place(domain)
    known = {pair for pair in search.demanded()[:MOST_PLACES] if _note_keepers(policy, engine, search, *pair, now)}
    for finding in search.of_places():
        is_own = finding.kind == NO_KEEPER or finding.subject == subject
        if is_own and (finding.role, finding.domain) in known:
            yield finding


def _note_keepers(policy: PolicySet, engine: Engine, search: FindingsSearch, role: str, domain: str, now: float) -> bool:
    """Notes who keeps a place, until there are two; whether that is known then, for there are not too many to look at."""
    exactly = tuple((name, domain) for name in sorted(holders_of(policy.roles, role)))
    looked = 0
    for looked, (subject, held) in enumerate(people_who_hold(engine, Holders(exactly, (), domain), now=now), 1):
        if looked > MOST_HOLDERS or search.has_several_keepers(role, domain):
            break
        if not subject.startswith(GROUP_PREFIX):
            search.note_keeper(subject, held)
    return looked <= MOST_HOLDERS
