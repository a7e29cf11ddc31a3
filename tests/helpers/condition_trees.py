"""Condition trees and requests for Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from hypothesis import strategies as st

from klausel.core.conditions.tree import (
    CONTEXT_NOW,
    OWN_ATTRIBUTES,
    ROOTS,
    AllOf,
    AnyOf,
    Attribute,
    Call,
    Comparison,
    Computed,
    Condition,
    ListOf,
    Literal,
    Operand,
    Truth,
    kind_of_operand,
)
from klausel.core.terms.request import Action, Request, Resource, Subject

ORDER = ("<", "<=", ">", ">=")
TIMES = st.sampled_from([datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 6, 1, 12, 30, 15, tzinfo=UTC)])
CLOCKS = st.sampled_from([time(0, 0), time(9, 30), time(23, 59, 59)])
DURATIONS = st.sampled_from([timedelta(), timedelta(days=30), timedelta(hours=1.5), timedelta(seconds=0.5)])
DAYS = st.sampled_from(["monday", "sunday"])
NETWORKS = st.sampled_from(
    [Literal("10.20.0.0/16"), Literal("2001:db8::/32"), ListOf((Literal("10.0.0.0/8"), Literal("::1/128")))]
)


def is_written(attribute: Attribute) -> bool:
    """Whether conditions can name the attribute: own attributes have no parts, `properties` is not written."""
    first = attribute.path[0]
    if attribute.root != "context" and first == "properties":
        return False
    return len(attribute.path) == 1 or first not in OWN_ATTRIBUTES[attribute.root]


def attributes(names: st.SearchStrategy[str]) -> st.SearchStrategy[Attribute]:
    paths = st.lists(names, min_size=1, max_size=3).map(tuple)
    return st.builds(Attribute, st.sampled_from(ROOTS), paths).filter(is_written)


def literals(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Literal]:
    fractions = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    return st.one_of(texts, st.booleans(), st.integers(), fractions).map(Literal)


def has_a_rest(number: float) -> bool:
    return not number.is_integer()


def calls(functions: tuple[str, ...], *arguments: st.SearchStrategy[Operand]) -> st.SearchStrategy[Condition]:
    return st.builds(Call, st.sampled_from(functions), st.tuples(*arguments), st.booleans())


def joined(kind: type[AllOf] | type[AnyOf], inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Two or three parts that are not of the same kind."""
    return st.lists(inner.filter(lambda part: not isinstance(part, kind)), min_size=2, max_size=3).map(tuple).map(kind)


def trees(names: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Condition]:
    """Trees as the parser makes them: no `and` directly in an `and`, no `or` in an `or`."""
    attribute, literal = attributes(names), literals(texts)
    ordered = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False).filter(has_a_rest)).map(Literal)
    sent = attribute.filter(lambda name: kind_of_operand(name) is None)
    a_time = st.builds(lambda name: Computed("time", (name,)), sent) | st.just(CONTEXT_NOW)
    a_clock = a_time.map(lambda moment: Computed("time_of_day", (moment, Literal("Europe/Berlin"))))
    a_duration = st.tuples(a_time, a_time).map(lambda pair: Computed("-", pair))
    a_day = a_time.map(lambda moment: Computed("weekday", (moment, Literal("Asia/Tokyo"))))
    text = attribute | texts.filter(bool).map(Literal)
    lists = st.lists(literal, min_size=1, max_size=3).map(tuple).map(ListOf)
    equality = st.sampled_from(("==", "!="))
    order = st.sampled_from(ORDER)
    atom = st.one_of(
        st.builds(Truth, attribute, st.booleans()),
        st.builds(Comparison, equality, attribute, st.one_of(attribute, literal)),
        st.builds(Comparison, equality, literal, attribute),
        st.builds(Comparison, order, sent, st.one_of(sent, ordered)),
        st.builds(Comparison, order, ordered, sent),
        st.builds(Comparison, st.sampled_from(("==", *ORDER)), a_time, a_time | TIMES.map(Literal)),
        st.builds(Comparison, order, a_clock, a_clock | CLOCKS.map(Literal)),
        st.builds(Comparison, order, a_duration, a_duration | DURATIONS.map(Literal)),
        st.builds(Comparison, equality, a_day, DAYS.map(Literal)),
        st.builds(Comparison, st.sampled_from(("in", "not in")), attribute, st.one_of(attribute, lists)),
        st.builds(Comparison, st.sampled_from(("in", "not in")), literal, attribute),
        calls(("matches_glob", "matches_path"), attribute, texts.map(Literal)),
        calls(("starts_with", "ends_with"), attribute, text),
        calls(("in_network",), attribute, NETWORKS),
        calls(("overlaps", "subset of"), sent, sent | lists),
        calls(("overlaps", "subset of"), lists, sent),
        calls(("has",), attribute),
    )
    return st.recursive(
        atom,
        lambda inner: st.one_of(joined(AllOf, inner), joined(AnyOf, inner)),
        max_leaves=6,
    )


SPECIAL_TEXTS = (
    "2026-03-29T02:30:00+01:00",
    "2026-06-01T00:00:00Z",
    "2026-06-01T00:00:00",
    "2026-06-01",
    "10.20.3.4",
    "::ffff:10.20.3.4",
    "10.20.3",
    "2001:db8::1",
)
few_names = st.sampled_from(("a", "b", "id", "type", "name"))
few_texts = st.sampled_from(("x", "y", "user", "x*", ""))
special_texts = st.sampled_from(SPECIAL_TEXTS)
conditions = trees(few_names, few_texts)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.floats(), few_texts, special_texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(few_names, inner, max_size=2)),
    max_leaves=3,
)
mappings = st.dictionaries(few_names, values, max_size=3)
requests = st.builds(
    Request,
    st.builds(Subject, few_texts, few_texts, mappings),
    st.builds(Action, few_texts, mappings),
    st.builds(Resource, few_texts, few_texts, mappings),
    st.builds(lambda sent, now: {**sent, **now}, mappings, st.fixed_dictionaries({}, optional={"now": TIMES})),
)
