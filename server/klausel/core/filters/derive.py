"""From a policy set and the effective roles of one subject to the filter of what it may act on, over all domains at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from klausel.core.conditions.tree import Attribute, Comparison, ListOf, Literal
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.filters.filling import open_of_resource, what_is_left
from klausel.core.filters.tree import (
    Every,
    Filter,
    FilterCondition,
    InDomains,
    Missing,
    NamesDomain,
    Some,
    equal_to,
    every,
    is_among,
    some,
)
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import Level
from klausel.core.terms.identifiers import DOMAIN_CHARACTERS, fault_in_domain, fault_in_domain_id, fault_in_subject
from klausel.core.terms.places import NamedParts, covers
from klausel.core.terms.request import Request

_ID = Attribute("resource", ("id",))
MOST_BRANCHES = 40


def filter_of(policy: PolicySet, effective_roles: EffectiveRoles, request: Request, inside: str | None = None) -> Filter:
    """The filter that takes exactly the resources for which the request is allowed.

    The resource of the request gives its type, and the properties that all resources share; its id does not count. With
    `inside` only resources in this domain and below it are taken. A property that a resource has as null counts as missing.
    """
    grants = policy.grants_about(request.resource.type, request.action.name)
    if not grants or fault_in_subject(request.subject.type, request.subject.id):
        return False
    return _Derivation(policy, effective_roles, request, grants, inside).filter()


@dataclass(frozen=True, slots=True)
class _Place:
    """Some domains that nothing tells apart, by their ids from the top; an empty one stands for all that have no name there."""

    ids: tuple[str, ...]

    @property
    def depth(self) -> int:
        return len(self.ids)

    @property
    def is_named(self) -> bool:
        return "" not in self.ids

    @property
    def named(self) -> str | None:
        """The last domain above, or that this is, that has a name."""
        return "/".join(self.ids[: self.ids.index("")] if "" in self.ids else self.ids) or None

    def below(self, id_: str) -> _Place:
        return _Place((*self.ids, id_))

    def lies_in(self, place: str) -> bool:
        return covers(place, "/".join(self.ids))


_NOWHERE = _Place(())


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts of a domain: those that differ from resource to resource, and the characters that the others take, with `/`."""

    open: tuple[Attribute, ...]
    characters: int


_ALL_NAMED = _Parts((), 0)


