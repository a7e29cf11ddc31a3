"""Condition trees and requests for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
    ROOTS,
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Match,
    Truth,
)
from klausel.core.terms.request import Action, Request, Resource, Subject

ORDER = ("<", "<=", ">", ">=")


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


def joined(kind: type[AllOf] | type[AnyOf], inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Two or three parts that are not of the same kind."""
    return st.lists(inner.filter(lambda part: not isinstance(part, kind)), min_size=2, max_size=3).map(tuple).map(kind)


def trees(names: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Condition]:
    """Trees as the parser makes them: no `and` directly in an `and`, no `or` in an `or`."""
    attribute, literal = attributes(names), literals(texts)
    ordered = literal.filter(lambda value: not isinstance(value.value, bool))
    lists = st.lists(literal, min_size=1, max_size=3).map(tuple).map(ListOf)
    equality = st.sampled_from(("==", "!="))
    order = st.sampled_from(ORDER)
    atom = st.one_of(
        st.builds(Truth, attribute, st.booleans()),
        st.builds(Comparison, equality, attribute, st.one_of(attribute, literal)),
        st.builds(Comparison, equality, literal, attribute),
        st.builds(Comparison, order, attribute, st.one_of(attribute, ordered)),
        st.builds(Comparison, order, ordered, attribute),
        st.builds(Comparison, st.sampled_from(("in", "not in")), attribute, st.one_of(attribute, lists)),
        st.builds(Comparison, st.sampled_from(("in", "not in")), literal, attribute),
        st.builds(Match, st.sampled_from(("matches_glob", "matches_path")), attribute, texts, st.booleans()),
    )
    return st.recursive(
        atom,
        lambda inner: st.one_of(joined(AllOf, inner), joined(AnyOf, inner)),
        max_leaves=6,
    )


few_names = st.sampled_from(("a", "b", "id", "type", "name"))
few_texts = st.sampled_from(("x", "y", "user", "x*", ""))
conditions = trees(few_names, few_texts)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.floats(), few_texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(few_names, inner, max_size=2)),
    max_leaves=3,
)
mappings = st.dictionaries(few_names, values, max_size=3)
requests = st.builds(
    Request,
    st.builds(Subject, few_texts, few_texts, mappings),
    st.builds(Action, few_texts, mappings),
    st.builds(Resource, few_texts, few_texts, mappings),
    mappings,
)
