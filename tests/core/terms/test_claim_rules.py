"""Rules on claims of an OpenID provider: what they say, whom they meet, and that they are not added up."""

from __future__ import annotations

import pytest

from klausel.core.terms.caller import Caller
from klausel.core.terms.claim_rules import ClaimRule, caller_by, read_claim_rule

CLAIMS = {"groups": ["a", "b:c"], "admin": True, "realm": {"roles": "lead"}, "n.x": 7, "empty": [], "nothing": None}


def test_a_rule_is_read_with_values_that_hold_its_own_signs() -> None:
    assert read_claim_rule("groups=support:search") == ClaimRule("groups", "support", frozenset({"search"}), None)
    rule = read_claim_rule("g=https://x.example/a=b@c:search,assign_on_behalf@acme,other")
    assert (rule.claim, rule.value) == ("g", "https://x.example/a=b@c")
    assert (rule.scopes, rule.accounts) == (frozenset({"search", "assign_on_behalf"}), frozenset({"acme", "other"}))


@pytest.mark.parametrize(
    "text", ["", "a", "a=b", "a=b:", "a=:search", "=b:search", "a=b:fly", "a=b:search@", "a=b:search@x/y"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no CLAIM|cannot be"):
        read_claim_rule(text)


@pytest.mark.parametrize(
    ("rule", "is_met"),
    [
        ("groups=a:search", True),
        ("groups=b:c:search", True),
        ("groups=*:search", True),
        ("groups=c:search", False),
        ("admin=true:search", True),
        ("realm.roles=lead:search", True),
        ("realm.roles.x=lead:search", False),
        ("n.x=7:search", True),
        ("empty=*:search", False),
        ("nothing=*:search", False),
        ("absent=*:search", False),
    ],
)
def test_a_rule_meets_a_value_a_list_or_a_path(rule: str, is_met: bool) -> None:
    assert read_claim_rule(rule).is_met_by(CLAIMS) is is_met


def test_the_first_rule_that_is_met_says_all() -> None:
    rules = [read_claim_rule(one) for one in ("groups=x:assign", "groups=a:search@acme", "groups=b:c:policy,assign")]
    assert caller_by(rules, "ann", CLAIMS) == Caller("ann", frozenset({"search"}), frozenset({"acme"}))
    assert caller_by(rules[:1], "ann", CLAIMS) is None
