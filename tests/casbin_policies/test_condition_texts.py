"""The Casbin texts of a condition mean what the condition means, compiled and through stock Casbin, whatever they hold."""

import itertools
import json

import plain_conditions
import pytest
from condition_trees import CLOCKS, DAYS, DURATIONS, NETWORKS, SPECIAL_TEXTS, TIMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_sets import Asked, policy_of

from klausel.core.conditions.tree import (
    CONTEXT_NOW,
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
    evaluate,
    kind_of_operand,
    negate,
)
from klausel.core.policy.policy_set import Grant, PolicySet, ResourceType
from klausel.core.policy.roles import Level, RoleModel
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place
from klausel.core.terms.request import Action, Request, Resource, Subject

NASTY = [
    "p.sub",
    "r.obj.type",
    "p.",
    "r.",
    "up.down or.else",
    "&&",
    "a && b",
    "||",
    "a||!b",
    "!",
    "!=",
    'say "no"',
    "it's",
    "\\",
    "\\n",
    "line\nend\ttab",
    "# not a comment",
    "eval(p.cond)",
    'eval("1")',
    "g(r.sub, p.sub, r.dom)",
    "a, b",
    " blanks ",
    "{0} %s ${x}",
    "True",
    "None",
    "*",
    "[x] (y)",
    "ärger",
    "日本語",
    "\U0001f512",
    "\u2028",
    "e\u0301",
    "\u00e9",
    "",
    "0",
    "x" * 300,
]
PLACE = Place("features/doc.yaml", 1, 1)
ROLES = RoleModel((Level("all", 1, None, None, "everything", False, PLACE),))
TYPES = {"doc": ResourceType("doc", ("certain", "possible"), {}, PLACE)}


def policy_with(condition: Condition) -> PolicySet:
    """`certain` is allowed when the condition is true, `possible` is denied when it is not false."""
    grants = tuple(
        Grant(effect, "anyone", action, "doc", Scope(), when, "", "", PLACE)
        for effect, action, when in (
            ("allow", "certain", condition),
            ("allow", "possible", None),
            ("deny", "possible", condition),
        )
    )
    return PolicySet(ROLES, TYPES, {}, grants, (), "")


def request_of(values: dict[str, object], action: str = "certain", type_: str = "user", id_: str = "ann") -> Request:
    return Request(Subject(type_, id_, values), Action(action, values), Resource("doc", "d1", values), values)


texts = st.sampled_from(NASTY) | st.text(max_size=6)
scalars = texts | st.booleans() | st.sampled_from([0, 1, -3, 1.0, 0.5, 1e22, 1e-7, 2**70])
names = st.sampled_from(["name", "other", "items", "get", "p.sub && !r.obj", 'quote " \\', "日本語"])
attributes = st.one_of(
    st.builds(Attribute, st.sampled_from(["subject", "resource", "action", "context"]), st.tuples(names)),
    st.builds(Attribute, st.just("resource"), st.tuples(names, names)),
    st.sampled_from([Attribute("subject", ("id",)), Attribute("subject", ("type",)), Attribute("action", ("name",))]),
)
literals = st.builds(Literal, scalars)
lists = st.builds(ListOf, st.lists(literals, min_size=1, max_size=3).map(tuple))
patterns = st.sampled_from(["a/*/**", "**", "?", "*", "*&&*", "?.*", "**/c", "a*b?"])
times = (
    attributes.filter(lambda name: kind_of_operand(name) is None).map(lambda name: Computed("time", (name,)))
    | TIMES.map(Literal)
    | st.just(CONTEXT_NOW)
)
durations = DURATIONS.map(Literal)


def local(function: str) -> st.SearchStrategy[Computed]:
    return st.builds(Computed, st.just(function), st.tuples(times, st.just(Literal("America/New_York"))))


def calls(functions: list[str], *arguments: st.SearchStrategy[Operand]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.sampled_from(functions), st.tuples(*arguments), st.booleans())


