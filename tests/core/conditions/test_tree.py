"""What conditions mean: Kleene's logic, strict types, one spelling."""

from __future__ import annotations

from itertools import product

import pytest
from condition_trees import conditions, requests
from hypothesis import given

from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Attribute,
    Condition,
    Literal,
    Truth,
    atoms,
    compare,
    evaluate,
    negate,
    value_of,
    with_one_spelling,
)
from klausel.core.terms.request import Action, Request, Resource, Subject

TRUE, FALSE, UNKNOWN = True, False, None
AND = {
    (TRUE, TRUE): TRUE, (TRUE, FALSE): FALSE, (TRUE, UNKNOWN): UNKNOWN,
    (FALSE, TRUE): FALSE, (FALSE, FALSE): FALSE, (FALSE, UNKNOWN): FALSE,
    (UNKNOWN, TRUE): UNKNOWN, (UNKNOWN, FALSE): FALSE, (UNKNOWN, UNKNOWN): UNKNOWN,
}  # fmt: skip
OR = {
    (TRUE, TRUE): TRUE, (TRUE, FALSE): TRUE, (TRUE, UNKNOWN): TRUE,
    (FALSE, TRUE): TRUE, (FALSE, FALSE): FALSE, (FALSE, UNKNOWN): UNKNOWN,
    (UNKNOWN, TRUE): TRUE, (UNKNOWN, FALSE): UNKNOWN, (UNKNOWN, UNKNOWN): UNKNOWN,
}  # fmt: skip
NOT = {TRUE: FALSE, FALSE: TRUE, UNKNOWN: UNKNOWN}


Values = dict[str, object]


def request(subject: Values | None = None, context: Values | None = None, **resource: object) -> Request:
    return Request(
        Subject("user", "ann", subject or {}), Action("view", {"depth": 2}), Resource("quiz", "q1", resource), context or {}
    )


def parse(text: str) -> Condition:
    return parse_condition(text, lambda name: None, {})


A, B = Truth(Attribute("resource", ("a",))), Truth(Attribute("resource", ("b",)))


@pytest.mark.parametrize(("left", "right"), list(product((TRUE, FALSE, UNKNOWN), repeat=2)))
def test_and_and_or_are_kleenes(left: bool | None, right: bool | None) -> None:
    asked = request(a=left, b=right)
    assert evaluate(AllOf((A, B)), asked) is AND[left, right]
    assert evaluate(AnyOf((A, B)), asked) is OR[left, right]


@pytest.mark.parametrize("value", [TRUE, FALSE, UNKNOWN])
def test_not_is_kleenes(value: bool | None) -> None:
    assert evaluate(negate(A), request(a=value)) is NOT[value]


@given(conditions, requests)
def test_the_negation_is_kleenes_not_of_the_whole(condition: Condition, asked: Request) -> None:
    assert evaluate(negate(condition), asked) is NOT[evaluate(condition, asked)]
    assert negate(negate(condition)) == condition


