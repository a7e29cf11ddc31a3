"""What `plan()` says of a matcher: what is looked up, what is a test in a set, what is left, what goes to stock and why."""

from __future__ import annotations

from typing import Any

import casbin
import pytest
from casbin_models import ALLOW_AND_NOT_DENY, EXAMPLES, Example

from klausel.casbin import CompiledEnforcer
from klausel.enforcer.matcher.fold import FOLDED
from klausel.enforcer.plan import EvaluatedField, IndexedField, RoleWay


def plan_of(matcher: str, rows: str = "", policy: str = "sub, obj, act", roles: dict[str, str] | None = None) -> Any:
    enforcer = CompiledEnforcer(Example("sub, obj, act", policy, matcher, "", ((),), roles=roles or {}).model())
    enforcer.add_policies([[field.strip() for field in row.split(",")] for row in rows.strip().splitlines()])
    enforcer.build_role_links()
    return enforcer.plan()


def test_equal_fields_are_looked_up_and_the_rest_is_asked() -> None:
    plan = plan_of("r.sub == p.sub && keyMatch(r.obj, p.obj) && p.act == r.act", "alice, /a/*, read")
    assert plan.index == (IndexedField("r.sub", "p.sub"), IndexedField("r.act", "p.act"))
    assert plan.rest == ("keyMatch(r.obj, p.obj)",)
    assert plan.rows == 1


def test_role_functions_are_tests_in_a_set() -> None:
    plan = plan_of(
        "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act",
        roles={"g = _, _": "", "g2 = _, _, _": ""},
    )
    assert plan.roles == (RoleWay("g", "set"), RoleWay("g2", "set by domain"))
    assert plan.index == (IndexedField("r.act", "p.act"),)
    assert plan.rest == ()


def test_a_role_function_in_a_disjunction_is_asked_of_each_row() -> None:
    plan = plan_of('(p.sub == "*" || g(r.sub, p.sub)) && r.obj == p.obj', roles={"g = _, _": ""})
    assert plan.is_compiled
    assert plan.rest == ("p.sub == '*' or g(r.sub, p.sub)",)


def test_a_question_about_the_request_alone_is_asked_once() -> None:
    plan = plan_of('r.sub == p.sub || r.sub == "root"')
    assert plan.request_only == ("r.sub == 'root'",)
    assert plan.index == (IndexedField("r.sub", "p.sub"),)


def test_rules_are_counted_and_the_odd_ones_named() -> None:
    plan = plan_of(
        "eval(p.sub) && r.obj == p.obj",
        """
        r.sub.age > 18, data1, x
        r.sub.age > 18, data2, x
        r.sub.age >, data3, x
        [a for a in r.sub], data4, x
        """,
    )
    assert plan.evals == (EvaluatedField("p.sub", 3),)
    assert [row.number for row in plan.interpreted] == [2, 3]
    assert plan.interpreted[0].why.startswith("does not parse")
    assert plan.interpreted[1].why == "has a part of kind ListComp"


@pytest.mark.parametrize(
    ("matcher", "why"),
    [
        ("r.sub == p.sub && [a for a in r.obj] == p.obj", "has a part of kind ListComp"),
        ("r.sub == p.sub && r.unknown == p.obj", "unknown name r_unknown"),
        ("r.sub.__class__ == p.sub", "the attribute __class__ is forbidden"),
        ("r.sub == p.sub; r.obj == p.obj", "is not one expression"),
        ("r.sub == p.sub && eval(r.obj)", "uses eval in another way than eval(p.field)"),
        ("r.sub == p.sub && (lambda: True)()", "calls something that has no name"),
        ("(" * 90 + "-" * 90 + "1" + ")" * 90 + " == 1", "is nested more than 60 deep"),
        ("r.sub == p.sub &&", "does not parse"),
    ],
)
def test_what_cannot_be_compiled_goes_to_stock_and_says_why(matcher: str, why: str) -> None:
    plan = plan_of(matcher, "alice, data1, read")
    assert not plan.is_compiled
    assert plan.why_stock.startswith(why)


def test_a_rule_of_any_depth_costs_no_more_than_its_own_row() -> None:
    example = Example("sub, obj", "obj, rule", "r.obj == p.obj && eval(p.rule)", "", ((), ()))
    enforcer = example.enforcer(CompiledEnforcer)
    rules = ("-" * 900 + "1 == 1", "1" + " + 1" * 1500 + " == 1501", "(" * 150 + "True" + ")" * 150, "True")
    for number, rule in enumerate(rules):
        enforcer.add_policy(f"data{number}", rule)
    assert [row.number for row in enforcer.plan().interpreted] == [0, 1]
    assert enforcer.enforce("alice", "data2") and enforcer.enforce("alice", "data3")
    for number in (0, 1):
        with pytest.raises(RecursionError):
            enforcer.enforce("alice", f"data{number}")


