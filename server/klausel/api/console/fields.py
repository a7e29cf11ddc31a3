"""Reading the fields of the forms: domains as people write them, and properties as lines `name=value`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from klausel.api.authzen_requests import ENTITIES
from klausel.api.errors import ApiError
from klausel.api.json_body import BodyError, BodyLimits, read_json_object
from klausel.api.request_shapes import NOW_FAULT
from klausel.api.shapes import Json
from klausel.core.conditions.tree import OWN_ATTRIBUTES
from klausel.core.decisions.domain import BadDomain, domain_written
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import IdOf, OneOf, Parts, Plain, PropertyType
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import fault_in_subject_key, split_subject_key
from klausel.core.terms.moment import read_moment
from klausel.core.terms.request import NOW

FIELDS_OF_TRY = ("subject", "action", "type", "id", "domain", "time", "properties")


def is_property_field(name: str) -> bool:
    """Whether a field is about one property, such as `resource.status`."""
    return name.partition(".")[0] in ENTITIES and "." in name


def empty_field(name: str) -> ApiError:
    """What is answered where a page has nothing to tell yet: 404, as nothing is named."""
    return ApiError(404, f"the field {name} is empty; fill it in")


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
        raise ApiError(400, f"the field subject {fault}") if key else empty_field("subject")
    return parts


def read_page_number(text: str) -> int:
    """The number of a page, from 1 on; 1 where none is given; raises `ApiError` (400)."""
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise ApiError(400, f'there is no page "{text}"; pages are numbered from 1')
    return int(text)


def read_time_of_try(text: str) -> datetime | None:
    """The moment that the field for the time says, None where it is empty; raises `ApiError` (400)."""
    if not text:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=read_moment(text))
    except ValueError as error:
        raise ApiError(400, f"the field time: {error}") from None


def read_body_of_try(policy: PolicySet, given: dict[str, str], limits: BodyLimits) -> Json:
    """The body of the evaluation that the fields ask for; raises `ApiError` (400)."""
    for name in ("subject", "action", "type"):
        if not given.get(name):
            raise empty_field(name)
    subject = split_subject_key(given["subject"])
    if subject is None:
        raise ApiError(400, "the field subject is not type:id; write a type, a colon and an id, such as user:ann")
    properties: dict[str, Json] = {entity: {} for entity in ENTITIES}
    id_ = given.get("id", "")
    roles = policy.roles
    domain = read_domain(roles, given.get("domain", ""))
    for level, part in zip(roles.levels, domain.split("/") if domain else (), strict=False):
        if level.constant is not None:
            continue
        if level.named_by is not None:
            properties["resource"][level.named_by] = part
        if level.identified_by == given["type"] and not id_:
            id_ = part
    declared = declared_fields(policy, given["type"])
    for name, text in given.items():
        if is_property_field(name) and text:
            _put(properties, name, _typed(declared.get(name), text, limits), f"the field {name}")
    for number, line in enumerate(given.get("properties", "").splitlines(), 1):
        if line.strip():
            name, equals, value = line.strip().partition("=")
            where = f"line {number} of the properties"
            if not equals:
                raise ApiError(400, f"{where} is not name=value; write it as owner=ann")
            _put(properties, name.strip(), _value(value.strip(), limits), where)
    return {
        "subject": {"type": subject[0], "id": subject[1], **_unless_empty("properties", properties["subject"])},
        "action": {"name": given["action"], **_unless_empty("properties", properties["action"])},
        "resource": {"type": given["type"], "id": id_, **_unless_empty("properties", properties["resource"])},
        **_unless_empty("context", properties["context"]),
    }


def declared_fields(policy: PolicySet, resource_type: str) -> dict[str, PropertyType]:
    """What questions about a type may send, by `resource.status`; parts one by one, and without what names domains."""
    declared = policy.resource_types.get(resource_type)
    of_resource = declared.properties if declared is not None else None
    named = {level.named_by for level in policy.roles.levels}
    found: dict[str, PropertyType] = {}
    for entity, types in (
        ("resource", of_resource),
        *((one, policy.properties.get(one)) for one in ENTITIES if one != "resource"),
    ):
        for name, type_ in (types or {}).items():
            if entity != "resource" or name not in named:
                found.update(_leaves(f"{entity}.{name}", type_))
    found.pop(f"context.{NOW}", None)
    return found


def _leaves(name: str, type_: PropertyType) -> Iterator[tuple[str, PropertyType]]:
    if isinstance(type_, Parts):
        for part, inner in type_.parts:
            yield from _leaves(f"{name}.{part}", inner)
    else:
        yield name, type_


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form for one declared property: `kind` is `choice`, `number`, `time` or `text`; `choices` by their words."""

    name: str
    type: str
    kind: str
    choices: tuple[tuple[str, str], ...]
    value: str


