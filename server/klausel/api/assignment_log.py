"""The routes of the change log, of role assignments and of stored properties: pages of changes, newest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from klausel.api.access import check_reach
from klausel.api.assignments import CURSOR_FAULT, read_limit
from klausel.api.errors import ApiError
from klausel.api.shapes import Json, Moment
from klausel.core.policy.entity import KINDS
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service
from klausel.storage.change_log.entity_reader import EntityFilters, EntityLogReader, LoggedEntity, entity_change_as_json
from klausel.storage.change_log.reader import Filters, LoggedChange, LogReader, Place, change_as_json

Change = TypeVar("Change", LoggedChange, LoggedEntity)

_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)


def list_changes(service: Service, parameters: dict[str, str], caller: Caller | None) -> Json:
    """The answer to `GET /v1/assignment-log`: changes, and the cursor of the next page; raises `ApiError` (400)."""
    limit = read_limit(parameters)
    check_reach(caller, [parameters.get("domain")])
    filters = Filters(
        parameters.get("subject"),
        parameters.get("role"),
        parameters.get("domain"),
        service.policy.compiled.policy.roles.names_of_one(parameters["role"]) if "role" in parameters else (),
        **_of_records(parameters),
    )
    return _page(limit, LogReader(service.store.engine).changes(filters, limit + 1, _after(parameters)), change_as_json)


def list_entity_changes(service: Service, parameters: dict[str, str], caller: Caller | None) -> Json:
    """The answer to `GET /v1/entity-log`: changes, and the cursor of the next page; raises `ApiError` (400, 403)."""
    limit = read_limit(parameters)
    check_reach(caller, [parameters.get("domain")])
    kind = parameters.get("kind")
    if kind is not None and kind not in KINDS:
        raise ApiError(400, "parameter kind is neither subject nor resource; write one of them")
    names = ("type", "id", "domain")
    filters = EntityFilters(kind, *map(parameters.get, names), **_of_records(parameters))
    changes = EntityLogReader(service.store.engine).changes(filters, limit + 1, _after(parameters))
    return _page(limit, changes, entity_change_as_json)


def _page(limit: int, changes: Iterator[Change], as_json: Callable[[Change], Json]) -> Json:
    """The first of some changes; the cursor is given where there are more."""
    found = list(changes)
    answer: Json = {"changes": [as_json(change) for change in found[:limit]]}
    if len(found) > limit:
        answer["next_cursor"] = f"{found[limit - 1].number}.{found[limit - 1].position}"
    return answer


def _of_records(parameters: dict[str, str]) -> dict[str, Any]:
    """What is wanted of the records themselves, of either kind."""
    return {
        "by": parameters.get("by"),
        "since": _moment(parameters, "since"),
        "until": _moment(parameters, "until"),
    }


def _moment(parameters: dict[str, str], name: str) -> int | None:
    return Moment().read(parameters[name], name) if name in parameters else None


def _after(parameters: dict[str, str]) -> Place | None:
    if "cursor" not in parameters:
        return None
    found = _CURSOR.fullmatch(parameters["cursor"])
    if found is None:
        raise ApiError(400, CURSOR_FAULT)
    return int(found[1]), int(found[2])
