"""What a subject holds at a moment: times, groups, and for how long an answer is right."""

from __future__ import annotations

import random
from math import inf

import pytest

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import (
    LONGEST_GROUP_CHAIN,
    Rows,
    Way,
    duration_text,
    gather_rows,
    held_at,
    moments_of_change,
    rows_by_subject,
    rows_of_subject,
)
from klausel.core.terms.moment import instant_text


def at(seconds: float) -> str:
    return instant_text(seconds)


def rows_for(subject: str, *rows: Assignment) -> Rows:
    by_subject = rows_by_subject(rows)
    return gather_rows(subject, by_subject.get(subject, []), by_subject)


def test_without_times_and_groups_it_is_always_the_same() -> None:
    held = held_at("user:ann", Rows((("user", "acme"),)), 5.0)
    assert held.pairs == (("user", "acme"),)
    assert (held.since, held.until, held.ways, held.untimely) == (-inf, inf, {}, ())


@pytest.mark.parametrize(
    ("now", "is_held", "since", "until", "timing"),
    [
        (99.0, False, -inf, 100.0, "begins"),
        (99.9, False, -inf, 100.0, "begins"),
        (100.0, True, 100.0, 200.0, None),
        (199.9, True, 100.0, 200.0, None),
        (200.0, False, 200.0, inf, "ended"),
    ],
)
def test_a_role_counts_from_its_first_moment_until_just_before_its_last(
    now: float, is_held: bool, since: float, until: float, timing: str | None
) -> None:
    held = held_at("user:ann", rows_for("user:ann", Assignment("user:ann", "user", "acme", at(100), at(200))), now)
    assert held.pairs == ((("user", "acme"),) if is_held else ())
    assert (held.since, held.until) == (since, until)
    assert [one.timing for one in held.untimely] == ([timing] if timing else [])


def test_times_that_cannot_be_read_count_for_nothing() -> None:
    row = Assignment("user:ann", "user", "acme", None, "next week")
    held = held_at("user:ann", rows_for("user:ann", row), 0.0)
    assert held.pairs == ()
    (untimely,) = held.untimely
    assert "counts for nothing" in untimely.text(0.0)


def test_roles_come_through_groups_of_groups_until_the_first_link_ends() -> None:
    rows = rows_for(
        "user:ann",
        Assignment("user:ann", "group:emea", "", None, at(500)),
        Assignment("group:emea", "group:all", "", None, at(400)),
        Assignment("group:all", "user", "acme"),
        Assignment("group:emea", "lead", "acme/support", at(300)),
        Assignment("group:other", "admin", "acme"),
    )
    held = held_at("user:ann", rows, 350.0)
    assert held.pairs == (("lead", "acme/support"), ("user", "acme"))
    assert held.ways == {
        ("lead", "acme/support"): Way(("group:emea",), at(500)),
        ("user", "acme"): Way(("group:emea", "group:all"), at(400)),
    }
    assert held.groups == {"group:emea", "group:all"}
    assert (held.since, held.until) == (300.0, 400.0)


def test_of_several_ways_the_one_is_told_that_lasts_longest() -> None:
    rows = rows_for(
        "user:ann",
        Assignment("user:ann", "user", "acme", None, at(200)),
        Assignment("user:ann", "group:a", ""),
        Assignment("group:a", "user", "acme", None, at(300)),
    )
    held = held_at("user:ann", rows, 100.0)
    assert held.ways == {("user", "acme"): Way(("group:a",), at(300))}
    assert held.until == 200.0


def test_circles_end_and_chains_are_followed_to_their_limit_and_no_further() -> None:
    rows = [Assignment("user:ann", "group:0", "")]
    rows += [Assignment(f"group:{number}", f"group:{number + 1}", "") for number in range(15)]
    rows += [Assignment("group:15", "group:0", "")]
    rows += [Assignment(f"group:{number}", f"role{number}", "acme") for number in range(16)]
    held = held_at("user:ann", rows_for("user:ann", *rows), 0.0)
    assert {role for role, _ in held.pairs} == {f"role{number}" for number in range(LONGEST_GROUP_CHAIN)}


@pytest.mark.parametrize("seed", range(30))
def test_an_answer_is_right_for_as_long_as_it_says(seed: int) -> None:
    """Against the plain meaning: a pair is held when a chain of rows that all count leads to it."""
    chance = random.Random(seed)
    groups = [f"group:{letter}" for letter in "abcd"]

    def times() -> tuple[str | None, str | None]:
        first, last = sorted(chance.sample(range(20), 2))
        return chance.choice([None, at(first)]), chance.choice([None, at(last)])

    rows = {}
    for _ in range(chance.randint(1, 14)):
        subject = chance.choice(["user:ann", *groups])
        pair = (chance.choice(groups), "") if chance.random() < 0.5 else (chance.choice(["lead", "user"]), "acme")
        rows[(subject, *pair)] = Assignment(subject, *pair, *times())

    def plain(now: int) -> set[tuple[str, str]]:
        found, waiting, met = set(), ["user:ann"], set()
        while waiting:
            holder = waiting.pop()
            if holder in met:
                continue
            met.add(holder)
            for row in rows.values():
                begun = row.starts is None or row.starts <= at(now)
                if row.subject == holder and begun and (row.ends is None or at(now) < row.ends):
                    if row.domain:
                        found.add((row.role, row.domain))
                    else:
                        waiting.append(row.role)
        return found

    by_subject = rows_by_subject(rows.values())
    gathered = gather_rows("user:ann", by_subject.get("user:ann", []), by_subject)
    for now in range(-1, 22):
        held = held_at("user:ann", gathered, now)
        assert set(held.pairs) == plain(now)
        for other in range(-1, 22):
            if held.since <= other < held.until:
                assert held.pairs == held_at("user:ann", gathered, other).pairs


def test_the_moments_at_which_rows_change_are_sorted_and_later() -> None:
    rows = [
        Assignment("x:a", "r", "d", at(5), at(9)),
        Assignment("x:a", "s", "d", at(1), at(5)),
        Assignment("x:a", "t", "d"),
    ]
    assert list(moments_of_change(rows, 1.0)) == [5.0, 9.0]


def test_own_rows_without_times_are_parted_from_all_others() -> None:
    rows = rows_of_subject("user:ann", [Assignment("user:ann", "user", "b"), Assignment("user:ann", "user", "a")])
    assert rows == Rows((("user", "a"), ("user", "b")), ())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (86_400 * 2 + 5, "2 days")],
)
def test_durations_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
