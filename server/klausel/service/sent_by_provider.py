"""What identity providers decide of subjects, which the console therefore does not let people change by hand."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Engine

from klausel.core.policy.assignment import Assignment
from klausel.storage.provisioned import rows
from klausel.storage.provisioned.rows import Provisioned
from klausel.storage.sql.database import reading


@dataclass(frozen=True, slots=True)
class SentByProvider:
    """What providers sent of some subjects: who they are, and the memberships and roles that follow from it."""

    sent: tuple[Provisioned, ...] = ()
    decided: frozenset[tuple[str, str, str]] = frozenset()
    """Rows as (subject, role or group, domain)."""

    def are(self, subjects: Collection[str], accounts: Collection[str] | None = None) -> list[str]:
        """Those of these subjects that a provider sent, in their order; with `accounts`, a provider of one of these or of all."""
        known = {one.subject for one in self.sent if accounts is None or not one.account or one.account in accounts}
        return [subject for subject in subjects if subject in known]

    def decides(self, row: Assignment) -> bool:
        """Whether a row is there because a provider sent it."""
        return row.key in self.decided

    def why_not_given(self, row: Assignment) -> str:
        """Why nobody gives this by hand, as a sentence without its end; empty where they may."""
        if row.domain or not self.are([row.role]):
            return ""
        return f"an identity provider says who is in {row.role}; add {row.subject} there"

    def why_not_taken(self, row: Assignment) -> str:
        """Why nobody takes this away by hand, as a sentence without its end; empty where they may."""
        if not self.decides(row):
            return ""
        if not row.domain:
            return f"an identity provider put {row.subject} into {row.role}; change it there"
        return f"{row.subject} comes from an identity provider, and provisioning.yaml gives it this role; change it there"


def sent_by_provider(engine: Engine, subjects: Collection[str], subject: str | None = None) -> SentByProvider:
    """What providers sent of these subjects, and what they decide of `subject` among these; raises StorageError."""
    if not subjects or not rows.is_there(engine):
        return SentByProvider()
    with reading(engine) as connection:
        sent = rows.those_who_are(connection, subjects)
        decided: set[tuple[str, str, str]] = set()
        for one in sent:
            if one.subject != subject:
                continue
            if one.kind == "Group":
                decided |= {(subject, role, domain) for role, domain in json.loads(one.given)}
            elif one.is_active:
                decided |= {(subject, group.subject, "") for group in rows.groups_of(connection, one)}
    return SentByProvider(tuple(sent), frozenset(decided))
