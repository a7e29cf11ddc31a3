"""Roles that somebody is assumed to hold: what is read, what is added because the rules require it, what nobody can hold."""

from pathlib import Path

import pytest

from klausel.core.policy.assumed_roles import BadAssumption, assumed_roles, deepest_place
from klausel.core.policy.roles import RoleModel
from klausel.service.pipeline import open_policy

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def roles() -> RoleModel:
    return open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy.roles


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("anyone", ()),
        ("admin@acme", (("admin", "acme"),)),
        ("lead@acme/support, user@acme", (("lead", "acme/support"), ("user", "acme"))),
        ("lead@acme/support", (("lead", "acme/support"), ("user", "acme"))),
        ("lead@acme/support,admin@acme", (("lead", "acme/support"), ("admin", "acme"))),
    ],
)
def test_roles_are_read_and_the_weakest_role_above_is_added_where_one_is_required(
    roles: RoleModel, text: str, held: tuple[tuple[str, str], ...]
) -> None:
    assert assumed_roles(roles, text) == held


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '"" is not ROLE@PLACE, such as admin@acme'),
        ("lead", '"lead" is not ROLE@PLACE'),
        ("led@acme/support", 'unknown role "led"; did you mean "lead"?'),
        ("lead@acme", 'role "lead" is of level workspace, but "acme" is not'),
        ("user@acme/support", 'role "user" is of level account, but "acme/support" is not'),
    ],
)
def test_what_is_no_role_at_a_place_is_refused_with_its_cure(roles: RoleModel, text: str, message: str) -> None:
    with pytest.raises(BadAssumption) as caught:
        assumed_roles(roles, text)
    assert message in str(caught.value)


def test_the_deepest_place_is_that_which_lies_in_all_of_the_others() -> None:
    assert deepest_place((("user", "acme"), ("lead", "acme/support"))) == "acme/support"
    assert deepest_place((("lead", "acme/support"), ("lead", "acme/sales"))) is None
    assert deepest_place((("user", "acme"), ("user", "acm"))) is None
    assert deepest_place(()) is None
