"""What files of the policies tell of who asks and of what is asked about, joined to requests."""

from __future__ import annotations

from klausel.core.policy.entity import EntityKey, joined
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Request


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
