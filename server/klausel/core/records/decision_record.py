"""The record of one decision: what a line of the decision log says. Its members are described in docs/audit.md."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from klausel.core.conditions.tree import with_one_spelling
from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant
from klausel.core.terms.places import EVERYWHERE
from klausel.core.terms.request import Request

Record = dict[str, object]

GRANT_ID_DIGITS = 12


def grant_id(grant: Grant) -> str:
    """A name of what the grant says: the same wherever it stands, in whatever order its condition is written."""
    condition = "" if grant.condition is None else str(with_one_spelling(grant.condition))
    # Scopes are written otherwise today; ids in logs that were written before are to stay those of their grants.
    scope = (grant.scope.domain or EVERYWHERE) + (f"//{grant.scope.level}" if grant.scope.level else "")
    said = (grant.effect, grant.grantee, grant.action, grant.resource_type, scope, condition)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:GRANT_ID_DIGITS]


def describe_grant(grant: Grant) -> Record:
    """The member `grant` of a record."""
    return {"id": grant_id(grant), "source": grant.source, "text": str(grant)}


def record_of(
    index: int | None,
    request: Request | None,
    decision: Decision,
    effective_roles: EffectiveRoles | None,
    nanoseconds: int,
    describe: Callable[[Grant], object] = describe_grant,
) -> Record:
    """One decision as a JSON object, without the members that all of a request have; `index` is its place in a batch.

    `request` is None for what was no question, `effective_roles` where no role was asked for; `describe` gives `grant`.
    """
    allowed, grant, domain, failure = decision
    roles = None if effective_roles is None else effective_roles.stored_inside(domain)
    rule = None if grant is None else describe(grant)
    subject = action = resource = context = None
    if request is not None:
        (type_, id_, of_subject, _), (name, of_action), (resource_type, resource_id, of_resource), context = request
        subject = {"type": type_, "id": id_, "properties": of_subject} if of_subject else {"type": type_, "id": id_}
        action = {"name": name, "properties": of_action} if of_action else {"name": name}
        resource = (
            {"type": resource_type, "id": resource_id, "properties": of_resource}
            if of_resource
            else {"type": resource_type, "id": resource_id}
        )
    record: Record = {
        "subject": subject,
        "action": action,
        "resource": resource,
        "domain": domain,
        "roles": roles,
        "decision": allowed,
        "grant": rule,
        "duration_us": nanoseconds // 100 / 10,
    }
    if index is not None:
        record["index"] = index
    if context:
        record["context"] = context
    if failure is not None:
        record["failure"] = failure
    return record


def second_text(seconds: int) -> str:
    """A second since 1970 in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
