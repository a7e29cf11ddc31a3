"""From a policy set to an enforcer that decides: the model, its rows, the role manager and the functions, joined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import casbin
from casbin.rbac import RoleManager

from klausel.casbin_policies.condition_text import CASBIN_FUNCTIONS
from klausel.casbin_policies.model_shape import line_of_matcher, other_matcher, problems_in_model, read_model
from klausel.casbin_policies.rows import FilledGrants, Row, inheritance_rows, meaning_digest
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel, depth_of
from klausel.core.policy.scope import AT_LEVEL, split_scope
from klausel.core.terms.places import EVERY, EVERYWHERE, covers
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.enforcer.compiled_enforcer import CompiledEnforcer
from klausel.enforcer.matcher.narrowing import ACCEPTED

_DEPENDS_ON = "klausel_depends_on"


class EffectiveRolesManager(RoleManager):  # type: ignore[misc]
    """A pure set test; inheritance is resolved before (see `effective_roles`), so it keeps no links."""

    has_link_is_membership = True

    def has_link(self, name1: Collection[str], name2: str, *domain: str) -> bool:
        """Whether `name2` is among the names held."""
        return name2 in name1


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy set together with the plan that decides by it; immutable, safe to share between threads.

    `other_model` is the digest of a model whose matcher is not Klausel's: no analysis of the policy set speaks for it.
    """

    policy: PolicySet
    enforcer: casbin.Enforcer
    _decide: Callable[..., tuple[bool, int | None]]
    other_model: str | None = None
    filled: FilledGrants | None = field(default=None, compare=False, repr=False)
    """The rows of the grants, for the policy set that comes after this one."""

    @cached_property
    def meaning_digest(self) -> str:
        """See `klausel.casbin_policies.rows.meaning_digest`."""
        return meaning_digest(self.policy, self.other_model)

    def decide(self, request: Request, domain: str | None) -> tuple[bool, int | None]:
        """See `klausel.core.decisions.decide.Plan`."""
        subject, action, resource, context = request
        return self._decide(subject, domain or "", resource, action, context)


def compile_policy(
    policy: PolicySet,
    model_text: str,
    model_file: str = "model.conf",
    accepted_models: Collection[str] = (),
    earlier: CompiledPolicy | None = None,
) -> CompiledPolicy:
    """The compiled form of a policy set under a Casbin model; raises `PolicyError` for a model that does not fit.

    `accepted_models` are the digests of models that may have a matcher of their own. What was made of an `earlier` policy set
    and is the same is not made again.
    """
    problems = problems_in_model(model_text, model_file, accepted_models)
    if problems:
        raise PolicyError(problems)
    filled = FilledGrants.of(policy.grants, None if earlier is None else earlier.filled)
    # Nobody edits these rows, so they need be no lists; what is the same object as before need not be compared.
    enforcer = _join(CompiledEnforcer, policy, model_text, filled, list(filled.fields), earlier)
    if earlier is not None:
        enforcer.take_from(earlier.enforcer)
    # Without a single row Casbin raises where the matcher has an eval; what nothing allows is denied.
    decide = enforcer.current_plan().decide if policy.grants else _deny_everything
    compiled = CompiledPolicy(policy, enforcer, decide, other_matcher(model_text), filled)
    try:
        # One question that goes through the whole matcher: the first grant, asked by who has its role.
        for grant in policy.grants[:1]:
            somebody = Subject("user", "somebody", roles=frozenset({grant.grantee}))
            asked = Request(somebody, Action(grant.action), Resource(grant.resource_type, "something"))
            compiled.decide(asked, (grant.scope.domain or "").replace(EVERY, "somewhere") or None)
    except Exception as error:
        place = Place(model_file, line_of_matcher(model_text), 1)
        hint = "keep to the names of the request, of the grant, and the functions named in docs/policies.md"
        raise PolicyError([Problem(place, "model-shape", f"the matcher fails: {error}", hint)]) from error
    return compiled


def _deny_everything(*_: object) -> tuple[bool, int | None]:
    return False, None


