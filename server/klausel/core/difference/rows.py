"""For one kind of place: what each role alone may do before and after, and which roles change something only together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from klausel.core.analysis.decision_table import Covering, Key, View
from klausel.core.analysis.question_space import Held, made_up_id
from klausel.core.conditions.tree import with_one_spelling
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, Level, depth_of, parts_of
from klausel.core.policy.scope import Scope
from klausel.core.terms.places import is_inside

How = Literal["here", "elsewhere"]
Holding = tuple[str, How]
"""A role, held in the domain that is asked or above it, or only in another one below the same top domain."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where something is asked: a level, or no domain at all (None), and, when it is not any domain of that level, which.

    `domain` is one, or a place that stands for all of the level that are in it, but for those in `apart_from`.
    `is_whole` when all that is asked below those is meant, too.
    """

    level: str | None
    domain: str | None = None
    apart_from: tuple[str, ...] = ()
    is_whole: bool = False

    def __str__(self) -> str:
        if self.level is None:
            return "outside every domain"
        where = Scope(self.domain, None if self.is_whole and self.domain else self.level).words
        return where + (f" but not in {' or '.join(self.apart_from)}" if self.apart_from else "")

    def includes(self, other: Where) -> bool:
        """Whether all that another one says is said by this one."""
        if not self.is_whole or self.domain is None or other.domain is None or other == self:
            return False
        return is_inside(other.domain, self.domain) and not any(is_inside(other.domain, apart) for apart in self.apart_from)


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition; equal to others that mean the same by their spelling. `full` is without names of conditions."""

    meaning: str
    text: str = field(compare=False)
    full: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """When something is allowed: when one of `allows` is true and each of `denies` is false; never, when `allows` is empty."""

    allows: tuple[Clause, ...]
    denies: tuple[Clause, ...] = ()

    def text(self, full: bool = False) -> str:
        """In words: `never`, `always`, `when …`, `when … unless …`; `full` writes named conditions out."""
        if not self.allows:
            return "never"
        allowing = _joined(self.allows, full)
        when = f"when {allowing}" if allowing else "always"
        return f"{when}, unless {_joined(self.denies, full)}" if self.denies else when

    def __str__(self) -> str:
        return self.text()


def _joined(clauses: Sequence[Clause], full: bool) -> str:
    texts = [clause.full if full else clause.text for clause in clauses]
    if "" in texts:
        return ""
    return " or ".join(f"({text})" if len(texts) > 1 and (" or " in text or " and " in text) else text for text in texts)


_ALWAYS = Rule((Clause("", "", ""),))
_NEVER = Rule(())


@dataclass(frozen=True, slots=True)
class Row:
    """What one way of holding roles gives in one view, before and after: rules, and the outcomes that allow it, as bits.

    `held` has the role assignments that `roles` need beside them. `is_explained` when who holds fewer roles has the same change.
    `counts_with` is a role that gives nothing here itself, but lets them count, on one side only, as the role above them.
    """

    view: View
    roles: tuple[Holding, ...]
    held: Held
    key: Key
    before: int
    after: int
    rules: tuple[Rule, Rule]
    is_explained: bool
    counts_with: str | None = None

    @property
    def gained(self) -> int:
        """The outcomes that are newly allowed."""
        return self.after & ~self.before

    @property
    def lost(self) -> int:
        """The outcomes that are no longer allowed."""
        return self.before & ~self.after


def rows_of(before: PolicySet, after: PolicySet, view: View) -> list[Row]:
    """A row for nobody and for each role alone, unchanged ones too, then those of roles that change something only together."""
    return _Rows(before, after, view).rows()


