"""What one subject holds at a moment: of its own and through its groups, and for how long that stays so."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal, NamedTuple

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.counted import counted
from klausel.core.terms.moment import seconds_of_instant

LONGEST_GROUP_CHAIN = 10
"""The most groups on the way from a person to a role; what lies further away counts for nothing."""

Pair = tuple[str, str]
Pairs = tuple[Pair, ...]
Timing = Literal["ended", "begins", "unreadable"]


class Rows(NamedTuple):
    """All rows that say what a subject holds: its own (role, domain) pairs without times, sorted, and all others.

    The others are its own with times, its memberships, and all rows of the groups that these lead to.
    """

    pairs: Pairs
    others: tuple[Assignment, ...] = ()


class Way(NamedTuple):
    """How a subject comes by a pair, where not by a row of its own without an end: through which groups, until when."""

    groups: tuple[str, ...]
    ends: str | None


_OWN = Way((), None)


class Untimely(NamedTuple):
    """A row that does not count at the moment: it ended, or begins later, or its times cannot be read.

    `seconds` is the instant at which it ended or begins.
    """

    row: Assignment
    timing: Timing
    seconds: float

    def text(self, now: float) -> str:
        """The whole in a sentence, such as `user:ann lead in acme until …, which ended 2 days ago`."""
        if self.timing == "unreadable":
            return f"{self.row}, which is no time that can be read, so it counts for nothing"
        distance = duration_text(abs(now - self.seconds))
        told = f"which ended {distance} ago" if self.timing == "ended" else f"which begins in {distance}"
        return f"{self.row}, {told}"


@dataclass(frozen=True, slots=True)
class Held:
    """What a subject holds at the moment asked about, and at every one from `since` until just before `until`.

    `pairs` are sorted, each once. `ways` has those that are not held by a row of the subject without an end. `groups` are all
    whose rows had a say.
    """

    pairs: Pairs
    ways: Mapping[Pair, Way] = field(default_factory=dict)
    untimely: tuple[Untimely, ...] = ()
    groups: frozenset[str] = frozenset()
    since: float = -inf
    until: float = inf


NOTHING = Held(())


def rows_of_subject(subject: str, rows: Iterable[Assignment]) -> Rows:
    """All rows that were found of a subject and its groups, parted as `held_at` takes them."""
    pairs: list[Pair] = []
    others: list[Assignment] = []
    for row in rows:
        if row.subject == subject and row.starts is row.ends is None and not row.is_membership:
            pairs.append((row.role, row.domain))
        else:
            others.append(row)
    return Rows(tuple(sorted(pairs)), tuple(others))


def rows_by_subject(rows: Iterable[Assignment]) -> dict[str, list[Assignment]]:
    """The rows of each subject."""
    found: dict[str, list[Assignment]] = {}
    for row in rows:
        found.setdefault(row.subject, []).append(row)
    return found


def gather_rows(subject: str, own: Sequence[Assignment], rows_of: Mapping[str, Sequence[Assignment]]) -> Rows:
    """A subject's own rows with those of all the groups that they lead to, which `rows_of` has."""
    found = list(own)
    waiting = groups_in(own)
    met = {subject, *waiting}
    while waiting:
        some = [row for group in sorted(waiting) for row in rows_of.get(group, ())]
        found += some
        waiting = groups_in(some) - met
        met |= waiting
    return rows_of_subject(subject, found)


def held_at(subject: str, rows: Rows, now: float) -> Held:
    """What a subject holds at a moment, in seconds since 1970, by all rows that say so."""
    if not rows.others:
        return Held(rows.pairs) if rows.pairs else NOTHING
    return _Walk(subject, rows, now).held()


def timing_of(row: Assignment, now: float) -> Untimely | None:
    """Why a row does not count at a moment; None when it does."""
    starts, ends = _bounds(row)
    if starts is None or ends is None:
        return Untimely(row, "unreadable", now)
    if now < starts:
        return Untimely(row, "begins", starts)
    return Untimely(row, "ended", ends) if now >= ends else None


def moments_of_change(rows: Iterable[Assignment], after: float) -> Iterator[float]:
    """The instants later than `after` at which one of the rows begins or ends, sorted, each once."""
    yield from sorted({bound for row in rows for bound in _bounds(row) if bound is not None and after < bound < inf})


def groups_in(rows: Iterable[Assignment]) -> frozenset[str]:
    """The groups that rows make somebody a member of, whenever."""
    return frozenset(row.role for row in rows if row.is_membership)


def duration_text(seconds: float) -> str:
    """About how long, in the largest unit that fits: `2 days`, `1 hour`, `5 seconds`."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            return counted(int(seconds // size), unit)
    raise AssertionError("unreachable")


def _bounds(row: Assignment) -> tuple[float | None, float | None]:
    """From when until when a row counts; None for what cannot be read."""
    return (
        -inf if row.starts is None else seconds_of_instant(row.starts),
        inf if row.ends is None else seconds_of_instant(row.ends),
    )


class _Walk:
    """From the subject to its groups and theirs, nearest first; each group once, so that circles end."""

    def __init__(self, subject: str, rows: Rows, now: float) -> None:
        self._since, self._until = -inf, inf
        self._untimely: list[Untimely] = []
        self._found: dict[Pair, Way] = dict.fromkeys(rows.pairs, _OWN)
        self._groups = groups_in(rows.others)
        if not self._groups:
            for row in self._counting(rows.others, now):
                self._found[row.role, row.domain] = _OWN if row.ends is None else Way((), row.ends)
            return
        by_subject = rows_by_subject(rows.others)
        waiting: deque[tuple[str, Way]] = deque([(subject, _OWN)])
        met = {subject}
        while waiting:
            holder, way = waiting.popleft()
            for row in self._counting(by_subject.get(holder, ()), now):
                ends = row.ends if way.ends is None or (row.ends is not None and row.ends < way.ends) else way.ends
                if not row.is_membership:
                    self._add((row.role, row.domain), Way(way.groups, ends))
                elif row.role not in met and len(way.groups) < LONGEST_GROUP_CHAIN:
                    met.add(row.role)
                    waiting.append((row.role, Way((*way.groups, row.role), ends)))

    def held(self) -> Held:
        pairs = tuple(sorted(self._found))
        ways = {pair: way for pair, way in self._found.items() if way is not _OWN and way != _OWN}
        return Held(pairs, ways, tuple(self._untimely), self._groups, self._since, self._until)

    def _counting(self, rows: Iterable[Assignment], now: float) -> list[Assignment]:
        """The rows that count; notes the others, and how long it stays so."""
        found = []
        for row in rows:
            if row.starts is row.ends is None:
                found.append(row)
                continue
            untimely = timing_of(row, now)
            if untimely is None:
                found.append(row)
            else:
                self._untimely.append(untimely)
            for bound in _bounds(row):
                if bound is None:
                    continue
                if bound > now:
                    self._until = min(self._until, bound)
                else:
                    self._since = max(self._since, bound)
        return found

    def _add(self, pair: Pair, way: Way) -> None:
        """Keeps of several ways the one that lasts longest, then the shorter one."""
        known = self._found.get(pair)
        if known is None or (way.ends is None, way.ends or "", -len(way.groups)) > (
            known.ends is None,
            known.ends or "",
            -len(known.groups),
        ):
            self._found[pair] = way
