"""Presence, lists, beginnings and ends, networks: what each word is true for, and that what does not fit is unknown."""

from __future__ import annotations

import pytest

from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import Condition, evaluate, negate
from klausel.core.terms.request import Action, Request, Resource, Subject

NOT = {True: False, False: True, None: None}


def parse(text: str) -> Condition:
    return parse_condition(text, lambda name: None, {})


def asked(**resource: object) -> Request:
    teams = {"teams": ["blue", "red"], "none": [], "home": "/home/ann/"}
    return Request(Subject("user", "ann", teams), Action("view"), Resource("doc", "d1", resource), {})


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("has resource.x", "", True),
        ("has resource.x", False, True),
        ("has resource.x", 0, True),
        ("has resource.x", [], True),
        ("has resource.x", {}, True),
        ("has resource.x", None, False),
        ("has resource.x.y", {"y": 1}, True),
        ("has resource.x.y", {"y": None}, False),
        ("has resource.x.y", "text", False),
        ("resource.x contains subject.id", ["ann"], True),
        ("resource.x contains subject.id", ["bob"], False),
        ("resource.x contains subject.id", ["bob", 1], None),
        ("resource.x contains subject.id", "ann", None),
        ("resource.x contains 1", [True], None),
        ("resource.x contains 1", [1.0], True),
        ("resource.x overlaps subject.teams", ["red"], True),
        ("resource.x overlaps subject.teams", ["red", 5], True),
        ("resource.x overlaps subject.teams", ["green"], False),
        ("resource.x overlaps subject.teams", ["green", 5], None),
        ("resource.x overlaps subject.teams", [], False),
        ("resource.x overlaps subject.none", ["red"], False),
        ("resource.x overlaps subject.teams", "red", None),
        ("resource.x overlaps subject.teams", None, None),
        ("resource.x overlaps subject.missing", ["red"], None),
        ("resource.x subset of subject.teams", ["red"], True),
        ("resource.x subset of subject.teams", ["red", "blue", "red"], True),
        ("resource.x subset of subject.teams", [], True),
        ("resource.x subset of subject.teams", ["red", "green"], False),
        ("resource.x subset of subject.teams", ["red", 5], None),
        ("resource.x subset of subject.teams", ["green", 5], False),
        ("resource.x subset of subject.teams", "red", None),
        ('["red", "blue"] subset of resource.x', ["blue", "red", "green"], True),
        ('["red", "blue"] subset of resource.x', ["blue"], False),
        ('starts_with(resource.x, "dr")', "draft", True),
        ('starts_with(resource.x, "dr")', "Draft", False),
        ('starts_with(resource.x, "dr")', ["draft"], None),
        ("starts_with(resource.x, subject.home)", "/home/ann/x", True),
        ("starts_with(resource.x, subject.home)", "/home/anna", False),
        ("starts_with(resource.x, subject.missing)", "draft", None),
        ('ends_with(resource.x, "@example.com")', "ann@example.com", True),
        ('ends_with(resource.x, "@example.com")', "ann@example.com.evil", False),
        ('ends_with(resource.x, "@example.com")', 5, None),
        ('in_network(resource.x, "10.20.0.0/16")', "10.20.255.1", True),
        ('in_network(resource.x, "10.20.0.0/16")', "10.21.0.1", False),
        ('in_network(resource.x, "10.20.0.0/16")', "10.20.999.1", None),
        ('in_network(resource.x, "10.20.0.0/16")', "10.20.1.1:80", None),
        ('in_network(resource.x, "10.20.0.0/16")', "010.20.1.1", None),
        ('in_network(resource.x, "10.20.0.0/16")', "::ffff:10.20.1.1", True),
        ('in_network(resource.x, "10.20.0.0/16")', "::ffff:a14:101", True),
        ('in_network(resource.x, "10.20.0.0/16")', "::ffff:10.21.1.1", False),
        ('in_network(resource.x, "::ffff:10.20.0.0/112")', "10.20.1.1", True),
        ('in_network(resource.x, "2001:db8::/32")', "2001:DB8:0::1", True),
        ('in_network(resource.x, "2001:db8::/32")', "10.20.1.1", False),
        ('in_network(resource.x, ["10.0.0.0/8", "::1/128"])', "::1", True),
        ('in_network(resource.x, ["10.0.0.0/8", "::1/128"])', "::2", False),
        ('in_network(resource.x, "10.1.2.3")', "10.1.2.3", True),
        ('in_network(resource.x, "10.0.0.0/8")', 167772161, None),
        ("resource.x < resource.y", "2026-01-01T00:00:00Z", None),
    ],
)  # fmt: skip
def test_a_word_is_true_false_or_unknown(text: str, value: object, expected: bool | None) -> None:
    request = asked(x=value, y="2027-01-01T00:00:00Z")
    assert evaluate(parse(text), request) is expected
    assert evaluate(negate(parse(text)), request) is NOT[expected]
    assert evaluate(parse(f"not ({text})"), request) is NOT[expected]


def test_words_may_name_conditions_where_they_are_not_used_as_words() -> None:
    named = {"has": parse("resource.a"), "time": parse("resource.b"), "overlaps": parse("resource.c")}
    text = "has and time or overlaps and has resource.x"
    assert str(parse_condition(text, named.get, named)) == "resource.a and resource.b or resource.c and has resource.x"


def test_a_word_at_the_wrong_place_says_how_it_is_written() -> None:
    with pytest.raises(ExpressionFault) as caught:
        parse('overlaps(resource.a, ["x"])')
    assert caught.value.hint == "write subject.teams overlaps resource.teams"
    with pytest.raises(ExpressionFault) as caught:
        parse('resource.tags contains ["a", "b"]')
    assert caught.value.hint == 'write ["a", "b"] subset of resource.tags, or ["a", "b"] overlaps resource.tags'
