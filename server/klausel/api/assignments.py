"""The role assignment routes: one atomic write, of members of groups too, pages, and taking everything from a leaver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import request

from klausel.api.access import caller_in, check_reach
from klausel.api.errors import ApiError
from klausel.api.request_shapes import CHANGE, CURSOR
from klausel.api.shapes import Instant, Json
from klausel.core.decisions.role_giving import fault_in_person
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment, Violation, fault_in_assignment, row_as_json
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import TEXT_CHARACTERS, Origin
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service
from klausel.service.role_giving import MayNotGive, OnBehalf, on_behalf_origin
from klausel.storage.assignments.store import ForbiddenState, InvalidAssignments, InvalidCursor

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
CURSOR_FAULT = "the cursor is not one that was given for this query; start again without it"
_CURSOR = re.compile(CURSOR.pattern)
_FIELDS = ("subject", "role", "domain")
_ENDS = ("ends_after", "ends_before")
_CLAIMS = ("by", "reason", "ticket")


class Sender(NamedTuple):
    """What the service itself knows of who sent a request: the proved caller, else the address, and the id of the request."""

    caller: str | None
    request_id: str | None
    proved: Caller | None = None


def change_assignments(service: Service, body: Json, sender: Sender) -> Json:
    """The answer to `POST /v1/assignments`: the new revision; raises `ApiError` (400, 409) with every row at fault."""
    read = CHANGE.read(body, "")
    grant, revoke = _rows(read, "grant"), _rows(read, "revoke")
    if not grant and not revoke:
        raise ApiError(400, "there is nothing to change; name rows in grant or revoke")
    origin, guard = _whose(service, read, sender)
    check_reach(sender.proved, (row.domain or None for row in (*grant, *revoke)))
    if len(grant) + len(revoke) > service.settings.max_batch:
        most = service.settings.max_batch
        raise ApiError(400, f"more than {most} rows in one request; send several, or use klausel assignments import")
    try:
        revision = service.store.write(service.policy.compiled.policy.roles, grant, revoke, origin, guard)
    except InvalidAssignments as error:
        faults = [
            {"list": fault.list, "index": fault.index, **row_as_json(fault.assignment), "message": fault.message}
            for fault in error.faults
        ]
        first, roles = error.faults[0], service.policy.compiled.policy.roles
        status = 400 if any(_is_bad_alone(roles, fault.assignment) for fault in error.faults) else 409
        raise ApiError(status, f"{first.list}[{first.index}]: {first.message}", faults=faults) from None
    except ForbiddenState as error:
        raise _conflict(error) from None
    except MayNotGive as error:
        raise _not_given(error) from None
    return {"revision": revision}


def list_assignments(service: Service, parameters: dict[str, str], caller: Caller | None) -> Json:
    """The answer to `GET /v1/assignments`: rows in order, and the cursor of the next page where there is one."""
    limit = read_limit(parameters)
    check_reach(caller, [parameters.get("domain")])
    filters = {name: parameters.get(name) for name in _FIELDS}
    if "group" in parameters:
        if "role" in parameters or "domain" in parameters:
            raise ApiError(409, "group goes with subject alone; its members have no role and no domain")
        filters |= {"role": parameters["group"], "domain": ""}
    roles = service.policy.compiled.policy.roles
    role_names = roles.names_of_one(parameters["role"]) if "role" in parameters else ()
    ends = {name: Instant().read(parameters[name], name) for name in _ENDS if name in parameters}
    try:
        page = service.store.page(**filters, **ends, limit=limit, cursor=parameters.get("cursor"), role_names=role_names)
    except InvalidCursor:
        raise cursor_fault(parameters["cursor"]) from None
    answer: Json = {"assignments": [_as_today(assignment, roles) for assignment in page.assignments]}
    if page.next_cursor is not None:
        answer["next_cursor"] = page.next_cursor
    return answer


def cursor_fault(cursor: str) -> ApiError:
    """What is answered to a cursor that was given for another query (409), or that is none at all (400)."""
    status = 409 if _CURSOR.fullmatch(cursor) else 400
    return ApiError(status, CURSOR_FAULT)


def _is_bad_alone(roles: RoleModel, row: Assignment) -> bool:
    """Whether a row is written wrongly, as the description of the API tells; else its times or other rows are in its way."""
    return row.role != row.subject and fault_in_assignment(roles, row._replace(starts=None, ends=None)) is not None


def _as_today(assignment: Assignment, roles: RoleModel) -> Json:
    """A row with the name that its role has now, and the one under which it is stored where that is another."""
    now = roles.name_now(assignment.role)
    row = row_as_json(assignment._replace(role=now))
    return row if now == assignment.role else {**row, "stored_role": assignment.role}


def read_limit(parameters: dict[str, str]) -> int:
    """How long a page shall be; raises `ApiError` (400)."""
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= LARGEST_LIMIT):
        raise ApiError(400, f"limit is not a number from 1 to {LARGEST_LIMIT}")
    return int(text)


def remove_subject(service: Service, parameters: dict[str, str], sender: Sender) -> Json:
    """The answer to `DELETE /v1/assignments`: how many rows went, and the revision; raises `ApiError` (400, 409)."""
    for name in ("subject", "account"):
        if not parameters.get(name):
            raise ApiError(400, f"parameter {name} is missing; write ?subject=user:ann&account=acme")
    if ":" not in parameters["subject"]:
        raise ApiError(400, f'subject "{parameters["subject"]}" has no type; write it as type:id, such as user:ann')
    check_reach(sender.proved, [parameters["account"]])
    roles = service.policy.compiled.policy.roles
    origin, guard = _whose(service, parameters, sender)
    try:
        revision, removed = service.store.remove_subject(
            roles,
            parameters["subject"],
            parameters["account"],
            origin,
            stays_inside=sender.proved is not None and sender.proved.accounts is not None,
            guard=guard,
        )
    except ForbiddenState as error:
        raise _conflict(error) from None
    except MayNotGive as error:
        raise _not_given(error) from None
    except InvalidAssignments as error:
        raise ApiError(400, error.faults[0].message) from None
    return {"revision": revision, "removed": removed}


def _whose(service: Service, claims: Mapping[str, Any], sender: Sender) -> tuple[Origin, OnBehalf | None]:
    """Where a change comes from, and what guards it where it is on behalf of a person; raises `ApiError` (400, 403)."""
    origin, person = origin_of(claims, sender), claims.get("on_behalf_of")
    if person is None:
        if sender.proved is not None and "assign" not in sender.proved.scopes:
            message = "this caller changes roles only on behalf of a person; name one in on_behalf_of, such as user:ann"
            raise ApiError(403, message)
        return origin, None
    fault = fault_in_person(person)
    if fault is not None:
        raise ApiError(400, f"on_behalf_of: {fault}")
    try:
        return on_behalf_origin(origin, person), OnBehalf(service.in_force_now().policy.compiled, person)
    except ValueError as error:
        raise ApiError(409, str(error)) from None


def _not_given(error: MayNotGive) -> ApiError:
    refused = [
        {"list": one.list, "index": one.index, **row_as_json(one.assignment), "message": one.message}
        for one in error.refused
    ]
    where = f"{error.refused[0].list}[{error.refused[0].index}]: " if error.refused else ""
    return ApiError(403, f"{where}{error}", None, **({"refused": refused} if refused else {}))


def origin_of(claims: Mapping[str, Any], sender: Sender) -> Origin:
    """Where a change comes from: what the request says, and who sent it; raises `ApiError` (400)."""
    try:
        return Origin(
            **{name: claims.get(name) for name in _CLAIMS},
            channel="http",
            caller=sender.caller,
            request_id=sender.request_id,
        )
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def _rows(read: Json, name: str) -> list[Assignment]:
    return [_row(f"{name}[{index}]", row) for index, row in enumerate(read.get(name, ()))]


def _row(place: str, row: Json) -> Assignment:
    starts, ends = row.get("from"), row.get("until")
    if "group" not in row:
        if row["role"].startswith(GROUP_PREFIX):
            raise ApiError(400, f'{place}.role is a group; name it as "group", without a role and a domain')
        return Assignment(row["subject"], row["role"], row["domain"], starts, ends)
    if not row["group"].startswith(GROUP_PREFIX):
        raise ApiError(400, f"{place}.group is no group; write it as {GROUP_PREFIX}NAME, such as {GROUP_PREFIX}emea-support")
    return Assignment(row["subject"], row["group"], "", starts, ends)


def _conflict(error: ForbiddenState) -> ApiError:
    violations = [
        {
            **({"subject": violation.subject} if violation.subject is not None else {}),
            **_what(violation),
            "rule": violation.rule,
            "message": violation.message,
        }
        for violation in error.violations
    ]
    return ApiError(409, error.violations[0].message, violations=violations)


def _what(violation: Violation) -> Json:
    if violation.role.startswith(GROUP_PREFIX):
        return {"group": violation.role}
    return {"role": violation.role, "domain": violation.domain}


def sender_of_request() -> Sender:
    """The proved caller of the current request, else its address, and its id."""
    request_id = request.headers.get("X-Request-ID")
    proved = caller_in(request.environ)
    name = request.remote_addr or None if proved is None else proved.logged_as
    return Sender(name, request_id[:TEXT_CHARACTERS] if request_id else None, proved)
