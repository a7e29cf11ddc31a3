"""A difference as its readers see it: changes put together where they say the same, in words, with commits and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from klausel.core.analysis.other_model import note_on, note_on_change
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.difference.causes import Cause
from klausel.core.difference.compare import Change, Example, PolicyDifference
from klausel.core.difference.declarations import changed_entities, changed_types
from klausel.core.difference.renames import Rename
from klausel.core.difference.rows import Rule, Where
from klausel.core.difference.rules import ChangedRule, changed_rules
from klausel.core.terms.counted import counted


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a line, when, and what for; all empty for a line that is not committed.

    `removed_by` is who took it away, or wrote it otherwise; None where that is not known, or it still stands.
    """

    commit: str = ""
    author: str = ""
    date: str = ""
    subject: str = ""
    removed_by: Origin | None = None

    @property
    def short(self) -> str:
        """The commit alone."""
        return self.commit[:10] or "not committed"

    @property
    def told(self) -> str:
        """The commit, and who removed the line in which."""
        by = self.removed_by
        if by is None:
            return self.short
        return f"{self.short}, removed by {by.short} {by.author}" if by.commit else f"{self.short}, removal not committed"

    def __str__(self) -> str:
        return f"{self.short} {self.author}, {self.date}: {self.subject}" if self.commit else self.short


