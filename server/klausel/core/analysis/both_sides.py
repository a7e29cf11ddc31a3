"""Every kind of question that could tell two policy sets apart: where it may be asked, and what the subject may hold there.

The two sets may differ in everything: their levels, in how a request names them, in roles and in what these contain.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from klausel.core.analysis.budget import MOST_ROLE_COMBINATIONS, too_many_roles
from klausel.core.analysis.question_space import (
    Held,
    domains_from_top,
    made_up_id,
    parts_in_atoms,
    placements,
    places_beside,
    shape_of,
)
from klausel.core.conditions.outcomes import Known
from klausel.core.conditions.tree import Atom, Attribute, attributes_of
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANYONE, RoleModel, depth_of, parent_domain
from klausel.core.terms.places import NamedParts
from klausel.core.terms.request import Resource

Asked = str | BadDomain | None
"""The domain that one side asks a question in; `BadDomain` where it denies without asking."""

_NO_ID = "a/b"
"""A text that can name no domain."""


@dataclass(frozen=True, slots=True)
class PlacementOfBoth:
    """One kind of place where a question may be asked: its domain on either side, and what is known of the resource.

    `shape` are the parts of the longer domain; None for a made-up one.
    """

    before: Asked
    after: Asked
    known: Known
    shape: tuple[str | None, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the two sides, without one that lies above the other; empty where there are none."""
        named = list(dict.fromkeys(domain for domain in (self.before, self.after) if isinstance(domain, str)))
        return tuple(domain for domain in named if not any(other.startswith(domain + "/") for other in named))


@dataclass(frozen=True, slots=True)
class RoleCombinationOfBoth:
    """What a subject may hold, as the wanted names that it reaches on either side, and the fewest role assignments for it."""

    before: frozenset[str]
    after: frozenset[str]
    held: Held


def placements_of_both(
    before: PolicySet, after: PolicySet, question: tuple[str, str], domains: Collection[str], atoms: Collection[Atom]
) -> tuple[PlacementOfBoth, ...]:
    """One placement for each kind of place where this may be asked; where both sides deny without asking, there is none.

    A side without grants about the question is asked where the other one is: it denies everywhere.
    """
    first = before if before.grants_about(*question) else after
    second = after if after.grants_about(*question) else before
    if first is second or naming(first, *question) == naming(second, *question):
        return tuple(
            PlacementOfBoth(placement.domain, placement.domain, placement.known, placement.shape)
            for placement in placements(first, *question, [*domains, *second.roles.places_of_links], atoms)
        )
    return tuple(_placements_named_otherwise(first, second, question, domains, atoms))


def naming(policy: PolicySet, resource_type: str, action: str) -> tuple[object, ...]:
    """What decides in which domain a question is asked."""
    declared = policy.resource_types.get(resource_type)
    asked_in = policy.roles.level_named(declared.asked_in.get(action, "")) if declared else None
    levels = policy.roles.levels if asked_in is None else policy.roles.levels[: asked_in.depth]
    named = tuple((level.named_by, level.identified_by == resource_type, level.constant) for level in levels)
    return asked_in is not None and asked_in.depth, named