class _Derivation:
    """Goes through the levels from the top, through each domain that roles or grants name, and aside of them."""

    def __init__(
        self,
        policy: PolicySet,
        effective_roles: EffectiveRoles,
        request: Request,
        grants: tuple[Grant, ...],
        inside: str | None,
    ) -> None:
        self._roles = policy.roles
        self._effective_roles = effective_roles
        self._request = request
        self._grants = grants
        self._inside = inside
        self._grantees = frozenset(grant.grantee for grant in grants)
        self._is_open = open_of_resource(request)
        asked_in = policy.resource_types[request.resource.type].asked_in.get(request.action.name)
        self._levels = tuple(_up_to(policy.roles.levels, asked_in))
        self._id_may_name = asked_in is None
        self._texts: dict[int, tuple[Filter, str]] = {}
        self._left: dict[tuple[int, ...], Filter] = {}
        domains = [domain for domain in effective_roles.named_domains if fault_in_domain(domain) is None]
        scopes = [grant.scope.domain for grant in grants if grant.scope.domain is not None]
        self._named_parts = NamedParts([*domains, *scopes, *([inside] if inside and not fault_in_domain(inside) else [])])

    def filter(self) -> Filter:
        """The whole filter."""
        naming = [attribute for level in self._levels if (attribute := self._naming(level)) is not None]
        return with_domains_together(self._from(0, _NOWHERE, _ALL_NAMED), naming)

    def _naming(self, level: Level) -> Attribute | None:
        """The attribute that names the domains of a level; None for a level that none does, or one that is known."""
        if self._is_identified(level):
            return _ID
        attribute = None if level.named_by is None else Attribute("resource", (level.named_by,))
        return attribute if attribute is not None and level.constant is None and self._is_open(attribute) else None

    def _from(self, position: int, place: _Place, parts: _Parts) -> Filter:
        """The filter of what lies in a place, or in one below it that the levels from this position on name.

        `parts` are those parts of the domain that stand behind the last one with a name.
        """
        if position == len(self._levels):
            return self._in(place)
        level = self._levels[position]
        if level.constant is not None:
            return self._from(position + 1, place.below(level.constant), self._with(place, parts, level.constant))
        ways: list[tuple[Filter, Filter]] = [(self._nothing_named_from(position), self._in(place))]
        ways += self._named(level, position, place, parts)
        then: dict[str, tuple[Filter, list[Filter]]] = {}
        for when, left in ways:
            then.setdefault(str(left), (left, []))[1].append(when)
        return some(every([some(when), left]) for left, when in then.values())

    def _named(self, level: Level, position: int, place: _Place, parts: _Parts) -> Iterator[tuple[Filter, Filter]]:
        """Each way in which a resource names a domain of this level: when it does, and what else must hold then."""
        is_identified = self._is_identified(level)
        property_ = None if level.named_by is None else Attribute("resource", (level.named_by,))
        if not is_identified and property_ is None:
            return
        given = self._request.resource.properties
        fits: Filter = True
        only: str | None = None
        if property_ is not None and not self._is_open(property_):
            value = given[property_.path[0]]
            if not isinstance(value, str) or fault_in_domain_id(value) is not None:
                return
            only = value
            fits = is_among(_ID, [value]) if is_identified else True
        elif is_identified and property_ is not None:
            fits = some([Missing(property_), Comparison("==", property_, _ID)])
        part = _ID if is_identified else property_
        assert part is not None
        if only is not None:
            known = self._with(place, parts, only)
            short: Filter = self._is_domain(position, place, known) if known.open else True
            yield every([fits, short]), self._from(position + 1, place.below(only), known)
            return
        # What is aside of all that has a name is what most is compared with: what comes to the same needs no mention.
        others = _Parts((*parts.open, part), parts.characters)
        aside = self._from(position + 1, place.below(""), others)
        text_aside = str(aside)
        different: dict[tuple[str, str], tuple[Filter, Filter, list[str]]] = {}
        for sibling in self._named_parts.below(place.ids):
            known = self._with(place, parts, sibling)
            left = self._from(position + 1, place.below(sibling), known)
            text = self._text_of(left)
            if text != text_aside:
                short = self._is_domain(position, place, known) if known.open else True
                different.setdefault((text, str(short)), (left, short, []))[2].append(sibling)
        for left, short, ids in different.values():
            yield every([fits, is_among(part, ids), short]), left
        if aside is not False:
            # Where all that is taken aside is taken under an id too, that need not be kept out.
            excluded = [id_ for left, _, ids in different.values() if str(some([left, aside])) != str(left) for id_ in ids]
            outside: Filter = Comparison("not in", part, ListOf(tuple(map(Literal, excluded)))) if excluded else True
            yield every([fits, self._is_domain(position, place, others), outside]), aside

    def _text_of(self, left: Filter) -> str:
        """The text of a filter; found once for what many places come to alike."""
        known = self._texts.get(id(left))
        if known is None:
            # The filter is kept with its text, so that no other one can come to have its id.
            known = self._texts[id(left)] = left, str(left)
        return known[1]

    def _is_domain(self, position: int, place: _Place, parts: _Parts) -> Filter:
        taken = parts.characters + (0 if place.named is None else len(place.named) + 1)
        for level in self._levels[position + 1 :]:
            if level.constant is None:
                break
            taken += len(level.constant) + 1
        return NamesDomain(parts.open, DOMAIN_CHARACTERS - taken)

    def _with(self, place: _Place, parts: _Parts, part: str) -> _Parts:
        return parts if place.is_named else _Parts(parts.open, parts.characters + len(part) + 1)

    def _nothing_named_from(self, position: int) -> Filter:
        """When a resource names no level from this position on; what is constant counts only below what is named."""
        conditions: list[Filter] = []
        for level in self._levels[position:]:
            if level.constant is not None:
                continue
            if self._is_identified(level):
                return False
            if level.named_by is not None:
                attribute = Attribute("resource", (level.named_by,))
                conditions.append(Missing(attribute) if self._is_open(attribute) else False)
        return every(conditions)

    def _is_identified(self, level: Level) -> bool:
        return self._id_may_name and level.identified_by == self._request.resource.type

    def _in(self, place: _Place) -> Filter:
        """What else must hold of a resource in a place."""
        if self._inside is not None and not place.lies_in(self._inside):
            return False
        named = place.named
        if named is not None and len(named) > DOMAIN_CHARACTERS:
            return False
        names = self._effective_roles.roles_in(named) & self._grantees
        level = self._roles.level_at(place.depth)
        reaching = tuple(
            position
            for position, grant in enumerate(self._grants)
            if grant.grantee in names
            and (grant.scope.domain is None or place.lies_in(grant.scope.domain))
            and (grant.scope.level is None or (level is not None and level.name == grant.scope.level))
        )
        if reaching not in self._left:
            reached = [self._grants[position] for position in reaching]
            self._left[reaching] = what_is_left(reached, self._request, self._is_open)
        return self._left[reaching]


