"""The record of one decision: what a line of the decision log says. Its members are described in docs/audit.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from klausel.core.condition import with_one_spelling
from klausel.core.decision import Decision
from klausel.core.masking import Masks
from klausel.core.policy import Grant
from klausel.core.request import Request
from klausel.core.roles import top_domain
from klausel.core.standing import Standing

Record = dict[str, object]

GRANT_ID_DIGITS = 12


class Asked(NamedTuple):
    """One decision of a call. `request` is None for what was no question, `standing` where no role was asked for."""

    request: Request | None
    decision: Decision
    standing: Standing | None
    duration_nanoseconds: int


class Call(NamedTuple):
    """The decisions of one HTTP request, on the route `evaluation`, `evaluations` or `explain`.

    `policy` names the version in force. The role assignments were those of `revision` or of a later one. `sample_rate` is
    the share of the allows that is kept, 1 for all.
    """

    time_nanoseconds: int
    request_id: str
    route: str
    caller: str
    policy: Mapping[str, object]
    revision: str | None
    sample_rate: float
    asked: list[tuple[int, Asked]]
    """Each with its place in the request, from 0."""


def grant_id(grant: Grant) -> str:
    """A name of what the grant says: the same wherever it stands, in whatever order its condition is written."""
    condition = "" if grant.condition is None else str(with_one_spelling(grant.condition))
    said = (grant.effect, grant.grantee, grant.action, grant.resource_type, str(grant.scope), condition)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:GRANT_ID_DIGITS]


def describe_grant(grant: Grant) -> Record:
    """The member `grant` of a record."""
    return {"id": grant_id(grant), "source": grant.source, "text": str(grant)}


def record_of(call: Call, index: int, asked: Asked, grant: object, masks: Masks) -> Record:
    """One decision as a JSON object; `grant` is what `describe_grant` says, or a form of it that the encoder knows."""
    request, decision, standing, duration_nanoseconds = asked
    record: Record = {"time": time_text(call.time_nanoseconds), "request_id": call.request_id, "route": call.route}
    if call.route == "evaluations":
        record["index"] = index
    record["caller"] = call.caller
    if request is None:
        record |= {"subject": None, "action": None, "resource": None}
    else:
        subject, action, resource, context = request
        record["subject"] = _entity({"type": subject.type, "id": subject.id}, subject.properties)
        record["action"] = _entity({"name": action.name}, action.properties)
        record["resource"] = _entity({"type": resource.type, "id": resource.id}, resource.properties)
        if context:
            record["context"] = context
    record["domain"] = decision.domain
    record["roles"] = None if standing is None else _held(standing, decision.domain)
    record["decision"] = decision.allowed
    if decision.failure is not None:
        record["failure"] = decision.failure
    record["grant"] = grant
    record["policy"] = call.policy
    record["assignments_revision"] = call.revision
    record["duration_us"] = duration_nanoseconds // 100 / 10
    if decision.allowed and call.sample_rate < 1:
        record["sample_rate"] = call.sample_rate
    if masks:
        masks.apply(record)
    return record


def _entity(own: Record, properties: Mapping[str, object]) -> Record:
    if properties:
        own["properties"] = properties
    return own


def _held(standing: Standing, domain: str | None) -> list[tuple[str, str]]:
    """The stored role assignments inside the domain of the top level, also those that do not count."""
    if domain is None:
        return []
    top = top_domain(domain)
    below = top + "/"
    return [pair for pair in standing.stored if pair[1] == top or pair[1].startswith(below)]


def time_text(nanoseconds: int) -> str:
    """A time since 1970 in UTC, to the microsecond, always of the same length: texts sort as the times do."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