def join_enforcer(kind: type[casbin.Enforcer], policy: PolicySet, model_text: str) -> casbin.Enforcer:
    """An enforcer of this class over the rows of a policy set; `casbin.Enforcer` itself gives the stock answers."""
    filled = FilledGrants.of(policy.grants)
    return _join(kind, policy, model_text, filled, list(map(list, filled.fields)))


def _join(
    kind: type[casbin.Enforcer],
    policy: PolicySet,
    model_text: str,
    filled: FilledGrants,
    rows: list[Any],
    earlier: CompiledPolicy | None = None,
) -> casbin.Enforcer:
    model = read_model(model_text)
    # Casbin's own way of adding rows looks through all rows for each, and leaves out one that is there already.
    grants = model["p"]["p"]
    grants.policy = rows
    grants.policy_map = dict(zip(filled.keys, range(len(filled.keys)), strict=True))
    fill(model["g"]["g"], inheritance_rows(policy))
    enforcer = kind(model)
    enforcer.auto_save = False
    enforcer.rm_map["g"] = EffectiveRolesManager()
    for name, function in CASBIN_FUNCTIONS.items():
        enforcer.add_function(name, function)
    enforcer.add_function("within", _within_of(policy.roles, filled, earlier))
    enforcer.build_role_links()
    return enforcer


def _within_of(roles: RoleModel, filled: FilledGrants, earlier: CompiledPolicy | None) -> Callable[[str, str], bool]:
    """The function `within` of a policy set: that of an earlier one where it is the same, for what was compiled with it."""
    made = within_function(roles, {fields[1] for fields in filled.fields})
    known = None if earlier is None else earlier.enforcer.fm.get_functions().get("within")
    return known if known is not None and getattr(known, _DEPENDS_ON) == getattr(made, _DEPENDS_ON) else made


def fill(assertion: Any, rows: list[Row]) -> None:
    """Gives a section of a Casbin model its rows: all of them, in this order."""
    assertion.policy = [list(row.fields) for row in rows]
    assertion.policy_map = {",".join(fields): place for place, fields in enumerate(assertion.policy)}


def within_function(roles: RoleModel, scopes: Iterable[str]) -> Callable[[str, str], bool]:
    """The function `within(domain, scope)`: whether a domain lies in a grant's scope, written as in `Scope`.

    `scopes` are those of the rows: only these are found where rows are looked up by their scope.
    """
    depths = {level.name: level.depth for level in roles.levels}
    places = {split_scope(scope)[0] for scope in scopes}
    stars = {_stars_in(place) for place in places if EVERY in place and place != EVERYWHERE}
    understood: dict[str, tuple[str, str, int | None, bool]] = {}

    def understand(scope: str) -> tuple[str, str, int | None, bool]:
        place, level, _ = split_scope(scope)
        found = understood[scope] = (place, place + "/", None if level is None else depths[level], EVERY in place)
        return found

    def within(domain: str, scope: str) -> bool:
        place, inside, depth, has_stars = understood.get(scope) or understand(scope)
        if domain != place and not domain.startswith(inside) and (not has_stars or not covers(place, domain)):
            return False
        return depth is None or (domain != "" and domain.count("/") + 1 == depth)

    def accepted_values(domain: str) -> list[str]:
        places = [EVERYWHERE]
        above = domain
        while above:
            places.append(above)
            above = above.rpartition("/")[0]
        if stars and domain:
            ids = domain.split("/")
            for where in stars:
                if len(where) <= len(ids):
                    places.append("/".join(EVERY if star else id_ for star, id_ in zip(where, ids, strict=False)))
        level = roles.level_at(depth_of(domain)) if domain else None
        return places if level is None else places + [f"{place}{AT_LEVEL}{level.name}" for place in places]

    setattr(within, ACCEPTED, accepted_values)
    setattr(within, _DEPENDS_ON, (roles.levels, stars))
    return within


def _stars_in(place: str) -> tuple[bool, ...]:
    """For each part of a place whether it is `*`."""
    return tuple(part == EVERY for part in place.split("/"))
