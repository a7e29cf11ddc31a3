"""A filter takes exactly the resources for which `decide` says yes, whatever the policy set, the subject and the resource."""

from random import Random

import pytest
from filter_cases import filter_cases, in_domain
from generated_policies import generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klausel.core.filters import derive
from klausel.core.filters.tree import holds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_it_takes_what_decide_allows(seed: int) -> None:
    check(seed)


def check(seed: int) -> None:
    generated = generate(seed, requests=12)
    asked = asked_of(generated)
    if asked is None:
        return
    for case in filter_cases(asked, generated, Random(seed)):
        for request in case.requests:
            wanted = asked.allows(request) and in_domain(asked.policy, request, case.inside)
            assert holds(case.filter, request.resource) is wanted, (str(case.filter), request, str(generated))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_it_does_so_too_where_very_many_domains_stand_in_one_list(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derive, "MOST_BRANCHES", 1)
        check(seed)
