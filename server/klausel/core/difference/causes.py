"""What made a decision change: the grants, conditions, roles, levels and types to blame, each with its line and its side."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from klausel.core.analysis.decision_table import Key, Question, View
from klausel.core.analysis.question_space import Held
from klausel.core.conditions.tree import atoms, attributes_of, with_one_spelling
from klausel.core.policy.policy_set import Grant, NamedCondition, PolicySet
from klausel.core.policy.properties import NoProperty, PropertyType
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, depth_of, parts_of
from klausel.core.terms.problem import Place

Side = Literal["before", "after"]
Kind = Literal["grant", "condition", "declaration", "inheritance", "role", "level", "asked_in"]

_WORD = re.compile(r"[^\W\d][\w.\-]*")


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """One thing to blame: what it is in words, and the line where it stands, on one side or on both (`now`: after)."""

    place: Place
    side: Side
    kind: Kind
    text: str

    @property
    def source(self) -> str:
        """The line as `file:line`."""
        return self.place.source


class Blame:
    """Finds the causes of the changes between two policy sets."""

    def __init__(self, before: PolicySet, after: PolicySet) -> None:
        self._before = _Known(before, "before")
        self._after = _Known(after, "after")

    def causes(self, question: Question, view: View, key: Key, held: Held, gained: int, lost: int) -> Iterator[Cause]:
        """The causes of what a subject gains and loses in some outcomes; repeated ones too."""
        if gained:
            yield from _Search(self._after, self._before, question, view, key, held, gained).causes()
        if lost:
            yield from _Search(self._before, self._after, question, view, key, held, lost).causes()


class _Known:
    """One side, with its grants by meaning."""

    def __init__(self, policy: PolicySet, side: Side) -> None:
        self.policy = policy
        self.roles = policy.roles
        self.side = side

    @cached_property
    def by_meaning(self) -> dict[tuple[object, ...], Grant]:
        return {meaning_of(grant): grant for grant in self.policy.grants}

    def covering(self, view: View) -> list[tuple[Grant, int]]:
        covering = view.before if self.side == "before" else view.after
        return list(zip(covering.grants, covering.holding, strict=True))

    def names(self, key: Key) -> frozenset[str]:
        return (key[0] if self.side == "before" else key[1]) | {ANYONE}


def meaning_of(grant: Grant) -> tuple[object, ...]:
    """What a grant means, without its place, its remark and the way its condition is spelled."""
    return (*_without_condition(grant), None if grant.condition is None else str(with_one_spelling(grant.condition)))


def _without_condition(grant: Grant) -> tuple[object, ...]:
    return grant.resource_type, grant.action, grant.effect, grant.reach


@dataclass(frozen=True)
class _Search:
    """Why the side `here` allows, in some outcomes, what the side `there` does not."""

    here: _Known
    there: _Known
    question: Question
    view: View
    key: Key
    held: Held
    outcomes: int

    def causes(self) -> Iterator[Cause]:
        for grant in self._at_work(self.here, "allow"):
            yield from self._why_only(self.here, self.there, grant)
        for grant in self._at_work(self.there, "deny"):
            yield from self._why_only(self.there, self.here, grant)

    def _at_work(self, side: _Known, effect: str) -> list[Grant]:
        """The grants that hold in some of the outcomes; where one holds in all of them, only those that do."""
        found = [
            (grant, holding & self.outcomes)
            for grant, holding in side.covering(self.view)
            if grant.effect == effect and grant.grantee in side.names(self.key) and holding & self.outcomes
        ]
        whole = [grant for grant, holding in found if holding == self.outcomes]
        return whole or [grant for grant, _ in found]

    def _why_only(self, here: _Known, there: _Known, grant: Grant) -> Iterator[Cause]:
        """Why a grant is at work on one side only; nothing when it is on both."""
        twin = there.by_meaning.get(meaning_of(grant))
        if twin is None:
            yield from self._of_the_grant(here, there, grant)
        elif not any(other is twin for other, _ in there.covering(self.view)):
            yield from self._of_the_place(here, there)
        elif twin.grantee not in there.names(self.key):
            yield from self._of_the_roles(here, there, grant.grantee)

    def _of_the_grant(self, here: _Known, there: _Known, grant: Grant) -> Iterator[Cause]:
        partners = [
            other
            for other in there.policy.grants_about(*self.question)
            if _without_condition(other) == _without_condition(grant) and meaning_of(other) not in here.by_meaning
        ]
        moved = [] if partners else self._elsewhere(here, there, grant)
        if moved:
            before, after = (grant, moved[0]) if here.side == "before" else (moved[0], grant)
            yield Cause(after.place, "after", "grant", f"{after}; it was {before.scope.words or 'everywhere'}")
            return
        if not partners:
            word = "new" if here.side == "after" else "removed"
            yield Cause(grant.place, here.side, "grant", f"{word}: {grant}")
            return
        before, after = (grant, partners[0]) if here.side == "before" else (partners[0], grant)
        definitions = list(self._definitions(before, after)) if before.condition_text == after.condition_text else []
        if not definitions and before.written == after.written:
            definitions = list(self._declarations(after))
        if definitions:
            yield from definitions
            return
        was = f"when {before.condition_text}" if before.condition_text else "without a condition"
        yield Cause(after.place, "after", "condition", f"{after}; it was {was}")

    def _elsewhere(self, here: _Known, there: _Known, grant: Grant) -> list[Grant]:
        """The grants of the other side that only their scope sets apart from this one."""
        return [
            other
            for other in there.policy.grants_about(*self.question)
            if meaning_of(replace(other, scope=grant.scope)) == meaning_of(grant)
            and meaning_of(other) not in here.by_meaning
        ]

    def _definitions(self, before: Grant, after: Grant) -> Iterator[Cause]:
        """The named conditions in a text, directly or through others, that mean something else on either side."""
        sides = [side.policy.conditions for side in sorted((self.here, self.there), key=lambda side: side.side != "before")]
        waiting, seen = _WORD.findall(after.condition_text), set()
        while waiting:
            name = waiting.pop()
            first, second = (conditions.get(name) for conditions in sides)
            if name in seen or second is None:
                continue
            seen.add(name)
            waiting += _WORD.findall(second.text)
            if first is None or _own_text(first) != _own_text(second):
                was = f"; it was {first.text}" if first else ""
                yield Cause(second.place, "after", "condition", f"condition {name}: {second.text}{was}")

    def _declarations(self, after: Grant) -> Iterator[Cause]:
        """The properties that a grant's condition reads, and that are declared with another type on either side."""
        sides = sorted((self.here, self.there), key=lambda side: side.side != "before")
        before, now = (side.policy.declarations(after.resource_type) for side in sides)
        declared = sides[1].policy.resource_types.get(after.resource_type)
        for attribute in dict.fromkeys(
            name for atom in (atoms(after.written) if after.written else ()) for name in attributes_of(atom)
        ):
            types = [_declared(side.type_of(attribute)) for side in (before, now)]
            if types[0] != types[1]:
                is_of_type = attribute.root == "resource" and declared is not None
                place = declared.place if is_of_type and declared is not None else after.place
                about = f" of {after.resource_type}" if is_of_type else ""
                text = f"{attribute}{about} is declared as {types[1]}; it was {types[0]}"
                yield Cause(place, "after", "declaration", text)

    def _of_the_place(self, here: _Known, there: _Known) -> Iterator[Cause]:
        """The grant covers the place on one side only: the sides ask in different domains, or call levels otherwise."""
        resource_type, action = self.question
        declared = [side.policy.resource_types.get(resource_type) for side in (here, there)]
        levels = [known.asked_in.get(action) if known else None for known in declared]
        shown = here if declared[0] else there
        if levels[0] != levels[1] and (declared[0] or declared[1]):
            place = (declared[0] or declared[1]).place  # type: ignore[union-attr]
            words = [f"in {level}" if level else "where the resource lies" for level in levels]
            now, was = words if here.side == "after" else reversed(words)
            yield Cause(place, shown.side, "asked_in", f"{action} {resource_type} is asked {now}; it was {was}")
            return
        for level in here.roles.levels:
            other = there.roles.level_at(level.depth)
            if other is None or _form(other) != _form(level):
                yield Cause(level.place, here.side, "level", f"level {level.name}")

    def _of_the_roles(self, here: _Known, there: _Known, grantee: str) -> Iterator[Cause]:
        found = False
        for role, part in itertools.product((role for role, _ in self.held), parts_of(grantee)):
            if role not in here.roles.roles:
                continue
            chain = here.roles.chain(role, part)
            if chain:
                for cause in self._of_the_chain(here, there, role, chain):
                    found = True
                    yield cause
        if not found:
            yield from self._of_links_in_a_place(here, there) or self._of_counting(here, there)

    def _of_links_in_a_place(self, here: _Known, there: _Known) -> list[Cause]:
        """The roles held here that contain another in one place alone, which they do not on the other side."""
        word = "new" if here.side == "after" else "removed"
        names = {name for role, _ in self.held for name in here.roles.closure.get(role, ())}
        return [
            Cause(role.place, here.side, "inheritance", f"{word}: {role.name} contains {inner} in {place}")
            for role in here.roles.roles.values()
            if role.name in names
            for inner, place in role.contains_in
            if role.name not in there.roles.roles or (inner, place) not in there.roles.roles[role.name].contains_in
        ]

    def _of_the_chain(self, here: _Known, there: _Known, role: str, chain: tuple[str, ...]) -> Iterator[Cause]:
        word = "new" if here.side == "after" else "removed"
        declared = here.roles.roles[role]
        if role not in there.roles.roles:
            yield Cause(declared.place, here.side, "role", f"{word}: role {role}")
            return
        if here.roles.depths[role] != there.roles.depths[role]:
            yield Cause(declared.place, here.side, "role", f"role {role} is of level {declared.level}")
            return
        for outer, inner in itertools.pairwise(chain):
            if inner not in there.roles.inheritance.get(outer, ()):
                container = here.roles.roles[outer.removeprefix(ANY_PREFIX)]
                text = f"{word}: {container.name} contains {inner.removeprefix(ANY_PREFIX)}"
                yield Cause(container.place, here.side, "inheritance", text)
                return

    def _of_counting(self, here: _Known, there: _Known) -> Iterator[Cause]:
        """The same roles reach the grant on both sides, but on one they do not count."""
        for role, domain in self.held:
            declared = here.roles.roles.get(role)
            if declared is not None and there.roles.depths.get(role) != here.roles.depths[role]:
                word = "new" if here.side == "after" else "removed"
                yield Cause(declared.place, here.side, "role", f"{word}: role {role} of level {declared.level}")
            levels = [side.roles.level_at(depth_of(domain)) for side in (here, there)]
            if levels[0] and levels[1] and levels[0].requires_role_above != levels[1].requires_role_above:
                needs = "needs" if levels[0].requires_role_above else "no longer needs"
                if here.side == "before":
                    needs = "needed" if levels[0].requires_role_above else "did not need"
                yield Cause(levels[0].place, here.side, "level", f"a role of level {levels[0].name} {needs} one above it")


def _declared(type_: PropertyType | NoProperty | None) -> str:
    return "nothing" if type_ is None or isinstance(type_, NoProperty) else str(type_)


def _own_text(condition: NamedCondition) -> str:
    return " ".join(condition.text.split())


def _form(level: object) -> tuple[object, ...]:
    return tuple(getattr(level, name) for name in ("name", "named_by", "identified_by", "constant"))


def gathered(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """The causes once each, by file and line."""
    return tuple(sorted(set(causes)))
