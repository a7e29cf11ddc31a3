"""Menus: all that one subject may do to each of some resources, in much less time than asking about each action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from klausel.core.decisions.decide import Plan
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.filters.filling import open_of_resource, what_is_left
from klausel.core.filters.tree import FilterCondition
from klausel.core.policy.policy_set import Grant, PolicySet, ResourceType
from klausel.core.policy.scope import Scope
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_subject, subject_key
from klausel.core.terms.request import Action, Request, Resource, Subject, asked_at
from klausel.service.decision_service import Service
from klausel.service.stored_properties import Reach, join_all, reach_of

_EVERYWHERE = Scope()


class Menu(NamedTuple):
    """What may be done to one resource: the allowed actions, and those that a condition on what is not said would allow."""

    allowed: tuple[str, ...]
    conditional: Mapping[str, FilterCondition]


class _Case(NamedTuple):
    """An action in one domain for who has some names: what it always comes to; None where conditions have a say."""

    always: bool | None
    grants: tuple[Grant, ...]


def permissions(
    service: Service,
    subject: Subject,
    resources: Sequence[Resource],
    context: Mapping[str, object],
    *,
    with_conditions: bool = False,
    caller: Caller | None = None,
) -> Iterator[Menu]:
    """A menu for each resource, in order; all by one policy set, at one time.

    `with_conditions` also tells what would be allowed if properties that a resource does not give were right. A
    `caller` that is limited to some accounts is told nothing of what lies in others. Raises `PoliciesTooOld` and `StorageError`.
    """
    in_force = service.in_force_now()
    compiled = in_force.policy.compiled
    if fault_in_subject(subject.type, subject.id) is not None:
        return iter([Menu((), {}) for _ in resources])
    moment = service.clock()
    effective_roles = in_force.effective_roles_of(subject_key(subject.type, subject.id), moment)
    question = Request(subject, Action(""), Resource("", ""), context)
    if compiled.policy.uses_now:
        question = asked_at(question, moment)
    reach = None if caller is None else reach_of(caller.accounts)
    if compiled.policy.stored_subjects or compiled.policy.stored_resources:
        asked = [question._replace(resource=resource) for resource in resources] or [question]
        whole = join_all(compiled.policy, in_force.resolved_roles.stored, asked, reach)
        question = question._replace(subject=whole[0].subject)
        resources = [request.resource for request in whole][: len(resources)]
    menus = _Menus(compiled.policy, compiled, effective_roles, question, caller, reach)
    return (menus.menu(resource, with_conditions) for resource in resources)


class _Way(NamedTuple):
    """Actions of a type that are asked in the same domain of a resource; with grants for some domains alone, or without."""

    declared: ResourceType
    actions: tuple[str, ...]
    has_scopes: bool


class _Menus:
    def __init__(
        self,
        policy: PolicySet,
        plan: Plan,
        effective_roles: EffectiveRoles,
        question: Request,
        caller: Caller | None,
        reach: Reach | None,
    ) -> None:
        self._reach = reach
        self._caller = caller
        self._policy = policy
        self._plan = plan
        self._effective_roles = effective_roles
        self._question = question
        self._levels = frozenset(level.named_by for level in policy.roles.levels if level.named_by is not None)
        self._ways: dict[str, tuple[_Way, ...]] = {}
        self._cases: dict[tuple[str, str, str | None, frozenset[str]], list[tuple[Action, _Case]]] = {}

    def menu(self, resource: Resource, with_conditions: bool) -> Menu:
        """What may be done to one resource."""
        ways = self._ways.get(resource.type)
        if ways is None:
            ways = self._ways[resource.type] = self._ways_to_ask(resource.type)
        allowed: list[str] = []
        conditional: dict[str, FilterCondition] = {}
        caller, (who, _, _, context), decide = self._caller, self._question, self._plan.decide
        for way in ways:
            domain = domain_of(self._policy.roles, way.declared, way.actions[0], resource)
            if isinstance(domain, BadDomain) or not (caller is None or caller.reaches(domain)):
                continue
            names = self._effective_roles.roles_in(domain)
            key = resource.type, way.actions[0], domain if way.has_scopes else None, names
            cases = self._cases.get(key)
            if cases is None:
                cases = self._cases[key] = self._cases_in(way, domain, names)
            subject = Subject(who.type, who.id, who.properties, names)
            for action, case in cases:
                if case.always:
                    allowed.append(action.name)
                    continue
                request = Request(subject, action, resource, context)
                if decide(request, domain)[0]:
                    allowed.append(action.name)
                elif with_conditions:
                    left = self._left(case.grants, request)
                    if not isinstance(left, bool):
                        conditional[action.name] = left
        if allowed and self._reach is not None:
            asked = self._question._replace(resource=resource)
            allowed = [] if self._reach.excludes(self._policy, asked) else allowed
        if len(ways) > 1:
            allowed.sort(key=ways[0].declared.actions.index)
        return Menu(tuple(allowed), conditional)

    def _left(self, grants: Sequence[Grant], request: Request) -> FilterCondition | bool:
        is_open = open_of_resource(request)
        # The resource lies where it says, and is what its id says.
        return what_is_left(
            grants,
            request,
            lambda attribute: is_open(attribute) and attribute.path != ("id",) and attribute.path[0] not in self._levels,
        )

    def _ways_to_ask(self, type_: str) -> tuple[_Way, ...]:
        """Where the actions of a type are asked: mostly all in one place, some perhaps further up."""
        declared = self._policy.resource_types.get(type_)
        if declared is None:
            return ()
        found: dict[str | None, list[str]] = {}
        for action in declared.actions:
            found.setdefault(declared.asked_in.get(action), []).append(action)
        return tuple(
            _Way(
                declared,
                tuple(actions),
                any(grant.scope != _EVERYWHERE for action in actions for grant in self._policy.grants_about(type_, action)),
            )
            for actions in found.values()
        )

    def _cases_in(self, way: _Way, domain: str | None, names: frozenset[str]) -> list[tuple[Action, _Case]]:
        """The actions that are asked in a domain, each with what it comes to; those that nothing allows are left out."""
        cases = []
        for action in way.actions:
            grants = tuple(
                grant
                for grant in self._policy.grants_about(way.declared.name, action)
                if grant.reaches(names, domain, self._policy.roles)
            )
            case = _case_of(grants)
            if case.always is not False:
                cases.append((Action(action), case))
        return cases


def _case_of(grants: tuple[Grant, ...]) -> _Case:
    allows = [grant for grant in grants if grant.effect == "allow"]
    denies = [grant for grant in grants if grant.effect == "deny"]
    if not allows or any(grant.condition is None for grant in denies):
        return _Case(False, grants)
    if not denies and any(grant.condition is None for grant in allows):
        return _Case(True, grants)
    return _Case(None, grants)
