"""Where the compiled enforcer means to differ from stock pycasbin: the list in its module, one test or more for each."""

from __future__ import annotations

import os
import re
from typing import Any

import casbin
import pytest
from casbin_models import EXAMPLES, Example
from simpleeval import AttributeDoesNotExist, FeatureNotAvailable

from klausel.casbin import CompiledEnforcer
from klausel.enforcer import compiled_enforcer

STOCK, COMPILED = casbin.Enforcer, CompiledEnforcer


def edited(enforcer: Any) -> Any:
    enforcer.enable_auto_save(False)
    return enforcer


def test_1_an_error_in_a_row_that_is_out_of_the_question_is_not_met() -> None:
    example = EXAMPLES["attribute rule"]
    with pytest.raises(AttributeDoesNotExist):
        example.enforcer(STOCK).enforce("no person", "data3", "read")
    assert not example.enforcer(COMPILED).enforce("no person", "data3", "read")
    with pytest.raises(AttributeDoesNotExist):
        example.enforcer(COMPILED).enforce("no person", "data1", "read")


def test_1_a_rule_that_does_not_parse_fails_only_where_it_is_asked() -> None:
    stock, compiled = (edited(EXAMPLES["two attribute rules"].enforcer(kind)) for kind in (STOCK, COMPILED))
    for enforcer in (stock, compiled):
        enforcer.add_policy("r.sub.age >", "True", "data9", "read")
        with pytest.raises(SyntaxError):
            enforcer.enforce("anyone", "data9", "read")
    with pytest.raises(SyntaxError):
        stock.enforce("anyone", "data1", "write")
    assert not compiled.enforce("anyone", "data1", "write")


def test_1_a_disjunct_about_the_request_is_asked_first() -> None:
    example = Example(
        "sub, act",
        "sub, act",
        'regexMatch(r.act, p.act) && r.sub == p.sub || r.sub == "root"',
        "alice, *",
        ((), ()),
    )
    with pytest.raises(Exception, match="nothing to repeat"):
        example.enforcer(STOCK).enforce("root", "read")
    assert example.enforcer(COMPILED).enforce("root", "read")


def test_2_a_module_is_a_value_that_equals_no_text() -> None:
    with pytest.raises(FeatureNotAvailable):
        EXAMPLES["basic"].enforcer(STOCK).enforce(os, "data1", "read")
    assert not EXAMPLES["basic"].enforcer(COMPILED).enforce(os, "data1", "read")


def test_2_but_nothing_in_a_module_is_ever_called() -> None:
    example = Example("sub", "rule", "eval(p.rule)", 'r.sub.getcwd() != ""', ((),))
    indirect = Example("sub", "rule", "eval(p.rule)", 'r.sub.path.join("a") != ""', ((),))
    for kind in (STOCK, COMPILED):
        for asked in (example, indirect):
            enforcer = kind(asked.model())
            enforcer.add_policy(asked.rows)
            with pytest.raises(FeatureNotAvailable):
                enforcer.enforce(os)


def test_3_a_role_link_added_twice_is_gone_when_removed_once() -> None:
    def answers(kind: type[Any], ask_before: bool) -> bool:
        enforcer = edited(EXAMPLES["rbac with domains"].enforcer(kind))
        enforcer.add_role_for_user_in_domain("bob", "admin", "domain1")
        enforcer.add_role_for_user_in_domain("bob", "admin", "domain1")
        if ask_before:
            enforcer.enforce("bob", "domain1", "data1", "read")
        enforcer.remove_grouping_policy("bob", "admin", "domain1")
        return bool(enforcer.enforce("bob", "domain1", "data1", "read"))

    assert [answers(STOCK, ask_before) for ask_before in (True, False)] == [False, True]
    assert [answers(COMPILED, ask_before) for ask_before in (True, False)] == [False, False]


def test_4_names_that_are_only_asked_about_leave_nothing_behind() -> None:
    for kind, kept in ((STOCK, 50), (COMPILED, 0)):
        enforcer = EXAMPLES["rbac"].enforcer(kind)
        known = set(enforcer.get_role_manager().all_roles)
        for number in range(50):
            enforcer.enforce(f"stranger {number}", "data1", "read")
        known.add("bob")  # whom the rows name
        assert len(set(enforcer.get_role_manager().all_roles) - known) == kept
    roles = enforcer.current_plan()._snapshot.roles["g"].snapshot
    assert not any(name.startswith("stranger") for name in roles.closed)


