"""The routes of stored properties: one atomic write, reading one or a page, and taking one away."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from klausel.api.access import check_reach
from klausel.api.assignments import Sender, cursor_fault, origin_of, read_limit
from klausel.api.errors import ApiError
from klausel.api.request_shapes import ENTITY_CHANGE
from klausel.api.shapes import Json
from klausel.core.policy.entity import Entity, EntityKey, EntityKind, WrittenEntity
from klausel.core.policy.entity_faults import fault_in_key
from klausel.core.terms.caller import Caller
from klausel.core.terms.cursors import cursor_of, parts_of_cursor
from klausel.service.decision_service import Service
from klausel.storage.entities.store import InvalidEntities, OutOfReach, Written

MOST_ENTITIES = 1000


def change_entities(service: Service, body: Json, sender: Sender) -> Json:
    """The answer to `POST /v1/entities`; raises `ApiError` (400, 403) with every entity at fault."""
    read = ENTITY_CHANGE.read(body, "")
    put = [
        Entity(one["kind"], one["type"], one["id"], one.get("domain") or "", one.get("properties") or {})
        for one in read.get("put", ())
    ]
    gone: list[EntityKey] = [(one["kind"], one["type"], one["id"]) for one in read.get("delete", ())]
    if not put and not gone:
        raise ApiError(400, "there is nothing to change; name entities in put or delete")
    if len(put) + len(gone) > MOST_ENTITIES:
        message = f"more than {MOST_ENTITIES} entities in one request; send several, or use klausel entities import"
        raise ApiError(400, message)
    written = _write(service, put, gone, read, sender)
    return {"revision": written.revision, "stored": written.stored, "removed": written.removed}


def list_entities(service: Service, parameters: dict[str, str], caller: Caller | None) -> Json:
    """The answer to `GET /v1/entities`: one entity or none for an id, else a page of a type."""
    limit = read_limit(parameters)
    kind, type_, id_ = _key(parameters, "x")
    domain = parameters.get("domain")
    written = service.policy.compiled.policy.entities
    if "id" in parameters:
        if "cursor" in parameters:
            raise cursor_fault(parameters["cursor"])  # one alone has no pages
        of_files = written.get((kind, type_, id_))
        found = service.entities.read((kind, type_, id_)) if of_files is None else of_files.entity
        if found is not None and domain is not None and found.domain != domain and not found.domain.startswith(domain + "/"):
            found = None
        if found is not None and caller is not None and not caller.reaches(found.domain or None):
            found = None  # to this caller it is not there
        check_reach(caller, [domain if found is None else found.domain or None])
        return {"entities": [] if found is None else [_shown(found, written)]}
    check_reach(caller, [domain])
    after, has_more = _after(parameters), True
    entities: list[Entity] = []
    # Files may tell of all that a page of the database has, and otherwise.
    while has_more and not entities:
        stored, has_more = service.entities.page(kind, type_, limit, after, domain)
        entities = [entity for entity in stored if entity.key not in written]
        for key, one in written.items():
            is_there = domain is None or f"{one.entity.domain}/".startswith(f"{domain}/")
            if is_there and key[:2] == (kind, type_) and key[2] > after and (not has_more or key[2] <= stored[-1].id):
                entities.append(one.entity)
        after = stored[-1].id if stored else after
    entities.sort(key=attrgetter("id"))
    has_more = has_more or len(entities) > limit
    entities = entities[:limit]
    answer: Json = {"entities": [_shown(entity, written) for entity in entities]}
    if has_more:
        answer["next_cursor"] = _cursor(parameters, entities[-1].id)
    return answer


def _shown(entity: Entity, written: Mapping[EntityKey, WrittenEntity]) -> Json:
    """An entity as answers have it, with the place of one that files of the policies tell."""
    one = written.get(entity.key)
    where = {} if one is None else {"written_in": one.place.source}
    return {**entity.as_json(), **where}


def _cursor(parameters: dict[str, str], after: str) -> str:
    return cursor_of(parameters["kind"], parameters["type"], parameters.get("domain"), after)


def remove_entity(service: Service, parameters: dict[str, str], sender: Sender) -> Json:
    """The answer to `DELETE /v1/entities`: how many went (0 or 1), and the revision; raises `ApiError` (400, 403)."""
    if not parameters.get("id"):
        raise ApiError(400, "parameter id is missing; write ?kind=resource&type=todo&id=7")
    written = _write(service, [], [_key(parameters, "")], parameters, sender)
    return {"revision": written.revision, "removed": written.removed}


def _write(service: Service, put: list[Entity], gone: list[EntityKey], claims: Json, sender: Sender) -> Written:
    origin = origin_of(claims, sender)
    policy = service.policy.compiled.policy
    accounts = None if sender.proved is None else sender.proved.accounts
    try:
        return service.entities.write(policy, put, gone, origin, accounts)
    except OutOfReach as error:
        raise ApiError(403, str(error)) from None
    except InvalidEntities as error:
        faults = [
            {"list": one.list, "index": one.index, "member": one.fault.member, "message": one.fault.message}
            for one in error.faults
        ]
        first = error.faults[0]
        # What no description of the API can tell is a conflict.
        stores = policy.stored_subjects or policy.stored_resources
        named = [*(one.key for one in put), *gone]
        is_described = any(one.fault.is_described for one in error.faults)
        status = 400 if stores and len(named) == len({*named}) and is_described else 409
        message = f"{first.list}[{first.index}].{first.fault.member}: {first.fault.message}"
        raise ApiError(status, message, faults=faults) from None


def _key(parameters: dict[str, str], usual_id: str) -> tuple[EntityKind, str, str]:
    kind, type_ = parameters.get("kind"), parameters.get("type")
    id_ = parameters.get("id", usual_id)
    fault = fault_in_key(kind, type_ or "", id_)
    if fault is not None:
        raise ApiError(400, f"parameter {fault.member}: {fault.message}")
    return "subject" if kind == "subject" else "resource", type_ or "", id_


def _after(parameters: dict[str, str]) -> str:
    """The id that a page begins behind; raises `ApiError` (400) for a cursor of another query."""
    cursor = parameters.get("cursor")
    if cursor is None:
        return ""
    try:
        *query, after = parts_of_cursor(cursor)
    except ValueError:
        raise cursor_fault(cursor) from None
    if query != [parameters["kind"], parameters["type"], parameters.get("domain")] or not isinstance(after, str):
        raise cursor_fault(cursor)
    return after
