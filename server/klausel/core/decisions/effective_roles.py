"""Effective roles: all the names (roles, `any` roles, `anyone`) under which grants reach a subject in a domain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from klausel.core.policy.assignment import effective_assignments
from klausel.core.policy.holding import Held, Untimely, Way
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of, is_joint, parts_of, top_domain

ROLES_OF_NOBODY = frozenset({ANYONE})
_NO_WAYS: Mapping[tuple[str, str], Way] = {}
_OWN = Way((), None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a name in a set of effective roles comes from: the role assignment and the chain from its role to the name.

    `groups` lead from the subject to the holder of the role assignment, which is the last of them; empty where the subject
    holds it itself. `ends` is when that is over.
    Of a joint name that is the first part; `beside` are those of the others.
    """

    role: str
    domain: str
    chain: tuple[str, ...]
    groups: tuple[str, ...] = ()
    ends: str | None = None
    beside: tuple[Source, ...] = ()


class EffectiveRoles:
    """One subject's role assignments, resolved for every domain that they say something about; immutable.

    `held` are those that count, `stored` also those whose roles do not; each through groups, too. `untimely` are the rows
    that do not count at this moment.
    """

    __slots__ = ("_in_domains", "_stored_inside", "_ways", "held", "stored", "untimely")

    def __init__(
        self,
        held: tuple[tuple[str, str], ...],
        in_domains: dict[str, frozenset[str]],
        stored: tuple[tuple[str, str], ...] | None = None,
        ways: Mapping[tuple[str, str], Way] = _NO_WAYS,
        untimely: tuple[Untimely, ...] = (),
    ) -> None:
        self.held = held
        self.stored = held if stored is None else stored
        self.untimely = untimely
        self._ways = ways
        self._in_domains = in_domains
        self._stored_inside: dict[str, tuple[tuple[str, str], ...]] = {}

    @classmethod
    def of_held(cls, roles: RoleModel, held: Held) -> EffectiveRoles:
        """The effective roles of a subject that holds this at a moment, with how it comes by it, and what is untimely."""
        effective = cls.of(roles, held.pairs)
        effective.untimely = held.untimely
        if held.ways:
            effective._ways = {(roles.name_now(role), domain): way for (role, domain), way in held.ways.items()}
            if roles.names_now:
                own = {(roles.name_now(role), domain) for role, domain in held.pairs if (role, domain) not in held.ways}
                effective._ways = {pair: way for pair, way in effective._ways.items() if pair not in own}
        return effective

    @classmethod
    def of(cls, roles: RoleModel, held: Iterable[tuple[str, str]]) -> EffectiveRoles:
        """The effective roles of a subject that holds these (role, domain) pairs; pairs that do not count are left out."""
        stored = tuple(held)
        counting = effective_assignments(roles, stored)
        # Sets: with roles in very many domains below one, a list would name the same few again and again, for each of them.
        names: dict[str, set[str]] = {}
        through: list[tuple[str, str]] = []
        if roles.places_of_links:
            through = [(inner, below) for pair in counting for inner, below, _ in roles.held_through(*pair)]
        for role, domain in (*counting, *through):
            names.setdefault(domain, set()).add(role)
            if "/" in domain:
                names.setdefault(top_domain(domain), set()).add(ANY_PREFIX + role)
        in_domains: dict[str, frozenset[str]] = {}
        for domain, here in names.items():
            together = set(here)
            above = domain.rpartition("/")[0]
            while above:
                together.update(names.get(above, ()))
                above = above.rpartition("/")[0]
            in_domains[domain] = roles.names_of(frozenset(together))
        return cls(tuple(counting), in_domains, stored if tuple(counting) != stored else None)

    def roles_in(self, domain: str | None) -> frozenset[str]:
        """All names held in a domain; `anyone` alone where the subject holds nothing, and for no domain (None)."""
        while domain:
            names = self._in_domains.get(domain)
            if names is not None:
                return names
            domain = domain.rpartition("/")[0]
        return ROLES_OF_NOBODY

    @property
    def named_domains(self) -> Collection[str]:
        """The domains in which other names may be held than in the one above them."""
        return self._in_domains.keys()

    def stored_inside(self, domain: str | None) -> tuple[tuple[str, str], ...]:
        """The `stored` pairs inside the domain of the top level that a domain lies in; nothing for no domain."""
        if domain is None:
            return ()
        top = top_domain(domain)
        inside = self._stored_inside.get(top)
        if inside is None:
            below = top + "/"
            inside = tuple(pair for pair in self.stored if pair[1] == top or pair[1].startswith(below))
            if inside:
                self._stored_inside[top] = inside
        return inside

    def inside(self, domain: str | None) -> EffectiveRoles:
        """The part of the effective roles inside the domain of the top level that a domain lies in; nothing for no domain."""
        top = None if domain is None else top_domain(domain)
        held = tuple((role, where) for role, where in self.held if top_domain(where) == top)
        in_domains = {where: names for where, names in self._in_domains.items() if top_domain(where) == top}
        untimely = tuple(one for one in self.untimely if one.row.is_membership or top_domain(one.row.domain) == top)
        return EffectiveRoles(held, in_domains, None, self._ways, untimely)

    def way_to(self, role: str, domain: str) -> Way:
        """Through which groups the subject comes by one of the `held`, and until when."""
        return self._ways.get((role, domain), _OWN)

    def source_of(self, roles: RoleModel, name: str, domain: str | None) -> Source | None:
        """How the subject comes by a name in a domain: shortest chain first, then the higher level, then by order.

        None for `anyone` and for a name that is not held there.
        """
        if domain is None:
            return None
        if is_joint(name):
            first, *others = [self.source_of(roles, part, domain) for part in parts_of(name)]
            beside = tuple(source for source in others if source is not None)
            return None if first is None or len(beside) < len(others) else replace(first, beside=beside)
        sources = []
        for holder, held_in in self.held:
            given = [(holder, held_in, (holder,)), *roles.held_through(holder, held_in)]
            for role, where, above in given:
                start = role
                if not (domain == where or domain.startswith(where + "/")):
                    if top_domain(where) != top_domain(domain) or depth_of(where) == 1:
                        continue
                    start = ANY_PREFIX + role
                chain = roles.chain(start, name)
                if chain:
                    way = self.way_to(holder, held_in)
                    whole = (*above, *(chain[1:] if start == role else chain))
                    sources.append(Source(holder, held_in, whole, way.groups, way.ends))
        return min(sources, key=lambda source: (len(source.chain), depth_of(source.domain), source.domain), default=None)


NOBODY = EffectiveRoles((), {})
