"""Many grants about one question, each for a domain of its own: only those that can matter are tried, and none is missed."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from klausel.casbin_policies.engine import compile_policy, join_enforcer, within_function
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.scope import Scope
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.enforcer.compiled_enforcer import CompiledEnforcer
from klausel.enforcer.matcher.narrowing import ACCEPTED

MODEL = (Path(__file__).parents[2] / "model.conf").read_text()
ROLES = """
levels: {org: {named_by: org}, team: {named_by: team}, folder: {named_by: folder}}
roles: {reader: {level: org}, writer: {level: org, contains: reader}, guest: {level: team}}
"""
LEVELS = ("org", "team", "folder")
GRANTEES = ("reader", "writer", "any guest", "guest", "anyone")


def domains(random_: random.Random, number: int) -> list[str]:
    return [
        "/".join(f"{level[0]}{random_.randrange(4)}" for level in LEVELS[: random_.randint(1, 3)]) for _ in range(number)
    ]


def with_stars(random_: random.Random, domain: str) -> str:
    return "/".join("*" if random_.random() < 0.15 else part for part in domain.split("/"))


def policy_of(seed: int, number: int) -> PolicySet:
    random_ = random.Random(seed)
    grants = []
    seen = set()
    for domain in map(partial(with_stars, random_), domains(random_, number)):
        level = random_.choice(["", *LEVELS[domain.count("/") :]])
        place = f', in: "{domain}"' if domain != "*" and random_.random() < 0.95 else ""
        place += f", at_level: {level}" if level else ""
        grantee = random_.choice(GRANTEES)
        if (grantee, place) not in seen:
            seen.add((grantee, place))
            effect = "deny" if random_.random() < 0.1 else "allow"
            grants.append(f"  - {{{effect}: {grantee}, to: read, resource: page{place}}}")
    feature = "resource_types: {page: {actions: [read]}}\ngrants:\n" + "\n".join(grants) + "\n"
    files = {"roles.yaml": ROLES, "features/pages.yaml": feature}
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()


def expected(policy: PolicySet, held: frozenset[str], domain: str | None) -> bool:
    effects = {grant.effect for grant in policy.grants if grant.grantee in held and grant.scope.covers(domain, policy.roles)}
    return effects == {"allow"}


@pytest.mark.parametrize("seed", range(12))
def test_no_grant_is_missed(seed: int) -> None:
    policy = policy_of(seed, 300)
    compiled = compile_policy(policy, MODEL)
    random_ = random.Random(seed)
    for domain in [None, *domains(random_, 300), "unknown", "o1/unknown/f1"]:
        held = frozenset(random_.sample(GRANTEES, random_.randint(0, 5)))
        request = Request(Subject("user", "x", {}, held), Action("read"), Resource("page", "1"))
        allowed, position = compiled.decide(request, domain)
        assert allowed is expected(policy, held, domain), (held, domain)
        assert position is None or policy.grants[position].scope.covers(domain, policy.roles)


def test_the_values_that_a_function_names_beforehand_are_all_that_it_accepts() -> None:
    roles = policy_of(0, 5).roles
    random_ = random.Random(7)
    places = [None, *{with_stars(random_, domain) for domain in domains(random_, 300)} - {"*"}]
    parts = [Scope(place, level) for place in places for level in (None, *LEVELS)]
    scopes = [str(scope) for scope in parts]
    within = within_function(roles, scopes)
    for domain in ["", *domains(random_, 100), "o1/t1/f1/deeper"]:
        named = set(getattr(within, ACCEPTED)(domain))
        assert {scope for scope in scopes if within(domain, scope)} <= named, domain
        assert [within(domain, str(scope)) for scope in parts] == [scope.covers(domain or None, roles) for scope in parts]


def test_the_plan_says_by_what_many_rows_are_told_apart() -> None:
    policy = policy_of(1, 50)
    enforcer = join_enforcer(CompiledEnforcer, policy, MODEL)
    assert "where many rows share a key and a role, they are looked up by p.dom" in str(enforcer.plan())
