"""The meaning of a grant: when it holds, and whom it reaches."""

import pytest

from klausel.core.policy.policy_set import Effect, Grant
from klausel.core.policy.roles import RoleModel
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place


def grant(effect: Effect, scope: Scope = Scope()) -> Grant:  # noqa: B008
    return Grant(effect, "reader", "read", "document", scope, None, "", "", Place("policies/a.yaml", 1, 1))


@pytest.mark.parametrize(("truth", "holds"), [(True, True), (None, False), (False, False)])
def test_an_allow_needs_a_true_condition(truth: bool | None, holds: bool) -> None:
    assert grant("allow").holds(truth) is holds


@pytest.mark.parametrize(("truth", "holds"), [(True, True), (None, True), (False, False)])
def test_a_deny_holds_unless_its_condition_is_false(truth: bool | None, holds: bool) -> None:
    assert grant("deny").holds(truth) is holds


def test_a_grant_reaches_its_grantee_inside_its_scope_only() -> None:
    in_acme = grant("allow", Scope("acme"))
    roles = RoleModel((), {})
    assert in_acme.reaches({"reader"}, "acme/support", roles)
    assert not in_acme.reaches({"writer"}, "acme/support", roles)
    assert not in_acme.reaches({"reader"}, "other", roles)
    assert not in_acme.reaches({"reader"}, None, roles)
