"""Effective roles: all the names (roles, `any` roles, `anyone`) under which grants reach a subject in a domain."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from klausel.core.policy.assignment import effective_assignments
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of, top_domain

ROLES_OF_NOBODY = frozenset({ANYONE})


@dataclass(frozen=True, slots=True)
class Source:
    """Where a name in a set of effective roles comes from: the role assignment and the chain from its role to the name."""

    role: str
    domain: str
    chain: tuple[str, ...]


class EffectiveRoles:
    """One subject's role assignments, resolved for every domain that they say something about; immutable.

    `held` are those that count, `stored` also those that do not.
    """

    __slots__ = ("_in_domains", "_stored_inside", "held", "stored")

    def __init__(
        self,
        held: tuple[tuple[str, str], ...],
        in_domains: dict[str, frozenset[str]],
        stored: tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        self.held = held
        self.stored = held if stored is None else stored
        self._in_domains = in_domains
        self._stored_inside: dict[str, tuple[tuple[str, str], ...]] = {}

    @classmethod
    def of(cls, roles: RoleModel, held: Iterable[tuple[str, str]]) -> EffectiveRoles:
        """The effective roles of a subject that holds these (role, domain) pairs; pairs that do not count are left out."""
        stored = tuple(held)
        counting = effective_assignments(roles, stored)
        names: dict[str, list[str]] = {}
        for role, domain in counting:
            names.setdefault(domain, []).append(role)
            if "/" in domain:
                names.setdefault(top_domain(domain), []).append(ANY_PREFIX + role)
        in_domains: dict[str, frozenset[str]] = {}
        for domain, here in names.items():
            together = list(here)
            above = domain.rpartition("/")[0]
            while above:
                together += names.get(above, ())
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
        return EffectiveRoles(held, {where: names for where, names in self._in_domains.items() if top_domain(where) == top})

    def source_of(self, roles: RoleModel, name: str, domain: str | None) -> Source | None:
        """How the subject comes by a name in a domain: shortest chain first, then the higher level, then by order.

        None for `anyone` and for a name that is not held there.
        """
        if domain is None:
            return None
        sources = []
        for role, where in self.held:
            start = role
            if not (domain == where or domain.startswith(where + "/")):
                if top_domain(where) != top_domain(domain) or depth_of(where) == 1:
                    continue
                start = ANY_PREFIX + role
            chain = roles.chain(start, name)
            if chain:
                sources.append(Source(role, where, chain if start == role else (role, *chain)))
        return min(sources, key=lambda source: (len(source.chain), depth_of(source.domain), source.domain), default=None)


NOBODY = EffectiveRoles((), {})