@pytest.mark.parametrize(
    "matcher",
    [
        "r.sub == p.sub && r.obj in [a for a in [p.obj]]",
        "r.sub == p.sub && r.obj in {p.obj}",
        'r.sub == p.sub && f"{r.obj}" == p.obj',
        "r.sub == p.sub && r.obj[0:1] == p.obj[0:1]",
        "r.sub == p.sub && r.sub.__class__ == p.obj",
        "r.sub == p.sub && r.obj ==",
        "eval(r.sub)",
        "nothing(r.sub)",
        "r.sub",
        "x = r.sub == p.sub",
    ],
)
def test_what_goes_to_stock_is_answered_as_by_stock(matcher: str) -> None:
    example = Example("sub, obj", "sub, obj", matcher, "alice, data1", ((), ()))

    def answer(kind: type[Any], request: tuple[Any, ...]) -> Any:
        enforcer = example.enforcer(kind)
        try:
            return enforcer.enforce_ex(*request), enforcer.enforce(*request)
        except Exception as error:
            return type(error), str(error)

    for request in (("alice", "data1"), ("alice", "data2"), ("bob", "data1"), ("alice",), (True, "data1")):
        assert answer(CompiledEnforcer, request) == answer(casbin.Enforcer, request)


def test_rows_that_cannot_be_looked_up_say_why() -> None:
    enforcer = EXAMPLES["rbac"].enforcer(CompiledEnforcer)
    enforcer.enable_auto_save(False)
    enforcer.add_policy("alice", "data1")
    assert enforcer.plan().why_no_index == "row 4 has 2 fields where 3 are needed"
    enforcer.remove_policy("alice", "data1")
    enforcer.get_policy().append(["alice", 7, "read"])
    assert enforcer.plan().why_no_index == "some row holds in p_obj what is no text"
    assert enforcer.enforce("alice", 7, "read") and enforcer.enforce("alice", "data1", "read")


def test_the_words_of_a_plan_name_every_part() -> None:
    enforcer = CompiledEnforcer(
        Example(
            "sub, dom, obj, act",
            "sub, dom, obj, act, cond, eft",
            'g(r.sub, p.sub, r.dom) && r.obj.type == p.obj && (p.dom == "*" || r.dom == p.dom) && eval(p.cond)',
            "",
            ((),),
            effect=ALLOW_AND_NOT_DENY,
            roles={"g = _, _, _": ""},
        ).model()
    )
    enforcer.add_policy("admin", "*", "doc", "read", "True", "allow")
    assert str(enforcer.plan()).splitlines() == [
        'compiled: g(r.sub, p.sub, r.dom) && r.obj.type == p.obj && (p.dom == "*" || r.dom == p.dom) && eval(p.cond)',
        "  effect allow-and-deny, 1 row",
        "  looked up: r.obj.type == p.obj",
        "  g(…): a test in the set of the subject's roles in the domain",
        "  eval(p.cond): 1 distinct text, each compiled once",
        "  asked of each row that is left: p.dom == '*' or r.dom == p.dom, and eval(p.cond)",
    ]


def test_a_switched_off_or_broken_enforcer_has_a_plan_too() -> None:
    enforcer = EXAMPLES["basic"].enforcer(CompiledEnforcer)
    enforcer.enable_enforce(False)
    assert "everything is allowed" in str(enforcer.plan())
    enforcer.enable_enforce(True)
    enforcer.set_model(None)
    assert enforcer.plan().why_stock == "the model is not complete"
    with pytest.raises(AttributeError):
        enforcer.enforce("alice", "data1", "read")


def test_common_requests_never_leave_the_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from klausel.enforcer.decider import Decider

    def fail(*_: Any) -> Any:
        raise AssertionError("left the compiled loop")

    for name, example in EXAMPLES.items():
        enforcer = example.enforcer(CompiledEnforcer)
        asked = [request for request in example.requests() if not any(isinstance(value, dict) for value in request)]
        with monkeypatch.context() as patch:
            if enforcer.get_policy():
                patch.setattr(Decider, "_careful", fail)
                patch.setattr(Decider, "_decide_in_order", fail)
            assert [enforcer.enforce(*request) for request in asked], name


@pytest.mark.parametrize("is_folded", [True, False])
def test_only_what_says_that_it_gives_the_same_for_the_same_is_asked_once(is_folded: bool) -> None:
    asked = []

    def size(text: str) -> int:
        asked.append(text)
        return len(text)

    setattr(size, FOLDED, is_folded)
    matcher = (
        'r.act == p.act && (size(r.obj) > 3 || size(r.obj) == 1 || (r.sub == "x" && size(r.sub) == 1 && size(r.obj) == 2))'
    )
    enforcer = CompiledEnforcer(Example("sub, obj, act", "sub, obj, act", matcher, "", ((),)).model())
    enforcer.add_function("size", size)
    enforcer.add_policy("somebody", "something", "read")
    for subject, thing, wanted in (
        ("x", "four", True),
        ("x", "1", True),
        ("x", "22", True),
        ("y", "22", False),
        ("x", "333", False),
    ):
        asked.clear()
        assert enforcer.enforce(subject, thing, "read") is wanted
        assert asked.count(thing) == (1 if is_folded else min(3, {4: 1, 1: 2}.get(len(thing), 3 if subject == "x" else 2)))
