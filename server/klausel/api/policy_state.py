"""What the service says of its policies: the version in force, what may be asked, and whether it is ready or refused files."""

from __future__ import annotations

from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.policy.properties import PropertyTypes, type_as_json
from klausel.core.terms.caller import Caller
from klausel.core.terms.moment import instant_text
from klausel.service.decision_service import Service
from klausel.service.policy_in_force import LivePolicy
from klausel.storage.sql.database import StorageError

MOST_LISTED = 100
"""Problems listed in one answer; their number is always told."""


def describe_policy(live: LivePolicy, caller: Caller | None) -> Json:
    """The version of the policy in force, what it holds, and why the files are not in force where they were refused.

    A caller that is limited to some accounts is not told what is stored in all of them.
    """
    loaded = live.in_force.policy
    policy = loaded.compiled.policy
    version: Json = {"files_digest": loaded.files_digest, "meaning_digest": loaded.compiled.meaning_digest}
    if loaded.commit is not None:
        version |= {"commit": loaded.commit.id, "dirty": loaded.commit.dirty}
    if loaded.compiled.other_model is not None:
        version["not_for_model"] = loaded.compiled.other_model
    counts = {
        "levels": len(policy.roles.levels),
        "roles": len(policy.roles.roles),
        "resource_types": len(policy.resource_types),
        "actions": sum(len(declared.actions) for declared in policy.resource_types.values()),
        "conditions": len(policy.conditions),
        "grants": len(policy.grants),
    }
    warnings = [str(problem) for problem in loaded.warnings]
    return {**version, "counts": counts, "warnings": warnings, **_orphaned(live, caller), **_refused(live)}


def describe_types(live: LivePolicy) -> Json:
    """What may be asked about: resource types with their actions, and what requests may send, with its types."""
    loaded = live.in_force.policy
    policy = loaded.compiled.policy
    resource_types = {
        declared.name: {
            "actions": list(declared.actions),
            "privileged": list(declared.privileged),
            "asked_in": dict(declared.asked_in),
            "properties": _types(declared.properties),
        }
        for declared in policy.resource_types.values()
    }
    levels = [
        {"name": level.name, "named_by": level.named_by, "identified_by": level.identified_by, "constant": level.constant}
        for level in policy.roles.levels
    ]
    others = {root: _types(policy.properties.get(root)) for root in ("subject", "action", "context")}
    known = policy.subject_types
    return {
        "files_digest": loaded.files_digest,
        "levels": levels,
        "resource_types": resource_types,
        "subject_types": None if known is None else list(known),
        **others,
    }


def _types(declared: PropertyTypes | None) -> Json | None:
    return None if declared is None else {name: type_as_json(type_) for name, type_ in declared.items()}


def answer_reload(service: Service, caller: Caller | None) -> Json:
    """The answer to `POST /v1/policy:reload`; raises `ApiError`: 409 with every problem of refused files, 503 while busy."""
    outcome = service.reload_policy()
    if outcome is None:
        message = "the policies are being reloaded for another caller; ask again to learn what came of it"
        raise ApiError(503, message, {"Retry-After": "1"})
    refused = _refused(service.live)
    if outcome == "refused" and refused:
        message = "the files are refused, so the last good policies stay in force"
        raise ApiError(409, message, **refused)
    return {"result": outcome, **describe_policy(service.live, caller)}


def describe_readiness(service: Service) -> Json:
    """The answer to `GET /readyz`; raises `ApiError` (503) when the service cannot answer questions."""
    fault = service.fault()
    if fault is not None:
        raise ApiError(503, fault)
    refused = _refused(service.live)
    if service.authentication is not None and refused:
        # Everybody may ask for this, and the problems quote the files.
        refused["refused"]["problems"] = []
    if service.live.is_too_old:
        seconds = service.live.max_age_seconds
        message = f"the policies could not be refreshed for more than {seconds:g} seconds, so everything is denied"
        raise ApiError(503, message, **refused)
    return {"status": "ready", **refused}


def _orphaned(live: LivePolicy, caller: Caller | None) -> Json:
    if caller is not None and caller.accounts is not None:
        return {"orphaned_assignments": None}
    try:
        orphaned = live.orphaned()
    except StorageError:
        return {"orphaned_assignments": None}
    named = [{"role": role, "count": number} for role, _, number in orphaned[:MOST_LISTED]]
    return {"orphaned_assignments": {"count": sum(one.number for one in orphaned), "roles": named}}


def _refused(live: LivePolicy) -> Json:
    refusal = live.refusal
    if refusal is None:
        return {}
    since = instant_text(refusal.since_unix_seconds)
    problems = [str(problem) for problem in refusal.problems]
    return {"refused": {"since": since, "count": len(problems), "problems": problems[:MOST_LISTED]}}
