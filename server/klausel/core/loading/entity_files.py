"""Reading what files say of single subjects and resources: `entities.yaml`, and the files in `entities/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from klausel.core.loading.fields import ProblemList, is_empty
from klausel.core.loading.file_schema import ENTITIES, WRITTEN_RESOURCE, WRITTEN_SUBJECT
from klausel.core.loading.json_values import read_properties
from klausel.core.loading.later_folders import report_said_already
from klausel.core.loading.property_checks import A_VALUE, check_values
from klausel.core.policy.entity import Entity, EntityKey, EntityKind, WrittenEntity
from klausel.core.policy.entity_faults import EntityFault, faults_in_entity
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Node, Text

MOST_ENTITIES = 1_000
"""So many may be written in files; more belong in the database."""


def read_entities(
    roots: Iterable[tuple[int, Fields]], policy: PolicySet, is_checked: bool, problems: ProblemList
) -> Mapping[EntityKey, WrittenEntity]:
    """What the files say, by kind, type and id; each root comes with the number of its folder, in their order.

    `policy` has all that they are checked by, unless `is_checked` is false: then it is not known well enough.
    """
    found: dict[EntityKey, WrittenEntity] = {}
    layers: dict[EntityKey, int] = {}
    count = 0
    for layer, root in roots:
        problems.check_keys(root, ENTITIES.names, ENTITIES.what)
        problems.text(root.get("description"), "description")
        for kind, node in _nodes(root, problems):
            count += 1
            if count == MOST_ENTITIES + 1:
                hint = "keep small sets in files, and store the others in the database: klausel entities import"
                problems.add(node.place, "too-many-entities", f"files speak of more than {MOST_ENTITIES:,} entities", hint)
            written = _entity(kind, node, policy, is_checked, problems) if count <= MOST_ENTITIES else None
            if written is None:
                continue
            key = written.entity.key
            before = found.setdefault(key, written)
            if layers.setdefault(key, layer) != layer:
                report_said_already(Text(key[2], written.place), f"the {kind} {written.entity.name}", before.place, problems)
            elif before is not written:
                message = f"the {kind} {written.entity.name} is written in {before.place} already"
                problems.add(written.place, "repeated-value", message, "write all that is known of it in one place")
    return MappingProxyType(found)


def _nodes(root: Fields, problems: ProblemList) -> Iterable[tuple[EntityKind, Node]]:
    for node in problems.items(root.get("subjects"), "subjects"):
        yield "subject", node
    for node in problems.items(root.get("resources"), "resources"):
        yield "resource", node


def _entity(
    kind: EntityKind, node: Node, policy: PolicySet, is_checked: bool, problems: ProblemList
) -> WrittenEntity | None:
    """One entry; None, with a problem, when it cannot be."""
    before = len(problems.found)
    fields = problems.fields(node, f"an entry of {kind}s")
    if fields is None:
        return None
    table = WRITTEN_SUBJECT if kind == "subject" else WRITTEN_RESOURCE
    problems.check_keys(fields, table.names, table.what)
    type_, id_, domain = (problems.text(fields.get(name), name) for name in ("type", "id", "in"))
    for name in ("type", "id"):
        if fields.get(name) is None:
            message = f"{table.what} has no {name}"
            problems.add(fields.place, "missing-key", message, "write it as - {type: …, id: …, properties: {…}}")
    given = fields.get("properties")
    inner = None if given is None or is_empty(given) else problems.fields(given, "properties")
    properties = {} if inner is None else dict(read_properties(inner, problems))
    if type_ is None or id_ is None or len(problems.found) > before:
        return None
    entity = Entity(kind, type_.value, id_.value, domain.value if domain else "", properties)
    nodes = {"type": type_, "id": id_, "domain": domain or id_}
    if is_checked:
        if inner is not None:
            declarations = policy.declarations(entity.type)
            types = declarations.of_root(kind)
            sent = (inner, properties, types, f"{kind} type {entity.type}")
            check_values([sent], problems, None, declarations.naming, cure=A_VALUE)
        if len(problems.found) == before:
            for fault in faults_in_entity(policy, entity):
                _report(fault, nodes, inner or fields, problems)
    places = {key.value: key.place for key, _ in inner.entries} if inner is not None else {}
    return WrittenEntity(entity, _start(fields, type_), MappingProxyType(places))


def _start(fields: Fields, type_: Text) -> Place:
    """Where an entry begins: at its first key."""
    return fields.entries[0][0].place if fields.entries else type_.place


def _report(fault: EntityFault, nodes: Mapping[str, Text], properties: Fields, problems: ProblemList) -> None:
    message, _, hint = fault.message.rpartition("; ")
    problems.add(_place_of(fault.member, nodes, properties), "bad-entity", message, hint)


def _place_of(member: str, nodes: Mapping[str, Text], properties: Fields) -> Place:
    if member in nodes:
        return nodes[member].place
    place, fields, path = properties.place, properties, member.split(".")[1:]
    for name in path:
        entry = fields.entry(name)
        if entry is None:
            break
        place = entry[0].place
        if not isinstance(entry[1], Fields):
            break
        fields = entry[1]
    return place