@dataclass(frozen=True, slots=True)
class People:
    """How many people gain and lose by a change in at least one place and case, and who, where names were asked for.

    Groups are counted beside them: what a group gains, its members gain, each of whom is counted already.
    """

    gain: int
    lose: int
    groups_gain: int = 0
    groups_lose: int = 0
    who_gains: tuple[str, ...] = ()
    who_loses: tuple[str, ...] = ()
    which_groups_gain: tuple[str, ...] = ()
    which_groups_lose: tuple[str, ...] = ()

    def __str__(self) -> str:
        people = [f"{number} {word}" for number, word in ((self.gain, "gain"), (self.lose, "lose")) if number]
        groups = [
            f"{counted(number, 'group')} {f'{word}s' if number == 1 else word}"
            for number, word in ((self.groups_gain, "gain"), (self.groups_lose, "lose"))
            if number
        ]
        return "; ".join([", ".join(people) or "nobody", *([", ".join(groups)] if groups else [])])

    @property
    def names(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Who gains (`+`) and who loses (`-`), groups included; what is empty is left out."""
        sides = ("+", self.which_groups_gain + self.who_gains), ("-", self.which_groups_lose + self.who_loses)
        return tuple((sign, some) for sign, some in sides if some)


@dataclass(frozen=True)
class DifferenceReport:
    """Everything that is shown: the difference, the names of both sides, and what was looked up beside it.

    `people` belong to the changes, in their order; None when nobody asked for them. `everybody` counts each person once.
    `models` are the digests of models whose matcher is not Klausel's; None for one that means what is compared here.
    """

    difference: PolicyDifference
    before: str
    after: str
    renames: tuple[Rename, ...] = ()
    origins: Mapping[Cause, Origin] = field(default_factory=dict)
    people: Sequence[People] | None = None
    everybody: People | None = None
    models: tuple[str | None, str | None] = (None, None)

    @cached_property
    def rules(self) -> tuple[ChangedRule, ...]:
        """What is demanded otherwise on either side, beside what is allowed."""
        return changed_rules(self.difference.before, self.difference.after)

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """What files say otherwise of single subjects and resources, which no rule shows."""
        return tuple(changed_entities(self.difference.before, self.difference.after))


@dataclass(frozen=True, slots=True)
class Entry:
    """Changes that differ in their actions only."""

    changes: tuple[Change, ...]
    people: tuple[People, ...]

    @property
    def first(self) -> Change:
        """One of them, which stands for all but for its action."""
        return self.changes[0]

    @property
    def actions(self) -> str:
        """The actions, as a list in words."""
        return ", ".join(change.action for change in self.changes)

    @property
    def causes(self) -> tuple[tuple[Cause, str], ...]:
        """What made them, with its words; causes on one line that differ in their actions only are one."""
        found: dict[tuple[object, ...], tuple[Cause, list[str]]] = {}
        for change in self.changes:
            for cause in change.causes:
                start, said, end = cause.text.partition(f" to {change.action} ")
                _, actions = found.setdefault((cause.place, cause.side, start, said and end), (cause, []))
                if said and change.action not in actions:
                    actions.append(change.action)
        return tuple(
            (cause, f"{key[2]} to {', '.join(actions)} {key[3]}" if actions else cause.text)
            for key, (cause, actions) in found.items()
        )

    @property
    def sign(self) -> str:
        """`+` where more is allowed, `-` where less, `±` where both."""
        return "±" if self.first.gain and self.first.loss else "+" if self.first.gain else "-"


def entries(report: DifferenceReport) -> list[Entry]:
    """The changes in their order, those with the same people and rules about one type together."""
    found: dict[tuple[object, ...], list[tuple[Change, People | None]]] = {}
    for position, change in enumerate(report.difference.changes):
        if change.counts_with is not None:
            continue
        people = report.people[position] if report.people is not None else None
        key = (
            *(change.resource_type, change.who, change.with_it, change.together, change.where, change.everywhere),
            *(change.before, change.after, change.relation, people),
        )
        found.setdefault(key, []).append((change, people))
    types = {change.resource_type: None for change in report.difference.changes}
    order = list(types)
    made = [
        Entry(tuple(change for change, _ in same), tuple(people for _, people in same if people is not None))
        for same in found.values()
    ]
    return sorted(made, key=lambda entry: order.index(entry.first.resource_type))


def commits(report: DifferenceReport) -> list[str]:
    """The commits that wrote the lines to blame, newest first, each in one line."""
    known = {one for origin in report.origins.values() for one in (origin, origin.removed_by) if one is not None}
    found = {replace(origin, removed_by=None) for origin in known if origin.commit}
    return [str(origin) for origin in sorted(found, key=lambda origin: (origin.date, origin.commit), reverse=True)]


def note_on_models(report: DifferenceReport) -> str | None:
    """What stands above everything else where decisions are made by a matcher that is not Klausel's; None where none is."""
    before, after = report.models
    if before != after:
        return note_on_change(before, after)
    return note_on(before) if before else None


def headline(report: DifferenceReport) -> str:
    """The verdict in one sentence, below what no comparison of policies can tell."""
    note = note_on_models(report)
    return f"{note}: {_headline(report)}" if note else _headline(report)


def _headline(report: DifferenceReport) -> str:
    difference = report.difference
    if difference.verdict == "same":
        if report.entities:
            told = counted(len(report.entities), "entity", "entities")
            also = ", and so does what is demanded" if report.rules else ""
            return f"the rules are the same, but what files say of {told} changes{also}"
        but = ", but what is demanded does" if report.rules else ""
        return f"the same: nothing changes in what is allowed{but}"
    gains = sum(change.gain is not None for change in difference.changes)
    losses = sum(change.loss is not None for change in difference.changes)
    found = f"{counted(gains, 'gain')}, {counted(losses, 'loss', 'losses')}"
    if difference.verdict == "unknown":
        return f"not known: {counted(len(difference.undecided), 'action')} could not be compared; {found} among the others"
    verdict = {"both": "more and less permissive"}.get(difference.verdict, difference.verdict)
    return f"{verdict}: {found}{_concerned_today(report.people, gains + losses)}"


def _concerned_today(people: Sequence[People] | None, number: int) -> str:
    """How many of so many gains and losses are some person's in the database; empty where nobody was looked for."""
    if people is None:
        return ""
    concerning = sum((one.gain > 0) + (one.lose > 0) for one in people)
    nobody = number - concerning
    if not concerning:
        return "; nobody who holds a role today is concerned"
    some = f"{concerning} of them" if nobody else "all of them" if number > 1 else "it"
    are = "is" if concerning == 1 else "are"
    rest = f", {nobody} {'concerns' if nobody == 1 else 'concern'} nobody at present" if nobody else ""
    return f"; {some} {are} for people who hold a role today{rest}"


def note_on_people(report: DifferenceReport) -> str:
    """What a reader elsewhere must know where nobody was looked for: how to have people counted; empty where they were."""
    if report.people is not None or not report.difference.changes:
        return ""
    return (
        "People were not counted: this says which roles gain and lose, not whether anybody holds them. "
        "klausel diff --people --database URL counts who does."
    )


def who_in_words(change: Change) -> str:
    """Those who have the change: `lead, and with it manager, admin`, or `guest together with lead`."""
    if change.together:
        return " together with ".join(change.who)
    return ", ".join(change.who) + (f", and with it {', '.join(change.with_it)}" if change.with_it else "")


def where_in_words(change: Change) -> str:
    """Where it is asked; empty when that is wherever those who have the change can ask."""
    if change.everywhere:
        return ""
    return ", ".join(str(one) for one in change.where if not any(other.includes(one) for other in change.where))


def rules_in_words(change: Change) -> tuple[str, str]:
    """When it was allowed and when it is; named conditions are written out where the names would hide the change."""
    is_hidden = change.before.text() == change.after.text() or _shares_a_name(change.before, change.after)
    return change.before.text(is_hidden), change.after.text(is_hidden)


def _shares_a_name(before: Rule, after: Rule) -> bool:
    """Whether a text stands on both sides but means something else."""
    meanings = {clause.text: clause.meaning for clause in (*before.allows, *before.denies)}
    return any(meanings.get(clause.text, clause.meaning) != clause.meaning for clause in (*after.allows, *after.denies))


def notes(report: DifferenceReport) -> list[str]:
    """What a reader must know beside the changes that are listed."""
    found = [f"not compared: {why}; {TOO_MANY_CASES_HINT}" for why in report.difference.undecided]
    found += [str(rename) for rename in report.renames]
    found += report.difference.former_names
    found += map(str, report.rules)
    found += changed_types(report.difference.before, report.difference.after)
    found += report.entities
    if report.entities:
        found.append("who gains and loses by what files say of entities is not compared; ask klausel can, or policy tests")
    letting: dict[tuple[str, bool], list[Change]] = {}
    for change in report.difference.changes:
        if change.counts_with is not None:
            letting.setdefault((change.counts_with, change.gain is not None), []).append(change)
    for (role, gains), changes in letting.items():
        now = f"{role} now lets the roles below it count" if gains else f"{role} no longer lets the roles below it count"
        effect = "gains" if gains else "loses"
        sources = ", ".join(dict.fromkeys(cause.source for change in changes for cause in change.causes))
        found.append(
            f"{now}, which need one above them: whoever is {role} and has no other role there {effect} what those below give, "
            f"{counted(len(changes), 'change')} ({sources})"
        )
    if report.difference.has_free_matches:
        found.append(
            "comparisons that follow from each other, such as patterns, were taken as free: nothing is missing, but a change may "
            "need values that cannot be together"
        )
    return found


def as_json(report: DifferenceReport) -> dict[str, object]:
    """A JSON object; its members are described in docs/audit.md."""
    difference = report.difference
    people = report.people if report.people is not None else [None] * len(difference.changes)
    note = note_on_models(report)
    return {
        **({"not_for_model": list(report.models), "note": note} if note else {}),
        "before": report.before,
        "after": report.after,
        "verdict": difference.verdict if report.models[0] == report.models[1] else "unknown",
        "changes": [_change(report, change, some) for change, some in zip(difference.changes, people, strict=True)],
        "renames": [{"kind": rename.kind, "before": rename.before, "after": rename.after} for rename in report.renames],
        "pattern_matches_taken_as_free": difference.has_free_matches,
        "former_names": list(difference.former_names),
        "not_compared": list(difference.undecided),
        "changed_rules": [str(rule) for rule in report.rules],
        "changed_types": list(changed_types(difference.before, difference.after)),
        "changed_entities": list(report.entities),
        "rules": [rule.as_json() for rule in report.rules],
        "people": _people(report.everybody),
    }


def _change(report: DifferenceReport, change: Change, people: People | None) -> dict[str, object]:
    return {
        "resource_type": change.resource_type,
        "action": change.action,
        "who": list(change.who),
        "with_it": list(change.with_it),
        "together": change.together,
        "counts_with": change.counts_with,
        "where": [_where(where) for where in change.where],
        "everywhere": change.everywhere,
        "relation": change.relation,
        "before": {"text": change.before.text(), "full": change.before.text(full=True)},
        "after": {"text": change.after.text(), "full": change.after.text(full=True)},
        "gain": _example(change.gain),
        "loss": _example(change.loss),
        "causes": [_cause(cause, report.origins.get(cause)) for cause in change.causes],
        "people": _people(people),
    }


def _where(where: Where) -> dict[str, object]:
    return {"level": where.level, "domain": where.domain, "apart_from": list(where.apart_from)}


def _example(example: Example | None) -> dict[str, object] | None:
    return (
        None
        if example is None
        else {
            "roles_held": [{"role": role, "domain": domain} for role, domain in example.held],
            "domain": example.domain,
            "values": dict(example.values),
        }
    )


def _cause(cause: Cause, origin: Origin | None) -> dict[str, object]:
    return {
        "kind": cause.kind,
        "side": cause.side,
        "text": cause.text,
        "file": cause.place.file,
        "line": cause.place.line,
        "commit": _commit(origin),
        "removed_by": _commit(None if origin is None else origin.removed_by),
    }


def _commit(origin: Origin | None) -> dict[str, object] | None:
    if origin is None or not origin.commit:
        return None
    return {"id": origin.commit, "author": origin.author, "date": origin.date, "subject": origin.subject}


def _people(people: People | None) -> dict[str, object] | None:
    return (
        None
        if people is None
        else {
            "gain": people.gain,
            "lose": people.lose,
            "who_gains": list(people.who_gains),
            "who_loses": list(people.who_loses),
            "groups_gain": people.groups_gain,
            "groups_lose": people.groups_lose,
            "which_groups_gain": list(people.which_groups_gain),
            "which_groups_lose": list(people.which_groups_lose),
        }
    )
