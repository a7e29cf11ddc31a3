"""`from` and `until` of grants: between them, and only then, is everything as if they were not there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from generated_policies import TIMES, Generated, generate
from generated_sets import asked_of
from policy_sets import Asked, policy_of

from klausel.core.formatting.files import format_file
from klausel.core.loading.load import SourceFile
from klausel.core.terms.request import Action, Request, Resource, Subject, asked_at

ROLES = "levels:\n  account: {named_by: account}\nroles:\n  lead: {level: account}\n"
TYPES = "resource_types:\n  quiz: {actions: [view, edit]}\n"
START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, 11, tzinfo=UTC)
TIMED = "from: 2026-03-01T00:00:00Z, until: 2026-03-02T12:00:00+01:00"
A_LITTLE = timedelta(microseconds=1)
MOMENTS = sorted({*TIMES, *(time - A_LITTLE for time in TIMES)})


def asked(*grants: str) -> Asked:
    feature = TYPES + "grants:\n" + "".join(f"  - {{{grant}}}\n" for grant in grants)
    return Asked(policy_of({"roles.yaml": ROLES, "features/x.yaml": feature}), {"user:ann": [("lead", "acme")]})


def request_at(now: datetime | None, **properties: object) -> Request:
    request = Request(
        Subject("user", "ann", {}), Action("edit", {}), Resource("quiz", "1", {"account": "acme", **properties}), {}
    )
    return request if now is None else asked_at(request, now)


@pytest.mark.parametrize(
    ("now", "is_between"),
    [(START - A_LITTLE, False), (START, True), (END - A_LITTLE, True), (END, False), (None, None)],
)
def test_an_allow_holds_and_a_deny_denies_between_the_times_alone(now: datetime | None, is_between: bool | None) -> None:
    allow = f"allow: lead, to: edit, resource: quiz, {TIMED}"
    assert asked(allow).allows(request_at(now)) is (is_between is True)
    deny = asked("allow: lead, to: edit, resource: quiz", f"deny: lead, to: edit, resource: quiz, {TIMED}")
    assert deny.allows(request_at(now)) is (is_between is False), "a deny holds where the time is not known"
    for one in (asked(allow), deny):
        assert one.stock_allows(request_at(now)) is one.allows(request_at(now))


def test_the_times_bound_the_whole_of_a_condition_with_or() -> None:
    grant = f"allow: lead, to: edit, resource: quiz, when: resource.hot or resource.new, {TIMED}"
    policy = asked(grant)
    for hot in (True, False):
        for new in (True, False):
            assert policy.allows(request_at(START, hot=hot, new=new)) is (hot or new)
            assert not policy.allows(request_at(END, hot=hot, new=new))
    assert [str(one) for one in policy.policy.grants] == [
        "allow lead to edit quiz when (resource.hot or resource.new)"
        ' and context.now >= time("2026-03-01T00:00:00Z") and context.now < time("2026-03-02T12:00:00+01:00")'
    ]


def test_the_text_that_is_shown_means_the_same_as_a_condition() -> None:
    for condition in ("", "when: resource.hot or resource.new", "when: not (resource.hot and resource.new)"):
        (timed,) = asked(", ".join(filter(None, ("allow: lead, to: edit, resource: quiz", condition, TIMED)))).policy.grants
        (shown,) = asked(f"allow: lead, to: edit, resource: quiz, when: '{timed.condition_text}'").policy.grants
        assert shown.condition == timed.condition


def test_the_canonical_form_has_them_behind_the_condition() -> None:
    text = f"{TYPES}grants:\n  - {{{TIMED}, when: resource.hot, resource: quiz, to: edit, allow: lead}}\n"
    written = format_file(SourceFile("features/x.yaml", "features/x.yaml", text.encode())).decode()
    keys = [line.strip(" -").partition(":")[0] for line in written.partition("grants:\n")[2].splitlines()]
    assert keys == ["allow", "to", "resource", "when", "from", "until"]


@dataclass(frozen=True)
class Span:
    """From when and until when one grant is to hold; None for no bound."""

    start: datetime | None
    end: datetime | None

    @property
    def keys(self) -> str:
        bounds = (("from", self.start), ("until", self.end))
        return "".join(f"    {key}: {time.isoformat()}\n" for key, time in bounds if time is not None)

    def is_in_force(self, now: datetime | None, effect: str) -> bool:
        """By definition; a deny whose time is not known is in force, an allow is not."""
        if now is None:
            return effect == "deny" or self.start is self.end is None
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)


def spans(random: Random) -> Iterator[Span]:
    while True:
        first, last = sorted(random.sample(MOMENTS, 2))
        yield Span(random.choice((first, None)), random.choice((last, None)))


def texts_with(generated: Generated, seed: int, lines_of: Callable[[str, str, Span], str]) -> Generated:
    """The set in which each grant in YAML has these lines, made of its own lines, its effect and its span."""
    head, *grants = re.split(r"^(?=  - (?:allow|deny):)", generated.texts["features/one.yaml"], flags=re.MULTILINE)
    lines = [
        lines_of(grant, "deny" if grant.startswith("  - deny") else "allow", span)
        for grant, span in zip(grants, spans(Random(seed)), strict=False)
    ]
    return generated._replace(texts={**generated.texts, "features/one.yaml": head + "".join(lines)})


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_generated_grants_decide_as_those_in_force_would_without_times(first: int) -> None:
    answers = []
    for seed in range(first, first + 20):
        generated = generate(seed)
        timed = asked_of(texts_with(generated, seed, lambda grant, _, span: grant + span.keys))
        for now in (None, *MOMENTS):
            in_force = texts_with(
                generated, seed, lambda grant, effect, span, now=now: grant if span.is_in_force(now, effect) else ""
            )
            plain = asked_of(in_force)
            if timed is None or plain is None:
                continue
            for request in (asked_at(request, now) for request in generated.requests):
                expected = plain.allows(request)
                assert timed.allows(request) is expected, f"seed {seed}: expected {expected} for {request}\n{generated}"
                answers.append(expected)
    assert len(answers) > 20 * 30, "too many generated sets were refused"
    assert sum(answers) > len(answers) / 50, "too few generated requests are allowed"