def _placements_named_otherwise(
    before: PolicySet, after: PolicySet, question: tuple[str, str], domains: Collection[str], atoms: Collection[Atom]
) -> Iterator[PlacementOfBoth]:
    """Tries every kind of value, good or bad, of each attribute by which either side names a domain."""
    sides = (before, after)
    resource_type, action = question
    named = NamedParts([*domains, *before.roles.places_of_links, *after.roles.places_of_links])
    parts = [parts_in_atoms(policy.roles, resource_type, atoms) for policy in sides]
    choices = _naming_values(sides, resource_type, named, parts)
    looked_at = {attribute for atom in atoms for attribute in attributes_of(atom)}
    found: dict[object, PlacementOfBoth] = {}
    for chosen in itertools.product(*choices.values()):
        values = dict(zip(choices, chosen, strict=True))
        properties = {name.path[0]: value for name, value in values.items() if value is not None and name != _ID}
        resource = Resource(resource_type, str(values.get(_ID, "")), properties)
        first, second = (
            domain_of(policy.roles, policy.resource_types.get(resource_type), action, resource) for policy in sides
        )
        if isinstance(first, BadDomain) and isinstance(second, BadDomain):
            continue
        known: dict[Attribute, tuple[object, ...]] = {_TYPE: (resource_type,), _ACTION: (action,)}
        known |= {name: (value,) for name, value in values.items()}
        key = (
            None if isinstance(first, BadDomain) else (first,),
            None if isinstance(second, BadDomain) else (second,),
            tuple((name, value) for name, value in values.items() if name in looked_at),
        )
        longest = max((domain for domain in (first, second) if isinstance(domain, str)), key=len, default=None)
        side = 0 if longest == first else 1
        shape = shape_of(longest, named, parts[side], sides[side].roles)
        found.setdefault(key, PlacementOfBoth(first, second, known, shape))
    yield from found.values()


_ID = Attribute("resource", ("id",))
_TYPE = Attribute("resource", ("type",))
_ACTION = Attribute("action", ("name",))


def _naming_values(
    sides: Collection[PolicySet], resource_type: str, named: NamedParts, parts: list[dict[str, set[str]]]
) -> dict[Attribute, list[str | None]]:
    values: dict[Attribute, dict[str | None, None]] = {}
    for policy, in_atoms in zip(sides, parts, strict=True):
        for level in policy.roles.levels:
            if level.constant is not None:
                continue
            used = named.at_depth(level.depth) | in_atoms[level.name]
            ids = [made_up_id(level.name, used), *sorted(used), _NO_ID]
            if level.named_by is not None:
                values.setdefault(Attribute("resource", (level.named_by,)), {None: None}).update(dict.fromkeys(ids))
            if level.identified_by == resource_type:
                values.setdefault(_ID, {}).update(dict.fromkeys(ids))
    return {attribute: list(choices) for attribute, choices in values.items()}


class _Side:
    """What role assignments give on one side, where it asks a question."""

    def __init__(self, roles: RoleModel, asked: Asked, wanted: Iterable[str]) -> None:
        self.roles = roles
        self.domain = asked if isinstance(asked, str) else None
        self.wanted = roles.with_parts(wanted)

    def fits(self, role: str, place: str) -> bool:
        return self.roles.depths.get(role) == depth_of(place)

    def names(self, role: str, place: str) -> frozenset[str]:
        """The wanted names that a role in a place gives, when it counts."""
        if self.domain is None or not self.fits(role, place):
            return frozenset()
        return self.roles.names_given(role, place, self.domain) & self.wanted

    def counts(self, place: str, peopled: Collection[str]) -> bool:
        level = self.roles.level_at(depth_of(place))
        return level is None or not level.requires_role_above or parent_domain(place) in peopled


_State = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]
"""The names reached on either side, and the places, on either side, whose holders' roles below may count because of them."""


