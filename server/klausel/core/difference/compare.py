"""What a change of the policies changes in what is allowed: exactly, for whom, of what, where, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from klausel.core.analysis.both_sides import naming
from klausel.core.analysis.budget import MOST_STEPS, Budget
from klausel.core.analysis.decision_table import Key, Question, Remembered, View, shown_values, views
from klausel.core.analysis.question_space import Held
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.difference.causes import Blame, Cause, gathered, meaning_of
from klausel.core.difference.former_names import by_stored_names
from klausel.core.difference.rows import Holding, Row, Rule, Where, rows_of
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of
from klausel.core.terms.places import EVERY

Relation = Literal["gained", "lost", "widened", "narrowed", "replaced", "overlaps"]
Verdict = Literal["same", "more permissive", "less permissive", "both", "unknown"]


@dataclass(frozen=True, slots=True)
class Example:
    """The smallest case of a change: what the subject holds, where it asks, with which attributes."""

    held: Held
    domain: str | None
    values: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change in what is allowed.

    `who` are role names, `any <role>`, `<role> elsewhere` (held in another domain only) or `anyone`, the weakest first; each
    alone has the change, or, when `together`, only who holds them all. `with_it` have it because they contain one of these.
    `counts_with` is a role that lets those named count, on one side only, as the role that they need above them: the change is
    that of people who hold both. `where` it can be asked; `everywhere` when that is wherever those named can ask. The relation
    is exact, over all outcomes of the conditions: `widened` means that what was allowed still is. `parts` are the rows behind it.
    """

    resource_type: str
    action: str
    who: tuple[str, ...]
    with_it: tuple[str, ...]
    together: bool
    where: tuple[Where, ...]
    everywhere: bool
    before: Rule
    after: Rule
    relation: Relation
    causes: tuple[Cause, ...]
    gain: Example | None
    loss: Example | None
    parts: tuple[Row, ...]
    counts_with: str | None = None


@dataclass(frozen=True)
class PolicyDifference:
    """The exact difference between two policy sets, and everything that it was read off.

    A pattern match is taken as free (`has_free_matches`): nothing is missed, but a change may need a text that cannot be.
    """

    before: PolicySet
    after: PolicySet
    changes: tuple[Change, ...]
    views: Mapping[Question, tuple[View, ...]]
    undecided: tuple[str, ...] = ()
    """The questions with too many cases to compare, and why; no change is told about them."""
    former_names: tuple[str, ...] = ()
    """What names under which roles are stored mean otherwise now, a sentence each; what follows from it is among the changes."""

    @property
    def verdict(self) -> Verdict:
        """Whether more is allowed, less, both, or the same; unknown where some questions could not be compared."""
        if self.undecided:
            return "unknown"
        gains = any(change.gain for change in self.changes)
        loses = any(change.loss for change in self.changes)
        if gains and loses:
            return "both"
        return "more permissive" if gains else "less permissive" if loses else "same"

    @cached_property
    def has_free_matches(self) -> bool:
        """Whether pattern matches were taken as free in something that changed."""
        asked = {(change.resource_type, change.action) for change in self.changes}
        return any(view.space.has_free_matches for question in asked for view in self.views[question])

    def changes_behind(self, key: Key, view: View) -> list[tuple[Change, int, int]]:
        """The changes that reach a subject with these names in a view, with the outcomes in which it gains and loses by each."""
        before, after = view.allowed(key)
        gained, lost = after & ~before, before & ~after
        found = []
        for change in self._by_view.get(id(view), ()):
            more = less = 0
            for row in change.parts:
                if row.view is view and row.key[0] <= key[0] and row.key[1] <= key[1]:
                    more |= row.gained & gained
                    less |= row.lost & lost
            if more or less:
                found.append((change, more, less))
        return found

    @cached_property
    def _by_view(self) -> Mapping[int, list[Change]]:
        found: dict[int, list[Change]] = {}
        for change in self.changes:
            for view in {id(row.view): row.view for row in change.parts}:
                found.setdefault(view, []).append(change)
        return found


