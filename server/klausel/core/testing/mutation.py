"""Mutation: small changes of a policy set, one at a time, to see which of them its tests would notice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from klausel.core.analysis.decision_table import Remembered
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.conditions.tree import AllOf, AnyOf, Condition, negate
from klausel.core.decisions.decide import Plan, decide
from klausel.core.difference.equivalence import Difference, compare, everything_asked
from klausel.core.policy.fitting import fitted, wanted_cases
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.policy_test import Expectation, PolicyTest
from klausel.core.policy.properties import PropertyTypes
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place
from klausel.core.testing.run import ResolvedRoles

Kind = Literal[
    "grant dropped",
    "role raised",
    "role lowered",
    "condition dropped",
    "condition negated",
    "part of condition dropped",
    "place changed",
    "inheritance link dropped",
    "declaration dropped",
]
Fate = Literal["killed", "equivalent", "survived"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change: what it is in words, where, and the policy set with it.

    `questions` are the (resource type, action) whose answers it can change; `changed` may have no grants about others.
    """

    kind: Kind
    what: str
    place: Place
    changed: PolicySet
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant.

    Killed: the test `noticed_by` fails, first with the answer expected at `noticed_at`. Equivalent: it changes no decision,
    over all `combinations` of roles and conditions. Survived: `difference` is a case that no test has, or
    `undecided` says why it cannot be told whether it is equivalent.
    """

    fate: Fate
    noticed_by: str | None = None
    noticed_at: Place | None = None
    combinations: int = 0
    difference: Difference | None = None
    undecided: str | None = None


def mutants(policy: PolicySet) -> Iterator[Mutant]:
    """Every small change of a policy set: those of its grants in their order, of its roles, and of declared types.

    A declared type is dropped only where that makes the condition of some grant another one.
    """
    for position, grant in enumerate(policy.grants):
        question = (grant.resource_type, grant.action)
        others = [other for other in policy.grants_about(*question) if other is not grant]
        at = sum(1 for other in policy.grants[:position] if (other.resource_type, other.action) == question)
        for kind, what, changed in _changes(grant, policy):
            grants = (*others[:at], *([changed] if changed else []), *others[at:])
            yield Mutant(kind, f"{grant}: {what}", grant.place, replace(policy, grants=grants), (question,))
    everything = tuple(everything_asked(policy))
    for role in policy.roles.roles.values():
        for contained in role.contains:
            weaker = replace(role, contains=tuple(name for name in role.contains if name != contained))
            roles = replace(policy.roles, roles=MappingProxyType({**policy.roles.roles, role.name: weaker}))
            what = f"{role.name} contains {contained}: dropped"
            yield Mutant("inheritance link dropped", what, role.place, replace(policy, roles=roles), everything)
    for declared in policy.resource_types.values():
        for name in declared.properties or ():
            fewer = replace(declared, properties=_without(declared.properties, name))
            types = MappingProxyType({**policy.resource_types, declared.name: fewer})
            what = f"type of {name} of {declared.name}: dropped"
            yield from _without_declaration(policy, replace(policy, resource_types=types), what, declared.place)
    for root, properties in policy.properties.items():
        for name in properties:
            left = MappingProxyType({**policy.properties, root: _without(properties, name)})
            what = f"type of {root}.{name}: dropped"
            yield from _without_declaration(policy, replace(policy, properties=left), what, None)


def _without(properties: PropertyTypes | None, name: str) -> PropertyTypes:
    return MappingProxyType({other: type_ for other, type_ in (properties or {}).items() if other != name})


def _without_declaration(policy: PolicySet, fewer: PolicySet, what: str, place: Place | None) -> Iterator[Mutant]:
    """The mutant with fewer declarations; none where no grant's condition depends on them."""
    grants = tuple(
        grant if grant.as_written is None else _with_condition(grant, grant.as_written, grant.condition_text, fewer)
        for grant in policy.grants
    )
    changed = [old for old, new in zip(policy.grants, grants, strict=True) if old.condition != new.condition]
    if changed:
        questions = tuple(dict.fromkeys((grant.resource_type, grant.action) for grant in changed))
        where = changed[0].place if place is None else place
        yield Mutant("declaration dropped", what, where, replace(fewer, grants=grants), questions)


def _changes(grant: Grant, policy: PolicySet) -> Iterator[tuple[Kind, str, Grant | None]]:
    roles = policy.roles
    yield "grant dropped", "dropped", None
    for stronger in _one_step_up(grant.grantee, roles):
        yield "role raised", f"for {stronger} instead", replace(grant, grantee=stronger)
    for weaker in _one_step_down(grant.grantee, roles):
        yield "role lowered", f"for {weaker} instead", replace(grant, grantee=weaker)
    if grant.written is not None:
        without = replace(grant, condition=None, condition_text="", as_written=None)
        yield "condition dropped", "without its condition", without
        text = f"not ({grant.condition_text})"
        yield "condition negated", f"when {text} instead", _with_condition(grant, negate(grant.written), text, policy)
        for condition in _with_a_part_less(grant.written):
            text = str(condition)
            yield "part of condition dropped", f"when {text} instead", _with_condition(grant, condition, text, policy)
    other = _other_place(grant.grantee, roles)
    if other:
        yield "place changed", f"for {other} instead", replace(grant, grantee=other)
    for scope in _other_scopes(grant.scope, roles):
        yield "place changed", f"in {scope} instead", replace(grant, scope=scope)


