"""Reading the fields of the forms: domains as people write them, and properties as lines `name=value`."""

from __future__ import annotations

from klausel.api.authzen_requests import ENTITIES
from klausel.api.errors import ApiError
from klausel.api.json_body import BodyError, BodyLimits, read_json_object
from klausel.api.request_shapes import NOW_FAULT
from klausel.api.shapes import Json
from klausel.core.conditions.tree import OWN_ATTRIBUTES
from klausel.core.decisions.domain import BadDomain, domain_written
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import fault_in_subject_key, split_subject_key
from klausel.core.terms.request import NOW

FIELDS_OF_TRY = ("subject", "action", "type", "id", "domain", "properties")


def read_domain(roles: RoleModel, text: str) -> str | None:
    """The whole domain that a field names, None where it is empty; raises `ApiError` (400)."""
    domain = domain_written(roles, text) if text else None
    if isinstance(domain, BadDomain):
        raise ApiError(400, domain.reason)
    return domain


def read_subject(key: str) -> tuple[str, str]:
    """The type and id of the subject that a field names; raises `ApiError` (400)."""
    fault = fault_in_subject_key(key)
    parts = split_subject_key(key)
    if fault is not None or parts is None:
        raise ApiError(400, f"the field subject {fault if key else 'is empty; fill it in'}")
    return parts


def read_page_number(text: str) -> int:
    """The number of a page, from 1 on; 1 where none is given; raises `ApiError` (400)."""
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise ApiError(400, f'there is no page "{text}"; pages are numbered from 1')
    return int(text)


def read_body_of_try(roles: RoleModel, given: dict[str, str], limits: BodyLimits) -> Json:
    """The body of the evaluation that the fields ask for; raises `ApiError` (400)."""
    for name in ("subject", "action", "type"):
        if not given.get(name):
            raise ApiError(400, f"the field {name} is empty; fill it in")
    subject = split_subject_key(given["subject"])
    if subject is None:
        raise ApiError(400, "the field subject is not type:id; write a type, a colon and an id, such as user:ann")
    properties: dict[str, Json] = {entity: {} for entity in ENTITIES}
    id_ = given.get("id", "")
    domain = read_domain(roles, given.get("domain", ""))
    for level, part in zip(roles.levels, domain.split("/") if domain else (), strict=False):
        if level.constant is not None:
            continue
        if level.named_by is not None:
            properties["resource"][level.named_by] = part
        if level.identified_by == given["type"] and not id_:
            id_ = part
    for number, line in enumerate(given.get("properties", "").splitlines(), 1):
        if line.strip():
            _set(properties, line.strip(), number, limits)
    return {
        "subject": {"type": subject[0], "id": subject[1], **_unless_empty("properties", properties["subject"])},
        "action": {"name": given["action"], **_unless_empty("properties", properties["action"])},
        "resource": {"type": given["type"], "id": id_, **_unless_empty("properties", properties["resource"])},
        **_unless_empty("context", properties["context"]),
    }


def _unless_empty(name: str, value: Json) -> Json:
    return {name: value} if value else {}


def _set(properties: dict[str, Json], line: str, number: int, limits: BodyLimits) -> None:
    name, equals, value = line.partition("=")
    path = name.strip().split(".")
    if not equals or not all(path):
        raise ApiError(400, f"line {number} of the properties is not name=value; write it as owner=ann")
    entity = path.pop(0) if path[0] in ENTITIES and len(path) > 1 else "resource"
    if entity == "context" and path[0] == NOW:
        raise ApiError(400, f"line {number} of the properties: {NOW_FAULT}")
    if len(path) == 1 and path[0] in OWN_ATTRIBUTES.get(entity, ()):
        raise ApiError(400, f"line {number} of the properties: {entity}.{path[0]} has a field of its own; fill in that one")
    holder: object = properties[entity]
    for part in path[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or path[-1] in holder:
        raise ApiError(
            400, f"line {number} of the properties: {entity}.{'.'.join(path)} is given twice; say it once, or by the domain"
        )
    holder[path[-1]] = _value(value.strip(), limits)


def _value(text: str, limits: BodyLimits) -> object:
    """The JSON value that a text is; the text itself where it is none."""
    try:
        read = read_json_object(f'{{"value":{text}}}'.encode(), limits)
    except (BodyError, UnicodeEncodeError):
        return text
    # A comma in the text would begin another member.
    return read["value"] if read.keys() == {"value"} else text
