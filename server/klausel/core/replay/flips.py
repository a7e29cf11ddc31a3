"""What another policy would have decided otherwise: flips counted by their cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from klausel.core.decisions.decide import Decision
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.records.decision_record import describe_grant, grant_id
from klausel.core.records.recorded import Recorded
from klausel.core.replay.replay import NotKnown, Replay

MOST_EXAMPLES = 3

Direction = Literal["more", "less"]


class Side(NamedTuple):
    """What one policy decided: by which grant, or because the question could not be judged; neither when nothing allows it."""

    allowed: bool
    grant_id: str | None
    unjudged: bool


class Cause(NamedTuple):
    """Two decisions on one question, the first the recorded one."""

    before: Side
    after: Side

    @property
    def direction(self) -> Direction:
        """Whether more or less is allowed now."""
        return "more" if self.after.allowed else "less"


class Example(NamedTuple):
    """One flipped decision: where its record stands, and what was asked."""

    place: str
    time: str
    request_id: str
    question: str


@dataclass(slots=True)
class Flips:
    """The flips of one cause. `estimated` counts each as many times as sampling makes it stand for."""

    count: int = 0
    estimated: float = 0.0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class FlipTally:
    """What a replay found; tallies of parts add up."""

    same: int = 0
    sampled: int = 0
    dropped: int = 0
    not_known: Counter[str] = field(default_factory=Counter)
    causes: dict[Cause, Flips] = field(default_factory=dict)
    grants: dict[str, dict[str, object]] = field(default_factory=dict)
    """What is known of each grant of a cause, as `describe_grant` says it."""

    @property
    def flipped(self) -> int:
        """How many decisions flipped."""
        return sum(flips.count for flips in self.causes.values())

    @property
    def replayed(self) -> int:
        """How many records of decisions there were."""
        return self.same + self.flipped + self.not_known.total()

    def count_of(self, direction: Direction) -> int:
        """How many flips there were in one direction."""
        return sum(flips.count for cause, flips in self.causes.items() if cause.direction == direction)

    def in_order(self) -> list[tuple[Cause, Flips]]:
        """The causes with their flips, those with the most first."""
        return sorted(self.causes.items(), key=lambda one: (-one[1].count, repr(one[0])))

    def add(self, other: FlipTally) -> None:
        """Takes in what a later part of the same log gave."""
        self.same += other.same
        self.sampled += other.sampled
        self.dropped += other.dropped
        self.not_known.update(other.not_known)
        for cause, flips in other.causes.items():
            mine = self.causes.setdefault(cause, Flips())
            mine.count += flips.count
            mine.estimated += flips.estimated
            mine.examples += flips.examples[: MOST_EXAMPLES - len(mine.examples)]
        for id_, described in other.grants.items():
            self.grants.setdefault(id_, described)


class FlipCounter:
    """Replays records under one policy, one after the other, into `tally`."""

    def __init__(self, policy: PolicySet, replay: Replay) -> None:
        self._replay = replay
        self._ids: dict[int, str] = {id(grant): grant_id(grant) for grant in policy.grants}
        self.tally = FlipTally()

    def take(self) -> FlipTally:
        """The tally so far; the next record begins another."""
        taken, self.tally = self.tally, FlipTally()
        return taken

    def drop(self, number: int) -> None:
        """Counts decisions that the log says were not recorded."""
        self.tally.dropped += number

    def count(self, recorded: Recorded, file: str, line: int) -> None:
        """Replays one record, which stands in a line of a file."""
        tally = self.tally
        tally.sampled += recorded.sample_rate < 1
        if recorded.request is None:
            tally.same += 1
            return
        try:
            decision = self._replay.decide(recorded)
        except NotKnown as why:
            tally.not_known[str(why)] += 1
            return
        if decision.allowed is recorded.allowed:
            tally.same += 1
            return
        flips = tally.causes.setdefault(self._cause(recorded, decision), Flips())
        flips.count += 1
        flips.estimated += 1 / recorded.sample_rate
        if len(flips.examples) < MOST_EXAMPLES:
            flips.examples.append(Example(f"{file}:{line}", recorded.time, recorded.request_id, question_in_words(recorded)))

    def _cause(self, recorded: Recorded, decision: Decision) -> Cause:
        before, after = recorded.grant, decision.grant
        if before is not None:
            self.tally.grants.setdefault(before["id"], dict(before))
        if after is not None:
            self.tally.grants[self._ids[id(after)]] = describe_grant(after)
        return Cause(
            Side(recorded.allowed, None if before is None else before["id"], recorded.failure is not None),
            Side(decision.allowed, None if after is None else self._ids[id(after)], decision.failure is not None),
        )


def question_in_words(recorded: Recorded) -> str:
    """What was asked, on one line: `user:leo edit quiz:q1 in acme/support`."""
    assert recorded.request is not None
    subject, action, resource, _ = recorded.request
    where = f" in {recorded.domain}" if recorded.domain else ""
    text = f"{subject.type}:{subject.id} {action.name} {resource.type}:{resource.id}{where}"
    return text if text.isprintable() else ascii(text)[1:-1]


def cause_in_words(cause: Cause, grants: Mapping[str, Mapping[str, object]], policy: Iterable[Grant]) -> str:
    """Why a decision flipped, as a sentence; `policy` are the grants that decide now."""
    before, after = cause
    if after.unjudged:
        return f"{_by(before, grants)}; now it cannot be judged"
    told = _by(before, grants)
    if before.grant_id is not None and (after.grant_id is None or not before.allowed):
        told += f", {_fate(before.grant_id, grants[before.grant_id], policy)}"
    return told if before.allowed and after.grant_id is None else f"{told}; now {_by(after, grants, 'it is')}"


def _by(side: Side, grants: Mapping[str, Mapping[str, object]], was: str = "was") -> str:
    word = "allowed" if side.allowed else "denied"
    if side.unjudged:
        return f"{was} denied, because it could not be judged"
    if side.grant_id is None:
        return f"{was} denied, because no grant allowed it"
    described = grants[side.grant_id]
    return f"{was} {word} by {described['source']}: {described['text']}"


def _fate(id_: str, described: Mapping[str, object], policy: Iterable[Grant]) -> str:
    """What became of a grant that decides no more."""
    text = str(described["text"])
    for grant in policy:
        if grant_id(grant) == id_:
            return f"which still stands at {grant.source}, but reaches the subject there no more"
    before_when = text.partition(" when ")[0]
    for grant in policy:
        if str(grant).partition(" when ")[0] == before_when:
            return f"which says now, at {grant.source}: {grant}"
    return "which is gone"


def tally_as_json(tally: FlipTally, policy: Sequence[Grant]) -> dict[str, object]:
    """What a replay found as programs read it; `policy` are the grants that decide now."""

    def side(of: Side) -> dict[str, object]:
        grant = None if of.grant_id is None else tally.grants[of.grant_id]
        return {"decision": of.allowed, "grant": grant, "judged": not of.unjudged}

    return {
        "replayed": tally.replayed,
        "same": tally.same,
        "allowed_now": tally.count_of("more"),
        "denied_now": tally.count_of("less"),
        "not_known": dict(tally.not_known.most_common()),
        "not_recorded": tally.dropped,
        "from_sampled_logs": tally.sampled,
        "flips": [
            {
                "before": side(cause.before),
                "after": side(cause.after),
                "cause": cause_in_words(cause, tally.grants, policy),
                "count": flips.count,
                "estimated": round(flips.estimated),
                "examples": [example._asdict() for example in flips.examples],
            }
            for cause, flips in tally.in_order()
        ],
    }
