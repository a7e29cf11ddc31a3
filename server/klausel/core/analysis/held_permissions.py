"""What held roles give, for very many people: worked out once for each kind of domain that the rules tell apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain, product
from typing import Any, NamedTuple

from klausel.core.analysis.permission import Permission, Question, question_in
from klausel.core.analysis.question_space import atoms_about_parts, domains_and_atoms, made_up_id, parts_in_atoms
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.holding import Pairs
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANYONE, depth_of
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.places import EVERY

MOST_KEPT = 50_000

Thing = tuple[str, str]
Things = frozenset[Thing]
"""Actions, each behind its resource type."""
_Shape = tuple[str | None, ...]


class Given(NamedTuple):
    """What a role held in a domain gives by itself: there and below it, and elsewhere under the same top domain."""

    inside: Things
    elsewhere: Things


class BothAllowed(NamedTuple):
    """Somebody may do both things that an invariant keeps apart, each in some case, in a domain or somewhere below it.

    `asked` is the domain itself, or a made-up one below it that stands for all of its kind.
    """

    invariant: Invariant
    domain: str
    asked: str
    permissions: tuple[Permission, Permission]


class HeldPermissions:
    """Answers what roles give under a policy set, by what `klausel what-can` asks.

    Domains have one answer where no rule tells them apart: those of one depth, unless a place or a condition names a part.
    """

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        roles = policy.roles
        domains, atoms = domains_and_atoms(policy.grants)
        scopes = (one.scope.domain for one in policy.invariants if one.scope.domain is not None)
        self._places = [place.split("/") for place in dict.fromkeys((*domains, *scopes, *roles.places_of_links))]
        compared: dict[str, set[str]] = {}
        atoms = tuple(atoms_about_parts(roles, atoms))
        for resource_type in policy.resource_types:
            for level, ids in parts_in_atoms(roles, resource_type, atoms).items():
                compared.setdefault(level, set()).update(ids)
        self._named = {part for place in self._places for part in place if part != EVERY}.union(*compared.values())
        others = [level.constant or made_up_id(level.name, self._named) for level in roles.levels]
        self._ids = [
            (level.constant,) if level.constant is not None else (other, *sorted(compared.get(level.name, ())))
            for level, other in zip(roles.levels, others, strict=True)
        ]
        self._here = [made_up_id(level.name, {*self._named, *others}) for level in roles.levels]
        self._apart = [one for one in policy.invariants if one.kind in ("separate", "toxic") and one.things]
        self._privileged = {(one.name, action) for one in policy.resource_types.values() for action in one.privileged}
        self._given: dict[tuple[str, _Shape], Given] = {}
        self._questions: dict[tuple[Thing, _Shape], Question | None] = {}
        self._may: dict[object, bool] = {}
        self._reasons: dict[tuple[str, _Shape], tuple[list[str], list[str]]] = {}
        self.has_privileged = bool(self._privileged) or any(role.is_privileged for role in roles.roles.values())
        """Whether a role or an action is declared as privileged."""

        self._both: dict[tuple[int, Collection[str], _Shape], bool] = {}

    def may_do_both(self, pairs: Pairs) -> bool:
        """Whether `both_allowed` can find anything about somebody who holds these pairs; answered from memory for most people.

        People hold the same roles in other domains: what no rule names of these is numbered.
        """
        if not self._apart:
            return False
        numbers: dict[str, int] = {}
        key = tuple(
            [
                (
                    role,
                    tuple(
                        [
                            part if part in self._named else numbers.setdefault(part, len(numbers))
                            for part in domain.split("/")
                        ]
                    ),
                )
                for role, domain in pairs
            ]
        )
        may = self._may.get(key)
        if may is None:
            _make_room(self._may)
            roles = EffectiveRoles.of(self._policy.roles, pairs)
            may = self._may[key] = any(
                next(self._both_in(number, invariant, None, roles, lambda _: True), None) is not None
                for number, invariant in enumerate(self._apart)
            )
        return may

    def privileged_by(self, role: str, domain: str) -> tuple[list[str], list[str]]:
        """The privileged roles that a held role is or contains, and the privileged actions that it gives, in words."""
        key = (role, self._shape(domain))
        if key not in self._reasons:
            _make_room(self._reasons)
            self._reasons[key] = self._find_privileged(role, domain)
        return self._reasons[key]

    def _find_privileged(self, role: str, domain: str) -> tuple[list[str], list[str]]:
        roles = self._policy.roles
        contained = sorted(name for name in roles.reach[role] if name in roles.roles and roles.roles[name].is_privileged)
        given = self.given_by(role, domain) if self._privileged else Given(frozenset(), frozenset())
        things = sorted((given.inside | given.elsewhere) & self._privileged)
        return contained, [f"{action} {resource_type}" for resource_type, action in things]

    def given_by(self, role: str, domain: str) -> Given:
        """What a role, by the name that it has now, gives by itself where it is held in a domain."""
        shape = self._shape(domain)
        given = self._given.get((role, shape))
        if given is None:
            _make_room(self._given)
            # An id of its own, so that it is none of those made up for what lies aside of it.
            here = "/".join(part or self._here[depth] for depth, part in enumerate(shape))
            given = self._given[role, shape] = self._find_given(role, here)
        return given

    def both_allowed(
        self, subject: str, effective_roles: EffectiveRoles, is_wanted: Callable[[str], bool] = lambda _: True
    ) -> Iterator[BothAllowed]:
        """The pairs of things, kept apart by an invariant, of which a subject may do both; each once, at the first domain.

        Domains where the subject holds something come first. Only those are looked at that are wanted.
        """
        who = split_subject_key(subject)
        if who is None:
            return
        for number, invariant in enumerate(self._apart):
            found = next(self._both_in(number, invariant, who, effective_roles, is_wanted), None)
            if found is not None:
                yield found

    def _both_in(
        self,
        number: int,
        invariant: Invariant,
        who: tuple[str, str] | None,
        effective_roles: EffectiveRoles,
        is_wanted: Callable[[str], bool],
    ) -> Iterator[BothAllowed]:
        domains = sorted(effective_roles.named_domains)
        below = ((domain, asked) for domain in domains for asked in self._at_and_below(domain) if asked != domain)
        for domain, asked in chain(zip(domains, domains, strict=True), below):
            if is_wanted(asked):
                names = effective_roles.roles_in(asked)
                key = (number, names, self._shape(asked))
                may = self._both.get(key)
                if may is None:
                    _make_room(self._both)
                    may = self._both[key] = self._permissions(invariant, asked, names, None) is not None
                # What somebody with these roles may, this one need not: conditions can name ids.
                found = self._permissions(invariant, asked, names, who) if may else None
                if found is not None:
                    yield BothAllowed(invariant, domain, asked, found)

    def _permissions(
        self, invariant: Invariant, domain: str, names: Collection[str], subject: tuple[str, str] | None
    ) -> tuple[Permission, Permission] | None:
        if not invariant.scope.covers(domain, self._policy.roles):
            return None
        found: list[Permission] = []
        for thing in invariant.things:
            asked = (thing.resource_type, thing.action)
            question = self._question(asked, domain)
            if subject is not None and question is not None and question.ids_differ:
                # An id may be compared with a part of the very domain.
                question = self._ask(asked, domain)
            # What is asked further up is asked in a domain of its own.
            if question is None or question.domain is None or depth_of(question.domain) != depth_of(domain):
                return None
            found.append(question.permission(names, subject))
            if found[-1].verdict == "never":
                return None
        return found[0], found[1]

    def _find_given(self, role: str, domain: str) -> Given:
        roles = self._policy.roles
        inside: set[Thing] = set()
        elsewhere: set[Thing] = set()
        parts = domain.split("/")
        above = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        candidates = list(dict.fromkeys(asked for place in above for asked in self._at_and_below(place)))
        for thing in self._policy.questions:
            for candidate in candidates:
                question = self._question(thing, candidate)
                if question is None or question.domain is None or depth_of(question.domain) != depth_of(candidate):
                    continue
                is_inside = candidate == domain or candidate.startswith(domain + "/")
                if thing not in (inside if is_inside else elsewhere):
                    names = roles.with_joint(roles.names_given(role, domain, candidate) | {ANYONE})
                    if question.permission(names).verdict != "never" and question.permission({ANYONE}).verdict == "never":
                        (inside if is_inside else elsewhere).add(thing)
        return Given(frozenset(inside), frozenset(elsewhere))

    def _at_and_below(self, domain: str) -> Iterator[str]:
        """A domain, and of all below it one for each shape."""
        parts = domain.split("/")
        depth = len(parts)
        yield domain
        if depth >= len(self._ids):
            return
        found: dict[str, None] = {}
        for place in ([], *self._places):
            if any(part not in (EVERY, id_) for part, id_ in zip(place, parts, strict=False)):
                continue
            fixed = place[depth:]
            ids = [ids if part == EVERY else (part,) for part, ids in zip(fixed, self._ids[depth:], strict=False)]
            ids += self._ids[depth + len(fixed) :]
            for length in range(1, len(ids) + 1):
                found.update(("/".join((domain, *below)), None) for below in product(*ids[:length]))
        yield from found

    def _question(self, thing: Thing, domain: str) -> Question | None:
        key = (thing, self._shape(domain))
        if key not in self._questions:
            _make_room(self._questions)
            self._questions[key] = self._ask(thing, domain)
        return self._questions[key]

    def _ask(self, thing: Thing, domain: str) -> Question | None:
        found = question_in(self._policy, *thing, domain)
        return found if isinstance(found, Question) else None

    def _shape(self, domain: str) -> _Shape:
        return tuple([part if part in self._named else None for part in domain.split("/")])


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= MOST_KEPT:
        kept.clear()