atoms = st.one_of(
    st.builds(Truth, attributes, st.booleans()),
    st.builds(Comparison, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), attributes, literals | attributes),
    st.builds(Comparison, st.sampled_from(["==", "!=", "=="]), literals, attributes),
    st.builds(Comparison, st.sampled_from(["in", "not in"]), attributes | literals, lists | attributes),
    calls(["matches_glob", "matches_path"], attributes, (texts | st.just("a/*/**")).map(Literal)),
    calls(["starts_with", "ends_with"], attributes, texts.map(Literal) | attributes),
    calls(["overlaps", "subset of"], attributes, lists | attributes),
    calls(["in_network"], attributes, NETWORKS),
    calls(["has"], attributes),
    st.builds(Comparison, st.sampled_from(["<", "<=", "==", "!="]), times, times),
    st.builds(
        Comparison, st.sampled_from(["<", ">="]), st.builds(Computed, st.just("-"), st.tuples(times, times)), durations
    ),
    st.builds(Comparison, st.sampled_from(["<", ">="]), local("time_of_day"), CLOCKS.map(Literal)),
    st.builds(Comparison, st.sampled_from(["==", "!="]), local("weekday"), DAYS.map(Literal)),
)
conditions = st.recursive(
    atoms,
    lambda inner: (
        st.builds(
            lambda kind, parts: kind(tuple(parts)), st.sampled_from([AllOf, AnyOf]), st.lists(inner, min_size=2, max_size=3)
        )
        | inner.map(negate)
    ),
    max_leaves=6,
)
values = (
    scalars
    | st.sampled_from(SPECIAL_TEXTS)
    | st.none()
    | st.lists(scalars | st.none(), max_size=3)
    | st.dictionaries(names, scalars, max_size=2)
)
requests = st.builds(
    request_of,
    st.builds(
        lambda sent, now: {**sent, **now}, st.dictionaries(names, values), st.fixed_dictionaries({}, optional={"now": TIMES})
    ),
    type_=st.just("user") | texts.filter(bool),
    id_=texts.filter(bool),
)
TRUTHS = {True: 1, False: 0, None: 0.5}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions, st.lists(requests, min_size=1, max_size=4))
def test_certain_is_where_the_condition_is_true_and_possible_where_it_is_not_false(
    condition: Condition, asked_with: list[Request]
) -> None:
    compiled = Asked(policy_with(condition)).compiled
    for request in asked_with:
        possible = request._replace(action=Action("possible", request.action.properties))
        for asked in (request, possible):
            truth = evaluate(condition, asked)
            assert TRUTHS[truth] == plain_conditions.truth(condition, asked)
            expected = truth is True if asked is request else truth is False
            roles = frozenset({"anyone"})
            assert compiled.decide(asked._replace(subject=asked.subject._replace(roles=roles)), "everything")[0] is expected


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions, requests)
def test_stock_casbin_reads_the_same_from_these_texts(condition: Condition, request: Request) -> None:
    asked = Asked(policy_with(condition))
    possible = request._replace(action=Action("possible", request.action.properties))
    assert stock_allows(asked, request) is (evaluate(condition, request) is True)
    assert stock_allows(asked, possible) is (evaluate(condition, possible) is False)


def stock_allows(asked: Asked, request: Request) -> bool:
    subject, action, resource, context = request
    subject = subject._replace(roles=frozenset({"anyone"}))
    return bool(asked.stock.enforce(subject, "everything", resource, action, context))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions, requests)
def test_negation_is_the_opposite_and_leaves_unknown_unknown(condition: Condition, request: Request) -> None:
    truth = evaluate(condition, request)
    assert evaluate(negate(condition), request) is (None if truth is None else not truth)


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
def test_each_comparison_is_the_opposite_of_its_negation(sign: str) -> None:
    comparison = Comparison(sign, Attribute("resource", ("name",)), Attribute("resource", ("other",)))
    some = [1, 2, 1.0, "1", "2", True, False, None, [1, 2], ["1", None], [], {}]
    for left, right in itertools.product(some, repeat=2):
        request = request_of({"name": left, "other": right})
        truth = evaluate(comparison, request)
        assert TRUTHS[truth] == plain_conditions.truth(comparison, request)
        assert evaluate(negate(comparison), request) is (None if truth is None else not truth)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_a_text_in_a_policy_file_means_itself_whatever_casbin_would_make_of_it(text: str) -> None:
    literal = json.dumps(text, ensure_ascii=False)
    expression = f'resource.name == {literal} and resource.name in ["x", {literal}] and resource.other != {literal}'
    quoted = json.dumps(expression, ensure_ascii=max(expression) <= "\uffff")  # YAML has no pairs of surrogates
    grant = f"{{allow: anyone, to: certain, resource: doc, when: {quoted}}}"
    asked = Asked(
        policy_of(
            {
                "roles.yaml": "levels: {all: {constant: everything}}",
                "features/doc.yaml": f"resource_types: {{doc: {{actions: [certain]}}}}\ngrants:\n  - {grant}\n",
            }
        )
    )
    itself = request_of({"name": text, "other": text + "."})
    for other in (text + " ", text.swapcase() + "?", text.replace("p.", "p_").replace("r.", "r_") + "\\", None, [text], 1):
        different = request_of({"name": other, "other": text + "."})
        assert not asked.allows(different)
        assert not asked.stock_allows(different)
    assert asked.allows(itself)
    assert asked.stock_allows(itself)
    assert not asked.allows(request_of({"name": text, "other": text}))
