"""Menus of generated policy sets: what is allowed is what decisions allow, and conditions say what would be."""

from __future__ import annotations

from pathlib import Path

import pytest
from generated_policies import generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_searches import Opened

from klausel.core.filters.tree import holds
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.request import NOW, Action, Request, Resource
from klausel.service.permissions import permissions


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(f"sqlite:///{tmp_path}/klausel.db", tmp_path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_menus_are_what_decisions_allow(opened: Opened, seed: int) -> None:
    generated = generate(seed, requests=12)
    if asked_of(generated) is None:
        return
    service = opened.service(generated, [Assignment(*row) for row in dict.fromkeys(generated.assignments)])
    types = service.policy.compiled.policy.resource_types
    decide = service.decider()
    try:
        resources = [request.resource for request in generated.requests]
        for request in generated.requests:
            context = {name: value for name, value in request.context.items() if name != NOW}
            menus = list(permissions(service, request.subject, resources, context, with_conditions=True))
            for resource, menu in zip(resources, menus, strict=True):
                declared = types.get(resource.type)
                asked = request._replace(resource=resource, context=context)

                def allows(name: str, about: Resource, asked: Request = asked) -> bool:
                    return decide(asked._replace(action=Action(name), resource=about)).allowed

                allowed = [name for name in (declared.actions if declared else ()) if allows(name, resource)]
                assert list(menu.allowed) == allowed, (resource, request, str(generated))
                assert not set(allowed) & set(menu.conditional)
                for name, condition in menu.conditional.items():
                    for other in resources:
                        # What would be said of what was not.
                        levels = {level.named_by for level in service.policy.compiled.policy.roles.levels}
                        more = {key: value for key, value in other.properties.items() if key not in levels}
                        fuller = resource._replace(properties={**more, **resource.properties})
                        assert allows(name, fuller) is holds(condition, fuller), (name, str(condition), fuller)
    finally:
        service.store.close()
