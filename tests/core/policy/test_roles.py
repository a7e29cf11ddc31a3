"""The role model: levels, inheritance, closure, chains."""

from __future__ import annotations

import pytest
from role_models import CONSTANT_LEVEL, ONE_LEVEL, THREE_LEVELS, TWO_LEVELS, level, model

from klausel.core.policy.roles import depth_of, parent_domain, top_domain


def test_levels_are_found_by_role_by_depth_and_by_name() -> None:
    assert TWO_LEVELS.level_of("lead").name == "workspace"
    assert [TWO_LEVELS.level_at(depth) and TWO_LEVELS.level_at(depth).name for depth in (0, 1, 2, 3)] == [
        None,
        "account",
        "workspace",
        None,
    ]
    assert TWO_LEVELS.level_named("workspace") == TWO_LEVELS.levels[1]
    assert TWO_LEVELS.level_named("desk") is None
    with pytest.raises(KeyError):
        TWO_LEVELS.level_of("ghost")


def test_people_write_a_domain_by_its_levels_and_a_constant_one_as_it_is() -> None:
    assert TWO_LEVELS.form_of_domains() == "account/workspace"
    assert TWO_LEVELS.form_of_domains(1) == "account"
    assert CONSTANT_LEVEL.form_of_domains() == "main/room"


def test_any_exists_for_declared_roles_below_the_top_level() -> None:
    assert not ONE_LEVEL.is_earned_anywhere("owner")
    assert not TWO_LEVELS.is_earned_anywhere("admin")
    assert TWO_LEVELS.is_earned_anywhere("lead")
    assert not TWO_LEVELS.is_earned_anywhere("ghost")
    assert CONSTANT_LEVEL.is_earned_anywhere("keyholder")


def test_a_role_stands_for_itself_for_what_it_contains_and_for_their_any_form() -> None:
    assert TWO_LEVELS.closure["admin"] == {"admin", "user", "lead", "any lead", "agent", "any agent"}
    assert TWO_LEVELS.closure["lead"] == {"lead", "any lead", "agent", "any agent"}
    assert TWO_LEVELS.closure["any lead"] == {"any lead", "any agent"}
    assert ONE_LEVEL.closure == {"owner": {"owner", "member"}, "member": {"member"}}
    assert "any boss" not in THREE_LEVELS.closure


def test_any_never_reaches_the_role_itself() -> None:
    for roles in (TWO_LEVELS, THREE_LEVELS, CONSTANT_LEVEL):
        for name, names in roles.closure.items():
            if name.startswith("any "):
                assert all(inner.startswith("any ") for inner in names)


def test_the_shortest_chain_is_given_with_both_ends() -> None:
    short_cut = model([level("a", 1)], {"x": ("a", ["y", "z"]), "y": ("a", ["z"]), "z": ("a", [])})
    assert short_cut.chain("x", "z") == ("x", "z")
    assert THREE_LEVELS.chain("boss", "guest") == ("boss", "manager", "clerk", "guest")
    assert TWO_LEVELS.chain("lead", "lead") == ("lead",)
    assert TWO_LEVELS.chain("agent", "lead") == ()
    assert TWO_LEVELS.chain("any lead", "any agent") == ("any lead", "any agent")


def test_domains_are_taken_apart_at_slashes() -> None:
    assert [depth_of(domain) for domain in ("a", "a/b", "a/b/c")] == [1, 2, 3]
    assert [top_domain(domain) for domain in ("a", "a/b", "a/b/c")] == ["a", "a", "a"]
    assert [parent_domain(domain) for domain in ("a", "a/b", "a/b/c")] == [None, "a", "a/b"]