def fields_shown(policy: PolicySet, given: dict[str, str]) -> list[Field]:
    """The fields for what is declared of the questions about the type, as filled in; then others that were sent."""
    declared = declared_fields(policy, given.get("type", ""))
    others = [name for name, text in given.items() if is_property_field(name) and name not in declared and text]
    shown = [_field(name, type_, given.get(name, "")) for name, type_ in declared.items()]
    return [*shown, *(Field(name, "not declared", "text", (), given[name]) for name in others)]


def _field(name: str, type_: PropertyType, value: str) -> Field:
    choices: tuple[tuple[str, str], ...] = ()
    kind = "text"
    match type_:
        case OneOf(values):
            kind, choices = "choice", tuple((one, one) for one in values)
        case Plain("boolean"):
            kind, choices = "choice", (("true", "yes"), ("false", "no"))
        case Plain("number"):
            kind = "number"
        case Plain("time"):
            kind = "time"
    if kind == "choice" and value and value not in dict(choices):
        choices = (*choices, (value, value))
    return Field(name, str(type_), kind, choices, value)


def _typed(type_: PropertyType | None, text: str, limits: BodyLimits) -> object:
    """The value that a field of a type holds; JSON where that is no text."""
    match type_:
        case OneOf() | IdOf() | Plain("text"):
            return text
        case Plain("time"):
            return in_utc(text)
    return _value(text, limits)


_LOCAL = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})(:\d{2})?(\.\d+)?Z?", re.ASCII)


def in_utc(text: str) -> str:
    """What a field for a time holds, which browsers send without seconds and zone, as an instant in UTC; else the text itself."""
    found = _LOCAL.fullmatch(text)
    return f"{found[1]}{found[2] or ':00'}{found[3] or ''}Z" if found else text


def as_local(text: str) -> str | None:
    """A time in UTC as the value of a field for times; None where it is written in another way."""
    found = _LOCAL.fullmatch(text)
    return None if text and not found else text.removesuffix("Z")


def _unless_empty(name: str, value: Json) -> Json:
    return {name: value} if value else {}


def _put(properties: dict[str, Json], name: str, value: object, where: str) -> None:
    path = name.split(".")
    if not all(path):
        raise ApiError(400, f"{where} is not name=value; write it as owner=ann")
    entity = path.pop(0) if path[0] in ENTITIES and len(path) > 1 else "resource"
    if entity == "context" and path[0] == NOW:
        raise ApiError(400, f"{where}: {NOW_FAULT}")
    if len(path) == 1 and path[0] in OWN_ATTRIBUTES.get(entity, ()):
        raise ApiError(400, f"{where}: {entity}.{path[0]} has a field of its own; fill in that one")
    holder: object = properties[entity]
    for part in path[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or path[-1] in holder:
        raise ApiError(400, f"{where}: {entity}.{'.'.join(path)} is given twice; say it once, or by the domain")
    holder[path[-1]] = value


def _value(text: str, limits: BodyLimits) -> object:
    """The JSON value that a text is; the text itself where it is none."""
    try:
        read = read_json_object(f'{{"value":{text}}}'.encode(), limits)
    except (BodyError, UnicodeEncodeError):
        return text
    # A comma in the text would begin another member.
    return read["value"] if read.keys() == {"value"} else text
