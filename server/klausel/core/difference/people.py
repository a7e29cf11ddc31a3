"""Whom a difference concerns: which changes one subject gains and loses by, given all role assignments that it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from klausel.core.analysis.decision_table import Key, View
from klausel.core.analysis.question_space import Held, domains_from_top, made_up_id
from klausel.core.conditions.group import Truths
from klausel.core.conditions.tree import AllOf, AnyOf, Atom, evaluate_atom, is_about_the_subject_itself
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.compare import Change, PolicyDifference
from klausel.core.policy.roles import depth_of, top_domain
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.places import EVERY, NamedParts
from klausel.core.terms.request import Action, Request, Resource, Subject

MOST_REMEMBERED = 50_000

Flips = tuple[frozenset[int], frozenset[int]]
"""The positions of the changes by which a subject gains, and of those by which it loses."""

_NOTHING: Flips = (frozenset(), frozenset())


class Concerned:
    """Tells by which changes of one difference subjects gain and lose: in some place, in some case that can be theirs.

    What a subject's own id and type decide is taken into account; everything else of a request may be as it likes.
    """

    def __init__(self, difference: PolicyDifference) -> None:
        self._difference = difference
        self._positions = {id(change): position for position, change in enumerate(difference.changes)}
        changed = dict.fromkeys((change.resource_type, change.action) for change in difference.changes)
        touched = {id(row.view) for change in difference.changes for row in change.parts}
        self._views = [
            _ViewOfPeople(view, difference.views[question])
            for question in changed
            for view in difference.views[question]
            if id(view) in touched
        ]
        self._own = list(dict.fromkeys(atom for view in self._views for atom in view.own))
        self._named = NamedParts(place for view in self._views for place in view.places)
        self._known: dict[object, Flips] = {}

    def roles(self) -> frozenset[str] | None:
        """The roles of which everybody concerned holds one; None when all may be concerned, whatever they hold."""
        keys = {row.key for change in self._difference.changes for row in change.parts}
        if any(not (before or after) or {*before, *after} <= {"anyone"} for before, after in keys):
            return None
        wanted = [frozenset[str]().union(*(key[side] for key in keys)) for side in (0, 1)]
        sides = (self._difference.before.roles, self._difference.after.roles)
        return frozenset(
            stored
            for model, names in zip(sides, wanted, strict=True)
            for role in model.roles
            if model.reach[role] & model.with_parts(names)
            for stored in model.stored_names(role)
        )

    def flips(self, subject: str, held: Iterable[tuple[str, str]]) -> Flips:
        """By which changes a subject in its stored form gains and loses, in any domain; empty for unknown ones."""
        parts = split_subject_key(subject)
        if parts is None:
            return _NOTHING
        asking = Request(Subject(*parts), Action(""), Resource("", ""))
        own = tuple(evaluate_atom(atom, asking) for atom in self._own)
        by_top: dict[str, list[tuple[str, str]]] = {}
        for pair in held:
            by_top.setdefault(top_domain(pair[1]), []).append(pair)
        found = [self._inside(tuple(pairs), own) for pairs in by_top.values()]
        found.append(self._inside((), own))
        return frozenset().union(*(gain for gain, _ in found)), frozenset().union(*(loss for _, loss in found))

    def _inside(self, held: Held, own: Truths) -> Flips:
        """The flips inside one top domain; alike for all who hold the same there, whatever the domains are called."""
        held = _called_alike(held, self._named)
        if (held, own) not in self._known:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[held, own] = self._flips(held, dict(zip(self._own, own, strict=True)))
        return self._known[held, own]

    def _flips(self, held: Held, own: Mapping[Atom, bool | None]) -> Flips:
        gains: set[int] = set()
        losses: set[int] = set()
        difference = self._difference
        resolved_roles = EffectiveRoles.of(difference.before.roles, held), EffectiveRoles.of(difference.after.roles, held)
        domains = self._domains(held)
        for view in self._views:
            possible = view.possible(own)
            for key in view.keys_of(resolved_roles, domains):
                for change, more, less in _nearest(difference.changes_behind(key, view.view)):
                    if more & possible:
                        gains.add(self._positions[id(change)])
                    if less & possible:
                        losses.add(self._positions[id(change)])
        return frozenset(gains), frozenset(losses)

    def _domains(self, held: Held) -> Collection[str]:
        """All domains that can matter: where something is held, those above, named ones, and a new one below each."""
        tops = {top_domain(domain) for _, domain in held} or {made_up_id("top"), *self._named.below(())}
        found = {above for _, domain in held for above in domains_from_top(domain)} | tops
        for model in (self._difference.before.roles, self._difference.after.roles):
            for level in model.levels[1:]:
                for above in [domain for domain in found if depth_of(domain) == level.depth - 1]:
                    found |= {f"{above}/{id_}" for id_ in self._named.below(above.split("/"))}
                    used = {domain.rpartition("/")[2] for domain in found}
                    found.add(f"{above}/{level.constant or made_up_id(level.name, used)}")
        return found


def _nearest(behind: list[tuple[Change, int, int]]) -> list[tuple[Change, int, int]]:
    """The changes that say all that a subject gains and loses in a view; where none alone does, all that say a part."""
    gained = lost = 0
    for _, more, less in behind:
        gained |= more
        lost |= less
    return [(change, more, less) for change, more, less in behind if (more, less) == (gained, lost)] or behind


def _called_alike(held: Held, named: NamedParts) -> Held:
    """The same role assignments with made-up ids in place of those that nothing names, the same for all that are alike."""
    by_domain: dict[str, list[str]] = {}
    for role, domain in held:
        by_domain.setdefault(domain, []).append(role)
    places = {above for domain in by_domain for above in domains_from_top(domain)}
    called: dict[str, str] = {}
    for number, place in enumerate(
        sorted(places, key=lambda place: (depth_of(place), sorted(by_domain.get(place, ())), place))
    ):
        above, _, part = place.rpartition("/")
        own = part if named.name(place.split("/")) else f"\x00{number}"
        called[place] = f"{called[above]}/{own}" if above else own
    return tuple(sorted({(role, called[domain]) for role, domain in held}))


class _ViewOfPeople:
    """One view, as far as it matters to people."""

    def __init__(self, view: View, siblings: Sequence[View]) -> None:
        self.view = view
        shapes = {sibling.placement.shape for sibling in siblings}
        self._shape = view.placement.shape
        self._prefixes = {
            shape[: length + 1] for shape in shapes for length in range(len(shape)) if shape[length] is not None
        }
        self.places = {"/".join(part or EVERY for part in shape) for shape in shapes if shape}
        plain = (one for one in view.space.atoms if not isinstance(one, AllOf | AnyOf))
        self.own = [atom for atom in plain if is_about_the_subject_itself(atom)]
        self._positions = [view.space.atoms.index(atom) for atom in self.own]
        self._possible: dict[Truths, int] = {}
        wanted = [frozenset(grant.grantee for grant in side.grants) for side in (view.before, view.after)]
        self._wanted = wanted[0], wanted[1]

    def possible(self, own: Mapping[Atom, bool | None]) -> int:
        """The outcomes, as bits, that agree with what a subject's own id and type say."""
        truths = tuple(own[atom] for atom in self.own)
        if truths not in self._possible:
            self._possible[truths] = sum(
                1 << position
                for position, outcome in enumerate(self.view.space.outcomes)
                if all(outcome.truths[at] is truth for at, truth in zip(self._positions, truths, strict=True))
            )
        return self._possible[truths]

    def keys_of(self, resolved_roles: tuple[EffectiveRoles, EffectiveRoles], domains: Collection[str]) -> set[Key]:
        """The names that a subject reaches in the domains that this view stands for."""
        asked = [
            domain if isinstance(domain, str) else None for domain in (self.view.placement.before, self.view.placement.after)
        ]
        choices = [list(self._concrete(domain, domains)) for domain in asked]
        related = None not in asked and (
            f"{asked[0]}/".startswith(f"{asked[1]}/") or f"{asked[1]}/".startswith(f"{asked[0]}/")
        )
        return {
            (resolved_roles[0].roles_in(first) & self._wanted[0], resolved_roles[1].roles_in(second) & self._wanted[1])
            for first in choices[0]
            for second in choices[1]
            if not related or f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")
        }

    def _concrete(self, asked: str | None, domains: Collection[str]) -> Iterator[str | None]:
        if asked is None:
            yield None
            return
        shape = self._shape[: depth_of(asked)]
        for domain in domains:
            parts = domain.split("/")
            if len(parts) == depth_of(asked) and all(map(self._fits, range(len(parts)), parts, [shape] * len(parts))):
                yield domain

    def _fits(self, position: int, part: str, shape: tuple[str | None, ...]) -> bool:
        if position >= len(shape):
            return True
        if shape[position] is not None:
            return shape[position] == part
        return (*shape[:position], part) not in self._prefixes