def _up_to(levels: Iterable[Level], last: str | None) -> Iterator[Level]:
    for level in levels:
        yield level
        if level.name == last:
            return


def with_domains_together(filter_: Filter, naming: Sequence[Attribute]) -> Filter:
    """The same filter; where it has more than MOST_BRANCHES, those that differ in the domain alone are one.

    `naming` are the attributes that name the levels, from the top.
    """
    if not isinstance(filter_, Some) or len(filter_.parts) <= MOST_BRANCHES or len(naming) < 2:
        return filter_
    top, below = naming[:2]
    domains: dict[str, tuple[list[FilterCondition], set[str]]] = {}
    tops: dict[str, tuple[list[FilterCondition], dict[str, None]]] = {}
    others: list[Filter] = []
    for branch in filter_.parts:
        for parts in _alternatives(branch):
            in_top, in_below = _texts(parts, top), _texts(parts, below)
            if in_top is None:
                others.append(every(parts))
                continue
            rest = [part for part in parts if _equals(part) != top and (in_below is None or _equals(part) != below)]
            key = str(every(rest))
            if in_below is None:
                tops.setdefault(key, (rest, {}))[1].update(dict.fromkeys(in_top))
            else:
                domains.setdefault(key, (rest, set()))[1].update(f"{one}/{other}" for one in in_top for other in in_below)
    return some(
        [
            *(every([InDomains((top, below), frozenset(found)), *rest]) for rest, found in domains.values()),
            *(every([is_among(top, found), *rest]) for rest, found in tops.values()),
            *others,
        ]
    )


def _alternatives(branch: FilterCondition) -> Iterator[Sequence[FilterCondition]]:
    """What must hold together in each way in which a branch can hold, taking its last `or` apart."""
    parts = list(branch.parts) if isinstance(branch, Every) else [branch]
    last = next((part for part in reversed(parts) if isinstance(part, Some)), None)
    if last is None:
        yield parts
        return
    for way in last.parts:
        kept: list[FilterCondition] = [part for part in parts if part is not last]
        kept += way.parts if isinstance(way, Every) else (way,)
        yield kept


def _equals(part: FilterCondition) -> Attribute | None:
    equal = equal_to(part)
    return None if equal is None else equal[0]


def _texts(parts: Sequence[FilterCondition], attribute: Attribute) -> list[str] | None:
    """The texts that an attribute must equal one of; None where no part says so."""
    for part in parts:
        equal = equal_to(part)
        if equal is not None and equal[0] == attribute:
            return [literal.value for literal in equal[1].values() if isinstance(literal.value, str)]
    return None
