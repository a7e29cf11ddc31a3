"""What keeps an entity from being stored, by what policies declare; and what files tell of the entities that requests name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from klausel.core.policy.entity import KINDS, Entity, EntityKey, EntityKind, WrittenEntity, joined, properties_text
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import Parts, PropertyTypes
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import fault_in_domain, fault_in_subject, is_printable
from klausel.core.terms.request import Request

MOST_PROPERTIES = 100
MOST_BYTES = 8192
"""How long the properties of one entity may be, as JSON in UTF-8."""
MOST_DEPTH = 8
_WHOLE_NUMBERS = 2**53
_TOO_LARGE = "is too large for an exact number; send it as a text"
_NOT_KEPT = re.compile("[\0\ud800-\udfff]").search


class EntityFault(NamedTuple):
    """What is wrong with one entity: the member at fault, and a sentence that says how to fix it."""

    member: str
    message: str
    is_described: bool = True
    """Whether a description of the API can tell that it is one: it knows no bytes, and no difference between 1 and 1.0."""


def is_stored_type(policy: PolicySet, kind: EntityKind, type_: str) -> bool:
    """Whether decisions look for stored properties of this type."""
    return type_ in (policy.stored_subjects if kind == "subject" else policy.stored_resources)


def fault_in_key(kind: object, type_: object, id_: object) -> EntityFault | None:
    """What is wrong with the kind, type and id, whatever the policies say."""
    if kind not in KINDS:
        return EntityFault("kind", "kind is neither subject nor resource; write one of them")
    fault = fault_in_subject(type_, id_)
    return EntityFault("id", f"type and id together as type:id {fault}; send other ones") if fault else None


def fault_in_entity(policy: PolicySet, entity: Entity) -> EntityFault | None:
    """Why an entity cannot be stored; None where it can."""
    written = policy.entities.get(entity.key)
    return next(faults_in_entity(policy, entity), None) if written is None else fault_of_written(written)


def fault_of_written(written: WrittenEntity) -> EntityFault:
    """Why nothing is stored, or taken away, of what the files of the policies speak of."""
    place = written.place.source
    message = f"what decisions look up of {written.entity.name} is written in {place}; change it there, or remove it there"
    return EntityFault("id", message)


def faults_in_entity(policy: PolicySet, entity: Entity) -> Iterator[EntityFault]:
    """Everything that is wrong with an entity; where its key, type or place are, these alone."""
    fault = fault_in_key(*entity.key)
    if fault is None and not is_stored_type(policy, entity.kind, entity.type):
        message = (
            f'{entity.kind}s of type "{entity.type}" are not looked up; '
            f"name {entity.type} under stored, {entity.kind}s, in policies/properties.yaml"
        )
        fault = EntityFault("type", message)
    fault = fault or _fault_in_place(policy.roles, entity)
    if fault is not None:
        yield fault
    else:
        yield from _faults_in_properties(policy, entity)


def _fault_in_place(roles: RoleModel, entity: Entity) -> EntityFault | None:
    domain = entity.domain
    if not domain:
        return None
    if entity.kind == "subject":
        return EntityFault("domain", "a subject has its properties everywhere; leave its domain out")
    fault = fault_in_domain(domain)
    if fault:
        return EntityFault("domain", f'domain "{domain}" {fault}; write it as acme, or acme/support')
    parts = domain.split("/")
    if roles.levels and len(parts) > len(roles.levels):
        return EntityFault(
            "domain", f'domain "{domain}" has more parts than there are levels; write {roles.form_of_domains()}'
        )
    for level, part in zip(roles.levels, parts, strict=False):
        if level.constant is not None and part != level.constant:
            message = f'domain "{domain}" lies nowhere: its {level.name} is always {level.constant}'
            return EntityFault("domain", f"{message}; write {roles.form_of_domains()}")
        if level.constant is None and level.named_by is None and level.identified_by != entity.type:
            return EntityFault(
                "domain", f"requests have no property that names a {level.name}; give it named_by in roles.yaml"
            )
        if level.identified_by == entity.type and part != entity.id:
            return EntityFault("domain", f'domain "{domain}" names another {level.name} than the id "{entity.id}"; use that')
    return None


def _faults_in_properties(policy: PolicySet, entity: Entity) -> Iterator[EntityFault]:
    properties = entity.properties
    if not isinstance(properties, Mapping):
        yield EntityFault("properties", "properties are no object; send the values by their names")
        return
    if len(properties) > MOST_PROPERTIES:
        yield EntityFault("properties", f"there are more than {MOST_PROPERTIES} properties; leave some out")
        return
    own = ("id", "type")
    declarations = policy.declarations(entity.type)
    types = declarations.of_root(entity.kind)
    naming = declarations.naming if entity.kind == "resource" else ()
    for name, value in properties.items():
        place = f"properties.{name}"
        if not isinstance(name, str) or not is_printable(name) or '"' in name or "\\" in name:
            yield EntityFault(
                "properties", "the name of a property is empty or has a quote, a backslash or a control character"
            )
            return
        if name in own:
            yield EntityFault(place, f'"{name}" is an attribute of its own, and no property can stand for it; leave it out')
        elif name in naming:
            yield EntityFault(place, f'"{name}" says where the resource lies; send its domain in its place')
        elif types is not None and name not in types:
            declared = f"{entity.type} declares" if entity.kind == "resource" else "properties.yaml declares of subjects"
            yield EntityFault(place, f"{name} is none of the properties that {declared}; declare it, or leave it out")
        fault = fault_in_value(value, MOST_DEPTH)
        if fault:
            yield EntityFault(place, f"{name} {fault}", is_described=fault != _TOO_LARGE)
    if types is not None:
        yield from _misfits(types, properties, "")
    if len(properties_text(properties).encode("utf-8", "surrogatepass")) > MOST_BYTES:
        message = f"the properties take more than {MOST_BYTES} bytes as JSON; store less"
        yield EntityFault("properties", message, is_described=False)


def _misfits(types: PropertyTypes, properties: Mapping[str, object], above: str) -> Iterator[EntityFault]:
    for name, type_ in types.items():
        value = properties.get(name)
        if value is None:
            continue
        dotted = f"{above}{name}"
        if isinstance(type_, Parts):
            if not isinstance(value, Mapping):
                yield EntityFault(
                    f"properties.{dotted}", f"{dotted} has no parts, but is declared as {type_}; send an object"
                )
            else:
                yield from _misfits(dict(type_.parts), value, f"{dotted}.")
        elif not type_.fits(value):
            message = f"{dotted} is {json.dumps(value)[:100]}, but is declared as {type_}; send such a value"
            yield EntityFault(f"properties.{dotted}", message)


def fault_in_value(value: object, depth: int) -> str | None:
    """What keeps a value from meaning the same in every database, as the end of a sentence."""
    if depth == 0:
        return f"is nested more than {MOST_DEPTH} deep; store it flatter"
    match value:
        case None | bool():
            return None
        case str():
            # What can be printed is most often all there is, and that is seen at once.
            bad = not value.isprintable() and _NOT_KEPT(value) is not None
            return "holds a character that databases do not keep (NUL or half of a pair); leave it out" if bad else None
        case int():
            return None if abs(value) <= _WHOLE_NUMBERS else _TOO_LARGE
        case float():
            return None if math.isfinite(value) else "is no number of JSON; send a finite one"
        case list() | tuple():
            return next((fault for item in value if (fault := fault_in_value(item, depth - 1))), None)
        case Mapping():
            for name, part in value.items():
                fault = fault_in_value(name, depth - 1) or fault_in_value(part, depth - 1)
                if fault or not isinstance(name, str) or '"' in name or "\\" in name:
                    return fault or "has a part whose name has a quote or a backslash; use another name"
            return None
    return "is no value of JSON; send a text, a number, true, false, a list or an object"


def with_written(policy: PolicySet, request: Request) -> Request:
    """The request with what the files of the policies say of its subject and its resource."""
    found = [policy.entities.get(key) for key in _keys_of(request)] if policy.entities else []
    if not any(found):
        return request
    subject, resource = (None if one is None else one.entity for one in found)
    return joined(policy.roles, request, subject, resource)


def places_in_files(policy: PolicySet, request: Request) -> dict[str, str]:
    """Where files of the policies say what a request has from them: `file:line` by names such as `subject.email`."""
    found: dict[str, str] = {}
    for key in _keys_of(request) if policy.entities else ():
        written = policy.entities.get(key)
        if written is not None:
            found |= {f"{key[0]}.{name}": place.source for name, place in written.places.items()}
    return found


def _keys_of(request: Request) -> tuple[EntityKey, EntityKey]:
    subject, resource = request.subject, request.resource
    return ("subject", subject.type, subject.id), ("resource", resource.type, resource.id)
