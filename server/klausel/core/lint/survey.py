"""What the rules ask about a policy set: each thing found once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from klausel.core.analysis.decision_table import PartedTables
from klausel.core.conditions.tree import Condition
from klausel.core.decisions.domain import domain_of
from klausel.core.lint.cases import Cases, cases_of
from klausel.core.lint.redundancy import Redundant, redundant_grants
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.policy_test import Expectation, PolicyTest
from klausel.core.policy.provisioning import CAPTURE
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, parts_of
from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Place, Problem

_SHOWN = 3
DomainSeen = tuple[str, str]
"""A domain, and where it is named, for people."""


class Survey:
    """One policy set as the rules look at it, with the tests beside it."""

    def __init__(
        self,
        policy: PolicySet,
        tests: Sequence[PolicyTest] = (),
        people_in: Iterable[DomainSeen] = (),
        now: datetime | None = None,
    ) -> None:
        self.policy = policy
        self.now = now
        self.tests = tests
        self._people_in = people_in
        self.tables = PartedTables(policy)

    @cached_property
    def cases(self) -> Mapping[tuple[str, str], Cases]:
        """The cases of each (resource type, action) that something grants."""
        asked = dict.fromkeys((grant.resource_type, grant.action) for grant in self.policy.grants)
        return {question: cases_of(self.policy, self.tables, *question) for question in asked}

    @cached_property
    def redundant(self) -> Sequence[Redundant]:
        """Every grant that decides nothing, question by question.

        What stands for all that is declared is among them only where none of it decides anything.
        """
        found = [one for cases in self.cases.values() for one in redundant_grants(cases)]
        idle = {id(one.grant) for one in found}
        at_work = {grant.place for grant in self.policy.grants if grant.is_for_all and id(grant) not in idle}
        return [one for one in found if not (one.grant.is_for_all and one.grant.place in at_work)]

    def domains(self) -> Iterator[DomainSeen]:
        """Every domain in which people of the tests hold roles or ask, and those given beside the tests; repeated ones too."""
        for domains in (self.domains_held_in_tests, self.domains_asked_in_tests):
            yield from ((domain, str(place)) for domain, place in domains.items())
        yield from self._people_in

    @cached_property
    def places_written(self) -> Sequence[tuple[str, Place]]:
        """Every place that something is limited to, lies in or is given in, with where it stands; tests are not looked at."""
        policy = self.policy
        found = [(grant.scope.domain, grant.place) for grant in policy.grants]
        found += [(invariant.scope.domain, invariant.place) for invariant in policy.invariants]
        found += [(written, role.place) for role in policy.roles.roles.values() for _, written in role.contains_in]
        found += [(one.entity.domain, one.place) for one in policy.entities.values()]
        for group in policy.provisioning.groups if policy.provisioning else ():
            for _, domain in group.roles:
                found.append(("/".join(EVERY if CAPTURE.search(part) else part for part in domain.split("/")), group.place))
        return tuple(dict.fromkeys((written, place) for written, place in found if written))

    @cached_property
    def domains_held_in_tests(self) -> Mapping[str, Place]:
        """Every domain in which people of the tests hold roles, with where the first says so."""
        found: dict[str, Place] = {}
        for one in self._expectations():
            for _, domain in one.held:
                found.setdefault(domain, one.place_of("subject", "roles"))
        return found

    @cached_property
    def domains_asked_in_tests(self) -> Mapping[str, Place]:
        """Every domain that tests ask in, with where the first thing stands that lies there."""
        found: dict[str, Place] = {}
        types = self.policy.resource_types
        for one in self._expectations():
            resource = one.request.resource
            asked = domain_of(self.policy.roles, types.get(resource.type), one.action, resource)
            if isinstance(asked, str):
                found.setdefault(asked, one.place_of("resource", "in"))
        return found

    def _expectations(self) -> Iterator[Expectation]:
        for test in self.tests:
            yield from test.expectations

    @cached_property
    def limited_to_names_of_levels(self) -> Mapping[tuple[str, Place], None]:
        """The grants and invariants that are limited to a domain with the name of a level: the domain, and where it stands."""
        named = {level.name for level in self.policy.roles.levels if level.constant != level.name}
        limited = [(grant.scope.domain, grant.place) for grant in self.policy.grants]
        limited += [(invariant.scope.domain, invariant.place) for invariant in self.policy.invariants]
        return {(domain, place): None for domain, place in limited if domain in named}

    @cached_property
    def holdable_levels(self) -> frozenset[str]:
        """The levels with a role that somebody can hold: one that needs no role above, or finds one there."""
        found: set[str] = set()
        levels = self.policy.roles.levels
        for depth in sorted(set(self.policy.roles.depths.values())):
            level = levels[depth - 1]
            if not level.requires_role_above or levels[depth - 2].name in found:
                found.add(level.name)
        return frozenset(found)

    @cached_property
    def names_reached(self) -> frozenset[str]:
        """Every grantee name under which a grant can reach somebody."""
        roles = self.policy.roles
        held = [name for name, role in roles.roles.items() if role.level in self.holdable_levels]
        return roles.with_joint(frozenset({ANYONE}.union(*(roles.reach[name] for name in held))))

    @cached_property
    def grants_of(self) -> Mapping[str, Sequence[Grant]]:
        """The grants that name each grantee, alone or together with others."""
        found: dict[str, list[Grant]] = {}
        for grant in self.policy.grants:
            for name in parts_of(grant.grantee):
                found.setdefault(name, []).append(grant)
        return found

    @cached_property
    def conditions_written(self) -> Sequence[tuple[Place, Condition]]:
        """Each condition where it is written: named ones by their own line, others by that of their grant or invariant."""
        named = [(condition.place, condition.tree) for condition in self.policy.conditions.values()]
        rules = [(grant.place, grant.written, grant.condition_text) for grant in self.policy.grants]
        rules += [(one.place, one.condition, one.condition_text) for one in self.policy.invariants]
        texts = {condition.name for condition in self.policy.conditions.values()}
        inline = [(place, tree) for place, tree, text in rules if tree is not None and text not in texts]
        return tuple(dict.fromkeys([*named, *inline]))

    @cached_property
    def unheld_roles(self) -> Mapping[str, str]:
        """The roles that nobody can hold, each with the reason."""
        levels = self.policy.roles.levels
        found = {}
        for name, depth in self.policy.roles.depths.items():
            level = levels[depth - 1]
            if level.name not in self.holdable_levels:
                above = levels[depth - 2].name
                found[name] = f"level {level.name} requires a role of level {above}, and nobody can hold one"
        return found

    @cached_property
    def unused_roles(self) -> Mapping[str, str]:
        """The roles that change nothing for whoever holds them, each with what is to say about it."""
        roles = self.policy.roles
        found = {name: f"can be held by nobody: {reason}" for name, reason in self.unheld_roles.items()}
        for name, names in roles.reach.items():
            if name in roles.roles and name not in found and self.grants_of.keys().isdisjoint(names):
                below = roles.level_at(roles.depths[name] + 1)
                if below is None or not below.requires_role_above or below.name not in self.holdable_levels:
                    found[name] = "lets nobody do anything: no grant names it or a role that it contains"
        return found


def warning(place: Place, id_: str, message: str, hint: str) -> Problem:
    """A finding of a rule."""
    return Problem(place, id_, message, hint, "warning")


def by_entry(found: Iterable[Redundant]) -> Iterator[tuple[Place, str, bool, str]]:
    """What one entry of a file has in common: its place, its grants in words, whether it is one, and what does their work."""
    entries: dict[tuple[Place, tuple[str, ...]], list[Redundant]] = {}
    for one in found:
        entries.setdefault((one.grant.place, tuple(grant.source for grant in one.by)), []).append(one)
    for (place, _), together in entries.items():
        by = {grant.source: grant for one in together for grant in one.by}
        doing = " and ".join(f"{grant} ({source})" for source, grant in by.items())
        yield place, in_words([one.grant for one in together]), len(together) == 1, doing


def in_words(grants: Sequence[Grant]) -> str:
    """Grants of one entry as the start of a sentence."""
    shown = ", ".join(map(str, grants[:_SHOWN]))
    return shown if len(grants) <= _SHOWN else f"{shown} and {len(grants) - _SHOWN} more"


def role_of(grantee: str) -> str:
    """The role that a grantee names, with or without `any`; `anyone` for itself."""
    return grantee.removeprefix(ANY_PREFIX)
