"""Searches: which subjects, which resources and which actions; every answer is one that `decide` allows, and none is missing.

What can be an answer is found from the grants, by indexes; each is then decided like any other question.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import groupby, islice, takewhile
from operator import attrgetter
from typing import Literal

from klausel.core.analysis.search import holders_of
from klausel.core.decisions.decide import Decision, decide
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.filters.candidates import (
    RESOURCE_ID,
    Candidates,
    by_id_alone,
    candidates_among_subjects,
    values_needed,
)
from klausel.core.filters.derive import filter_of
from klausel.core.filters.tree import Filter, some
from klausel.core.policy.entity import Entity, EntityKey, EntityKind, joined
from klausel.core.policy.holding import NOTHING, Held
from klausel.core.policy.roles import ANYONE, Level, top_domain
from klausel.core.terms.identifiers import fault_in_domain_id, fault_in_subject, split_subject_key, subject_key
from klausel.core.terms.request import Request, asked_at
from klausel.service.decision_service import Service
from klausel.service.stored_properties import join_all, looked_up, reach_of
from klausel.storage.assignments.holders import FIRST_PEOPLE, subjects_of_type, subjects_who_hold, what_they_hold
from klausel.storage.assignments.known_domains import ids_below, is_known
from klausel.storage.entities.finding import FIRST_ENTITIES, entities_wanted
from klausel.storage.entities.narrowing import Wanted, few_by_value
from klausel.storage.sql.steps import in_steps

MOST_BY_VALUE = 500
"""Up to so many subjects are looked at one by one because of what is stored of them, whatever they hold."""


class Search:
    """One search, answered by the policy set in force and at the time when it begins.

    With `accounts` only subjects are found that hold something in these domains of the top level. The open part of the
    question has an empty id or name. Answers come in order, from behind `after`, read as they are asked for.
    Making one raises `PoliciesTooOld` and `StorageError`; reading answers raises `StorageError`.
    """

    def __init__(self, service: Service, question: Request, accounts: frozenset[str] | None = None) -> None:
        self._accounts, self._reach = accounts, reach_of(accounts)
        in_force = service.in_force_now()
        self._compiled = in_force.policy.compiled
        self._policy = self._compiled.policy
        self._resolved_roles = in_force.resolved_roles
        self._engine = service.store.engine
        moment = service.clock()
        self._now = moment.timestamp()
        asked = asked_at(question, moment) if self._policy.uses_now else question
        self._has_stored = bool(self._policy.stored_subjects or self._policy.stored_resources)
        self._question = self._joined(asked) if self._has_stored else asked

    def _joined(self, request: Request) -> Request:
        """The request with what is stored of its subject and its resource; of an open part that is nothing."""
        self._resolved_roles.refresh()
        return join_all(self._policy, self._resolved_roles.stored, [request], self._reach)[0]

    def domains(self, part: Literal["subject", "resource", "action"]) -> list[str | None]:
        """The domains that a search for this part concerns; None where it concerns all."""
        if part == "resource":
            level = self._level()
            place = None if level is None else self._above(level)
            return [] if place is None else [place or None]
        resource = self._question.resource
        declared = self._policy.resource_types.get(resource.type)
        actions = (self._question.action.name,) if part == "subject" else declared.actions if declared else ()
        found = [domain_of(self._policy.roles, declared, action, resource) for action in actions]
        asked = dict.fromkeys(domain for domain in found if not isinstance(domain, BadDomain))
        return [domain for domain in asked if domain is not None or part == "subject"]

    def subjects(self, after: str = "", at_first: int = FIRST_PEOPLE) -> Iterator[str]:
        """The ids of the known subjects of the type, by code points.

        Known are those with a role assignment, in a group, or with stored properties that decisions look up.
        `at_first` is how many are likely to be asked for.
        """
        type_, resource = self._question.subject.type, self._question.resource
        declared = self._policy.resource_types.get(resource.type)
        domain = domain_of(self._policy.roles, declared, self._question.action.name, resource)
        if isinstance(domain, BadDomain) or fault_in_subject(type_, "x") is not None or self._lies_elsewhere():
            return
        candidates = candidates_among_subjects(self._policy, self._question, domain)
        first, prefix = subject_key(type_, after), subject_key(type_, "")
        are_stored = type_ in self._policy.stored_subjects
        runs = [iter(sorted(subject_key(type_, id_) for id_ in candidates.ids if id_ > after))]
        names, anyone, stored = self._by_what_is_stored(candidates)
        if anyone is not False:
            runs.append(subjects_of_type(self._engine, type_, first))
        elif names:
            runs.append(subjects_who_hold(self._engine, holders_of(self._policy.roles, domain, names), first))
        if are_stored and (sought := some([anyone, *stored])) is not False:
            wanted = Wanted("subject", type_, self._question.subject.properties, sought)
            found = entities_wanted(self._engine, self._policy.roles, wanted, after, at_first)
            runs.append(entity.name for entity in found)
        runs.append(entity.name for entity in self._written("subject", type_, after))
        of_type = takewhile(lambda key: key.startswith(prefix), (key for key, _ in groupby(heapq.merge(*runs))))
        people = what_they_hold(self._engine, of_type, self._now, at_first, with_nothing=are_stored)
        for id_, held, entity in self._with_stored(type_, people, at_first):
            if entity is None and held is NOTHING:
                continue
            if self._accounts is not None and not any(top_domain(where) in self._accounts for _, where in held.pairs):
                continue
            request = self._question._replace(subject=self._question.subject._replace(id=id_))
            request = joined(self._policy.roles, request, entity, None)
            if self._decide(request, EffectiveRoles.of_held(self._policy.roles, held)).allowed:
                yield id_

    def _by_what_is_stored(self, candidates: Candidates) -> tuple[frozenset[str], Filter, list[Filter]]:
        """The names and the filter of anyone to look for; and filters that only those take of whom something is stored.

        Of who has a name on a condition, those are looked for who meet the condition, where an index leads to few of them.
        """
        subject = self._question.subject
        names, anyone, stored = set(candidates.names), [candidates.anyone], list[Filter]()
        for name, condition in candidates.on_condition:
            wanted = Wanted("subject", subject.type, subject.properties, condition)
            is_few = few_by_value(self._engine, wanted, MOST_BY_VALUE)
            if is_few or (name == ANYONE and is_few is False):
                stored.append(condition)
            elif name == ANYONE:
                anyone.append(condition)
            else:
                names.add(name)
        return frozenset(names), some(anyone), stored

    def _with_stored(
        self, type_: str, people: Iterator[tuple[str, Held]], at_first: int
    ) -> Iterator[tuple[str, Held, Entity | None]]:
        """The ids of people with what they hold, and what is stored of them: read for many at once."""
        are_stored = type_ in self._policy.stored_subjects
        for read in in_steps(people, at_first):
            named = [(parts[1], held) for key, held in read if (parts := split_subject_key(key)) is not None]
            keys: list[EntityKey] = [("subject", type_, id_) for id_, _ in named] if are_stored else []
            if keys:
                self._resolved_roles.refresh()
            found = looked_up(self._policy, self._resolved_roles.stored, keys)
            for id_, held in named:
                yield id_, held, found.get(("subject", type_, id_))

    def resources(self, after: str = "", at_first: int = FIRST_ENTITIES) -> Iterator[str]:
        """The ids of the known resources of the type, by code points.

        Known are those that are stored, and the domains with a role assignment in them, where the type is one whose ids name
        domains; the domain above must be named by the properties. `at_first` is how many are likely to be asked for.
        """
        effective_roles = self._effective_roles()
        runs = [self._domains_in(effective_roles, after)]
        if self._question.resource.type in self._policy.stored_resources:
            runs.append(self._stored_resources(effective_roles, after, at_first))
        return (id_ for id_, _ in groupby(heapq.merge(*runs)))

    def _stored_resources(self, effective_roles: EffectiveRoles, after: str, at_first: int) -> Iterator[str]:
        question = self._question
        sent = question.resource.properties
        # What is sent of all is stored otherwise of some.
        open_ = question._replace(resource=question.resource._replace(properties={}))
        filter_ = filter_of(self._policy, effective_roles, open_)
        wanted = Wanted("resource", question.resource.type, sent, filter_, self._accounts)
        found = entities_wanted(self._engine, self._policy.roles, wanted, after, at_first)
        written = self._written("resource", question.resource.type, after) if filter_ is not False else []
        if written:
            only_stored = (entity for entity in found if entity.key not in self._policy.entities)
            found = heapq.merge(only_stored, written, key=attrgetter("id"))
        for entity in found:
            request = question._replace(resource=question.resource._replace(id=entity.id))
            decision = self._decide(joined(self._policy.roles, request, None, entity), effective_roles)
            if decision.allowed and (
                self._accounts is None or (decision.domain and top_domain(decision.domain) in self._accounts)
            ):
                yield entity.id

    def _written(self, kind: EntityKind, type_: str, after: str) -> list[Entity]:
        """Those of which files of the policies speak, behind an id, in order; they are few, and all may be answers."""
        written = self._policy.entities
        return [written[key].entity for key in sorted(written) if key[:2] == (kind, type_) and key[2] > after]

    def _domains_in(self, effective_roles: EffectiveRoles, after: str) -> Iterator[str]:
        level = self._level()
        place = None if level is None else self._above(level)
        if level is None or place is None:
            return
        needed = None
        # Of what is stored, more is known than the id.
        if self._question.resource.type not in self._policy.stored_resources:
            left = by_id_alone(filter_of(self._policy, effective_roles, self._question))
            if left is False:
                return
            needed = values_needed(left, RESOURCE_ID)
        ids: Iterator[str]
        if needed is not None:
            prefix = place + "/" if place else ""
            named = sorted(id_ for id_ in needed if id_ > after and fault_in_domain_id(id_) is None)
            ids = filter(lambda id_: is_known(self._engine, prefix + id_), iter(named))
        else:
            is_lowest = level.depth == len(self._policy.roles.levels)
            ids = ids_below(self._engine, place or None, after, is_lowest=is_lowest)
        for id_ in ids:
            if self._allows(self._question._replace(resource=self._question.resource._replace(id=id_)), effective_roles):
                yield id_

    def actions(self) -> Iterator[str]:
        """The names of the actions of the resource's type, in the order of the files."""
        declared = self._policy.resource_types.get(self._question.resource.type)
        if declared is None or self._lies_elsewhere():
            return
        effective_roles = self._effective_roles()
        for name in declared.actions:
            if self._allows(self._question._replace(action=self._question.action._replace(name=name)), effective_roles):
                yield name

    def _level(self) -> Level | None:
        """The level whose domains are named by the ids of the resources; None where they name none."""
        type_ = self._question.resource.type
        return next((level for level in self._policy.roles.levels if level.identified_by == type_), None)

    def _above(self, level: Level) -> str | None:
        """The domain above those of a level that the properties name, empty for the top level; None where they name none."""
        parts: list[str] = []
        for above in self._policy.roles.levels[: level.depth - 1]:
            part = above.constant
            if part is None and above.named_by is not None:
                value = self._question.resource.properties.get(above.named_by)
                part = value if isinstance(value, str) and fault_in_domain_id(value) is None else None
            if part is None:
                return None
            parts.append(part)
        return "/".join(parts)

    def _effective_roles(self) -> EffectiveRoles:
        subject = self._question.subject
        if fault_in_subject(subject.type, subject.id) is not None:
            return NOBODY
        self._resolved_roles.refresh()
        return self._resolved_roles.effective_roles_of(subject_key(subject.type, subject.id), self._now)

    def _lies_elsewhere(self) -> bool:
        """Whether the resource of the question is known to lie beyond the accounts."""
        return self._reach is not None and self._reach.excludes(self._policy, self._question)

    def _allows(self, request: Request, effective_roles: EffectiveRoles) -> bool:
        if self._has_stored:
            request = self._joined(request)
        return self._decide(request, effective_roles).allowed

    def _decide(self, request: Request, effective_roles: EffectiveRoles) -> Decision:
        return decide(self._policy, self._compiled, lambda _, domain: effective_roles.roles_in(domain), request)


def page_of(answers: Iterator[str], limit: int) -> tuple[list[str], bool]:
    """The first answers, and whether there are more."""
    found = list(islice(answers, limit + 1))
    return found[:limit], len(found) > limit
