"""Reading who and what the policy tests of a file are about: people with roles, resources with properties."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from klausel.core.loading.features import Vocabulary
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import PERSON, RESOURCE
from klausel.core.loading.json_values import read_properties
from klausel.core.loading.places import check_domain, roles_held
from klausel.core.loading.property_checks import check_values
from klausel.core.policy.keepers import violations_alone, violations_by_one
from klausel.core.policy.policy_test import Held
from klausel.core.policy.roles import Level
from klausel.core.terms.identifiers import fault_in_subject, subject_key
from klausel.core.terms.places import EVERYWHERE
from klausel.core.terms.problem import Place, Problem
from klausel.core.terms.request import Resource, Subject
from klausel.core.text.yaml_nodes import Node, Text


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody (or something) who asks, and the role assignments held; `is_forbidden` when the file says so of these."""

    subject: Subject
    held: Held
    is_forbidden: bool


def read_person(name: Text, node: Node, vocabulary: Vocabulary, problems: ProblemList) -> Person | None:
    """One entry under `people`; None, with a problem, when it cannot be."""
    before = len(problems.found)
    fields = problems.fields_of(name, node, f"person {name.value}")
    if fields is None:
        return None
    if fields.get("roles") is None:
        hint = "write roles: {acme: user}, or roles: {} for somebody without one"
        problems.add(name.place, "missing-key", f"person {name.value} has no roles", hint)
    type_, id_ = problems.text(fields.get("type"), "type"), problems.text(fields.get("id"), "id")
    properties = read_properties(fields, problems, PERSON.names)
    declared = vocabulary.properties.get("subject")
    sent = (fields, properties, declared, f"the subject {name.value}")
    check_values([sent], problems, fields.get("undeclared"), (), _unknown_type(type_ or name, type_, vocabulary, problems))
    subject = Subject(type_.value if type_ else "user", id_.value if id_ else name.value, properties)
    fault = fault_in_subject(subject.type, subject.id)
    if fault:
        problems.add((type_ or id_ or name).place, "bad-name", f"the subject {fault}", "choose another type or id")
    forbidden = fields.get("forbidden")
    if forbidden is not None and not problems.flag(forbidden, "forbidden") and len(problems.found) == before:
        problems.add(forbidden.place, "wrong-kind", "forbidden says nothing unless true", "write true, or leave it out")
        forbidden = None
    held = tuple(_held(fields.get("roles"), forbidden, subject, vocabulary, problems))
    return Person(subject, held, forbidden is not None) if len(problems.found) == before else None


def _unknown_type(at: Text, type_: Text | None, vocabulary: Vocabulary, problems: ProblemList) -> list[Problem]:
    """The problem of a person of a type that is not declared, where types are; `user` is what none is written for."""
    known, named = vocabulary.subject_types, type_.value if type_ is not None else "user"
    if known is None or named in known:
        return []
    hint = f"{problems.did_you_mean(named, known)}Name one of subject_types in properties.yaml: {', '.join(known)}"
    message = f'"{named}" is no type of those who ask'
    return [Problem(at.place, "wrong-value", message, f"{hint[:1].lower()}{hint[1:]}; or say undeclared: true")]


def _held(
    node: Node | None, forbidden: Node | None, subject: Subject, vocabulary: Vocabulary, problems: ProblemList
) -> Iterator[tuple[str, str]]:
    places: dict[tuple[str, str], Place] = {}
    before = len(problems.found)
    for domain, value in problems.entries(node, "roles"):
        for role in roles_held(domain, value, vocabulary.roles, vocabulary.declared_roles, problems):
            places[role.value, domain.value] = role.place
    if len(problems.found) > before:
        return
    key = subject_key(subject.type, subject.id)
    are_roles_known = vocabulary.declared_roles is not None
    if forbidden is not None and are_roles_known and not violations_alone(vocabulary.roles, key, places):
        message = "nothing forbids the roles of this person"
        problems.add(forbidden.place, "assignment-rule", message, "leave forbidden out")
    for violation in violations_by_one(vocabulary.roles, key, places) if forbidden is None else ():
        hint = "give roles that somebody can be given, or say forbidden: true, to test what they may do all the same"
        problems.add(places[violation.role, violation.domain], "assignment-rule", violation.message, hint)
    yield from places


def read_resource(name: Text, node: Node, vocabulary: Vocabulary, problems: ProblemList) -> Resource | None:
    """One entry under `resources`; None, with a problem, when it cannot be, or when its type has one."""
    before = len(problems.found)
    fields = problems.fields_of(name, node, f"resource {name.value}")
    if fields is None:
        return None
    if fields.get("type") is None:
        problems.add(name.place, "missing-key", f"resource {name.value} has no type", "add type: <resource type>")
    type_, id_ = problems.text(fields.get("type"), "type"), problems.text(fields.get("id"), "id")
    domain = problems.text(fields.get("in"), "in")
    properties = read_properties(fields, problems, RESOURCE.names)
    if type_ is None or not _is_known_type(type_, vocabulary, problems):
        return None
    declarations = vocabulary.declarations(type_.value)
    what = f"resource type {type_.value}"
    flag = fields.get("undeclared")
    check_values([(fields, properties, declarations.of_resource, what)], problems, flag, declarations.naming)
    named, id_of_domain = _naming(domain, type_.value, vocabulary, problems) if domain else ({}, None)
    for key, _ in fields.entries:
        if key.value in named:
            message = f'"in" sets the property "{key.value}" already'
            problems.add(key.place, "repeated-key", message, "keep one of the two")
    if len(problems.found) > before:
        return None
    return Resource(type_.value, id_.value if id_ else id_of_domain or name.value, {**named, **properties})


def _is_known_type(type_: Text, vocabulary: Vocabulary, problems: ProblemList) -> bool:
    if type_.value in vocabulary.resource_types:
        return True
    if type_.value not in vocabulary.declared_types and vocabulary.is_complete:
        cure = "Declare it under resource_types"
        problems.unknown(type_, "unknown-resource-type", vocabulary.resource_types, cure, is_one=True)
    return False


def _naming(domain: Text, type_: str, vocabulary: Vocabulary, problems: ProblemList) -> tuple[dict[str, str], str | None]:
    """The properties and, where its id names one, the id by which a resource of a type says that it lies in a domain."""
    named: dict[str, str] = {}
    id_: str | None = None
    before = len(problems.found)
    if domain.value == EVERYWHERE:
        problems.add(domain.place, "bad-domain", '"*" is no domain', "name one, or leave it out")
    else:
        check_domain(domain, vocabulary.roles, problems)
    if len(problems.found) > before:
        return named, id_
    for level, part in zip(vocabulary.roles.levels, domain.value.split("/"), strict=False):
        if level.constant is not None:
            continue
        if not _may_name(level, type_):
            message = f"nothing of type {type_} can say in which {level.name} it is"
            problems.add(domain.place, "bad-domain", message, "see named_by and identified_by in policies/roles.yaml")
        if level.named_by is not None:
            named[level.named_by] = part
        id_ = part if level.identified_by == type_ else id_
    return named, id_


def _may_name(level: Level, type_: str) -> bool:
    return level.named_by is not None or level.identified_by == type_
