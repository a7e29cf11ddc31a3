"""A role keeps its holders when it gets another name: assignments stored under the former one count as the role."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from role_models import TWO_LEVELS

from klausel.core.analysis.search import holders_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import Assignment, fault_in_assignment, subject_violations
from klausel.core.policy.orphans import StoredRole, orphaned_roles
from klausel.core.policy.roles import RoleModel


def renamed(model: RoleModel, role: str, *was: str) -> RoleModel:
    roles = {**model.roles, role: replace(model.roles[role], was=was)}
    return replace(model, roles=MappingProxyType(roles))


ROLES = renamed(renamed(TWO_LEVELS, "lead", "chief", "boss"), "user", "member")
OLD = (("member", "acme"), ("chief", "acme/support"))
NEW = (("user", "acme"), ("lead", "acme/support"))


def test_stored_former_names_give_the_effective_roles_of_the_role() -> None:
    old, new = EffectiveRoles.of(ROLES, OLD), EffectiveRoles.of(ROLES, NEW)
    assert old.held == new.held == NEW
    for domain in ("acme", "acme/support", "acme/other"):
        assert old.roles_in(domain) == new.roles_in(domain)
    assert old.stored == OLD


def test_who_holds_a_role_under_both_names_holds_it_once() -> None:
    assert EffectiveRoles.of(ROLES, (*OLD, *NEW)).held == NEW


def test_rules_look_at_the_role_and_not_at_its_name() -> None:
    assert subject_violations(ROLES, "user:ann", OLD) == []
    (violation,) = subject_violations(ROLES, "user:ann", OLD[1:])
    assert (violation.role, violation.rule) == ("lead", "requires-role-above")


def test_holders_are_looked_for_under_every_name() -> None:
    holders = holders_of(ROLES, "acme/support", {"lead"})
    assert {role for role, _ in holders.exactly} >= {"lead", "chief", "boss"}
    assert {"lead", "boss"} <= set(holders_of(ROLES, "acme", {"any lead"}).anywhere)


def test_nothing_new_is_stored_under_a_former_name() -> None:
    fault = fault_in_assignment(ROLES, Assignment("user:ann", "chief", "acme/support"))
    assert fault == 'unknown role "chief"; it is called "lead" now. Roles are declared in policies/roles.yaml'


def test_a_former_name_is_orphaned_only_at_another_level() -> None:
    stored = [StoredRole("chief", 2, 1), StoredRole("chief", 1, 1), StoredRole("lead", 2, 1), StoredRole("gone", 2, 1)]
    assert orphaned_roles(ROLES, stored) == (StoredRole("chief", 1, 1), StoredRole("gone", 2, 1))
