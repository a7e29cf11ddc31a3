"""The enforcer for asyncio decides as stock's does, also in the middle of edits."""

from __future__ import annotations

import asyncio
import random
import warnings

import casbin
from casbin.model import Model
from casbin.persist.adapters.asyncio import AsyncAdapter

from klausel.casbin import AsyncCompiledEnforcer

MODEL = """
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act, eft
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
"""
PEOPLE, DOMAINS, OBJECTS, ACTIONS = ("ann", "bob", "eve"), ("acme", "globex"), ("book", "page"), ("read", "write")
ROLES = ("reader", "writer")


class Slow(AsyncAdapter):  # type: ignore[misc]
    """Keeps nothing, and takes its time."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def load_policy(self, model: Model) -> None:
        model.add_policy("p", "p", ["reader", "acme", "book", "read", "allow"])
        model.add_policy("g", "g", ["ann", "reader", "acme"])

    async def save_policy(self, model: Model) -> bool:
        return True

    async def add_policy(self, sec: str, ptype: str, rule: list[str]) -> None:
        self.asked.set()
        await self.may_go_on.wait()

    async def remove_policy(self, sec: str, ptype: str, rule: list[str]) -> None:
        return None

    async def remove_filtered_policy(self, sec: str, ptype: str, field_index: int, *field_values: str) -> None:
        return None


def model() -> Model:
    read = Model()
    read.load_model_from_text(MODEL)
    return read


def answers(enforcer: casbin.AsyncEnforcer) -> list[bool]:
    return [
        enforcer.enforce(person, domain, thing, action)
        for person in (*PEOPLE, *ROLES)
        for domain in DOMAINS
        for thing in OBJECTS
        for action in ACTIONS
    ]


def test_it_decides_as_stock_does_after_any_edits() -> None:
    async def play(seed: int) -> None:
        choose = random.Random(seed).choice
        stock, compiled = casbin.AsyncEnforcer(model()), AsyncCompiledEnforcer(model())
        for _ in range(40):
            role, domain = choose(ROLES), choose(DOMAINS)
            rule = (role, domain, choose(OBJECTS), choose(ACTIONS), choose(("allow", "allow", "deny")))
            method, arguments = choose(
                (
                    ("add_policy", rule),
                    ("add_policy", rule),
                    ("remove_policy", rule),
                    ("add_role_for_user_in_domain", (choose(PEOPLE), role, domain)),
                    ("delete_roles_for_user_in_domain", (choose(PEOPLE), role, domain)),
                    ("remove_filtered_policy", (0, role, domain)),
                )
            )
            results = [await getattr(enforcer, method)(*arguments) for enforcer in (stock, compiled)]
            assert results[0] == results[1], (method, arguments)
            assert answers(compiled) == answers(stock), (method, arguments)

    for seed in range(5):
        asyncio.run(play(seed))


def test_while_an_edit_waits_others_get_the_answers_from_before_it() -> None:
    async def play() -> None:
        adapter = Slow()
        enforcer = AsyncCompiledEnforcer(model(), adapter)
        await enforcer.load_policy()
        assert enforcer.enforce("ann", "acme", "book", "read")
        editing = asyncio.create_task(enforcer.add_policy("reader", "acme", "page", "write", "allow"))
        await adapter.asked.wait()
        assert not enforcer.enforce("ann", "acme", "page", "write")
        adapter.may_go_on.set()
        assert await editing
        assert enforcer.enforce("ann", "acme", "page", "write")

    asyncio.run(play())


def test_an_edit_that_is_given_up_leaves_an_enforcer_that_goes_on() -> None:
    async def play() -> None:
        adapter = Slow()
        enforcer = AsyncCompiledEnforcer(model(), adapter)
        await enforcer.load_policy()
        editing = asyncio.create_task(enforcer.add_policy("reader", "acme", "page", "write", "allow"))
        await adapter.asked.wait()
        editing.cancel()
        await asyncio.gather(editing, return_exceptions=True)
        adapter.may_go_on.set()
        await enforcer.add_policy("reader", "acme", "page", "read", "allow")
        assert enforcer.enforce("ann", "acme", "page", "read")

    asyncio.run(play())


def test_plan_says_that_nothing_is_left_to_stock() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "compiled" in str(AsyncCompiledEnforcer(model()).plan()).lower()
