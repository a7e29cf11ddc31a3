"""Filters beside decisions: for generated policy sets, resources of all kinds, and what is asked about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from generated_policies import Generated
from policy_sets import Asked

from klausel.core.decisions.domain import domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.filters.derive import filter_of
from klausel.core.filters.tree import Filter
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.identifiers import subject_key
from klausel.core.terms.request import Request, Resource

ODD_IDS = ("", "*", "a/b", "a\n", "x" * 252, "x" * 255, "x" * 256, "new", "é", 5, True, ["a"], {})


class FilterCase(NamedTuple):
    """A filter, and requests that differ in their resource alone."""

    filter: Filter
    inside: str | None
    requests: tuple[Request, ...]


def in_domain(policy: PolicySet, request: Request, inside: str | None) -> bool:
    """Whether the resource of a request lies in a domain, or below it."""
    domain = domain_of(policy.roles, policy.resource_types.get(request.resource.type), request.action.name, request.resource)
    return inside is None or (isinstance(domain, str) and (domain == inside or domain.startswith(inside + "/")))


def filter_cases(
    asked: Asked, generated: Generated, random: Random, shared_fits: Callable[[str, object], bool] | None = None
) -> Iterator[FilterCase]:
    """A filter for each generated request, some with properties that all resources share, some inside one domain."""
    roles = asked.policy.roles
    levels = [level.named_by for level in roles.levels if level.named_by is not None]
    for request in generated.requests:
        resources = [_varied(random, other.resource, request.resource.type, levels) for other in generated.requests]
        shared = {name: value for name, value in request.resource.properties.items() if random.random() < 0.2}
        shared = {name: value for name, value in shared.items() if not (name in levels and value is None)}
        if shared_fits is not None:
            shared = {name: value for name, value in shared.items() if shared_fits(name, value)}
        resources = [resource._replace(properties={**resource.properties, **shared}) for resource in resources]
        asked_about = request._replace(resource=Resource(request.resource.type, "", shared))
        held = asked.held.get(subject_key(request.subject.type, request.subject.id), ())
        inside = None
        if random.random() < 0.2:
            inside = "/".join(random.choice(("a", "ab", "new")) for _ in range(random.randint(1, len(roles.levels))))
        derived = filter_of(asked.policy, EffectiveRoles.of(roles, held), asked_about, inside)
        yield FilterCase(derived, inside, tuple(request._replace(resource=resource) for resource in resources))


def _varied(random: Random, resource: Resource, type_: str, levels: list[str]) -> Resource:
    properties = dict(resource.properties)
    for level in levels:
        if random.random() < 0.1:
            properties[level] = random.choice(ODD_IDS)
        # A null property of a level makes `decide` deny; a row of a table cannot tell it from a missing one.
        if random.random() < 0.1 or properties.get(level) is None:
            properties.pop(level, None)
    id_ = resource.id
    if random.random() < 0.1:
        id_ = str(random.choice(ODD_IDS))
    return Resource(type_, id_, properties)
