"""What `and` leaves out of a filter: what its other parts imply; and it takes the same resources as ever."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from klausel.core.conditions.kinds import read_as
from klausel.core.conditions.tree import Attribute, Call, Comparison, Literal, Operand
from klausel.core.conditions.tree import ListOf as Items
from klausel.core.conditions.values import Scalar
from klausel.core.filters.tree import Every, Filter, FilterCondition, Missing, Some, every, holds
from klausel.core.terms.request import Resource

OWNER, SIZE, DUE, LABELS = (Attribute("resource", (name,)) for name in ("owner", "size", "due", "labels"))
A_TIME = datetime(2000, 1, 1, tzinfo=UTC)
SAMPLES: tuple[Scalar, ...] = ("", "a", 0, 1, 3, True, A_TIME)
VALUES: tuple[object, ...] = (
    "",
    "a",
    "b",
    "2000-01-01T00:00:00Z",
    "2001-01-01T00:00:00Z",
    0,
    1,
    1.0,
    True,
    False,
    None,
    [],
    {},
)
VALUES_OF_LISTS: tuple[object, ...] = ([], ["a"], ["a", "b"], [1], ["a", 1], "a", None)


def compared(operand: Operand, operator: str, *values: Scalar) -> Comparison:
    if operator in ("in", "not in"):
        return Comparison(operator, operand, Items(tuple(map(Literal, values))))  # type: ignore[arg-type]
    return Comparison(operator, operand, Literal(values[0]))  # type: ignore[arg-type]


def is_of_kind(operand: Operand, sample: Scalar) -> FilterCondition:
    return Some((compared(operand, "==", sample), compared(operand, "!=", sample)))


def has(attribute: Attribute) -> Call:
    return Call("has", (attribute,))


due = read_as("time", DUE)


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([compared(OWNER, "==", "a"), is_of_kind(OWNER, "")], 'resource.owner == "a"'),
        ([is_of_kind(OWNER, ""), compared(OWNER, "!=", "a")], 'resource.owner != "a"'),
        ([compared(OWNER, "in", "a", "b"), is_of_kind(OWNER, ""), has(OWNER)], 'resource.owner in ["a", "b"]'),
        ([compared(OWNER, "not in", "a"), is_of_kind(OWNER, "")], 'resource.owner not in ["a"]'),
        ([compared(SIZE, "<", 3), is_of_kind(SIZE, 0)], "resource.size < 3"),
        (
            [compared(due, "<", A_TIME), is_of_kind(due, A_TIME), has(DUE)],
            'time(resource.due) < time("2000-01-01T00:00:00Z")',
        ),
        ([has(OWNER), is_of_kind(OWNER, "")], 'resource.owner == "" or resource.owner != ""'),
        ([has(LABELS), Comparison("in", Literal("a"), LABELS)], '"a" in resource.labels'),
        ([compared(OWNER, "==", "a"), compared(OWNER, "!=", "b")], 'resource.owner == "a"'),
        ([compared(OWNER, "in", "a", "b"), compared(OWNER, "not in", "b", "c")], 'resource.owner == "a"'),
        ([compared(OWNER, "==", "a"), compared(OWNER, "!=", "a")], "False"),
        ([compared(OWNER, "==", "a"), compared(OWNER, "!=", 1)], "False"),
        ([compared(OWNER, "==", "a"), has(OWNER)], 'resource.owner == "a"'),
        ([has(OWNER), Missing(OWNER)], "False"),
        ([compared(SIZE, "in", "a", 1), is_of_kind(SIZE, 0)], "resource.size == 1"),
        # What nothing implies stays: another property, another kind, a list of two kinds.
        (
            [compared(OWNER, "==", "a"), is_of_kind(SIZE, 0)],
            'resource.owner == "a" and (resource.size == 0 or resource.size != 0)',
        ),
        (
            [compared(SIZE, "not in", "a", 1), is_of_kind(SIZE, 0)],
            'resource.size not in ["a", 1] and (resource.size == 0 or resource.size != 0)',
        ),
        ([is_of_kind(OWNER, "")], 'resource.owner == "" or resource.owner != ""'),
    ],
)
def test_what_other_parts_imply_is_left_out(parts: list[Filter], left: str) -> None:
    assert str(every(parts)) == left
    assert_takes_the_same(parts)


def test_what_is_left_takes_the_same_resources() -> None:
    chance = random.Random(11)
    shorter = 0
    for _ in range(1_000):
        parts = [_some_part(chance) for _ in range(chance.randint(2, 4))]
        assert_takes_the_same(parts)
        shorter += len(str(every(parts))) < len(str(Every(tuple(parts))))
    assert shorter > 300


def assert_takes_the_same(parts: Iterable[Filter]) -> None:
    parts = list(parts)
    simplified = every(parts)
    for value in VALUES:
        for labels in VALUES_OF_LISTS[:: 1 if value in ("a", None) else 3]:
            for properties in (
                {"owner": value},
                {"size": value},
                {"due": value},
                dict.fromkeys(("owner", "size", "due"), value),
            ):
                resource = Resource("note", "1", {**properties, "labels": labels})
                assert holds(simplified, resource) == all(holds(part, resource) for part in parts), (
                    str(simplified),
                    resource,
                )


def _some_part(chance: random.Random) -> FilterCondition:
    operand = chance.choice([OWNER, OWNER, SIZE, due])
    values: list[Scalar] = chance.sample(["a", "b", "", 0, 1, 3, True, A_TIME], k=chance.randint(1, 3))
    operator = chance.choice(["==", "!=", "in", "not in", "==", "!="])
    match chance.randrange(8):
        case 0:
            return has(chance.choice([OWNER, SIZE, DUE, LABELS]))
        case 1:
            return Missing(chance.choice([OWNER, SIZE, DUE, LABELS]))
        case 2 | 3:
            return is_of_kind(operand, chance.choice(SAMPLES))
        case 4:
            return Comparison(chance.choice(["in", "not in"]), Literal(chance.choice(SAMPLES)), LABELS)
        case 5:
            return compared(chance.choice([SIZE, due]), chance.choice(["<", ">="]), chance.choice(SAMPLES))
        case _:
            return compared(operand, operator, *values)
