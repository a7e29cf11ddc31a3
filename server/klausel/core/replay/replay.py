"""Replay: a recorded decision under another policy, with the role assignments of then; what is not known is not guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from klausel.core.conditions.tree import OWN_ATTRIBUTES, Attribute, Condition, atoms, attributes_of, evaluate
from klausel.core.conditions.values import read_time
from klausel.core.decisions.decide import Decision, Plan, decide
from klausel.core.decisions.effective_roles import ROLES_OF_NOBODY, EffectiveRoles
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import top_domain
from klausel.core.records.recorded import Pairs, Pointer, Recorded
from klausel.core.terms.masking import pointer_text
from klausel.core.terms.request import Request, asked_at

MOST_ROLE_COMBINATIONS = 100_000


class NotKnown(Exception):
    """The record does not hold what the policy would need; the message is a sentence without values of the record."""


class Question(NamedTuple):
    """What decides whether something masked matters."""

    resource_type: str
    action: str
    masked: tuple[Pointer, ...]


class Replay:
    """Decides recorded questions under one policy. For one thread at a time."""

    def __init__(self, policy: PolicySet, plan: Plan) -> None:
        self._policy = policy
        self._plan = plan
        self._resolved_roles: dict[Pairs, EffectiveRoles] = {}
        self._readers: dict[Question, Mapping[int, str]] = {}

    def decide(self, recorded: Recorded) -> Decision:
        """The decision under this policy; raises NotKnown. The record must hold a question."""
        request = recorded.request
        assert request is not None
        if self._policy.uses_now:
            now = read_time(recorded.now)
            if now is None:
                raise NotKnown("the record does not say at which time it was asked")
            request = asked_at(request, now)
        return self._decide(recorded, request)

    def _decide(self, recorded: Recorded, request: Request) -> Decision:
        roles_held = partial(self._roles_held, recorded)
        if not recorded.masked:
            return decide(self._policy, self._plan, roles_held, request)
        readers = self._readers_of_masked(recorded)
        plan = _CarefulPlan(self._policy, readers) if readers else self._plan
        return decide(self._policy, plan, roles_held, request)

    def effective_roles_of(self, held: Pairs) -> EffectiveRoles:
        """The effective roles under this policy of somebody with these role assignments."""
        effective_roles = self._resolved_roles.get(held)
        if effective_roles is None:
            if len(self._resolved_roles) >= MOST_ROLE_COMBINATIONS:
                self._resolved_roles.clear()
            effective_roles = self._resolved_roles[held] = EffectiveRoles.of(self._policy.roles, held)
        return effective_roles

    def _roles_held(self, recorded: Recorded, _: str, domain: str | None) -> frozenset[str]:
        if domain is None:
            return ROLES_OF_NOBODY
        if recorded.held is None:
            raise NotKnown("the role assignments were not read then")
        if recorded.domain is None or top_domain(recorded.domain) != top_domain(domain):
            raise NotKnown(
                "these policies ask it in another domain of the top level, whose role assignments are not recorded"
            )
        return self.effective_roles_of(recorded.held).roles_in(domain)

    def _readers_of_masked(self, recorded: Recorded) -> Mapping[int, str]:
        """The places of the grants whose conditions read something masked, each with what it reads."""
        assert recorded.request is not None
        resource = recorded.request.resource
        question = Question(resource.type, recorded.request.action.name, recorded.masked)
        readers = self._readers.get(question)
        if readers is None:
            self._check_domain(question)
            if len(self._readers) >= MOST_ROLE_COMBINATIONS:
                self._readers.clear()
            readers = self._readers[question] = dict(self._find_readers(question))
        return readers

    def _check_domain(self, question: Question) -> None:
        for level in self._policy.roles.levels:
            if level.constant is not None:
                continue
            naming: list[Pointer] = []
            if level.named_by is not None:
                naming.append(("resource", "properties", level.named_by))
            if level.identified_by == question.resource_type:
                naming.append(("resource", "id"))
            for pointer in naming:
                if _touches(pointer, question.masked):
                    raise NotKnown(f"{pointer_text(pointer)} is masked, and names the {level.name}")

    def _find_readers(self, question: Question) -> Iterator[tuple[int, str]]:
        asked = (question.resource_type, question.action)
        for place, grant in enumerate(self._policy.grants):
            if (grant.resource_type, grant.action) == asked and grant.condition is not None:
                read = [pointer for pointer in _pointers_in(grant.condition) if _touches(pointer, question.masked)]
                if read:
                    yield place, " and ".join(map(pointer_text, dict.fromkeys(read)))


class _CarefulPlan:
    """Decides like any plan, without the conditions that read something masked; raises NotKnown where they matter."""

    def __init__(self, policy: PolicySet, readers: Mapping[int, str]) -> None:
        self._policy = policy
        self._readers = readers

    def decide(self, request: Request, domain: str | None) -> tuple[bool, int | None]:
        """See `klausel.core.decisions.decide.Plan`."""
        reaching = [place for place, grant in enumerate(self._policy.grants) if self._reaches(grant, request, domain)]
        denies = [place for place in reaching if self._policy.grants[place].effect == "deny"]
        allows = [place for place in reaching if self._policy.grants[place].effect == "allow"]
        denied_by, allowed_by = self._first(denies, request), self._first(allows, request)
        if denied_by is not None:
            return False, denied_by
        hidden = [place for place in reaching if place in self._readers]
        hidden_allow = any(self._policy.grants[place].effect == "allow" for place in hidden)
        if allowed_by is None and not hidden_allow:
            return False, None
        if allowed_by is not None and not any(place in self._readers for place in denies):
            return True, allowed_by
        raise NotKnown(f"{self._readers[hidden[0]]} is masked, and a condition reads it")

    def _first(self, places: Iterable[int], request: Request) -> int | None:
        grants = self._policy.grants
        return next((place for place in places if place not in self._readers and _holds(grants[place], request)), None)

    def _reaches(self, grant: Grant, request: Request, domain: str | None) -> bool:
        return (
            grant.resource_type == request.resource.type
            and grant.action == request.action.name
            and grant.reaches(request.subject.roles, domain, self._policy.roles)
        )


def _holds(grant: Grant, request: Request) -> bool:
    return grant.holds(evaluate(grant.condition, request) if grant.condition else True)


def _pointers_in(condition: Condition) -> Iterator[Pointer]:
    for atom in atoms(condition):
        yield from map(_pointer_of, attributes_of(atom))


def _pointer_of(attribute: Attribute) -> Pointer:
    root, path = attribute.root, attribute.path
    if root == "context" or (len(path) == 1 and path[0] in OWN_ATTRIBUTES[root]):
        return (root, *path)
    return (root, "properties", *path)


def _touches(pointer: Pointer, masked: Iterable[Pointer]) -> bool:
    """Whether a value at a pointer is masked, as a whole, in a part, or as a part of something."""
    return any(pointer[: len(other)] == other[: len(pointer)] for other in masked)
