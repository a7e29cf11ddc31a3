"""Searches: which subjects, which resources and which actions; every answer is one that `decide` allows, and none is missing.

What can be an answer is found from the grants, by indexes; each is then decided like any other question.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from time import monotonic
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
from klausel.service.search_pages import Look, Page, merged, page_of
from klausel.service.stored_properties import join_all, looked_up, reach_of
from klausel.storage.assignments.holders import ids_below, is_known, subjects_of_type, subjects_who_hold, what_they_hold
from klausel.storage.entities.finding import FIRST_ENTITIES, Step, steps_of_wanted
from klausel.storage.entities.narrowing import Wanted, few_by_value

MOST_BY_VALUE = 500
"""Up to so many subjects are looked at one by one because of what is stored of them, whatever they hold."""
MOST_PEOPLE = 500
"""Of so many is read at once what they hold and what is stored of them."""
Part = Literal["subject", "resource", "action"]


class Search:
    """One search, answered by the policy set in force and at the time when it begins.

    With `accounts` only subjects are found that hold something in these domains of the top level. The open part of the
    question has an empty id or name. Making one raises `PoliciesTooOld` and `StorageError`; a page raises `StorageError`.
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

    def domains(self, part: Part) -> list[str | None]:
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

    def page(
        self, part: Part, limit: int, after: str = "", at_first: int = FIRST_ENTITIES, seconds: float | None = None
    ) -> Page:
        """The answers behind an id, or a name of an action: so many at most, and those that are found in so many seconds.

        Subjects and resources come by code points, actions in the order of the files. Subjects are known that have a role
        assignment, are in a group, or have stored properties that decisions look up; resources that are stored, and domains with
        a role assignment in them, where the type is one whose ids name domains: the domain above must be named by the
        properties. `at_first` is how many are likely to be asked for.
        """
        ends = None if seconds is None else monotonic() + seconds
        if part == "action":
            names = list(self.actions())
            start = names.index(after) + 1 if after in names else 0
            return page_of(map(Look, names[start:]), limit, after)
        looks = self._subjects(after, at_first) if part == "subject" else self._resources(after, at_first)
        return page_of(looks, limit, after, ends)

    def _subjects(self, after: str, at_first: int) -> Iterator[Look]:
        type_, resource = self._question.subject.type, self._question.resource
        declared = self._policy.resource_types.get(resource.type)
        domain = domain_of(self._policy.roles, declared, self._question.action.name, resource)
        if isinstance(domain, BadDomain) or fault_in_subject(type_, "x") is not None or self._lies_elsewhere():
            return
        candidates = candidates_among_subjects(self._policy, self._question, domain)
        first, prefix = subject_key(type_, after), subject_key(type_, "")
        are_stored = type_ in self._policy.stored_subjects
        names, anyone, stored = self._by_what_is_stored(candidates)
        keys: list[Iterator[str]] = [iter(sorted(subject_key(type_, id_) for id_ in candidates.ids if id_ > after))]
        if anyone is not False:
            keys.append(subjects_of_type(self._engine, type_, first))
        elif names:
            keys.append(subjects_who_hold(self._engine, holders_of(self._policy.roles, domain, names), first))
        keys.append(entity.name for entity in self._written("subject", type_, after))
        of_type = takewhile(lambda key: key.startswith(prefix), heapq.merge(*keys))
        runs = [(Look(key[len(prefix) :]) for key in of_type)]
        if are_stored and (sought := some([anyone, *stored])) is not False:
            wanted = Wanted("subject", type_, self._question.subject.properties, sought)
            steps = steps_of_wanted(self._engine, self._policy.roles, wanted, after, at_first)
            runs.append(Look(id_, entity is None) for id_, entity in _in_order(steps))
        for id_, held, entity in self._people(type_, merged(*runs), at_first):
            yield Look(id_, held is None or not self._allows_subject(id_, held, entity))

    def _people(self, type_: str, looks: Iterator[Look], at_first: int) -> Iterator[tuple[str, Held | None, Entity | None]]:
        """The ids of people with what they hold, and what is stored of them: read for many at once. None for what is passed."""
        are_stored = type_ in self._policy.stored_subjects
        size = at_first
        while batch := _up_to_a_pass(looks, size):
            named = [look.id for look in batch if not look.is_passed]
            of_key = what_they_hold(
                self._engine, (subject_key(type_, id_) for id_ in named), self._now, size, with_nothing=are_stored
            )
            held = {parts[1]: held for key, held in of_key if (parts := split_subject_key(key)) is not None}
            found: Mapping[EntityKey, Entity] = {}
            if are_stored and held:
                self._resolved_roles.refresh()
                found = looked_up(self._policy, self._resolved_roles.stored, [("subject", type_, id_) for id_ in held])
            for look in batch:
                yield look.id, None if look.is_passed else held.get(look.id), found.get(("subject", type_, look.id))
            size = min(5 * size, MOST_PEOPLE)

    def _allows_subject(self, id_: str, held: Held, entity: Entity | None) -> bool:
        if entity is None and held is NOTHING:
            return False
        if self._accounts is not None and not any(top_domain(where) in self._accounts for _, where in held.pairs):
            return False
        request = self._question._replace(subject=self._question.subject._replace(id=id_))
        request = joined(self._policy.roles, request, entity, None)
        return self._decide(request, EffectiveRoles.of_held(self._policy.roles, held)).allowed

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

    def _resources(self, after: str, at_first: int) -> Iterator[Look]:
        effective_roles = self._effective_roles()
        runs = [self._domains_in(effective_roles, after)]
        if self._question.resource.type in self._policy.stored_resources:
            runs.append(self._stored_resources(effective_roles, after, at_first))
        return merged(*runs)

    def _stored_resources(self, effective_roles: EffectiveRoles, after: str, at_first: int) -> Iterator[Look]:
        question = self._question
        sent = question.resource.properties
        # What is sent of all is stored otherwise of some.
        open_ = question._replace(resource=question.resource._replace(properties={}))
        filter_ = filter_of(self._policy, effective_roles, open_)
        wanted = Wanted("resource", question.resource.type, sent, filter_, self._accounts)
        found = _in_order(steps_of_wanted(self._engine, self._policy.roles, wanted, after, at_first))
        written = self._written("resource", question.resource.type, after) if filter_ is not False else []
        if written:
            only_stored = (one for one in found if one[1] is None or one[1].key not in self._policy.entities)
            of_files = ((entity.id, entity) for entity in written)
            # What is passed up to an id comes behind what has this id.
            found = heapq.merge(only_stored, of_files, key=lambda one: (one[0], one[1] is None))
        for id_, entity in found:
            yield Look(id_, entity is None or not self._allows_stored(entity, effective_roles))

    def _allows_stored(self, entity: Entity, effective_roles: EffectiveRoles) -> bool:
        question = self._question
        request = question._replace(resource=question.resource._replace(id=entity.id))
        decision = self._decide(joined(self._policy.roles, request, None, entity), effective_roles)
        lies_in = top_domain(decision.domain) if decision.domain else None
        return decision.allowed and (self._accounts is None or lies_in in self._accounts)

    def _written(self, kind: EntityKind, type_: str, after: str) -> list[Entity]:
        """Those of which files of the policies speak, behind an id, in order; they are few, and all may be answers."""
        written = self._policy.entities
        return [written[key].entity for key in sorted(written) if key[:2] == (kind, type_) and key[2] > after]

    def _domains_in(self, effective_roles: EffectiveRoles, after: str) -> Iterator[Look]:
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
        ids: Iterable[str]
        if needed is not None:
            ids = sorted(id_ for id_ in needed if id_ > after and fault_in_domain_id(id_) is None)
        else:
            is_lowest = level.depth == len(self._policy.roles.levels)
            ids = ids_below(self._engine, place or None, after, is_lowest=is_lowest)
        prefix = place + "/" if place else ""
        for id_ in ids:
            asked = self._question._replace(resource=self._question.resource._replace(id=id_))
            is_there = needed is None or is_known(self._engine, prefix + id_)
            yield Look(id_, not (is_there and self._allows(asked, effective_roles)))

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


def _in_order(steps: Iterable[Step]) -> Iterator[tuple[str, Entity | None]]:
    """The stored entities with their ids; None behind each step, with the id up to which there are no others."""
    for entities, passed in steps:
        for entity in entities:
            yield entity.id, entity
        if passed is not None:
            yield passed, None


def _up_to_a_pass(looks: Iterator[Look], most: int) -> list[Look]:
    """The next looks up to the first that is only passed, and so many at most: to find more may take long."""
    found = []
    for look in islice(looks, most):
        found.append(look)
        if look.is_passed:
            break
    return found
