"""Whether one invariant demands more than another is proved over all cases, not read off its words."""

from __future__ import annotations

import pytest

from klausel.core.analysis.demands import direction_of
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet

ROLES = """
levels: {firm: {named_by: firm}, shop: {named_by: shop}}
roles:
  owner: {level: firm, contains: [clerk]}
  clerk: {level: firm}
  seller: {level: shop, contains: [helper]}
  helper: {level: shop}
"""
FEATURE = """
resource_types: {till: {actions: [open, close]}, stock: {actions: [count]}}
grants: [{allow: seller, to: open, resource: till}]
"""


def _stating(*invariants: str) -> PolicySet:
    text = "invariants:\n" + "".join(f"  - {{name: n{number}, {one}}}\n" for number, one in enumerate(invariants))
    files = {"roles.yaml": ROLES, "features/a.yaml": FEATURE, "invariants.yaml": text}
    return load_policy(SourceFile(name, name, content.encode()) for name, content in files.items()).or_raise()


def _pair(before: str, after: str) -> tuple[Invariant, Invariant, PolicySet]:
    policy = _stating(before, after)
    return policy.invariants[0], policy.invariants[1], policy


OPEN = "to: open, resource: till"
CASES = [
    (f"at_most: owner, {OPEN}", f"at_most: clerk, {OPEN}", "weaker"),
    (f"at_most: owner, {OPEN}", f"at_most: [owner, seller], {OPEN}", "weaker"),
    (f"never: helper, {OPEN}", f"never: [helper, clerk], {OPEN}", "stronger"),
    (f"never: outsider, {OPEN}", f"never: anyone, {OPEN}", "stronger"),
    (f"never: helper, {OPEN}", f"never: clerk, {OPEN}", "other"),
    (f"always: seller, {OPEN}", f"always: helper, {OPEN}", "stronger"),
    (f"never: helper, {OPEN}", "never: helper, to: [open, close], resource: till", "stronger"),
    (f"never: helper, {OPEN}", f"never: helper, {OPEN}, in: acme", "weaker"),
    (f"never: helper, {OPEN}, in: acme/one", f"never: helper, {OPEN}, in: acme", "stronger"),
    (f"never: helper, {OPEN}, in: acme", f"never: helper, {OPEN}, in: other", "other"),
    (f"never: helper, {OPEN}", f"never: helper, {OPEN}, at_level: shop", "weaker"),
    (f"never: helper, {OPEN}", f"never: helper, {OPEN}, when: resource.late == true", "weaker"),
    (
        f"never: helper, {OPEN}, when: resource.late == true",
        f"never: helper, {OPEN}, when: 'resource.late == true or resource.odd == true'",
        "stronger",
    ),
    (
        f"never: helper, {OPEN}, when: resource.late == true",
        f"never: helper, {OPEN}, when: resource.odd == true",
        "other",
    ),
    (f"never: helper, {OPEN}", f"always: helper, {OPEN}", "other"),
    (f"never: [helper, clerk], {OPEN}", f"never: [clerk, helper], {OPEN}", "same"),
    (f"at_most: clerk, {OPEN}", f"at_most: [clerk, owner], {OPEN}", "same"),
    ("monotone: true", f"monotone: true, {OPEN}", "weaker"),
    ("separate: [owner, seller]", "separate: [seller, owner]", "same"),
    ("separate: [owner, seller]", "separate: [clerk, seller]", "other"),
]


@pytest.mark.parametrize(("before", "after", "moved"), CASES, ids=[f"{a} -> {b}" for a, b, _ in CASES])
def test_the_direction_is_that_of_the_cases_they_speak_of(before: str, after: str, moved: str) -> None:
    opposite = {"stronger": "weaker", "weaker": "stronger"}.get(moved, moved)
    one, other, policy = _pair(before, after)
    assert direction_of(one, other, policy) == moved
    assert direction_of(other, one, policy) == opposite
    assert direction_of(one, one, policy) == "same"
