"""Parsing conditions: precedence, round trips, faults with their offsets, and texts made to break a parser."""

from __future__ import annotations

import pytest
from condition_trees import trees
from hypothesis import given, settings
from hypothesis import strategies as st

from klausel.core.conditions.parser import (
    CONDITION_FAULTY,
    DEEPEST_NESTING,
    KEYWORDS,
    LONGEST_EXPRESSION,
    MOST_COMPARISONS,
    named_conditions_in,
    parse_condition,
)
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Attribute,
    Call,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Truth,
    negate,
)

A, B, C = (Truth(Attribute("resource", (name,))) for name in "abc")
NAMED: dict[str, Condition] = {"a": A, "b": B, "c": C, "both": AllOf((A, B))}


def parse(text: str, **further: Condition) -> Condition:
    named = {**NAMED, **further}
    return parse_condition(text, named.get, named)


def fault(text: str) -> ExpressionFault:
    with pytest.raises(ExpressionFault) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a or b and c", AnyOf((A, AllOf((B, C))))),
        ("(a or b) and c", AllOf((AnyOf((A, B)), C))),
        ("not a and b", AllOf((negate(A), B))),
        ("not (a and b)", AnyOf((negate(A), negate(B)))),
        ("not not a", A),
        ("a and (b and c)", AllOf((A, B, C))),
        ("((a) or (b or c))", AnyOf((A, B, C))),
        ("both and c", AllOf((A, B, C))),
        ("not both", AnyOf((negate(A), negate(B)))),
        ("not resource.a == 1", Comparison("!=", Attribute("resource", ("a",)), Literal(1))),
        ("not resource.a in [1]", Comparison("not in", Attribute("resource", ("a",)), ListOf((Literal(1),)))),
        ("resource.a not in [1, 'x', true]", Comparison(
            "not in", Attribute("resource", ("a",)), ListOf((Literal(1), Literal("x"), Literal(True)))
        )),
        ("not resource.a < 1", Comparison(">=", Attribute("resource", ("a",)), Literal(1))),
        ("resource.a==-1.5e1", Comparison("==", Attribute("resource", ("a",)), Literal(-15))),
        ('context["x y"].z', Truth(Attribute("context", ("x y", "z")))),
        ("resource.and.in.not", Truth(Attribute("resource", ("and", "in", "not")))),
        ('matches_glob(resource.a, "x*")', Call("matches_glob", (Attribute("resource", ("a",)), Literal("x*")))),
        (" \n\ta\n", A),
        ("a\u00a0and b", AllOf((A, B))),
    ],
)  # fmt: skip
def test_a_text_has_this_tree(text: str, tree: Condition) -> None:
    assert repr(parse(text)) == repr(tree)


@settings(deadline=None)
@given(trees(st.text(max_size=6), st.text(max_size=6)))
def test_every_tree_comes_back_from_its_text(tree: Condition) -> None:
    assert repr(parse(str(tree))) == repr(tree)
    assert repr(parse(f"not ({tree})")) == repr(negate(tree))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_a_fault_inside_it(text: str) -> None:
    try:
        parse(text)
    except ExpressionFault as found:
        assert 0 <= found.offset <= len(text)
        assert found.message
        assert found.hint or found.id == CONDITION_FAULTY


