"""Coverage: which grants, conditions, roles and inheritance links of a policy set its tests touch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from klausel.core.conditions.tree import evaluate
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.policy_test import Expectation, PolicyTest
from klausel.core.policy.roles import ANY_PREFIX, ANYONE
from klausel.core.terms.problem import Place
from klausel.core.testing.run import ResolvedRoles

Kind = Literal["grants", "conditions", "roles", "inheritance links"]
KINDS: tuple[Kind, ...] = ("grants", "conditions", "roles", "inheritance links")


@dataclass(frozen=True, slots=True)
class Touchable:
    """One thing that a test can touch; a condition of a grant is two: where it holds, and where it does not."""

    kind: Kind
    what: str
    place: Place


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much the tests touch; `by_kind` has (kind, touched, all), `missed` is sorted by place."""

    by_kind: tuple[tuple[Kind, int, int], ...]
    missed: tuple[Touchable, ...]

    @property
    def percent(self) -> float:
        """How much of everything is touched; 100 where there is nothing."""
        everything = sum(all_ for _, _, all_ in self.by_kind)
        return 100 * sum(done for _, done, _ in self.by_kind) / everything if everything else 100.0


def coverage_of(policy: PolicySet, tests: Iterable[PolicyTest]) -> Coverage:
    """What these tests touch, whether they pass or not.

    A test touches a role by asking for somebody who was given it; a grant by a question for which it holds; its condition by
    questions that the rest of the grant meets, one for which the condition holds and one for which it does not; an
    inheritance link by a grant that holds by way of it.
    """
    touched: set[Touchable] = set()
    resolved_roles = ResolvedRoles(policy)
    for test in tests:
        for expectation in test.expectations:
            touched.update(_touched_by(policy, expectation, resolved_roles))
    everything = list(dict.fromkeys(_everything(policy)))
    counts = []
    for kind in KINDS:
        of_kind = [item for item in everything if item.kind == kind]
        counts.append((kind, sum(item in touched for item in of_kind), len(of_kind)))
    missed = sorted((item for item in everything if item not in touched), key=lambda item: item.place)
    return Coverage(tuple(counts), tuple(missed))


def tests_by_grant(policy: PolicySet, tests: Iterable[PolicyTest]) -> dict[Place, tuple[str, ...]]:
    """The names of the tests that touch each grant, by its place; a grant that none touches is left out."""
    found: dict[Place, dict[str, None]] = {}
    resolved_roles = ResolvedRoles(policy)
    for test in tests:
        for expectation in test.expectations:
            for item in _touched_by(policy, expectation, resolved_roles):
                if item.kind == "grants":
                    found.setdefault(item.place, {})[test.name] = None
    return {place: tuple(names) for place, names in found.items()}


def _everything(policy: PolicySet) -> Iterator[Touchable]:
    for grant in policy.grants:
        yield _grant(grant)
        if grant.condition is not None:
            yield _condition(grant, True)
            yield _condition(grant, False)
    for role in policy.roles.roles.values():
        yield _role(policy, role.name)
        for contained in dict.fromkeys((*role.contains, *(inner for inner, _ in role.contains_in))):
            yield _link(policy, role.name, contained)


def _grant(grant: Grant) -> Touchable:
    return Touchable("grants", str(grant), grant.place)


def _condition(grant: Grant, holds: bool) -> Touchable:
    case = "holds" if holds else "does not hold"
    return Touchable("conditions", f"{grant}: where its condition {case}", grant.place)


def _role(policy: PolicySet, name: str) -> Touchable:
    return Touchable("roles", f"role {name}", policy.roles.roles[name].place)


def _link(policy: PolicySet, container: str, contained: str) -> Touchable:
    return Touchable("inheritance links", f"{container} contains {contained}", policy.roles.roles[container].place)


def _touched_by(policy: PolicySet, expectation: Expectation, resolved_roles: ResolvedRoles) -> Iterator[Touchable]:
    request, roles = expectation.request, policy.roles
    effective_roles = resolved_roles.of(expectation.held)
    for role, _ in effective_roles.held:
        yield _role(policy, role)
    declared = policy.resource_types.get(request.resource.type)
    domain = domain_of(roles, declared, request.action.name, request.resource)
    if isinstance(domain, BadDomain):
        return
    names = effective_roles.roles_in(domain)
    for grant in policy.grants_about(*expectation.question):
        if not grant.reaches(names, domain, roles):
            continue
        if grant.condition is not None:
            holds = grant.holds(evaluate(grant.condition, request))
            yield _condition(grant, holds)
            if not holds:
                continue
        yield _grant(grant)
        source = None if grant.grantee == ANYONE else effective_roles.source_of(roles, grant.grantee, domain)
        for one in (source, *source.beside) if source else ():
            chain = [name.removeprefix(ANY_PREFIX) for name in one.chain]
            for container, contained in itertools.pairwise(chain):
                if container != contained:
                    yield _link(policy, container, contained)


def coverage_as_json(coverage: Coverage) -> dict[str, object]:
    """A coverage as programs read it."""
    return {
        "percent": round(coverage.percent, 2),
        "kinds": {kind: {"touched": done, "all": all_} for kind, done, all_ in coverage.by_kind},
        "missed": [
            {"kind": missed.kind, "what": missed.what, "file": missed.place.file, "line": missed.place.line}
            for missed in coverage.missed
        ],
    }