def role_combinations_of_both(
    before: RoleModel, after: RoleModel, placement: PlacementOfBoth, wanted: tuple[Collection[str], Collection[str]]
) -> tuple[RoleCombinationOfBoth, ...]:
    """All that role assignments can give in a placement, as the wanted names reached on either side; small ones first.

    Counts what each side's `requires_role_above` allows, in the domain, above it, beside it and below it. Raises `TooManyCases`.
    """
    sides = (_Side(before, placement.before, wanted[0]), _Side(after, placement.after, wanted[1]))
    nobody = (sides[0].wanted & {ANYONE}, sides[1].wanted & {ANYONE}, frozenset[str](), frozenset[str]())
    states: dict[_State, Held] = {nobody: ()}
    places = _places(sides)
    for position, place in enumerate(places):
        options = _options(sides, place)
        needed = [_needed_later(side, places[position + 1 :]) for side in sides]
        grown: dict[_State, Held] = {}
        for (first, second, peopled_before, peopled_after), held in states.items():
            counts = sides[0].counts(place, peopled_before), sides[1].counts(place, peopled_after)
            if len(grown) > MOST_ROLE_COMBINATIONS:
                raise too_many_roles(place)
            for (more_before, more_after, fits_before, fits_after), further in options.items():
                was, is_ = fits_before and counts[0], fits_after and counts[1]
                state = (
                    first | more_before if was else first,
                    second | more_after if is_ else second,
                    (peopled_before | {place} if was else peopled_before) & needed[0],
                    (peopled_after | {place} if is_ else peopled_after) & needed[1],
                )
                whole = held + further
                if state not in grown or len(whole) < len(grown[state]):
                    grown[state] = whole
        states = grown
    found: dict[tuple[frozenset[str], frozenset[str]], Held] = {}
    for state, held in states.items():
        first, second = (side.roles.with_joint(state[at]).intersection(wanted[at]) for at, side in enumerate(sides))
        if (first, second) not in found or len(held) < len(found[first, second]):
            found[first, second] = held
    return tuple(
        RoleCombinationOfBoth(*names, held)
        for names, held in sorted(found.items(), key=lambda item: (len(item[1]), item[1]))
    )


def _needed_later(side: _Side, places: Iterable[str]) -> frozenset[str]:
    """The places above those to come in which a role counts only for who has one above it."""
    found = set()
    for place in places:
        level = side.roles.level_at(depth_of(place))
        if level is not None and level.requires_role_above:
            found.add(place.rpartition("/")[0])
    return frozenset(found)


def _options(sides: tuple[_Side, _Side], place: str) -> Mapping[tuple[frozenset[str], frozenset[str], bool, bool], Held]:
    """What the roles held in one place can add on either side, with the fewest roles that add it; nothing is among them."""
    options: dict[tuple[frozenset[str], frozenset[str], bool, bool], Held] = {(frozenset(), frozenset(), False, False): ()}
    models = [side.roles for side in sides]
    roles = dict.fromkeys(role for model in models for role in model.roles)
    for role in sorted(roles, key=lambda role: max(len(model.closure.get(role, ())) for model in models)):
        fits = [side.fits(role, place) for side in sides]
        if not any(fits):
            continue
        names = [side.names(role, place) for side in sides]
        for (first, second, fits_before, fits_after), held in list(options.items()):
            option = (first | names[0], second | names[1], fits_before or fits[0], fits_after or fits[1])
            further = (*held, (role, place))
            if option not in options or len(further) < len(options[option]):
                options[option] = further
        if len(options) > MOST_ROLE_COMBINATIONS:
            raise too_many_roles(place)
    return options


def _places(sides: tuple[_Side, _Side]) -> list[str]:
    """The domains whose role assignments matter: those asked in, those above, and aside of them; each behind its parent.

    One chain aside is enough where a role assignment counts on both sides or on neither; else there is one for each case.
    A level with a constant domain has no other, which no write lets in; but it may have been called otherwise on one side.
    """
    first, second = (side.roles for side in sides)
    forms = [[(level.requires_role_above, level.constant) for level in roles.levels] for roles in (first, second)]
    alike = first.depths == second.depths and forms[0] == forms[1]
    asides = 1 if alike or max(len(first.levels), len(second.levels)) < 3 else 3
    places: dict[str, None] = {}
    for side in sides:
        if side.domain is None:
            continue
        above = list(domains_from_top(side.domain))
        used = {place.rpartition("/")[2] for place in above}
        places.update(dict.fromkeys(above))
        for branch in above:
            chains = [branch] * asides
            for level in side.roles.levels[depth_of(branch) :]:
                taken = set(used)
                for number, chain in enumerate(chains):
                    part = (level.constant if alike else None) or made_up_id(level.name, taken)
                    taken.add(part)
                    chains[number] = f"{chain}/{part}"
                    places[chains[number]] = None
        places.update(dict.fromkeys(place for roles in (first, second) for place in places_beside(roles, above)))
    return sorted(places, key=lambda place: place.split("/"))
