"""What the library `casbin.js` reads in a browser: a small Casbin model, and a row for all that one subject surely may.

It is for menus and buttons. Only what is allowed whatever the resource is has a row, so that what a condition decides looks
denied there; the page asks the service about that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.shapes import Json
from klausel.core.analysis.permission import question_in
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_domain, fault_in_subject, split_subject_key, subject_key
from klausel.service.decision_service import Service

MOST_DOMAINS = 100
MODEL = """[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.dom == p.dom && r.obj == p.obj && r.act == p.act
"""


def answer_casbin_js(service: Service, named: str | None, domain: str | None, caller: Caller | None) -> Json:
    """The answer to `GET /v1/casbin-js?subject=type:id`, in one domain or in all where the subject holds roles.

    Raises `ApiError` (400, 501), `PoliciesTooOld` and `StorageError`.
    """
    check_model(service)
    parts = split_subject_key(named or "")
    fault = "is not given" if named is None else "is not written as type:id" if parts is None else fault_in_subject(*parts)
    if named is None or parts is None or fault is not None:
        raise ApiError(400, f"subject {fault}; write ?subject=user:ann, as in setUser")
    if domain is not None and fault_in_domain(domain) is not None:
        raise ApiError(400, f'domain "{domain}" {fault_in_domain(domain)}')
    in_force = service.in_force_now()
    roles = in_force.effective_roles_of(subject_key(*parts), service.clock())
    domains = list(dict.fromkeys(place for _, place in roles.held)) if domain is None else [domain]
    domains = [place for place in domains if caller is None or caller.reaches(place)]
    if len(domains) > MOST_DOMAINS:
        raise ApiError(400, f"{named} holds roles in {len(domains)} domains; name one in the path: /v1/casbin-js/acme")
    policy = in_force.policy.compiled.policy
    rows = [
        ["p", named, place, resource_type, action]
        for place in domains
        for resource_type, action in _allowed(policy, roles, parts, place)
    ]
    return {"data": json.dumps({"m": MODEL, "p": rows}, ensure_ascii=False)}


def _allowed(policy: PolicySet, roles: EffectiveRoles, subject: tuple[str, str], domain: str) -> Iterator[tuple[str, str]]:
    """Each resource type and action that is allowed in a domain, whatever the rest of the request is."""
    for declared in policy.resource_types.values():
        for action in declared.actions:
            question = question_in(policy, declared.name, action, domain)
            if isinstance(question, BadDomain):
                continue
            names = roles.roles_in(question.domain)
            if question.permission(names, subject).verdict == "always":
                yield declared.name, action
