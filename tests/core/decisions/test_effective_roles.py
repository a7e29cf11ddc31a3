"""Effective roles: what a subject holds where, and how it came by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from role_models import CONSTANT_LEVEL, ONE_LEVEL, THREE_LEVELS, TWO_LEVELS

from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles, Source
from klausel.core.policy.roles import RoleModel, top_domain


def test_with_one_level_a_role_holds_in_its_domain_alone() -> None:
    effective_roles = EffectiveRoles.of(ONE_LEVEL, [("owner", "red")])
    assert effective_roles.roles_in("red") == {"owner", "member", "anyone"}
    assert effective_roles.roles_in("blue") == {"anyone"}


def test_a_top_role_holds_in_every_domain_below_also_in_new_ones() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("admin", "acme")])
    assert (
        effective_roles.roles_in("acme/new") == effective_roles.roles_in("acme") == TWO_LEVELS.closure["admin"] | {"anyone"}
    )
    assert effective_roles.roles_in("globex/new") == {"anyone"}


def test_a_role_below_is_earned_as_any_in_the_whole_top_domain() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("user", "acme"), ("lead", "acme/support")])
    assert effective_roles.roles_in("acme") == {"anyone", "user", "any lead", "any agent"}
    assert effective_roles.roles_in("acme/sales") == {"anyone", "user", "any lead", "any agent"}
    assert effective_roles.roles_in("acme/support") == {"anyone", "user", "lead", "agent", "any lead", "any agent"}


def test_a_role_that_requires_one_above_counts_for_nothing_without_it() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("lead", "acme/support")])
    assert effective_roles.held == ()
    assert effective_roles.roles_in("acme/support") == {"anyone"}


def test_pairs_that_cannot_be_are_left_out() -> None:
    held = [("ghost", "acme"), ("lead", "acme"), ("admin", "acme/support"), ("user", "acme/a/b"), ("user", "acme")]
    assert EffectiveRoles.of(TWO_LEVELS, held).held == (("user", "acme"),)


def test_with_three_levels_any_reaches_all_of_the_top_domain() -> None:
    effective_roles = EffectiveRoles.of(
        THREE_LEVELS, [("manager", "co/east"), ("clerk", "co/west/7"), ("clerk", "co/east/1")]
    )
    assert effective_roles.roles_in("co/east/9") >= {"manager", "clerk", "guest", "any manager"}
    assert "clerk" not in effective_roles.roles_in("co/west/7")
    assert effective_roles.held == (("manager", "co/east"), ("clerk", "co/east/1"))
    assert effective_roles.roles_in("co") == {"anyone", "any manager", "any clerk", "any guest"}
    assert effective_roles.roles_in("co/west") == {"anyone", "any manager", "any clerk", "any guest"}


def test_a_constant_level_is_a_domain_like_any_other() -> None:
    effective_roles = EffectiveRoles.of(CONSTANT_LEVEL, [("keyholder", "main/12"), ("root", "other")])
    assert effective_roles.roles_in("main/12") == {"anyone", "keyholder", "any keyholder"}
    assert effective_roles.roles_in("main/13") == {"anyone", "any keyholder"}
    assert effective_roles.roles_in("main") == {"anyone", "any keyholder"}


def test_nobody_and_no_domain_have_anyone_alone() -> None:
    assert NOBODY.roles_in("acme/support") == NOBODY.roles_in(None) == NOBODY.roles_in("") == {"anyone"}
    assert EffectiveRoles.of(TWO_LEVELS, [("admin", "acme")]).roles_in(None) == {"anyone"}


def test_a_domain_is_not_below_one_whose_name_it_only_starts_with() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("admin", "acme")])
    assert effective_roles.roles_in("acme2/support") == {"anyone"}
    assert effective_roles.source_of(TWO_LEVELS, "lead", "acme2/support") is None


def test_the_source_is_the_shortest_chain_then_the_higher_level() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("admin", "acme"), ("lead", "acme/support")])
    assert effective_roles.source_of(TWO_LEVELS, "lead", "acme/support") == Source("lead", "acme/support", ("lead",))
    assert effective_roles.source_of(TWO_LEVELS, "lead", "acme/sales") == Source("admin", "acme", ("admin", "lead"))
    assert effective_roles.source_of(TWO_LEVELS, "agent", "acme/sales") == Source(
        "admin", "acme", ("admin", "lead", "agent")
    )


def test_the_source_of_an_any_role_is_an_assignment_elsewhere() -> None:
    effective_roles = EffectiveRoles.of(TWO_LEVELS, [("user", "acme"), ("lead", "acme/support")])
    source = effective_roles.source_of(TWO_LEVELS, "any agent", "acme/sales")
    assert source == Source("lead", "acme/support", ("lead", "any lead", "any agent"))
    assert effective_roles.source_of(TWO_LEVELS, "lead", "acme/sales") is None
    assert effective_roles.source_of(TWO_LEVELS, "any lead", "globex") is None
    assert effective_roles.source_of(TWO_LEVELS, "anyone", "acme") is None
    assert effective_roles.source_of(TWO_LEVELS, "user", None) is None


MODELS = (ONE_LEVEL, TWO_LEVELS, THREE_LEVELS, CONSTANT_LEVEL)
DOMAINS = ("main", "x", "main/a", "main/b", "x/a", "main/a/1", "main/a/2", "x/a/1", "main2/a")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[RoleModel, list[tuple[str, str]]]:
    roles = draw(st.sampled_from(MODELS))
    pairs = st.tuples(st.sampled_from([*roles.roles, "ghost"]), st.sampled_from(DOMAINS))
    return roles, draw(st.lists(pairs, max_size=6))


@given(worlds(), st.sampled_from(DOMAINS))
def test_every_name_that_is_held_has_a_source_and_no_other_has(
    world: tuple[RoleModel, list[tuple[str, str]]], domain: str
) -> None:
    roles, held = world
    effective_roles = EffectiveRoles.of(roles, held)
    names = effective_roles.roles_in(domain)
    for name in roles.closure:
        source = effective_roles.source_of(roles, name, domain)
        assert (source is not None) == (name in names)
        if source is not None:
            assert (source.role, source.domain) in effective_roles.held
            assert (source.chain[0], source.chain[-1]) == (source.role, name)
            assert top_domain(source.domain) == top_domain(domain)


@given(worlds(), st.sampled_from(DOMAINS), st.randoms())
def test_order_and_repetition_of_assignments_do_not_matter(
    world: tuple[RoleModel, list[tuple[str, str]]], domain: str, random: object
) -> None:
    roles, held = world
    shuffled = held * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert EffectiveRoles.of(roles, shuffled).roles_in(domain) == EffectiveRoles.of(roles, held).roles_in(domain)


@given(worlds(), st.sampled_from(DOMAINS))
def test_what_is_held_above_is_held_below(world: tuple[RoleModel, list[tuple[str, str]]], domain: str) -> None:
    effective_roles = EffectiveRoles.of(*world)
    assert effective_roles.roles_in(domain) <= effective_roles.roles_in(domain + "/below")
