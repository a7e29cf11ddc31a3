"""Every kind of question about a type and an action: where it may be asked, and what the subject may hold there.

Role combinations that reach the same of the wanted names are one, so the space stays small however many roles there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from klausel.core.analysis.budget import MOST_ROLE_COMBINATIONS, too_many_roles
from klausel.core.conditions.outcomes import Known
from klausel.core.conditions.tree import Atom, Attribute, Comparison, Operand, atoms, literals_of
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, Level, RoleModel, depth_of, parent_domain
from klausel.core.terms.identifiers import fault_in_domain_id
from klausel.core.terms.places import NamedParts
from klausel.core.terms.request import Resource

Held = tuple[tuple[str, str], ...]
"""Role assignments of one subject, as (role, domain)."""


@dataclass(frozen=True, slots=True)
class RoleCombination:
    """What a subject may hold: the wanted names that it reaches, and the fewest role assignments found that give them."""

    names: frozenset[str]
    held: Held


@dataclass(frozen=True, slots=True)
class Placement:
    """One kind of place where a question may be asked: its domain (None: none), and what is known of the resource there.

    `shape` are the parts of the domain; None for a made-up one, which stands for all that no other placement names.
    """

    domain: str | None
    known: Known
    shape: tuple[str | None, ...] = ()


def domains_and_atoms(grants: Iterable[Grant]) -> tuple[tuple[str, ...], tuple[Atom, ...]]:
    """What grants tell apart: the places that they name, and the atoms of their conditions; repeated ones too."""
    found = tuple(grants)
    domains = tuple(grant.scope.domain for grant in found if grant.scope.domain is not None)
    return domains, tuple(atom for grant in found if grant.condition for atom in atoms(grant.condition))


def placements(
    policy: PolicySet, resource_type: str, action: str, domains: Iterable[str], atoms: Iterable[Atom]
) -> tuple[Placement, ...]:
    """One placement for each kind in which this may be asked, apart where `domains` or texts in the atoms tell them apart.

    `domains` are places that grants or invariants name; made-up ids are called after their level.
    """
    roles = policy.roles
    named = NamedParts([*domains, *roles.places_of_links])
    parts = parts_in_atoms(roles, resource_type, atoms)
    found: dict[str | None, Placement] = {}
    for chain in _chains(roles, named, parts):
        for length in range(len(chain) + 1):
            known = _known(_levels_looked_at(policy, resource_type, action), resource_type, action, chain[:length])
            domain = _domain_when(policy, resource_type, action, known)
            if not isinstance(domain, BadDomain):
                found.setdefault(domain, Placement(domain, known, shape_of(domain, named, parts, roles)))
    return tuple(found.values())


def shape_of(
    domain: str | None, named: NamedParts, parts: Mapping[str, Collection[str]], roles: RoleModel
) -> tuple[str | None, ...]:
    """The parts of a domain, with None for those that are made up."""
    if domain is None:
        return ()
    shape: list[str | None] = []
    ids = domain.split("/")
    for level, part in zip(roles.levels, ids, strict=False):
        is_named = part in parts[level.name] or named.name(ids[: level.depth])
        shape.append(part if is_named and level.constant is None else None)
    return tuple(shape)


def placement_in(policy: PolicySet, resource_type: str, action: str, domain: str | None) -> Placement | BadDomain:
    """The placement of a question about something in a domain: its own domain is that, or one above where the action is asked."""
    ids = () if domain is None else domain.split("/")
    known = _known(_levels_looked_at(policy, resource_type, action), resource_type, action, ids)
    asked = _domain_when(policy, resource_type, action, known)
    return asked if isinstance(asked, BadDomain) else Placement(asked, known)


def domains_from_top(domain: str) -> Iterator[str]:
    """A domain and those above it, the top one first."""
    parts = domain.split("/")
    for length in range(1, len(parts) + 1):
        yield "/".join(parts[:length])


def parts_in_atoms(roles: RoleModel, resource_type: str, atoms: Iterable[Atom]) -> dict[str, set[str]]:
    """By level: the texts that conditions compare with the attributes by which requests name that level."""
    parts: dict[str, set[str]] = {level.name: set() for level in roles.levels}
    for atom in atoms:
        if not isinstance(atom, Comparison):
            continue
        for level in roles.levels:
            if _naming_attributes(level, resource_type) & {atom.left, atom.right}:
                texts = {item.value for item in literals_of(atom) if isinstance(item.value, str)}
                parts[level.name] |= {text for text in texts if not fault_in_domain_id(text)}
    return parts


def atoms_about_parts(roles: RoleModel, atoms: Iterable[Atom]) -> list[Atom]:
    """Those of the atoms that `parts_in_atoms` can find anything in, whatever the resource type is."""
    types = {level.identified_by for level in roles.levels if level.identified_by is not None}
    naming = {one for level in roles.levels for type_ in (*types, "") for one in _naming_attributes(level, type_)}
    return [atom for atom in atoms if isinstance(atom, Comparison) and not naming.isdisjoint((atom.left, atom.right))]


def _naming_attributes(level: Level, resource_type: str) -> set[Operand]:
    named: set[Operand] = set() if level.named_by is None else {Attribute("resource", (level.named_by,))}
    if level.identified_by == resource_type:
        named.add(Attribute("resource", ("id",)))
    return named


def _chains(roles: RoleModel, named: NamedParts, parts: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Ids for all levels, from the top: through the places that are named, and aside of them at each level."""

    def extend(ids: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if len(ids) == len(roles.levels):
            yield ids
            return
        level = roles.levels[len(ids)]
        if level.constant is not None:
            yield from extend((*ids, level.constant))
            return
        used = {*named.below(ids), *parts[level.name]}
        for part in [made_up_id(level.name, used), *sorted(used)]:
            yield from extend((*ids, part))

    yield from extend(())


def made_up_id(level: str, used: Collection[str] = ()) -> str:
    """An id for a domain of a level that is none of those used."""
    return next(name for name in (f"{level}-{number}" for number in itertools.count(1)) if name not in used)


def _levels_looked_at(policy: PolicySet, resource_type: str, action: str) -> Sequence[Level]:
    declared = policy.resource_types.get(resource_type)
    asked_in = policy.roles.level_named(declared.asked_in.get(action, "")) if declared else None
    return policy.roles.levels if asked_in is None else policy.roles.levels[: asked_in.depth]


def _known(levels: Sequence[Level], resource_type: str, action: str, ids: Sequence[str]) -> Known:
    """What is known of a resource that names these ids, from the top, and no others."""
    known: dict[Attribute, tuple[object, ...]] = {
        Attribute("resource", ("type",)): (resource_type,),
        Attribute("action", ("name",)): (action,),
    }
    for level, part in itertools.zip_longest(levels, ids[: len(levels)]):
        by_id = level.identified_by == resource_type and part is not None
        if by_id:
            known[Attribute("resource", ("id",))] = (part,)
        if level.named_by is not None:
            known[Attribute("resource", (level.named_by,))] = (part, None) if by_id else (part,)
    return known


def _domain_when(policy: PolicySet, resource_type: str, action: str, known: Known) -> str | BadDomain | None:
    properties = {
        name.path[0]: values[0] for name, values in known.items() if name.root == "resource" and values[0] is not None
    }
    id_ = properties.pop("id", "")
    del properties["type"]
    resource = Resource(resource_type, str(id_), properties)
    return domain_of(policy.roles, policy.resource_types.get(resource_type), action, resource)


def role_combinations(roles: RoleModel, domain: str | None, wanted: Collection[str]) -> tuple[RoleCombination, ...]:
    """Every set of effective roles that role assignments can give in a domain, as the wanted names reached; small ones first.

    Counts what `requires_role_above` allows, in the domain, above it, beside it and below it. Raises `TooManyCases`.
    """
    keep = roles.with_parts(wanted)
    if domain is None:
        return (RoleCombination(keep & {ANYONE}, ()),)
    places = _places(roles, domain)
    states: dict[tuple[frozenset[str], frozenset[str]], Held] = {(keep & {ANYONE}, frozenset()): ()}
    for place in places:
        options = _options(roles, place, domain, keep)
        needs = roles.levels[depth_of(place) - 1].requires_role_above
        grown: dict[tuple[frozenset[str], frozenset[str]], Held] = {}
        for (names, peopled), held in states.items():
            for more, further in options:
                if further and needs and parent_domain(place) not in peopled:
                    continue
                if len(grown) > MOST_ROLE_COMBINATIONS:
                    raise too_many_roles(domain)
                state = (names | more, peopled | {place} if further else peopled)
                whole = held + further
                if state not in grown or len(whole) < len(grown[state]):
                    grown[state] = whole
        states = grown
    found: dict[frozenset[str], Held] = {}
    for (reached, _), held in states.items():
        names = roles.with_joint(reached).intersection(wanted)
        if names not in found or len(held) < len(found[names]):
            found[names] = held
    return tuple(
        RoleCombination(names, held) for names, held in sorted(found.items(), key=lambda item: (len(item[1]), item[1]))
    )


def _options(roles: RoleModel, place: str, domain: str, keep: frozenset[str]) -> list[tuple[frozenset[str], Held]]:
    """What the roles held in one place can add, with the fewest roles that add it; holding nothing is among them."""
    level = roles.levels[depth_of(place) - 1].name
    options: dict[tuple[frozenset[str], bool], Held] = {(frozenset(), False): ()}
    for role in roles.roles.values():
        if role.level != level:
            continue
        adds = roles.names_given(role.name, place, domain) & keep
        for (names, _), held in list(options.items()):
            option, further = (names | adds, True), (*held, (role.name, place))
            if option not in options or len(further) < len(options[option]):
                options[option] = further
        if len(options) > MOST_ROLE_COMBINATIONS:
            raise too_many_roles(domain)
    return [(names, held) for (names, _), held in options.items()]


def _places(roles: RoleModel, domain: str) -> list[str]:
    """The domains whose role assignments matter in a domain: it, those above it, and one chain aside at each level."""
    above = list(domains_from_top(domain))
    places = dict.fromkeys(above)
    for branch in above:
        chain = branch
        for level in roles.levels[depth_of(branch) :]:
            used = {place.rpartition("/")[2] for place in above}
            chain = f"{chain}/{level.constant or made_up_id(level.name, used)}"
            places[chain] = None
    return sorted([*places, *places_beside(roles, above)], key=depth_of)


def places_beside(roles: RoleModel, above: Collection[str]) -> list[str]:
    """The domains aside of those above one another, apart from made-up ones, that a role's own place to contain another names."""
    named = NamedParts(roles.places_of_links)
    found: dict[str, None] = {}
    waiting = list(above)
    for domain in waiting:
        for id_ in named.below(domain.split("/")):
            below = f"{domain}/{id_}"
            if below not in above and below not in found:
                found[below] = None
                waiting.append(below)
    return list(found)