def test_4_a_name_that_was_asked_about_is_no_pattern_for_later_ones() -> None:
    roles = {"g = _, _": "b*, admin"}
    example = Example("sub, obj", "sub, obj", "g(r.sub, p.sub) && r.obj == p.obj", "admin, x", ((), ()), roles=roles)

    def answers(kind: type[Any]) -> list[bool]:
        enforcer = example.enforcer(kind)
        enforcer.add_named_matching_func("g", casbin.util.key_match)
        return [enforcer.enforce(name, "x") for name in ("bob", "zoe", "*", "zoe")]

    assert answers(COMPILED) == [True, False, False, False]


def test_4_a_role_reached_by_two_domain_patterns_stays_when_one_goes() -> None:
    def answer(kind: type[Any]) -> bool:
        enforcer = edited(EXAMPLES["rbac with domains"].enforcer(kind))
        enforcer.add_named_domain_matching_func("g", casbin.util.key_match)
        enforcer.add_role_for_user_in_domain("carol", "admin", "dom*")
        enforcer.add_role_for_user_in_domain("carol", "admin", "domain1")
        assert enforcer.enforce("carol", "domain1", "data1", "read")
        enforcer.remove_grouping_policy("carol", "admin", "domain1")
        return bool(enforcer.enforce("carol", "domain1", "data1", "read"))

    assert not answer(STOCK)
    assert answer(COMPILED)


def test_6_in_the_middle_of_an_edit_decisions_come_from_before_it() -> None:
    enforcer = edited(EXAMPLES["basic"].enforcer(COMPILED))
    assert enforcer.enforce("alice", "data1", "read")
    with enforcer.editing():
        enforcer.clear_policy()
        assert enforcer.enforce("alice", "data1", "read")
    assert not enforcer.enforce("alice", "data1", "read")


def test_7_a_change_inside_a_row_needs_a_refresh() -> None:
    enforcer = EXAMPLES["basic"].enforcer(COMPILED)
    assert enforcer.enforce("alice", "data1", "read")
    enforcer.get_policy()[0][0] = "carol"
    assert enforcer.enforce("alice", "data1", "read")
    enforcer.refresh()
    assert not enforcer.enforce("alice", "data1", "read") and enforcer.enforce("carol", "data1", "read")


def test_7_a_list_that_was_assigned_as_rows_is_copied() -> None:
    rows: list[list[str]] = []
    enforcer = EXAMPLES["basic"].enforcer(COMPILED)
    enforcer.model["p"]["p"].policy = rows
    rows.append(["alice", "data1", "read"])
    assert not enforcer.enforce("alice", "data1", "read")


def test_8_a_function_that_raises_may_be_called_again() -> None:
    for kind, calls in ((STOCK, {1}), (COMPILED, {2, 3})):
        called = []

        def fail(value: str, called: list[str] = called) -> bool:
            called.append(value)
            raise ValueError(value)

        enforcer = kind(Example("sub", "sub", "r.sub == p.sub && fail(r.sub)", "", ((),)).model())
        enforcer.add_function("fail", fail)
        enforcer.add_policy("alice")
        with pytest.raises(ValueError, match="alice"):
            enforcer.enforce("alice")
        assert len(called) in calls


def test_every_difference_in_the_list_has_its_test() -> None:
    listed = re.findall(r"(?m)^(\d)\. \*", compiled_enforcer.__doc__ or "")
    tested = {name.split("_")[1] for name in globals() if re.match(r"test_\d_", name)}
    assert set(listed) == tested | {"5"}, "the fifth is in test_threads.py"


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ('"a && b" == "a and b"', True),
        ('"!" == "not "', True),
        ('"r.sub" == "r_sub"', True),
        ("True) || (True", True),
        ("False) && (False", False),
    ],
)
def test_rewriting_inside_literals_and_through_brackets_is_as_in_stock(rule: str, allowed: bool) -> None:
    for kind in (STOCK, COMPILED):
        enforcer = kind(Example("sub", "sub, rule", "r.sub == p.sub && eval(p.rule)", "", ((),)).model())
        enforcer.add_policy("alice", rule)
        assert enforcer.enforce("alice") is allowed
        assert enforcer.enforce("bob") is (rule == "True) || (True")
