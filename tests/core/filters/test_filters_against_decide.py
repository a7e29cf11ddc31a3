"""A filter takes exactly the resources for which `decide` says yes, whatever the policy set, the subject and the resource."""

from random import Random

from filter_cases import filter_cases
from generated_policies import generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.filters.tree import holds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_it_takes_what_decide_allows(seed: int) -> None:
    generated = generate(seed, requests=12)
    asked = asked_of(generated)
    if asked is None:
        return
    for case in filter_cases(asked, generated, Random(seed)):
        for request in case.requests:
            type_, action = asked.policy.resource_types.get(request.resource.type), request.action.name
            domain = domain_of(asked.policy.roles, type_, action, request.resource)
            wanted = asked.allows(request) and (
                case.inside is None
                or (isinstance(domain, str) and (domain == case.inside or domain.startswith(case.inside + "/")))
            )
            assert not (isinstance(domain, BadDomain) and wanted)
            assert holds(case.filter, request.resource) is wanted, (str(case.filter), request, str(generated))
