"""Deciding: whether a subject may do an action to a resource, under one policy and the role assignments given."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.terms.identifiers import SUBJECT_CHARACTERS, fault_in_subject, subject_key
from klausel.core.terms.request import Request, Subject

RolesHeld = Callable[[str, str | None], frozenset[str]]
"""The names held by a subject in its stored form (`user:ann`) in a domain; see `klausel.core.decisions.effective_roles`."""


class Plan(Protocol):
    """Decides over the compiled grants of one policy set; immutable."""

    def decide(self, request: Request, domain: str | None) -> tuple[bool, int | None]:
        """The decision and the position of the grant that decided; None when no grant holds.

        The subject of the request carries its roles. `domain` is where the request is asked.
        """


class Decision(NamedTuple):
    """An answer: allowed or not, the grant that decided, the domain; `failure` says why a request could not be judged."""

    allowed: bool
    grant: Grant | None
    domain: str | None
    failure: str | None = None


def decide(policy: PolicySet, plan: Plan, roles_held: RolesHeld, request: Request) -> Decision:
    """The answer to a request. Denies whatever is malformed, without asking `roles_held`; errors of `roles_held` pass."""
    (type_, id_, properties, _), action, resource, context = request
    if not (type(type_) is type(id_) is type(action.name) is type(resource.type) is str):
        return Decision(False, None, None, "a type, an id or the name of the action is not a string")
    if not (type_.isidentifier() and id_.isidentifier() and len(id_) + len(type_) < SUBJECT_CHARACTERS):
        fault = fault_in_subject(type_, id_)
        if fault:
            return Decision(False, None, None, f"the subject {fault}")
        key = subject_key(type_, id_)
    else:
        key = f"{type_}:{id_}"
    domain = domain_of(policy.roles, policy.resource_types.get(resource.type), action.name, resource)
    if isinstance(domain, BadDomain):
        return Decision(False, None, None, domain.reason)
    roles = roles_held(key, domain)
    allowed, position = plan.decide(Request(Subject(type_, id_, properties, roles), action, resource, context), domain)
    return Decision(allowed, None if position is None else policy.grants[position], domain)
