"""Tests that are run again after a change ask what it may have touched, and find what a whole run finds."""

from __future__ import annotations

import pytest
from small_policies import MODEL, PAYMENTS, ROLES, compiled, load

from klausel.core.loading.load import LoadResult
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import Expectation
from klausel.core.terms.problem import Problem
from klausel.core.terms.request import Request
from klausel.core.testing.gate import Rerun
from klausel.core.testing.run import Failure, failure_of

TESTS = """
  - {name: payments, resource: small, allowed: {olga: [create, approve], hanna: [create, approve], willi: create}}
  - {name: teams, resource: red, actions: open, allowed: {olga: open, hanna: open, willi: open}}
"""
APPROVED = PAYMENTS.replace("allow: head, to: approve", "allow: worker, to: approve")
CLOSED = PAYMENTS.replace("allow: owner, to: close", "allow: member, to: close")
MOVED = PAYMENTS.replace("grants:", "# A remark.\ngrants:")
ASKED_ELSEWHERE = PAYMENTS.replace(", asked_in: {open: company}", "")
OTHER_TESTS = TESTS.replace("willi: create}", "willi: [create, approve]}")
OTHER_ROLES = ROLES.replace(", contains: worker", "")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Expectation]:
    """The expectations that are looked at."""
    found: list[Expectation] = []

    def noted(*arguments: object) -> Failure | None:
        found.append(arguments[2])  # type: ignore[arg-type]
        return failure_of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("klausel.core.testing.gate.failure_of", noted)
    return found


BEFORE = load(TESTS, PAYMENTS)
CHANGES = {
    "a grant": (load(TESTS, APPROVED), 4),
    "a grant that no test asks about": (load(TESTS, CLOSED), 0),
    "the lines": (load(TESTS, MOVED), 0),
    "where an action is asked": (load(TESTS, ASKED_ELSEWHERE), 4),
    "a test": (load(OTHER_TESTS, PAYMENTS), 8),
    "the roles": (load(TESTS, PAYMENTS, roles=OTHER_ROLES), 12),
}


@pytest.mark.parametrize(("after", "looked_at"), CHANGES.values(), ids=CHANGES)
def test_what_a_change_may_have_touched_is_asked_again(after: LoadResult, looked_at: int, asked: list[Expectation]) -> None:
    def failed(rerun: Rerun, result: LoadResult) -> list[Problem]:
        policy = result.or_raise()
        return rerun.failed(policy, compiled(policy), result.tests, MODEL)

    again = Rerun()
    for result in (BEFORE, after, load(TESTS, APPROVED), load(TESTS, "# One more.\n" + APPROVED), after):
        assert failed(again, result) == failed(Rerun(), result)
    assert failed(again, BEFORE) == []
    asked.clear()
    failed(again, after)
    assert len(asked) == looked_at


class _FailsAtTeams:
    """A plan that cannot decide about teams."""

    def __init__(self, policy: PolicySet) -> None:
        self._plan = compiled(policy)

    def decide(self, request: Request, domain: str | None) -> tuple[bool, int | None]:
        if request.resource.type == "team":
            raise MemoryError
        return self._plan.decide(request, domain)


def test_a_run_that_ended_half_way_leaves_nothing_behind() -> None:
    more = APPROVED.replace("allow: member, to: open", "allow: owner, to: open")
    before, after = BEFORE.or_raise(), load(TESTS, more).or_raise()
    again = Rerun()
    assert again.failed(before, compiled(before), BEFORE.tests, MODEL) == []
    with pytest.raises(MemoryError):
        again.failed(after, _FailsAtTeams(after), BEFORE.tests, MODEL)
    assert again.failed(before, compiled(before), BEFORE.tests, MODEL) == []
