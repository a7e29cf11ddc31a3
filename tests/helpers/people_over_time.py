"""Generated people over time: groups of groups, rows with a beginning and an end, former names, and what is stored of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from generated_policies import Generated, generate

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.request import Request

GROUPS = ("group:a", "group:b", "group:c", "group:d")
EDGES = tuple(f"2026-0{month}-01T00:00:00Z" for month in (2, 3, 4, 5))
MOMENTS = sorted(
    datetime(2026, month, 1, tzinfo=UTC) - before
    for month in (2, 3, 4, 5)
    for before in (timedelta(0), timedelta(milliseconds=1))
)


class OverTime(NamedTuple):
    """A policy set some of whose roles had other names, with the rows of its database and what is stored."""

    generated: Generated
    rows: list[Assignment]
    former: dict[str, str]
    entities: list[Entity]

    def held_at(self, now: datetime) -> list[tuple[str, str, str]]:
        """By definition: who has which role where, by a chain of rows each of which counts at that time."""
        counting = [row for row in self.rows if _counts(row, now)]
        return [
            (who, self.former.get(row.role, row.role), row.domain)
            for who in {row.subject for row in counting}
            for reached in _reached(who, counting)
            for row in counting
            if row.subject == reached and row.domain
        ]

    def joined(self, request: Request, roles: RoleModel) -> Request:
        """By definition: what is stored wins over what was sent, and a stored null says that there is none."""
        stored = {(entity.kind, entity.type, entity.id): entity for entity in self.entities}
        subject, resource = request.subject, request.resource
        if of_subject := stored.get(("subject", subject.type, subject.id)):
            request = request._replace(subject=subject._replace(properties=_over(subject.properties, of_subject)))
        if of_resource := stored.get(("resource", resource.type, resource.id)):
            properties = _over(resource.properties, of_resource)
            if of_resource.domain:
                named = [level for level in roles.levels if not level.constant]
                parts = dict(zip((level.name for level in roles.levels), of_resource.domain.split("/"), strict=False))
                properties = {
                    name: value for name, value in properties.items() if name not in {one.named_by for one in named}
                }
                properties |= {str(level.named_by): parts[level.name] for level in named if level.name in parts}
            request = request._replace(resource=resource._replace(properties=properties))
        return request


def _over(sent: object, entity: Entity) -> dict[str, object]:
    merged = {**sent, **entity.properties}  # type: ignore[dict-item]
    return {name: value for name, value in merged.items() if entity.properties.get(name, "") is not None}


def _counts(row: Assignment, now: datetime) -> bool:
    starts, ends = (None if text is None else datetime.fromisoformat(text) for text in (row.starts, row.ends))
    return (starts is None or starts <= now) and (ends is None or now < ends)


def _reached(who: str, rows: Sequence[Assignment]) -> set[str]:
    inner = (row.role for row in rows if row.subject == who and not row.domain)
    return {who}.union(*(_reached(group, rows) for group in inner))


def over_time(seed: int, requests: int) -> OverTime:
    """The people of a seed; the same seed gives the same."""
    generated, random = generate(seed, requests), Random(seed)
    roles = re.findall(r"^  (role\d): {level", generated.texts["roles.yaml"], re.MULTILINE)
    former = {f"old-{role}": role for role in roles if random.random() < 0.4}
    text = generated.texts["roles.yaml"]
    for old, role in former.items():
        text = text.replace(f"  {role}: {{level", f"  {role}: {{was: {old}, level")
    generated.texts["roles.yaml"] = text
    properties = [dict(request.resource.properties) for request in generated.requests]
    generated.texts["properties.yaml"] = "stored: {subjects: user, resources: [doc, task]}\n"
    rows = {row.key: row for row in _rows(generated, former, random)}
    return OverTime(generated, list(rows.values()), former, list(_entities(generated, properties, random)))


def _rows(generated: Generated, former: dict[str, str], random: Random) -> Iterator[Assignment]:
    for who, role, domain in generated.assignments:
        name = next((old for old, new in former.items() if new == role and random.random() < 0.5), role)
        yield Assignment(random.choice((who, who, *GROUPS)), name, domain, *_times(random))
    for who in (*generated.held, *GROUPS):
        later = GROUPS[GROUPS.index(who) + 1 :] if who in GROUPS else GROUPS
        for group in later:
            if random.random() < 0.4:
                yield Assignment(who, group, "", *_times(random))


def _times(random: Random) -> tuple[str | None, str | None]:
    first, last = sorted(random.sample(EDGES, 2))
    return random.choice(((None, None), (None, None), (first, None), (None, last), (first, last)))


def _entities(generated: Generated, drawn: list[dict[str, object]], random: Random) -> Iterator[Entity]:
    domains = [domain for _, _, domain in generated.assignments]
    named = ("company", "site", "team")
    for type_ in ("doc", "task"):
        for id_ in {request.resource.id for request in generated.requests}:
            if random.random() < 0.6:
                own = {
                    name: value
                    for name, value in random.choice(drawn).items()
                    if name not in named and random.random() < 0.6
                }
                # What is not there yet has no place, and where that is asked is asked of the request.
                yield Entity("resource", type_, id_, random.choice(("", *domains)) if type_ == "task" else "", own)
    for name in ("ann", "bob", "ghost"):
        if random.random() < 0.6:
            sent = random.choice(generated.requests).subject.properties
            yield Entity("subject", "user", name, "", {key: value for key, value in sent.items() if random.random() < 0.6})