def difference_between(before: PolicySet, after: PolicySet, most_steps: int = MOST_STEPS) -> PolicyDifference:
    """What changes in what is allowed from one policy set to another; neither is preferred, and they need share nothing.

    The sets that it holds have roles by the names under which they are stored, see `by_stored_names`.
    """
    before, after, former_names = by_stored_names(before, after)
    asked = dict.fromkeys((grant.resource_type, grant.action) for policy in (before, after) for grant in policy.grants)
    found: dict[Question, tuple[View, ...]] = {}
    remembered = Remembered(before, after, Budget(most_steps))
    undecided = []
    for question in asked:
        if _may_differ(before, after, question):
            try:
                found[question] = tuple(views(before, after, question, remembered=remembered))
            except TooManyCases as error:
                undecided.append(str(error))
    blame = Blame(before, after)
    changes = [change for question, seen in found.items() for change in _changes(before, after, question, seen, blame)]
    return PolicyDifference(before, after, tuple(changes), found, tuple(undecided), former_names)


def _may_differ(before: PolicySet, after: PolicySet, question: Question) -> bool:
    """Whether a question needs a closer look; False only where grants, places and roles are the same as far as they matter."""
    sides = [policy.grants_about(*question) for policy in (before, after)]
    if set(map(meaning_of, sides[0])) != set(map(meaning_of, sides[1])):
        return True
    if before.roles == after.roles and before.resource_types.get(question[0]) == after.resource_types.get(question[0]):
        return False
    if naming(before, *question) != naming(after, *question):
        return True
    if [level.requires_role_above for level in before.roles.levels] != [
        level.requires_role_above for level in after.roles.levels
    ]:
        return True
    if before.roles.depths != after.roles.depths:
        return True
    wanted = before.roles.with_parts(grant.grantee for grant in sides[0])
    if _placed_links(before.roles) != _placed_links(after.roles):
        return True
    closures = before.roles.reach, after.roles.reach
    return any(closures[0][role] & wanted != closures[1][role] & wanted for role in closures[0])


def _placed_links(roles: RoleModel) -> set[tuple[str, str, str]]:
    return {(role.name, *link) for role in roles.roles.values() for link in role.contains_in}


def _changes(
    before: PolicySet, after: PolicySet, question: Question, seen: Sequence[View], blame: Blame
) -> Iterator[Change]:
    """The changes about one question: rows with the same rules are one, whoever they are for and wherever they are asked."""
    possible: dict[tuple[Holding, ...], set[int]] = {}
    groups: dict[tuple[object, ...], list[Row]] = {}
    for number, view in enumerate(seen):
        for row in rows_of(before, after, view):
            if row.counts_with is None:
                possible.setdefault(row.roles, set()).add(number)
            if (row.gained or row.lost) and not row.is_explained:
                together = row.roles if len(row.roles) > 1 else None
                groups.setdefault((row.rules, together, row.counts_with), []).append(row)
    numbers = {id(view): number for number, view in enumerate(seen)}
    for rows in groups.values():
        parted: dict[frozenset[int] | None, list[Row]] = {}
        by_roles: dict[tuple[Holding, ...], list[Row]] = {}
        for row in rows:
            by_roles.setdefault(row.roles, []).append(row)
        for roles, same in by_roles.items():
            at = frozenset(numbers[id(row.view)] for row in same)
            is_for_one = len(roles) < 2 and same[0].counts_with is None
            parted.setdefault(None if is_for_one and at == possible[roles] else at, []).extend(same)
        if None in parted:
            at = frozenset(numbers[id(row.view)] for row in parted[None])
            if at in parted:
                parted[at] += parted.pop(None)
        for places, part in parted.items():
            yield _change(before, after, question, seen, part, places is None, blame)


def _change(
    before: PolicySet,
    after: PolicySet,
    question: Question,
    seen: Sequence[View],
    rows: list[Row],
    everywhere: bool,
    blame: Blame,
) -> Change:
    together = len(rows[0].roles) > 1
    closures = [policy.roles for policy in (before, after)]
    who: tuple[str, ...]
    with_it: tuple[str, ...] = ()
    if together:
        who = tuple(_label(holding, rows) for holding in rows[0].roles)
    else:
        who, with_it = _weakest_first(closures, rows)
    causes = gathered(
        cause for row in rows for cause in blame.causes(question, row.view, row.key, row.held, row.gained, row.lost)
    )
    return Change(
        *question,
        who=who,
        with_it=with_it,
        together=together,
        where=_where(after, before, rows, seen),
        everywhere=everywhere,
        before=rows[0].rules[0],
        after=rows[0].rules[1],
        relation=_relation(rows),
        causes=causes,
        gain=_example(rows, gained=True),
        loss=_example(rows, gained=False),
        parts=tuple(rows),
        counts_with=rows[0].counts_with,
    )


