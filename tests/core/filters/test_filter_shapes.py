"""What filters look like for the shipped policies, and as JSON."""

from __future__ import annotations

import pytest
from policy_sets import EDITIONS, read_policy

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.filters.derive import filter_of
from klausel.core.filters.json_form import filter_as_json, read_filter
from klausel.core.filters.tree import Filter, holds
from klausel.core.terms.request import Action, Request, Resource, Subject

POLICY = read_policy(EDITIONS["current"])
LEO = (("user", "acme"), ("lead", "acme/support"), ("agent", "acme/sales"), ("agent", "acme/field"))


def filter_for(
    held: tuple[tuple[str, str], ...], type_: str, action: str, inside: str | None = None, **shared: object
) -> Filter:
    request = Request(Subject("user", "leo"), Action(action), Resource(type_, "", shared))
    return filter_of(POLICY, EffectiveRoles.of(POLICY.roles, held), request, inside)


def test_one_filter_covers_all_workspaces_of_an_account() -> None:
    assert str(filter_for(LEO, "dashboard", "view")) == (
        'resource.account == "acme" and (resource.workspace == "support"'
        ' or resource.workspace in ["sales", "field"] and resource.owner == "leo")'
    )


def test_whoever_may_everywhere_in_an_account_needs_no_list_of_workspaces() -> None:
    held = (("account_manager", "acme"), ("lead", "acme/support"))
    assert str(filter_for(held, "dashboard", "view")) == (
        'resource.account == "acme" and (missing resource.workspace or names_domain(resource.workspace, 250))'
    )


def test_ten_thousand_workspaces_are_one_list() -> None:
    held = (("user", "acme"), *(("agent", f"acme/w{number}") for number in range(10_000)))
    text = str(filter_for(held, "dashboard", "view"))
    assert text.count("resource.workspace") == 1
    assert text.endswith('and resource.owner == "leo"')


def test_workspaces_of_ten_thousand_accounts_are_one_list() -> None:
    accounts = [("user", f"a{number}") for number in range(10_000)]
    held = (*accounts, *(("agent", f"a{number}/w{number}") for number in range(10_000)))
    found = filter_for(held, "dashboard", "view")
    assert str(found).count("resource.workspace") == 1
    assert str(found).startswith("domain(resource.account, resource.workspace) in ['a0/w0',")
    assert read_filter(filter_as_json(found)) == found
    taken = {"account": "a7", "workspace": "w7", "owner": "leo"}
    assert holds(found, Resource("dashboard", "d", taken))
    for other in ({"account": "a8"}, {"workspace": "w8"}, {"owner": "ann"}, {"account": 7}):
        assert not holds(found, Resource("dashboard", "d", {**taken, **other}))


def test_what_holds_everywhere_else_needs_no_list_of_exceptions() -> None:
    held = (("user", "acme"), ("lead", "acme/support"))
    assert str(filter_for(held, "quiz", "edit")) == (
        'resource.account == "acme" and ((missing resource.workspace or names_domain(resource.workspace, 250)) and'
        ' resource.creator == "leo" or resource.workspace == "support" and (resource.status == "published" or'
        ' resource.creator == "leo"))'
    )


@pytest.mark.parametrize(
    ("shared", "wanted"),
    [
        ({"account": "acme", "workspace": "support"}, True),
        ({"account": "acme", "workspace": "elsewhere"}, False),
        ({"account": "globex"}, False),
        ({"account": "acme", "workspace": "sales", "owner": "leo"}, True),
        ({"account": "acme", "workspace": "sales", "owner": 5}, False),
        ({"account": None}, False),
    ],
)
def test_what_all_resources_share_is_settled(shared: dict[str, object], wanted: bool) -> None:
    assert filter_for(LEO, "dashboard", "view", **shared) is wanted


def test_a_domain_keeps_to_what_lies_in_it() -> None:
    assert str(filter_for(LEO, "dashboard", "view", "acme/support")) == (
        'resource.account == "acme" and resource.workspace == "support"'
    )
    assert filter_for(LEO, "dashboard", "view", "globex") is False


@pytest.mark.parametrize("asked", [("dashboard", "fly"), ("nothing", "view")])
def test_what_nobody_declares_nobody_may(asked: tuple[str, str]) -> None:
    assert filter_for(LEO, *asked) is False


def test_as_json_and_back_it_is_the_same() -> None:
    found = filter_for(LEO, "dispute", "view")
    assert read_filter(filter_as_json(found)) == found
    assert [filter_as_json(one) for one in (True, False)] == [{"filter": "always"}, {"filter": "never"}]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"filter": "sometimes"},
        {"filter": "when"},
        {"filter": "when", "condition": {"xor": []}},
        {"filter": "when", "condition": {"and": []}},
        {"filter": "when", "condition": {"operator": "~", "left": {"id": True}, "right": {"value": 1}}},
        {"filter": "when", "condition": {"operator": "==", "left": {"subject": "id"}, "right": {"value": 1}}},
        {"filter": "when", "condition": {"operator": "==", "left": {"id": True}, "right": {"value": None}}},
        {"filter": "when", "condition": {"missing": {"value": 1}}},
    ],
)
def test_what_is_no_filter_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="filter"):
        read_filter(answer)
