"""Declared types of properties: which values are of them, and what is found under an attribute."""

import pytest

from klausel.core.conditions.tree import Attribute
from klausel.core.policy.properties import (
    Declarations,
    IdOf,
    ListOf,
    NoProperty,
    OneOf,
    Parts,
    Plain,
    misfits,
    misspelt,
)
from klausel.core.terms.request import Action, Request, Resource, Subject

STATUS = OneOf(("draft", "published"))
OWNER = IdOf("user")
TYPES = {
    "status": STATUS,
    "owner": OWNER,
    "amount": Plain("number"),
    "urgent": Plain("boolean"),
    "until": Plain("time"),
    "tags": ListOf(Plain("text")),
    "colors": ListOf(OneOf(("red", "green"))),
    "address": Parts((("city", Plain("text")), ("number", Plain("number")))),
}
DECLARED = Declarations("order", TYPES, {"context": {"channel": OneOf(("web",))}}, ("account",))


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (Plain("text"), ["", "x"], [1, True, [], {}]),
        (Plain("number"), [0, -1.5, 10**30], ["1", True, float("nan")]),
        (Plain("boolean"), [True, False], ["true", 0, 1]),
        (Plain("time"), ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.5+01:00"], ["2026-03-01", "soon", 1, ""]),
        (STATUS, ["draft"], ["Draft", "", 1, ["draft"]]),
        (OWNER, ["ann", ""], [5, True, ["ann"]]),
        (ListOf(Plain("text")), [[], ["a"], ["a", 1]], ["a", {}, 1]),
        (ListOf(OneOf(("red", "green"))), [[], ["red", "green"]], [["red", "blue"], ["red", 1], "red"]),
    ],
    ids=str,
)
def test_values_are_of_a_type_or_not(type_: Plain, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not type_.fits(value)] == []
    assert [value for value in bad if type_.fits(value)] == []


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        ("resource", ("status",), STATUS),
        ("resource", ("address", "city"), Plain("text")),
        ("resource", ("id",), IdOf("order")),
        ("subject", ("id",), IdOf("")),
        ("resource", ("account",), Plain("text")),
        ("context", ("channel",), OneOf(("web",))),
        ("context", ("now",), Plain("time")),
        ("subject", ("team",), None),
        ("resource", ("statsu",), NoProperty("resource", "statsu", (*TYPES, "account"))),
        ("resource", ("address", "zip"), NoProperty("resource.address", "zip", ("city", "number"))),
        ("resource", ("owner", "name"), NoProperty("resource.owner", "name", (), OWNER)),
        ("context", ("host",), NoProperty("context", "host", ("channel",))),
    ],
    ids=str,
)
def test_an_attribute_has_the_type_that_is_declared(root: str, path: tuple[str, ...], expected: object) -> None:
    assert DECLARED.type_of(Attribute(root, path)) == expected


def test_a_request_is_told_what_is_not_as_declared() -> None:
    sent = {"status": "Draft", "owner": 5, "amount": 12, "tags": ["a", 1], "address": {"city": 1}, "until": None, "more": 1}
    request = Request(Subject("user", "ann", {"team": 5}), Action("pay"), Resource("order", "o1", sent), {"channel": "fax"})
    assert [(str(attribute), value) for attribute, value, _ in misfits(DECLARED, request)] == [
        ("resource.status", "Draft"),
        ("resource.owner", 5),
        ("resource.address.city", 1),
        ("context.channel", "fax"),
    ]


def test_a_slip_is_told_from_another_name() -> None:
    known = ("status", "owner", "reviewee")
    assert [misspelt(name, known) for name in ("statsu", "ownr", "reviewe")] == ["status", "owner", "reviewee"]
    assert [misspelt(name, known) for name in ("reviewee_disputes", "frozen", "owner_team", "x")] == [None] * 4