def _with_condition(grant: Grant, written: Condition, text: str, policy: PolicySet) -> Grant:
    decides = fitted(written, wanted_cases(grant.effect), policy.declarations(grant.resource_type))
    as_written = None if decides is written else written
    return replace(grant, condition=decides, condition_text=text, as_written=as_written)


def _one_step_up(grantee: str, roles: RoleModel) -> Iterator[str]:
    """The roles that directly contain a role; for `anyone`, the weakest roles."""
    if grantee == ANYONE:
        yield from (role.name for role in roles.roles.values() if not role.contains)
        return
    for role in roles.roles.values():
        if grantee.removeprefix(ANY_PREFIX) in role.contains:
            is_any = grantee.startswith(ANY_PREFIX) and roles.is_earned_anywhere(role.name)
            yield ANY_PREFIX + role.name if is_any else role.name


def _one_step_down(grantee: str, roles: RoleModel) -> Iterator[str]:
    """The roles that a role directly contains; `anyone`, where it contains none."""
    if grantee == ANYONE:
        return
    contained = roles.roles[grantee.removeprefix(ANY_PREFIX)].contains
    for name in contained:
        is_any = grantee.startswith(ANY_PREFIX) and roles.is_earned_anywhere(name)
        yield ANY_PREFIX + name if is_any else name
    if not contained:
        yield ANYONE


def _other_place(grantee: str, roles: RoleModel) -> str | None:
    if grantee.startswith(ANY_PREFIX):
        return grantee.removeprefix(ANY_PREFIX)
    return ANY_PREFIX + grantee if roles.is_earned_anywhere(grantee) else None


def _other_scopes(scope: Scope, roles: RoleModel) -> Iterator[Scope]:
    if scope.domain is not None:
        yield Scope(None, scope.level)
    if scope.level is not None:
        yield Scope(scope.domain, None)
        for level in roles.levels:
            if level.name != scope.level and (scope.domain is None or depth_of(scope.domain) <= level.depth):
                yield Scope(scope.domain, level.name)


def _with_a_part_less(condition: Condition) -> Iterator[Condition]:
    """The condition without one part of an `and` or an `or`, at any depth."""
    if not isinstance(condition, AllOf | AnyOf):
        return
    parts = condition.parts
    for position, part in enumerate(parts):
        rest = (*parts[:position], *parts[position + 1 :])
        yield rest[0] if len(rest) == 1 else type(condition)(rest)
        for smaller in _with_a_part_less(part):
            yield type(condition)((*parts[:position], smaller, *parts[position + 1 :]))


class Judge:
    """Tells which changes of a policy set its tests notice; the tests pass on the set itself.

    Only what is allowed counts: `decided_by` is not looked at, since each change of a grant changes its text.
    """

    def __init__(self, policy: PolicySet, tests: Sequence[PolicyTest], compile_: Callable[[PolicySet], Plan]) -> None:
        self._policy = policy
        self._compile = compile_
        self._resolved_roles = ResolvedRoles(policy)
        self._remembered = Remembered(policy, policy)
        self._by_question: dict[tuple[str, str], list[tuple[PolicyTest, Expectation]]] = {}
        for test in tests:
            for expectation in test.expectations:
                self._by_question.setdefault(expectation.question, []).append((test, expectation))

    def verdict(self, mutant: Mutant) -> Verdict:
        """Whether a test notices a mutant; where none does, whether there is anything to notice."""
        noticed = self._noticed(mutant)
        if noticed:
            test, expectation = noticed
            return Verdict("killed", test.name, expectation.place)
        try:
            compared = compare(self._policy, mutant.changed, mutant.questions, self._remembered)
        except TooManyCases as error:
            return Verdict("survived", undecided=str(error))
        fate: Fate = "equivalent" if compared.difference is None else "survived"
        return Verdict(fate, combinations=compared.combinations, difference=compared.difference)

    def _noticed(self, mutant: Mutant) -> tuple[PolicyTest, Expectation] | None:
        changed = mutant.changed
        plan = self._compile(changed)
        resolved_roles = self._resolved_roles if changed.roles is self._policy.roles else ResolvedRoles(changed)
        for question in mutant.questions:
            for test, expectation in self._by_question.get(question, ()):
                effective_roles = resolved_roles.of(expectation.held)
                decision = decide(changed, plan, lambda _, domain: effective_roles.roles_in(domain), expectation.request)  # noqa: B023
                if decision.allowed is not expectation.allowed:
                    return test, expectation
        return None


def score(fates: Collection[Fate]) -> float:
    """The share of the mutants that change something which a test notices, in percent; 100 where there is none."""
    killed = sum(fate == "killed" for fate in fates)
    counting = sum(fate != "equivalent" for fate in fates)
    return 100 * killed / counting if counting else 100.0
