"""A Casbin model with its rows, role managers and functions at one moment, safe from later edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from casbin.util import generate_conditional_g_function, generate_g_function
from simpleeval import DISALLOW_FUNCTIONS

from klausel.enforcer.change_feed import WatchedDomainManager, WatchedRoleManager
from klausel.enforcer.role_snapshot import RoleSnapshot


@dataclass(frozen=True, slots=True)
class RoleFunction:
    """`g` of a matcher at one moment."""

    way: str
    """`set`, `set by domain` or `copy` (of stock's role managers), `membership`, `equality`, or `live` (any other)."""
    ask: Callable[..., Any]
    """The function that the matcher calls."""
    snapshot: RoleSnapshot | None = None


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """What decides: definitions and rows by their Casbin names (`r`, `p2`), and the functions that matchers may call."""

    requests: Mapping[str, tuple[str, ...]]
    policies: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, tuple[Any, ...]]
    matchers: Mapping[str, str]
    roles: Mapping[str, RoleFunction]
    functions: Mapping[str, Callable[..., Any]]
    effector: Any
    is_live: bool
    """Whether some role function asks a role manager that may change under the plan's feet."""


class Unusual(Exception):
    """A model that has no snapshot; the message says why."""


def take_snapshot(enforcer: Any) -> ModelSnapshot:
    """The model of an enforcer as it is now; raises `Unusual` when its shape is not Casbin's usual one."""
    model = enforcer.model
    try:
        sections = {section: dict(assertions) for section, assertions in model.model.items()}
        requests, policies, matchers = sections["r"], sections["p"], sections["m"]
        _ = matchers["m"]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unusual("the model is not complete") from error
    if any(not isinstance(assertion.policy, list) for assertion in policies.values()):
        raise Unusual("the rows are in no list")
    functions = dict(enforcer.fm.get_functions())
    if any(function in DISALLOW_FUNCTIONS for function in functions.values()):
        raise Unusual("a function is forbidden")
    roles = {
        name: role_function(assertion, bool(enforcer.cond_rm_map))
        for name, assertion in sections.get("g", {}).items()
        if enforcer.rm_map or enforcer.cond_rm_map
    }
    for kind in (list, tuple, dict, set):
        functions[kind.__name__] = kind
    return ModelSnapshot(
        {name: tuple(assertion.tokens) for name, assertion in requests.items()},
        {name: tuple(assertion.tokens) for name, assertion in policies.items()},
        {name: tuple(assertion.policy) for name, assertion in policies.items()},
        {name: assertion.value for name, assertion in matchers.items()},
        roles,
        {name: function for name, function in functions.items() if name not in roles},
        enforcer.eft,
        any(role.way == "live" for role in roles.values()),
    )


def role_function(assertion: Any, is_conditional: bool) -> RoleFunction:
    """The role function that stock makes for a role definition; `is_conditional` where the model has a conditional one."""
    if is_conditional:
        manager = assertion.cond_rm
        return RoleFunction("equality" if manager is None else "live", generate_conditional_g_function(manager))
    manager = assertion.rm
    if not manager:
        return RoleFunction("equality", generate_g_function(None))
    if type(manager) in (WatchedRoleManager, WatchedDomainManager):
        snapshot: RoleSnapshot = manager.snapshot()
        way = "copy" if not snapshot.is_set else "set by domain" if snapshot.knows_domains else "set"
        return RoleFunction(way, generate_g_function(snapshot), snapshot)
    if getattr(manager, "has_link_is_membership", False):
        return RoleFunction("membership", generate_g_function(manager))
    return RoleFunction("live", generate_g_function(manager))
