"""Coverage names exactly what no test touches, with its line."""

from __future__ import annotations

import pytest
from small_policies import COMPANIES, PAYMENTS_OPEN, REFUSED, TEAMS, WHOLE, load

from klausel.core.testing.coverage import coverage_of

ONLY_LARGE = "  - {name: refused, resource: large, actions: approve}\n"
ONLY_FROZEN = "  - {name: refused, resource: frozen, actions: approve}\n"
WITHOUT_WILLI = (
    "  - {name: companies, resource: the company, people: olga, allowed: {olga: close}}\n"
    "  - {name: teams, resource: red, people: hanna, allowed: {hanna: open}}\n"
    "  - {name: payments, resource: [small, large, frozen], people: hanna}\n"
)

CASES = [
    (WHOLE, []),
    (
        COMPANIES + TEAMS + PAYMENTS_OPEN + ONLY_LARGE,
        [
            "11 deny anyone to approve payment when resource.frozen",
            "11 deny anyone to approve payment when resource.frozen: where its condition holds",
        ],
    ),
    (
        COMPANIES + TEAMS + PAYMENTS_OPEN + ONLY_FROZEN,
        ["10 allow head to approve payment when resource.amount < 100: where its condition does not hold"],
    ),
    (TEAMS + PAYMENTS_OPEN + REFUSED, ["7 allow owner to close company"]),
    (WITHOUT_WILLI, ["6 owner contains member", "6 owner contains head", "9 role worker"]),
]


@pytest.mark.parametrize(("tests", "missed"), CASES)
def test_what_no_test_touches_is_named_with_its_line(tests: str, missed: list[str]) -> None:
    result = load(tests)
    coverage = coverage_of(result.or_raise(), result.tests)
    assert sorted(f"{item.place.line} {item.what}" for item in coverage.missed) == sorted(missed)
    assert (coverage.percent == 100) == (not missed)


def test_every_kind_is_counted_and_a_condition_twice() -> None:
    coverage = coverage_of(load("").or_raise(), ())
    assert coverage.by_kind == (("grants", 0, 5), ("conditions", 0, 4), ("roles", 0, 4), ("inheritance links", 0, 3))
    assert coverage.percent == 0


def test_a_link_is_touched_only_by_a_grant_that_holds_by_way_of_it() -> None:
    result = load("  - {name: it, people: olga, resource: small, actions: create, allowed: {olga: create}}\n")
    missed = {item.what for item in coverage_of(result.or_raise(), result.tests).missed if item.kind == "inheritance links"}
    assert missed == {"owner contains member"}
