"""Every key that a grant may have changes what it should change: decisions, Casbin rows, filters, the decision table.

A new key needs an entry in `EXAMPLES` here: two grants that differ in this key alone, and a question between them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import oracle
import pytest
from policy_sets import Asked, policy_of

from klausel.casbin_policies import rows
from klausel.casbin_policies.rows import grant_rows
from klausel.core.analysis import decision_table
from klausel.core.conditions.values import read_time
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.equivalence import compare
from klausel.core.filters.derive import filter_of
from klausel.core.filters.tree import holds
from klausel.core.loading import features, file_schema
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import GRANT, Key, OneText
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.text.yaml_nodes import Fields

ROLES = """
levels: {account: {named_by: account}, team: {named_by: team}}
roles: {lead: {level: account}, agent: {level: team}}
"""
TYPES = {"page": {"actions": ["view", "edit"]}, "note": {"actions": ["view", "edit"]}}
HELD = (("lead", "acme"),)
PAGE = Resource("page", "1", {"account": "acme", "is_open": False})
QUESTION = Request(Subject("user", "ann"), Action("view"), PAGE, {"now": read_time("2026-06-01T00:00:00Z")})
MAY_VIEW = {"allow": "lead", "to": "view", "resource": "page"}
DENIED = {"deny": "lead", "to": "view", "resource": "page"}


class Example(NamedTuple):
    """What a grant says without the key, or with another value of it, and with it. Only one of the two allows `QUESTION`."""

    without: Mapping[str, str]
    with_it: Mapping[str, str]
    beside: tuple[Mapping[str, str], ...] = ()


EXAMPLES = {
    "allow": Example({**MAY_VIEW, "allow": "agent"}, MAY_VIEW),
    "deny": Example({**DENIED, "deny": "agent"}, DENIED, ({**MAY_VIEW, "allow": "anyone"},)),
    "to": Example({**MAY_VIEW, "to": "edit"}, MAY_VIEW),
    "resource": Example({**MAY_VIEW, "resource": "note"}, MAY_VIEW),
    "when": Example(MAY_VIEW, {**MAY_VIEW, "when": "resource.is_open == true"}),
    "from": Example(MAY_VIEW, {**MAY_VIEW, "from": "2026-07-01T00:00:00Z"}),
    "until": Example(MAY_VIEW, {**MAY_VIEW, "until": "2026-05-01T00:00:00Z"}),
    "in": Example(MAY_VIEW, {**MAY_VIEW, "in": "zed"}),
    "at_level": Example(MAY_VIEW, {**MAY_VIEW, "at_level": "team"}),
}
REMARKS = {"because"}
"""Keys that are for people alone, and must change nothing."""


class Sides(NamedTuple):
    """The two policy sets of an example."""

    without: PolicySet
    with_it: PolicySet

    def differ_by(self, answer: Callable[[PolicySet], object]) -> bool:
        """Whether something comes out otherwise on the two sides."""
        return answer(self.without) != answer(self.with_it)


WITNESSES: dict[str, Callable[[Sides], bool]] = {
    "what is decided (core/decisions/decide.py)": lambda sides: sides.differ_by(
        lambda policy: asked(policy).allows(QUESTION)
    ),
    "its Casbin row (casbin_policies/rows.py)": lambda sides: sides.differ_by(
        lambda policy: [row.fields for row in grant_rows(policy)]
    ),
    "what stock Casbin decides by its row (casbin_policies/rows.py)": lambda sides: sides.differ_by(
        lambda policy: asked(policy).stock_allows(QUESTION)
    ),
    "the filter over resources (core/filters/derive.py)": lambda sides: sides.differ_by(is_taken_by_the_filter),
    "the decision table (core/analysis/decision_table.py)": lambda sides: (
        compare(*sides, [("page", "view")]).difference is not None
    ),
    "what the oracle of the tests says (tests/helpers/oracle.py)": lambda sides: sides.differ_by(
        lambda policy: oracle.allows(policy, [("user:ann", *pair) for pair in HELD], QUESTION)
    ),
}


def asked(policy: PolicySet) -> Asked:
    return Asked(policy, {"user:ann": HELD})


def is_taken_by_the_filter(policy: PolicySet) -> bool:
    return holds(
        filter_of(policy, EffectiveRoles.of(policy.roles, HELD), QUESTION._replace(resource=Resource("page", ""))), PAGE
    )


def policy_with(*grants: Mapping[str, str]) -> PolicySet:
    # What is JSON is YAML.
    feature = json.dumps({"resource_types": TYPES, "grants": grants})
    return policy_of({"roles.yaml": ROLES, "features/pages.yaml": feature})


def faults(keys: tuple[Key, ...], examples: Mapping[str, Example]) -> Iterator[str]:
    """A sentence for whatever lacks: a key without an example, and all that does not follow one with an example."""
    for key in keys:
        if key.name in REMARKS:
            example = Example(MAY_VIEW, {**MAY_VIEW, key.name: "somebody said so"})
        elif key.name in examples:
            example = examples[key.name]
        else:
            yield f'the grant key "{key.name}" has no example; add two grants that differ in it to EXAMPLES in {__file__}'
            continue
        sides = Sides(*(policy_with(*example.beside, grant) for grant in example[:2]))
        for what, differs in WITNESSES.items():
            if differs(sides) is (key.name in REMARKS):
                says = "changes with it, and it is a remark" if key.name in REMARKS else "stays the same with it and without"
                yield f'the grant key "{key.name}" is half made: {what} {says}'


def test_every_key_of_a_grant_changes_all_that_it_should() -> None:
    assert list(faults(GRANT.keys, EXAMPLES)) == []


@pytest.fixture
def with_key_that_is_read(monkeypatch: pytest.MonkeyPatch) -> tuple[Key, ...]:
    """Declares a further key of a grant and reads it, and nothing else: the half-made change."""
    keys = (*GRANT.keys, Key("unless", OneText(), "Not when this holds."))
    monkeypatch.setattr(features, "GRANT", dataclasses.replace(GRANT, keys=keys))
    read_times = features.read_times

    def reading_more(fields: Fields, problems: ProblemList) -> Any:
        problems.text(fields.get("unless"), "unless")
        return read_times(fields, problems)

    monkeypatch.setattr(features, "read_times", reading_more)
    return keys


def test_a_key_that_is_read_and_has_no_example_is_found(with_key_that_is_read: tuple[Key, ...]) -> None:
    (fault,) = faults(with_key_that_is_read[-1:], EXAMPLES)
    assert fault.startswith('the grant key "unless" has no example; add two grants that differ in it to EXAMPLES')


def test_a_key_that_is_read_and_not_obeyed_is_found(with_key_that_is_read: tuple[Key, ...]) -> None:
    examples = {**EXAMPLES, "unless": Example(MAY_VIEW, {**MAY_VIEW, "unless": "resource.is_open == false"})}
    found = list(faults(with_key_that_is_read[-1:], examples))
    assert found == [f'the grant key "unless" is half made: {what} stays the same with it and without' for what in WITNESSES]


def test_a_key_that_its_casbin_row_leaves_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of = rows._rows_of

    def rows_without_scopes(grants: Iterable[Grant]) -> list[rows.Row]:
        return [row._replace(fields=(row.fields[0], "*", *row.fields[2:])) for row in rows_of(grants)]

    monkeypatch.setattr(rows, "_rows_of", rows_without_scopes)
    found = list(faults(GRANT.keys, EXAMPLES))
    assert [fault.split('"')[1] for fault in found] == ["in"] * 3 + ["at_level"] * 3
    assert all("decide" in fault or "rows.py" in fault for fault in found)


def test_a_key_that_the_decision_table_leaves_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_table, "covering_grants", lambda grants, asked, roles: tuple(grants))
    found = list(faults(GRANT.keys, EXAMPLES))
    assert found
    assert all("decision_table.py" in fault for fault in found)


def test_the_keys_here_are_those_of_the_file_schema() -> None:
    """An example of a key that is no more says nothing."""
    assert {*EXAMPLES, *REMARKS} == set(file_schema.GRANT.names)
