"""undeclared-property: a condition reads, or a policy test sends, a property of which nothing is declared.

The policy set declares properties, so this one may be misspelt, and a value of another type than the condition expects
goes unnoticed: the comparison is unknown, whatever is sent.

    resource_types:
      quiz:
        actions: [edit]            # no properties: {status: [draft, published]}
    grants:
      - allow: lead
        to: edit
        resource: quiz
        when: resource.status == "published"

Declare what is sent of the type under `properties`, and what is sent of subjects, actions and as context in
properties.yaml; `klausel declare` writes the declarations that follow from conditions and tests. A name that is like one
that is declared there is an error. Sets that declare nothing are not warned.

To keep it: `# klausel: off undeclared-property because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from klausel.core.conditions.tree import Attribute, Condition, atoms, attributes_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import Declarations, NoProperty, Parts
from klausel.core.terms.problem import Place, Problem
from klausel.core.terms.request import sent_with

ID = "undeclared-property"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    policy = survey.policy
    if not policy.properties and all(type_.properties is None for type_ in policy.resource_types.values()):
        return
    seen = set()
    for place, resource_type, attribute in (*_read(policy), *_sent(survey)):
        about = f" of {resource_type}" if attribute.root == "resource" else ""
        if (attribute, about) not in seen and _is_undeclared(policy.declarations(resource_type), attribute):
            where = f"under properties of {resource_type}" if about else "in properties.yaml"
            message = f"nothing is declared of {attribute}{about}"
            yield warning(place, ID, message, f"declare its type {where}; klausel declare writes that")
        seen.add((attribute, about))


def _read(policy: PolicySet) -> Iterator[tuple[Place, str, Attribute]]:
    for place, resource_type, condition in _conditions(policy):
        for attribute in dict.fromkeys(name for atom in atoms(condition) for name in attributes_of(atom)):
            yield place, resource_type, attribute


def _sent(survey: Survey) -> Iterator[tuple[Place, str, Attribute]]:
    """The properties that the requests of tests carry, those of declared parts too."""
    seen = set()
    for test in survey.tests:
        for expectation in test.expectations:
            resource = expectation.request.resource
            for root, properties in sent_with(expectation.request):
                if (resource.type, id(properties)) not in seen:
                    seen.add((resource.type, id(properties)))
                    declarations = survey.policy.declarations(resource.type)
                    for name, value in properties.items():
                        for attribute in _with_parts(Attribute(root, (name,)), value, declarations):
                            yield expectation.place_of(root, name), resource.type, attribute


def _with_parts(attribute: Attribute, value: object, declarations: Declarations) -> Iterator[Attribute]:
    """A property, and those of its parts where it is declared to have some."""
    yield attribute
    if isinstance(value, Mapping) and isinstance(declarations.type_of(attribute), Parts):
        for name, part in value.items():
            yield from _with_parts(Attribute(attribute.root, (*attribute.path, name)), part, declarations)


def _is_undeclared(declarations: Declarations, attribute: Attribute) -> bool:
    type_ = declarations.type_of(attribute)
    return type_ is None or isinstance(type_, NoProperty)


def _conditions(policy: PolicySet) -> Iterator[tuple[Place, str, Condition]]:
    for grant in policy.grants:
        if grant.written is not None:
            yield grant.place, grant.resource_type, grant.written
    for invariant in policy.invariants:
        if invariant.condition is not None:
            for resource_type in dict.fromkeys(thing.resource_type for thing in invariant.things):
                yield invariant.place, resource_type, invariant.condition
