"""A hint on a name that is no role says what was meant, and never names more people than that."""

from __future__ import annotations

import pytest

from klausel.core.policy.role_hints import hint_on_grantee, hint_on_role

ROLES = ("admin", "user", "lead", "agent", "reviewer")
ANYWHERE = ("lead", "agent", "reviewer")
PERSON = "one person is a condition or a role assignment"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("leed", "lead"),
        ("Lead", "lead"),
        ("lead ", "lead"),
        ("leadd", "lead"),
        ("role:lead", "lead"),
        ("Any lead", "any lead"),
        ("any-leed", "any lead"),
        ("any  lead", "any lead"),
        ("anyon", "anyone"),
        ("Anyone", "anyone"),
    ],
)
def test_a_misspelt_grantee_is_named(written: str, meant: str) -> None:
    assert f'"{meant}"' in hint_on_grantee(written, ROLES, ANYWHERE)


@pytest.mark.parametrize("written", ["everyone", "Everybody", "all", "anybody", "*"])
def test_everybody_is_told_anyone(written: str) -> None:
    assert '"anyone"' in hint_on_grantee(written, ROLES, ANYWHERE)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("user:ann", PERSON),
        ("agent:7", PERSON),
        ("group:emea-support", "a group holds roles, as people do"),
        ("any", "name the role"),
        ("ANY", "name the role"),
        ("not agent", "there is no `not`"),
        ("!agent", "there is no `not`"),
        ("agent except lead", "there is no `not`"),
        ("anyone but agent", "there is no `not`"),
        ("lead and reviewer", "write {all: [lead, reviewer]} for who holds both"),
        ("lead & reviewer", "write {all: [lead, reviewer]} for who holds both"),
        ("lead or reviewer", "as a list: [lead, reviewer]"),
        ("nobody", "what nothing allows is denied"),
        ("sub_agent", "Roles are declared in"),
        ("temp-admin", "Roles are declared in"),
        ("nonagent", "Roles are declared in"),
        ("trial user", "Roles are declared in"),
        ("any admin", "Roles are declared in"),
    ],
)
def test_what_is_no_misspelling_is_told_what_to_do_instead_and_no_grantee(written: str, instead: str) -> None:
    hint = hint_on_grantee(written, ROLES, ANYWHERE)
    assert instead in hint
    assert "did you mean" not in hint and "anyone" not in hint


def test_the_form_for_whoever_holds_a_role_somewhere_is_not_offered_to_who_did_not_write_any() -> None:
    for role in ROLES:
        for written in (role[:-1], role + "s", role.upper(), f"an {role}"):
            assert '"any ' not in hint_on_grantee(written, ROLES, ANYWHERE)


def test_where_only_roles_can_stand_nothing_else_is_offered() -> None:
    assert '"agent"' in hint_on_role("agnt", ROLES)
    assert "did you mean" not in hint_on_role("anyone", ROLES)
    assert "did you mean" not in hint_on_role("outsider", ROLES)