def _relation(rows: Iterable[Row]) -> Relation:
    """How what was allowed and what is allowed lie to each other, over all outcomes in all places."""
    before = after = common = gained = lost = False
    for row in rows:
        before |= bool(row.before)
        after |= bool(row.after)
        common |= bool(row.before & row.after)
        gained |= bool(row.gained)
        lost |= bool(row.lost)
    if not before:
        return "gained"
    if not after:
        return "lost"
    if not lost:
        return "widened"
    if not gained:
        return "narrowed"
    return "overlaps" if common else "replaced"


def _example(rows: Iterable[Row], gained: bool) -> Example | None:
    examples = []
    for row in rows:
        outcomes = row.gained if gained else row.lost
        if outcomes:
            domain = row.view.placement.domains[-1] if row.view.placement.domains else None
            examples.append(Example(row.held, domain, shown_values(row.view.smallest_outcome(outcomes))))
    return min(examples, key=lambda case: (case.domain is None, len(case.held), len(case.values)), default=None)


def _where(after: PolicySet, before: PolicySet, rows: Iterable[Row], seen: Iterable[View]) -> tuple[Where, ...]:
    """The places, each once; one inside a place that stands for it only where that place is not meant as a whole."""
    shapes = dict.fromkeys(row.view.placement.shape for row in rows)
    others = dict.fromkeys(view.placement.shape for view in seen if view.placement.shape not in shapes)
    found = []
    for shape in shapes:
        level = after.roles.level_at(len(shape)) or before.roles.level_at(len(shape))
        wider = [other for other in shapes if other != shape and _covers(other, shape)]
        if level is None:
            found.append(Where(None))
        elif not wider or any(_covers(other, shape) for other in others):
            apart = [other for other in others if _covers(shape, other)]
            apart = [one for one in apart if not any(other != one and _covers(other, one) for other in apart)]
            below = [other for other in others if len(other) > len(shape) and _covers(shape, other[: len(shape)])]
            is_whole = all(any(_covers(one, other[: len(one)]) for one in apart) for other in below)
            domain = _named(shape) if any(shape) else None
            found.append(Where(level.name, domain, tuple(sorted(map(_named, apart))), is_whole))
    return tuple(sorted(found, key=lambda where: (where.level or "", where.domain or "")))


def _covers(general: tuple[str | None, ...], shape: tuple[str | None, ...]) -> bool:
    return len(general) == len(shape) and all(ours in (None, part) for ours, part in zip(general, shape, strict=True))


def _named(shape: tuple[str | None, ...]) -> str:
    return "/".join(part or EVERY for part in shape)


def _label(holding: Holding, rows: Sequence[Row], both_ways: bool = False) -> str:
    """How a role is called as it is held: `any lead` when it is the same wherever it is held, and here it need not be."""
    role, how = holding
    if how == "here" and not both_ways:
        return role
    depths = [(len(row.view.placement.shape), depth_of(place)) for row in rows for name, place in row.held if name == role]
    can_be_here = any(asked >= held for asked, held in depths)
    return f"{role} elsewhere" if can_be_here and not both_ways else ANY_PREFIX + role


def _weakest_first(models: Sequence[RoleModel], rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of those that have a change: the roles that contain none of the others, and the others, weakest first."""
    ways: dict[str, set[str]] = {}
    for row in rows:
        if not row.roles:
            return (ANYONE,), ()
        role, how = row.roles[0]
        ways.setdefault(role, set()).add(how)

    def reached(role: str) -> set[str]:
        return {name for model in models if role in model.roles for name in model.closure[role]} - {role}

    ordered = sorted(ways, key=lambda role: len(reached(role)))
    labels = {
        role: _label((role, "elsewhere" if "elsewhere" in how else "here"), rows, both_ways=len(how) > 1)
        for role, how in ways.items()
    }
    weakest = [role for role in ordered if not reached(role) & ways.keys()]
    return tuple(labels[role] for role in weakest), tuple(labels[role] for role in ordered if role not in weakest)
