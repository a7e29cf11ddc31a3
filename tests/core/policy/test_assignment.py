"""Role assignments: which rows can be, which count, and what the rules forbid."""

from __future__ import annotations

import pytest
from role_models import CONSTANT_LEVEL, ONE_LEVEL, THREE_LEVELS, TWO_LEVELS

from klausel.core.policy.assignment import (
    Assignment,
    effective_assignments,
    fault_in_assignment,
    keeper_violation,
    subject_violations,
)


def test_a_domain_without_the_constant_part_is_told_with_it() -> None:
    fault = fault_in_assignment(CONSTANT_LEVEL, Assignment("user:ann", "keyholder", "kitchen"))
    assert fault is not None
    assert fault.endswith("write the domain as main/room")


@pytest.mark.parametrize(
    "row",
    [
        ("user:ann", "admin", "acme"),
        ("user:ann", "lead", "acme/support"),
        ('robot:a:b/c, "d" #e', "lead", 'acme/#1, "x"'),
        ("user:Ж" + "x" * 249, "user", "ä" * 255),
    ],
)
def test_a_row_of_the_right_form_has_no_fault(row: tuple[str, str, str]) -> None:
    assert fault_in_assignment(TWO_LEVELS, Assignment(*row)) is None


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (("ann", "admin", "acme"), "write it as type:id, such as user:ann"),
        (("", "admin", "acme"), "has no type"),
        ((":ann", "admin", "acme"), "is empty"),
        (("user:", "admin", "acme"), "is empty"),
        (("a/b:ann", "admin", "acme"), 'has a type with ":" or "/"'),
        (("user:a\nb", "admin", "acme"), "control character"),
        (("user:a\u2028b", "admin", "acme"), "control character"),
        (("user:" + "x" * 251, "admin", "acme"), "longer than 255"),
        (("user:ann", "leed", "acme"), 'did you mean "lead"?'),
        (("user:ann", "any lead", "acme/support"), "unknown role"),
        (("user:ann", "anyone", "acme"), "unknown role"),
        (("user:ann", "admin", ""), "has an empty part"),
        (("user:ann", "admin", "acme/"), "has an empty part"),
        (("user:ann", "admin", "/acme"), "has an empty part"),
        (("user:ann", "lead", "acme/*"), 'is "*"'),
        (("user:ann", "admin", "ac\x00me"), "control character"),
        (("user:ann", "admin", "x" * 256), "longer than 255"),
        (("user:ann", "admin", "acme/support"), "write the domain as account"),
        (("user:ann", "lead", "acme"), "write the domain as account/workspace"),
        (("user:ann", "lead", "acme/support/x"), "write the domain as account/workspace"),
    ],
)
def test_a_row_that_can_never_be_says_why(row: tuple[str, str, str], part: str) -> None:
    fault = fault_in_assignment(TWO_LEVELS, Assignment(*row))
    assert fault is not None
    assert part in fault


def test_the_only_domain_of_a_constant_level_is_its_constant() -> None:
    assert fault_in_assignment(CONSTANT_LEVEL, Assignment("user:ann", "root", "main")) is None
    assert fault_in_assignment(CONSTANT_LEVEL, Assignment("user:ann", "keyholder", "main/12")) is None
    fault = fault_in_assignment(CONSTANT_LEVEL, Assignment("user:ann", "keyholder", "other/12"))
    assert fault == 'the only domain of level system is "main", not "other"'


def test_pairs_that_count_keep_their_order() -> None:
    held = [("lead", "a/x"), ("user", "a"), ("agent", "b/y"), ("agent", "a/x"), ("ghost", "a")]
    assert effective_assignments(TWO_LEVELS, held) == [("lead", "a/x"), ("user", "a"), ("agent", "a/x")]
    assert effective_assignments(TWO_LEVELS, []) == []


def test_a_requirement_is_met_only_by_a_role_that_counts_itself() -> None:
    assert effective_assignments(THREE_LEVELS, [("clerk", "a/x/1")]) == []
    assert effective_assignments(THREE_LEVELS, [("clerk", "a/x/1"), ("boss", "a")]) == [("boss", "a")]
    both = [("clerk", "a/x/1"), ("manager", "a/x")]
    assert effective_assignments(THREE_LEVELS, both) == both


def test_a_role_without_one_above_is_a_violation_that_names_row_and_rule() -> None:
    (violation,) = subject_violations(TWO_LEVELS, "user:ann", [("lead", "acme/support"), ("lead", "acme/support")])
    assert (violation.subject, violation.role, violation.domain) == ("user:ann", "lead", "acme/support")
    assert violation.rule == "requires-role-above"
    assert violation.message == "user:ann would be lead in acme/support without a role of level account in acme"
    assert subject_violations(TWO_LEVELS, "user:ann", [("user", "acme"), ("lead", "acme/support")]) == []
    assert subject_violations(ONE_LEVEL, "user:ann", [("owner", "red")]) == []


def test_a_domain_without_its_keeper_is_a_violation() -> None:
    violation = keeper_violation("admin", "acme")
    assert (violation.subject, violation.rule) == (None, "keep-one")
    assert violation.message == "acme would have people in it but no admin; keep one, or empty acme as a whole"


def test_an_assignment_reads_as_a_sentence() -> None:
    assert str(Assignment("user:ann", "lead", "acme/support")) == "user:ann lead in acme/support"
