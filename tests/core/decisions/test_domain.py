"""Which domain a request is asked in."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from role_models import CONSTANT_LEVEL, NOWHERE, ONE_LEVEL, THREE_LEVELS, TWO_LEVELS

from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.policy_set import ResourceType
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.request import Resource


def of(roles: RoleModel, type_: str, id_: str, **properties: object) -> object:
    return domain_of(roles, None, "view", Resource(type_, id_, properties))


def test_properties_name_the_domain_level_by_level() -> None:
    assert of(ONE_LEVEL, "quiz", "1", team="red") == "red"
    assert of(TWO_LEVELS, "quiz", "1", account="acme") == "acme"
    assert of(TWO_LEVELS, "quiz", "1", account="acme", workspace="support") == "acme/support"
    assert of(THREE_LEVELS, "quiz", "1", company="c", site="s", desk="d") == "c/s/d"
    assert of(TWO_LEVELS, "quiz", "1") is None


def test_the_id_of_a_resource_of_a_levels_own_type_names_it() -> None:
    assert of(TWO_LEVELS, "account", "acme") == "acme"
    assert of(TWO_LEVELS, "workspace", "support", account="acme") == "acme/support"
    assert of(TWO_LEVELS, "account", "acme", account="acme") == "acme"


def test_an_id_and_a_property_that_differ_name_no_domain() -> None:
    assert isinstance(of(TWO_LEVELS, "account", "acme", account="globex"), BadDomain)
    assert isinstance(of(TWO_LEVELS, "workspace", "support", account="acme", workspace="sales"), BadDomain)
    assert isinstance(of(TWO_LEVELS, "account", "acme", account=None), BadDomain)


def test_a_level_below_an_unnamed_one_names_no_domain() -> None:
    assert isinstance(of(TWO_LEVELS, "quiz", "1", workspace="support"), BadDomain)
    assert isinstance(of(THREE_LEVELS, "quiz", "1", company="c", desk="d"), BadDomain)
    assert isinstance(of(TWO_LEVELS, "workspace", "support"), BadDomain)


def test_a_constant_level_is_never_named_by_the_request() -> None:
    assert of(CONSTANT_LEVEL, "door", "1") == "main"
    assert of(CONSTANT_LEVEL, "door", "1", room="12") == "main/12"
    assert of(CONSTANT_LEVEL, "door", "1", system="other") == "main"
    assert of(CONSTANT_LEVEL, "system", "other") == "main"


@pytest.mark.parametrize(
    "value", [None, 1, True, "", "a/b", "a\nb", "x" * 256, ["acme"], {"id": "acme"}, "\ud800", "*/", "*"]
)
def test_a_value_that_is_no_id_names_no_domain(value: object) -> None:
    assert isinstance(of(TWO_LEVELS, "quiz", "1", account=value), BadDomain)


@pytest.mark.parametrize("value", ["acme corp", "a,b", '"', "#", "Ж", "null", "0"])
def test_every_printable_id_names_its_domain(value: str) -> None:
    assert of(TWO_LEVELS, "quiz", "1", account=value) == value


def test_a_domain_that_is_too_long_as_a_whole_is_bad() -> None:
    assert of(TWO_LEVELS, "quiz", "1", account="x" * 127, workspace="y" * 127) == "x" * 127 + "/" + "y" * 127
    assert isinstance(of(TWO_LEVELS, "quiz", "1", account="x" * 128, workspace="y" * 127), BadDomain)


def test_an_action_that_is_asked_in_a_level_looks_at_no_id_and_no_level_below() -> None:
    workspace = ResourceType("workspace", ("create", "edit"), MappingProxyType({"create": "account"}), NOWHERE)
    new = Resource("workspace", "does/not\nmatter", {"account": "acme", "workspace": "x"})
    assert domain_of(TWO_LEVELS, workspace, "create", new) == "acme"
    assert isinstance(domain_of(TWO_LEVELS, workspace, "edit", new), BadDomain)
    assert domain_of(TWO_LEVELS, workspace, "create", Resource("workspace", "x", {})) is None