class _Rows:
    def __init__(self, before: PolicySet, after: PolicySet, view: View) -> None:
        self._models = (before.roles, after.roles)
        self._view = view
        self._wanted = tuple(frozenset(grant.grantee for grant in side.grants) for side in (view.before, view.after))
        self._reached_by_parts = tuple(
            model.with_parts(names) for model, names in zip(self._models, self._wanted, strict=True)
        )
        self._by_held: dict[Held, Row] = {}

    def rows(self) -> list[Row]:
        found = [self._row((), ())]
        if self._view.placement.domains:
            for role in dict.fromkeys(name for model in self._models for name in model.roles):
                for how, held in self._ways_to_hold(role):
                    found.append(self._row(((role, how),), held))
        return found + list(self._together(found))

    def _row(self, roles: tuple[Holding, ...], held: Held) -> Row:
        key = self._key(held)
        before, after = self._view.allowed(key)
        rules = self._rule(self._view.before, key[0], before), self._rule(self._view.after, key[1], after)
        fewer = [self._by_held[part] for part in ((), held[:-1]) if part in self._by_held and part != held]
        explained = any((before, after) == (row.before, row.after) for row in fewer)
        row = Row(self._view, roles, held, key, before, after, rules, explained)
        self._by_held[held] = row
        return row

    def _key(self, held: Held) -> Key:
        before, after = (
            frozenset(EffectiveRoles.of(model, held).roles_in(asked if isinstance(asked, str) else None)) & wanted
            for model, asked, wanted in zip(
                self._models, (self._view.placement.before, self._view.placement.after), self._wanted, strict=True
            )
        )
        return before, after

    def _ways_to_hold(self, role: str) -> Iterator[tuple[How, Held]]:
        """The role assignments with a role alone, here and elsewhere, with those that it needs above it in front."""
        depths = dict.fromkeys(model.depths[role] for model in self._models if role in model.roles)
        for depth in depths:
            for domain in self._view.placement.domains:
                if depth <= depth_of(domain):
                    place = "/".join(domain.split("/")[:depth])
                    yield "here", (*self._needed_above(place), (role, place))
            if depth > 1:
                place = self._aside(depth)
                if any(domain == place or domain.startswith(place + "/") for domain in self._view.placement.domains):
                    continue
                yield "elsewhere", (*self._needed_above(place), (role, place))

    def _aside(self, depth: int) -> str:
        """A domain of a depth that is below the same top domain, but neither asked in nor above that."""
        parts = self._view.placement.domains[0].split("/")
        used = {part for domain in self._view.placement.domains for part in domain.split("/")}
        aside = parts[:1]
        for number in range(2, depth + 1):
            level = self._level(number)
            aside.append(level.constant or made_up_id(level.name, used))
        return "/".join(aside)

    def _level(self, depth: int) -> Level:
        return next(level for model in self._models if (level := model.level_at(depth)))

    def _needed_above(self, place: str) -> Held:
        """The weakest roles that must be held above a place for a role there to count, on any side."""
        depth = depth_of(place)
        levels = [model.level_at(depth) for model in self._models]
        if depth == 1 or not any(level and level.requires_role_above for level in levels):
            return ()
        above = place.rpartition("/")[0]
        fitting = [name for model in self._models for name, at in model.depths.items() if at == depth - 1]
        if not fitting:
            return ()
        weakest = min(dict.fromkeys(fitting), key=self._strength)
        return (*self._needed_above(above), (weakest, above))

    def _strength(self, role: str) -> tuple[bool, int, int]:
        reached = [
            model.reach[role] & wanted if role in model.roles else frozenset()
            for model, wanted in zip(self._models, self._reached_by_parts, strict=True)
        ]
        closures = [len(model.closure[role]) for model in self._models if role in model.roles]
        return len(closures) < len(self._models), sum(map(len, reached)), max(closures)

    def _together(self, singles: Iterable[Row]) -> Iterator[Row]:
        """Rows for roles held together, in which something changes that changes for none of them alone."""
        rows = list(singles)
        for role_combination in self._view.role_combinations:
            key = (role_combination.before, role_combination.after)
            before, after = self._view.allowed(key)
            gained, lost = after & ~before, before & ~after
            if not gained | lost:
                continue
            for row in rows:
                if row.key[0] <= key[0] and row.key[1] <= key[1]:
                    gained &= ~row.gained
                    lost &= ~row.lost
            if gained | lost:
                row = self._row(tuple(self._named(role_combination.held, key)), role_combination.held)
                letting = next((role for role, _ in role_combination.held if self._only_lets_count(role)), None)
                if letting is not None:
                    others = tuple(pair for pair in role_combination.held if pair[0] != letting)
                    row = replace(row, roles=tuple(self._named(others, key)), counts_with=letting)
                rows.append(row)
                yield row

    def _only_lets_count(self, role: str) -> bool:
        """Whether a role is of another level on either side, or of none, and reaches no grant itself."""
        depths = [model.depths.get(role) for model in self._models]
        return depths[0] != depths[1] and not any(
            model.reach.get(role, frozenset()) & wanted
            for model, wanted in zip(self._models, self._reached_by_parts, strict=True)
        )

    def _named(self, held: Held, key: Key) -> Iterator[Holding]:
        """The grantees that a subject must reach, on any side, or, where that is one alone, the roles that it must hold."""
        names = (key[0] | key[1]) - {ANYONE}
        implied = {
            inner
            for model in self._models
            for name in names
            for inner in (*model.closure.get(name, ()), *parts_of(name))
            if inner != name
        }
        needed = {part for name in names - implied for part in parts_of(name)}
        if len(needed) > 1:
            yield from ((name, "here") for name in sorted(needed))
            return
        for role, place in held:
            is_here = any(domain == place or domain.startswith(place + "/") for domain in self._view.placement.domains)
            yield role, "here" if is_here else "elsewhere"

    def _rule(self, side: Covering, names: frozenset[str], allowed: int) -> Rule:
        if not allowed:
            return _NEVER
        everything = (1 << len(self._view.space.outcomes)) - 1
        if allowed == everything:
            return _ALWAYS
        at_work = [
            (grant, holds)
            for grant, holds in zip(side.grants, side.holding, strict=True)
            if grant.grantee in names or grant.grantee == ANYONE
        ]
        allows = _needed([(grant, holds) for grant, holds in at_work if grant.effect == "allow"])
        allowing = 0
        for _, holds in allows:
            allowing |= holds
        denies = _needed([(grant, holds) for grant, holds in at_work if grant.effect == "deny" and holds & allowing])
        return Rule(_clauses(allows), _clauses(denies))


def _needed(grants: Iterable[tuple[Grant, int]]) -> list[tuple[Grant, int]]:
    """The grants without those that never hold, and those that hold only where another one does."""
    kept: list[tuple[Grant, int]] = []
    for grant, holds in grants:
        if holds and not any(holds & ~wider == 0 for _, wider in kept):
            kept = [(other, narrower) for other, narrower in kept if narrower & ~holds]
            kept.append((grant, holds))
    return kept


def _clauses(grants: Iterable[tuple[Grant, int]]) -> tuple[Clause, ...]:
    clauses = {_clause(grant) for grant, _ in grants}
    return tuple(sorted(clauses, key=lambda clause: clause.meaning))


def _clause(grant: Grant) -> Clause:
    if grant.condition is None:
        return Clause("", "", "")
    return Clause(str(with_one_spelling(grant.condition)), grant.condition_text, str(grant.condition))
