"""Deciding: whether a subject may do an action to a resource, under one policy and the role assignments given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from klausel.core.domain import BadDomain, domain_of
from klausel.core.identifiers import fault_in_subject, subject_key
from klausel.core.policy import Grant, PolicySet
from klausel.core.request import Request, Subject

RolesHeld = Callable[[str, str | None], frozenset[str]]
"""The names held by a subject in its stored form (`user:ann`) in a domain; see `klausel.core.standing`."""


class Plan(Protocol):
    """Decides over the compiled grants of one policy set; immutable."""

    def decide(self, request: Request, domain: str | None) -> tuple[bool, int | None]:
        """The decision and the position of the grant that decided; None when no grant holds.

        The subject of the request carries its roles. `domain` is where the request is asked.
        """


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer: allowed or not, the grant that decided, the domain; `failure` says why a request could not be judged."""

    allowed: bool
    grant: Grant | None
    domain: str | None
    failure: str | None = None


def decide(policy: PolicySet, plan: Plan, roles_held: RolesHeld, request: Request) -> Decision:
    """The answer to a request. Denies whatever is malformed, without asking `roles_held`; errors of `roles_held` pass."""
    subject, action, resource, context = request
    if not (subject.type.isidentifier() and subject.id.isidentifier() and len(subject.id) < 128 > len(subject.type)):
        fault = fault_in_subject(subject.type, subject.id)
        if fault:
            return Decision(False, None, None, f"the subject {fault}")
    domain = domain_of(policy.roles, policy.resource_types.get(resource.type), action.name, resource)
    if isinstance(domain, BadDomain):
        return Decision(False, None, None, domain.reason)
    roles = roles_held(subject_key(subject.type, subject.id), domain)
    asked = Request(Subject(subject.type, subject.id, subject.properties, roles), action, resource, context)
    allowed, position = plan.decide(asked, domain)
    return Decision(allowed, policy.grants[position] if position is not None else None, domain)