@given(conditions, requests)
def test_one_spelling_means_the_same(condition: Condition, asked: Request) -> None:
    spelled = with_one_spelling(condition)
    assert evaluate(spelled, asked) is evaluate(condition, asked)
    assert str(with_one_spelling(spelled)) == str(spelled)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("resource.a == 1", "1.0 == resource.a"),
        ("resource.a < 1", "1 > resource.a"),
        ("resource.a and resource.b", "resource.b and resource.a and resource.a"),
        ("resource.a in [1, 2]", "resource.a in [2, 1, 2]"),
        ("not (resource.a or resource.b)", "not resource.b and not resource.a"),
        ("resource.a == true", "resource.a"),
        ("resource.a != true", "not resource.a"),
        ("resource.a == subject.b", "subject.b == resource.a"),
        ("resource.a == 'x'", 'resource["a"] == "\\u0078"'),
    ],
)
def test_different_spellings_become_one(one: str, other: str) -> None:
    assert str(with_one_spelling(parse(one))) == str(with_one_spelling(parse(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("resource.a == 1", "resource.a == true"),
        ("resource.a == 1", 'resource.a == "1"'),
        ("resource.a in [1, 2]", "resource.a in [true, 2]"),
        ("resource.a == 1 and resource.a == true", "resource.a == 1"),
        ("resource.a < 1", "1 < resource.a"),
        ("resource.a and resource.b", "resource.a or resource.b"),
        ("subject.a in resource.b", "resource.b in subject.a"),
    ],
)
def test_different_conditions_stay_apart(one: str, other: str) -> None:
    assert str(with_one_spelling(parse(one))) != str(with_one_spelling(parse(other)))


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("==", 1, 1.0, True),
        ("==", 1, True, None),
        ("==", 0, False, None),
        ("==", "1", 1, None),
        ("==", None, None, None),
        ("==", [1], [1], None),
        ("==", {}, {}, None),
        ("!=", "a", 1, None),
        ("!=", "a", "b", True),
        ("<", "a", "b", None),
        ("<", "999", "1000", None),
        ("<", 1, 1.5, True),
        ("<", True, False, None),
        ("==", True, True, True),
        ("!=", True, False, True),
        (">=", 2**70, 2.0**70, True),
        ("==", 2**53 + 1, 2.0**53, False),
        ("==", float("nan"), float("nan"), None),
        ("<", float("nan"), 1, None),
        ("<", float("-inf"), 1, True),
        ("in", 1, [1, 2], True),
        ("in", 1, [True, 2], None),
        ("in", 1, ["1", 1], True),
        ("in", 3, [1, 2], False),
        ("in", 3, [1, None], None),
        ("in", 3, [], False),
        ("in", "a", "abc", None),
        ("in", "a", {"a": 1}, None),
        ("in", None, [None], None),
        ("not in", 3, [1, 2], True),
        ("not in", 3, [1, None], None),
        ("not in", 1, [1, None], False),
    ],
)
def test_comparisons_never_coerce(operator: str, left: object, right: object, expected: bool | None) -> None:
    assert compare(operator, left, right) is expected  # type: ignore[arg-type]


def test_own_attributes_cannot_be_shadowed_by_properties() -> None:
    asked = request({"id": "boss", "type": "god"}, id="x", type="y")
    values = {str(attribute): value_of(attribute, asked) for attribute in map(own, ("subject", "resource"), ("id", "id"))}
    assert values == {"subject.id": "ann", "resource.id": "q1"}
    assert value_of(own("subject", "type"), asked) == "user"
    assert value_of(own("action", "name"), asked) == "view"
    assert value_of(own("action", "depth"), asked) == 2


def own(root: str, name: str) -> Attribute:
    return Attribute(root, (name,))


@pytest.mark.parametrize("path", [("items",), ("keys",), ("__class__",), ("a", "b"), ("a", "__len__"), ("list", "0")])
def test_what_is_not_there_is_none_and_never_a_method(path: tuple[str, ...]) -> None:
    asked = request(a="text", list=[1])
    assert value_of(Attribute("resource", path), asked) is None
    assert value_of(Attribute("context", path), asked) is None


def test_attributes_reach_into_nested_objects() -> None:
    assert value_of(Attribute("resource", ("a", "b")), request(a={"b": 3})) == 3
    assert value_of(Attribute("context", ("id",)), request(context={"id": 4})) == 4


def test_truth_is_only_for_booleans() -> None:
    assert [evaluate(A, request(a=value)) for value in (True, False, 1, "true", None, [])] == [True, False, *[None] * 4]
    assert [evaluate(negate(A), request(a=value)) for value in (True, False, 0)] == [False, True, None]


def test_matchers_are_unknown_for_anything_but_texts() -> None:
    condition = parse('matches_glob(resource.a, "x*")')
    assert [evaluate(condition, request(a=value)) for value in ("xy", "y")] == [True, False]
    assert [evaluate(condition, request(a=value)) for value in (1, None, ["xy"])] == [None, None, None]
    assert evaluate(negate(condition), request(a=1)) is None
    assert evaluate(parse('not matches_path(resource.a, "a/*")'), request(a="a/b")) is False


def test_atoms_come_in_the_order_of_the_text() -> None:
    assert [str(atom) for atom in atoms(parse("resource.b or resource.a and (resource.b or resource.c)"))] == [
        "resource.b",
        "resource.a",
        "resource.b",
        "resource.c",
    ]


def test_a_literal_prints_as_json() -> None:
    assert [str(Literal(value)) for value in ('ä\n"', True, 1, 1.5)] == ['"ä\\n\\""', "true", "1", "1.5"]
