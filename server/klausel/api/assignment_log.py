"""The routes of the change log, of role assignments and of stored properties: pages of changes, newest first."""

from __future__ import annotations

import re

from klausel.api.access import check_reach
from klausel.api.assignments import CURSOR_FAULT, read_limit
from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.policy.entity import KINDS
from klausel.core.terms.caller import Caller
from klausel.core.terms.moment import read_moment
from klausel.service.decision_service import Service
from klausel.storage.change_log.entity_reader import EntityFilters, EntityLogReader, entity_change_as_json
from klausel.storage.change_log.reader import Filters, LogReader, Place, change_as_json

_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)


def list_changes(service: Service, parameters: dict[str, str], caller: Caller | None = None) -> Json:
    """The answer to `GET /v1/assignment-log`: changes, and the cursor of the next page; raises `ApiError` (400)."""
    limit = read_limit(parameters)
    check_reach(caller, [parameters.get("domain")])
    filters = Filters(
        parameters.get("subject"),
        parameters.get("role"),
        parameters.get("domain"),
        parameters.get("by"),
        _moment(parameters, "since"),
        _moment(parameters, "until"),
        service.policy.compiled.policy.roles.names_of_one(parameters["role"]) if "role" in parameters else (),
    )
    after = _place(parameters["cursor"]) if "cursor" in parameters else None
    found = list(LogReader(service.store.engine).changes(filters, limit + 1, after))
    answer: Json = {"changes": [change_as_json(change) for change in found[:limit]]}
    if len(found) > limit:
        answer["next_cursor"] = f"{found[limit - 1].number}.{found[limit - 1].position}"
    return answer


def list_entity_changes(service: Service, parameters: dict[str, str], caller: Caller | None = None) -> Json:
    """The answer to `GET /v1/entity-log`: changes, and the cursor of the next page; raises `ApiError` (400, 403)."""
    limit = read_limit(parameters)
    check_reach(caller, [parameters.get("domain")])
    kind = parameters.get("kind")
    if kind is not None and kind not in KINDS:
        raise ApiError(400, "parameter kind is neither subject nor resource; write one of them")
    filters = EntityFilters(
        kind,
        parameters.get("type"),
        parameters.get("id"),
        parameters.get("domain"),
        parameters.get("by"),
        _moment(parameters, "since"),
        _moment(parameters, "until"),
    )
    after = _place(parameters["cursor"]) if "cursor" in parameters else None
    found = list(EntityLogReader(service.store.engine).changes(filters, limit + 1, after))
    answer: Json = {"changes": [entity_change_as_json(change) for change in found[:limit]]}
    if len(found) > limit:
        answer["next_cursor"] = f"{found[limit - 1].number}.{found[limit - 1].position}"
    return answer


def _moment(parameters: dict[str, str], name: str) -> int | None:
    try:
        return read_moment(parameters[name]) if name in parameters else None
    except ValueError as error:
        raise ApiError(400, f"{name}: {error}") from None


def _place(cursor: str) -> Place:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ApiError(400, CURSOR_FAULT)
    return int(found[1]), int(found[2])
