"""Levels and roles: what `policies/roles.yaml` declares, and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Place

ANYONE = "anyone"
ANY_PREFIX = "any "
JOINT_PREFIX = "all of "
_JOINED_BY = " and "
LONGEST_CHAIN = 10
MOST_COMBINATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Level:
    """One level of domains, such as `account` or `workspace`; `depth` is 1 for the top level.

    A request names it by the property `named_by` of its resource, by the id of a resource of type `identified_by`,
    or not at all, when `constant` is its one domain.
    """

    name: str
    depth: int
    named_by: str | None
    identified_by: str | None
    constant: str | None
    requires_role_above: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Role:
    """One role: its level, the roles that it contains directly, and whether a domain with people must keep a holder.

    `was` are the names that it had before: role assignments that were stored under them count as this role. `contains_in` are
    roles of lower levels that it contains in one domain alone, with that: a place whose parts below its own level are ids.
    Whoever holds a role that `is_privileged` is listed by `klausel findings`; it decides nothing.
    """

    name: str
    level: str
    contains: tuple[str, ...]
    keep_one: bool
    place: Place
    was: tuple[str, ...] = ()
    contains_in: tuple[tuple[str, str], ...] = ()
    is_privileged: bool = False


@dataclass(frozen=True)
class RoleModel:
    """The levels, top first, and the roles, in the order of the file; immutable, without cycles, all names known.

    `separate` are pairs of roles that no one subject may hold inside one domain of the top level. `joint` are the grantees that
    stand for whoever holds several names together; `parts_of` has these.
    """

    levels: tuple[Level, ...]
    roles: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))
    separate: tuple[tuple[str, str], ...] = ()
    joint: frozenset[str] = frozenset()

    def level_of(self, role: str) -> Level:
        """The level of a declared role; KeyError for another name."""
        return self._levels_by_name[self.roles[role].level]

    def level_at(self, depth: int) -> Level | None:
        """The level of domains with `depth` parts; None when there is none."""
        return self.levels[depth - 1] if 1 <= depth <= len(self.levels) else None

    def level_named(self, name: str) -> Level | None:
        """The level with this name; None when there is none."""
        return self._levels_by_name.get(name)

    def form_of_domains(self, depth: int | None = None) -> str:
        """How people write a domain of so many levels (None: of all): `account/workspace`, a constant one as it is."""
        return "/".join(level.constant or level.name for level in self.levels[:depth])

    def is_earned_anywhere(self, role: str) -> bool:
        """Whether `any <role>` exists: the role is declared and its level has another above it."""
        return role in self.roles and self.level_of(role).depth > 1

    @cached_property
    def earned_anywhere(self) -> tuple[str, ...]:
        """The roles of which there is an `any` form."""
        return tuple(filter(self.is_earned_anywhere, self.roles))

    @cached_property
    def _levels_by_name(self) -> Mapping[str, Level]:
        return {level.name: level for level in self.levels}

    def name_now(self, stored: str) -> str:
        """The role that a role in a stored role assignment counts as: the one that had this name, else itself."""
        return self.names_now.get(stored, stored)

    def stored_names(self, role: str) -> tuple[str, ...]:
        """The names under which assignments of a role may be stored: its own, and those that it had."""
        return (role, *self.roles[role].was)

    def names_of_one(self, name: str) -> tuple[str, ...]:
        """All names of the role that a name, of today or of before, is the name of; the name alone, where there is none."""
        now = self.name_now(name)
        return self.stored_names(now) if now in self.roles else (name,)

    @cached_property
    def names_now(self) -> Mapping[str, str]:
        """The role that each former name is the name of."""
        return {old: role.name for role in self.roles.values() for old in role.was}

    @cached_property
    def stored_depths(self) -> Mapping[str, int]:
        """The depth of the level of each role, by every name under which it may be stored."""
        return {old: self.depths[name] for name in self.roles for old in self.stored_names(name)}

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """The depth of the level of each role."""
        return {name: self.level_of(name).depth for name in self.roles}

    def names_of(self, held: frozenset[str]) -> frozenset[str]:
        """All names that these roles and `any` roles stand for together, and `anyone`; one value for the same names held."""
        names = self._names_together.get(held)
        if names is None:
            names = self.with_joint(frozenset({ANYONE}).union(*(self.closure[name] for name in held)))
            if len(self._names_together) >= MOST_COMBINATIONS:
                self._names_together.clear()
            self._names_together[held] = names
        return names

    def with_joint(self, names: frozenset[str]) -> frozenset[str]:
        """These names, and the joint ones of which all parts are among them."""
        if not self.joint:
            return names
        return names.union(joint for joint in self.joint if names.issuperset(parts_of(joint)))

    def with_parts(self, names: Iterable[str]) -> frozenset[str]:
        """These names, and the parts of the joint ones among them."""
        return frozenset(name for one in names for name in (one, *parts_of(one)))

    @cached_property
    def _names_together(self) -> dict[frozenset[str], frozenset[str]]:
        return {}

    @cached_property
    def inheritance(self) -> Mapping[str, tuple[str, ...]]:
        """What each grantee name contains directly: roles their roles and their own `any` form, `any` roles theirs."""
        links: dict[str, tuple[str, ...]] = {}
        for role in self.roles.values():
            anywhere = (ANY_PREFIX + role.name,) if self.is_earned_anywhere(role.name) else ()
            links[role.name] = role.contains + anywhere
            if anywhere:
                links[anywhere[0]] = tuple(ANY_PREFIX + name for name in role.contains if self.is_earned_anywhere(name))
        return MappingProxyType(links)

    @cached_property
    def closure(self) -> Mapping[str, frozenset[str]]:
        """All names that each role or `any` role stands for, itself included."""
        return MappingProxyType({name: frozenset(self._chains(name)) for name in self.inheritance})

    @cached_property
    def places_of_links(self) -> tuple[str, ...]:
        """The places in which alone a role contains another."""
        return tuple(dict.fromkeys(place for role in self.roles.values() for _, place in role.contains_in))

    @cached_property
    def reach(self) -> Mapping[str, frozenset[str]]:
        """All names that each role may stand for anywhere: those of `closure`, and of the roles that it contains in one place."""
        if not self.places_of_links:
            return self.closure
        found = dict(self.closure)
        for name in sorted(self.roles, key=lambda name: -self.depths[name]):
            inner = [role for role in self.closure[name] if role in self.roles]
            found[name] = found[name].union(*(found[one] for role in inner for one, _ in self.roles[role].contains_in))
        return MappingProxyType(found)

    def held_through(self, role: str, domain: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """The roles that a role held in a domain contains in one place below it: each with that domain, and the chain to it."""
        if not self.places_of_links:
            return ()
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        waiting: list[tuple[str, str, tuple[str, ...]]] = [(role, domain, (role,))]
        while waiting:
            holder, where, chain = waiting.pop()
            for name in self.roles:
                if name not in self.closure[holder]:
                    continue
                for inner, place in self.roles[name].contains_in:
                    below = _domain_below(where, place)
                    if below is not None and (inner, below) not in found:
                        found[inner, below] = (*chain, *self.chain(holder, name)[1:], inner)
                        waiting.append((inner, below, found[inner, below]))
        return tuple((inner, below, chain) for (inner, below), chain in found.items())

    def names_given(self, role: str, place: str, domain: str) -> frozenset[str]:
        """All names that a role held in one domain gives in another: at or below it, and elsewhere below the same top."""
        names: frozenset[str] = frozenset()
        for held, where in ((role, place), *((inner, below) for inner, below, _ in self.held_through(role, place))):
            if domain == where or domain.startswith(where + "/"):
                names |= self.closure[held]
            if "/" in where and top_domain(where) == top_domain(domain):
                names |= self.closure[ANY_PREFIX + held]
        return names

    def chain(self, holder: str, wanted: str) -> tuple[str, ...]:
        """The shortest inheritance chain from one name to another, both included; empty when there is none."""
        if is_joint(wanted):
            return (holder, wanted) if self.closure[holder].issuperset(parts_of(wanted)) else ()
        return self._chains(holder).get(wanted, ())

    def _chains(self, start: str) -> dict[str, tuple[str, ...]]:
        chains: dict[str, tuple[str, ...]] = {start: (start,)}
        waiting = deque([start])
        while waiting:
            name = waiting.popleft()
            for contained in self.inheritance[name]:
                if contained not in chains:
                    chains[contained] = (*chains[name], contained)
                    waiting.append(contained)
        return chains


def _domain_below(domain: str, place: str) -> str | None:
    """The one domain below another that lies in a place whose further parts are ids; None where there is none."""
    ids, parts = domain.split("/"), place.split("/")
    if len(parts) <= len(ids) or not all(part in (EVERY, id_) for part, id_ in zip(parts, ids, strict=False)):
        return None
    return "/".join([*ids, *parts[len(ids) :]])


def joint_name(names: Iterable[str]) -> str:
    """The grantee that stands for whoever holds all of these roles and `any` roles; the same whatever their order."""
    return JOINT_PREFIX + _JOINED_BY.join(sorted(set(names)))


def is_joint(name: str) -> bool:
    """Whether a grantee stands for whoever holds several names."""
    return name.startswith(JOINT_PREFIX)


def parts_of(name: str) -> tuple[str, ...]:
    """The names that whoever is to be reached must hold, all of them; the name itself where it is no joint one."""
    return tuple(name.removeprefix(JOINT_PREFIX).split(_JOINED_BY)) if name.startswith(JOINT_PREFIX) else (name,)


def depth_of(domain: str) -> int:
    """How many levels a domain names: 1 for `acme`, 2 for `acme/support`."""
    return domain.count("/") + 1


def top_domain(domain: str) -> str:
    """The domain of the top level that a domain lies in: `acme` for `acme/support`."""
    return domain.partition("/")[0]


def parent_domain(domain: str) -> str | None:
    """The domain one level up; None at the top level."""
    return domain.rpartition("/")[0] or None


def rules_in_words(roles: RoleModel) -> Iterator[str]:
    """What a policy set demands of whoever holds roles, a sentence each."""
    for level in roles.levels:
        above = roles.level_at(level.depth - 1)
        if level.requires_role_above and above is not None:
            yield (
                f"Who gets a role of level {level.name} needs one of level {above.name} first, and keeps one as long as "
                f"the other counts."
            )
    for role in roles.roles.values():
        if role.keep_one:
            yield f"Each {role.level} with people in it keeps one {role.name} without an end date, so the last one stays."
    for first, second in roles.separate:
        yield f"Nobody holds both {first} and {second} inside one {roles.levels[0].name}."