WORDS = (
    "a", "b", "nope", "and", "or", "not", "in", "true", "false", "null", "(", ")", "[", "]", ",", ".", "==", "<", "=", "!",
    "resource", "subject.id", "context.x", "resource.a", '"x"', "'x", "1", "-1", "1e9", "matches_glob", '["k"]', "&&", " ",
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_words_parse_to_a_tree_that_reads_back_or_are_a_fault(words: list[str]) -> None:
    text = " ".join(words)
    try:
        tree = parse(text)
    except ExpressionFault as found:
        assert 0 <= found.offset <= len(text)
    else:
        assert repr(parse(str(tree))) == repr(tree)


@pytest.mark.parametrize(
    "text",
    ["(" * 10_000, "((((" + "a" * 100_000, "not " * 10**6, "a" * 10**6, '"' + "x" * 10**6, "a and " * 10**5],
    ids=len,
)
def test_a_long_text_is_refused_at_its_start(text: str) -> None:
    assert (fault(text).offset, fault(text).id) == (0, "condition-syntax")


def test_brackets_nest_to_a_limit() -> None:
    inside = DEEPEST_NESTING - 1
    assert parse("(" * inside + "a" + ")" * inside) == A
    found = fault("(" * (inside + 1) + "a" + ")" * (inside + 1))
    assert "nested deeper" in found.message
    assert found.offset == inside + 1


def test_many_nots_do_not_nest() -> None:
    assert parse("not " * 900 + "a") == A
    assert parse("not " * 901 + "a") == negate(A)


def test_conditions_in_conditions_count_to_a_limit() -> None:
    large = AnyOf(tuple([A] * (MOST_COMPARISONS // 2)))
    assert parse("large or large", large=large) == AnyOf(tuple([A] * MOST_COMPARISONS))
    with pytest.raises(ExpressionFault) as caught:
        parse("large or large and a", large=large)
    assert (caught.value.offset, caught.value.id) == (19, "condition-syntax")


def test_conditions_in_conditions_nest_to_a_limit() -> None:
    tree: Condition = A
    for number in range(DEEPEST_NESTING):
        text = "a or deep" if number % 2 else "b and deep"
        if number < DEEPEST_NESTING - 1:
            tree = parse(text, deep=tree)
    with pytest.raises(ExpressionFault) as caught:
        parse(text, deep=tree)
    assert "nested deeper" in caught.value.message


def test_the_length_limit_is_exact() -> None:
    assert parse("a" + " " * (LONGEST_EXPRESSION - 1)) == A
    assert "characters" in fault("a" + " " * LONGEST_EXPRESSION).message


def test_a_condition_with_a_problem_is_told_from_an_unknown_one() -> None:
    with pytest.raises(ExpressionFault) as caught:
        parse_condition("broken", lambda name: None, {"broken": None})
    assert caught.value.id == CONDITION_FAULTY
    assert fault("broken").id == "unknown-condition"


def test_the_names_that_a_text_uses_come_with_their_first_place() -> None:
    assert named_conditions_in("b and (a or not b)", NAMED) == {"b": 0, "a": 7}
    with pytest.raises(ExpressionFault):
        named_conditions_in("b and", NAMED)
    with pytest.raises(ExpressionFault):
        named_conditions_in("b and nope", NAMED)
    with pytest.raises(ExpressionFault):
        named_conditions_in("b" * 5_000, NAMED)


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_keywords_are_never_named_conditions(word: str) -> None:
    with pytest.raises(ExpressionFault):
        parse(word, **{word: A})


@pytest.mark.parametrize("word", ["is", "AND", "True"])
def test_a_word_of_other_languages_may_name_a_condition(word: str) -> None:
    assert parse(word, **{word: A}) == A
    assert fault(word).message == f"`{word}` is not a word of conditions"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\"b"', 'a"b'),
        ("'a\\'b'", "a'b"),
        ('"a\\\\n"', "a\\n"),
        ('"\\u00e9\\n"', "é\n"),
        ('"&& || ! p. r. # and"', "&& || ! p. r. # and"),
        ('""', ""),
        ("1.0", 1),
        ("1e3", 1000),
        ("-0", 0),
        ("9007199254740993", 9007199254740993),
        ("0.1", 0.1),
    ],
)
def test_a_literal_has_this_value(text: str, value: object) -> None:
    condition = parse(f"resource.x == {text}")
    assert isinstance(condition, Comparison)
    assert isinstance(condition.right, Literal)
    assert repr(condition.right.value) == repr(value)


@pytest.mark.parametrize(
    "text",
    ["１", "١", "²", "0x10", "1_000", "00", "-01", "1e400", "1e-400", "9" * 301, "inf", "nan", "NaN", ".5", "1."],
)
def test_a_number_is_not_guessed(text: str) -> None:
    assert fault(f"resource.x == {text}").id == "condition-syntax"
