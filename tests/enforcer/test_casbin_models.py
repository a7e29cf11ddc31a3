"""The kinds of model that Casbin documents: all compile, and answer as stock."""

from __future__ import annotations

from typing import Any

import casbin
import pytest
from casbin_models import EXAMPLES, Example

from klausel.casbin import CompiledEnforcer


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_every_documented_kind_of_model_compiles(example: Example) -> None:
    plan = example.enforcer(CompiledEnforcer).plan()
    assert plan.is_compiled
    assert plan.why_stock is None and plan.why_no_index is None and not plan.interpreted


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_every_request_is_decided_and_explained_as_by_stock(example: Example) -> None:
    stock, compiled = example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)
    requests = example.requests()
    assert [compiled.enforce_ex(*request) for request in requests] == [stock.enforce_ex(*request) for request in requests]
    assert compiled.batch_enforce(requests) == stock.batch_enforce(requests)
    answers = {compiled.enforce(*request) for request in requests}
    assert answers == {True, False}, "the example asks nothing that matters"


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_decided_row_is_named_by_its_place(example: Example) -> None:
    compiled = example.enforcer(CompiledEnforcer)
    for request in example.requests():
        allowed, place = compiled.decide_row(*request)
        assert compiled.enforce_ex(*request) == (allowed, [] if place is None else compiled.get_policy()[place])
        assert compiled.current_plan().decide(*request) == (allowed, place)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_request_of_a_wrong_size_raises_as_in_stock(example: Example) -> None:
    for enforcer in (example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)):
        for request in ((), example.requests()[0][:-1], (*example.requests()[0], "more")):
            with pytest.raises(RuntimeError, match="invalid request size"):
                enforcer.enforce(*request)


def test_a_context_chooses_other_definitions() -> None:
    example = Example(
        "sub, obj, act",
        "sub, obj, act",
        "r.sub == p.sub && r.obj == p.obj && r.act == p.act",
        """
        alice, data2, read
        p2, r2.sub.age > 18 && r2.sub.age < 60, data1, allow
        p2, r2.sub.age >= 60, data1, deny
        """,
        (("alice",), ("data2",), ("read",)),
        more="""
        r2 = sub, obj
        p2 = rule, obj, eft
        m2 = eval(p2.rule) && r2.obj == p2.obj
        """,
    )

    class Person:
        def __init__(self, age: int) -> None:
            self.age = age

    def answers(kind: type[Any]) -> list[Any]:
        enforcer = example.enforcer(kind)
        context = enforcer.new_enforce_context("2")
        found = [enforcer.enforce_ex("alice", "data2", "read")]
        found += [enforcer.enforce_ex(context, Person(age), "data1") for age in (10, 30, 70)]
        with pytest.raises(RuntimeError, match="invalid request size"):
            enforcer.enforce(context, "alice")
        return found

    assert answers(CompiledEnforcer) == answers(casbin.Enforcer)
    enforcer = example.enforcer(CompiledEnforcer)
    context = enforcer.new_enforce_context("2")
    assert enforcer.decide_row(context, Person(30), "data1") == (True, 0)
    assert [key.policy for key in enforcer.plan(context).index] == ["p2.obj"]


def test_names_that_are_texts_but_hash_otherwise_are_found() -> None:
    import enum

    class Name(str, enum.Enum):  # noqa: UP042 - its hash is what matters
        ALICE = "alice"

    for name in ("basic", "rbac"):
        stock, compiled = EXAMPLES[name].enforcer(casbin.Enforcer), EXAMPLES[name].enforcer(CompiledEnforcer)
        request = (Name.ALICE, "data1", "read")
        assert compiled.enforce_ex(*request) == stock.enforce_ex(*request)
        assert compiled.enforce(*request)


def test_role_chains_end_where_stock_ends_them() -> None:
    links = "\n".join(f"n{n}, n{n + 1}" for n in range(15))
    example = Example(
        "sub, obj, act",
        "sub, obj, act",
        "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
        "\n".join(f"n{n}, data{n}, read" for n in range(16)),
        (("n0",), tuple(f"data{n}" for n in range(16)), ("read",)),
        roles={"g = _, _": links},
    )
    stock, compiled = example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)
    allowed = [request[1] for request in example.requests() if compiled.enforce(*request)]
    assert allowed == [request[1] for request in example.requests() if stock.enforce(*request)]
    assert allowed == [f"data{n}" for n in range(10)]


def test_an_empty_policy_with_eval_raises_as_in_stock() -> None:
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = EXAMPLES["attribute rule"].enforcer(kind)
        enforcer.clear_policy()
        with pytest.raises(RuntimeError, match="make sure rule exists in policy"):
            enforcer.enforce("alice", "data1", "read")


def test_a_row_of_a_wrong_size_raises_as_in_stock_where_it_is_reached() -> None:
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = EXAMPLES["basic"].enforcer(kind)
        enforcer.enable_auto_save(False)
        enforcer.add_policy("bob", "data2")
        assert enforcer.enforce_ex("alice", "data1", "read") == (True, ["alice", "data1", "read"])
        with pytest.raises(RuntimeError, match="invalid policy size"):
            enforcer.enforce("alice", "data2", "read")


def test_a_matcher_without_a_truth_value_raises_as_in_stock() -> None:
    for kind in (casbin.Enforcer, CompiledEnforcer):
        example = Example("sub, obj", "sub, obj", "r.obj == p.obj && r.sub.flag", "x, data1", ((), ()))
        enforcer = example.enforcer(kind)
        assert enforcer.enforce({"flag": True}, "data1") and enforcer.enforce({"flag": 0.5}, "data1")
        assert not enforcer.enforce({"flag": 0.0}, "data1")
        for flag in (1, 0, None, "yes"):
            with pytest.raises(RuntimeError, match="matcher result should be"):
                enforcer.enforce({"flag": flag}, "data1")
