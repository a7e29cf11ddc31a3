"""No request makes comparisons turn out in a way that is not among the outcomes; and where none is free, each is a request's."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations
from random import Random

import pytest

from klausel.core.conditions import symmetry
from klausel.core.conditions.outcomes import TooManyCases, truth_space
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tree import Atom, Attribute, atoms, attributes_in, evaluate_atom
from klausel.core.conditions.values import shown
from klausel.core.terms.request import NOW, Action, Request, Resource, Subject

TEXTS = (
    "has resource.a", "has resource.b", "has resource.a.c", 'resource.a == "x"', 'resource.a in ["x", "yy", 1]',
    "resource.a == resource.b", "resource.a < resource.b", "resource.a < 3", "resource.a.c == 1",
    'starts_with(resource.a, "x")', 'ends_with(resource.a, "y")', "starts_with(resource.a, resource.b)",
    'resource.l contains "x"', "resource.l contains 1", "resource.l contains resource.a",
    'resource.l overlaps ["x", "z"]', 'resource.l subset of ["x", 1]', '["x"] subset of resource.l',
    "resource.l overlaps resource.m", "resource.l subset of resource.m", "resource.m subset of resource.l",
    'in_network(resource.a, "10.0.0.0/8")', "in_network(resource.a, resource.b)", "in_network(resource.a, resource.l)",
    'weekday(context.now, resource.b) == "sunday"', "time_of_day(context.now, resource.a) >= resource.opens",
    'matches_glob(resource.a, "x*")', 'matches_path(resource.a, "*")',
    "context.now < resource.t", 'context.now < time("2026-03-01T00:00:00Z")', 'context.now == time("2026-05-01T00:00:00Z")',
    'resource.t == "soon"', "has resource.t", "time(resource.t) < time(resource.u)", "context.now - resource.t < days(30)",
    'weekday(context.now, "UTC") == "sunday"', 'weekday(context.now, "UTC") == resource.a',
    'time_of_day(context.now, "UTC") < clock("09:00")', 'time_of_day(context.now, "UTC") >= resource.opens',
)  # fmt: skip
TIMES = ("2026-01-31T23:00:00Z", "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z", "2026-07-05T10:00:00+02:00")
SCALARS = (
    None,
    "x",
    "yy",
    "z",
    "sunday",
    "09:00",
    "10.1.1.1",
    "11.1.1.1",
    "10.0.0.0/8",
    "UTC",
    1,
    3,
    2.5,
    True,
    {"c": 1},
    {"c": None},
    {},
    ["x"],
)
LISTS = (
    None,
    [],
    ["x"],
    ["x", "z"],
    [1],
    ["x", 1],
    [1, "q"],
    ["q"],
    [None],
    ["x", {}],
    "x",
    ["10.0.0.0/8"],
    ["11.0.0.0/8", 5],
)


def random_request(random: Random) -> Request:
    resource = {
        "a": random.choice(SCALARS), "b": random.choice(SCALARS), "l": random.choice(LISTS), "m": random.choice(LISTS),
        "t": random.choice((*TIMES, "soon", None, 5)), "u": random.choice((*TIMES, "soon", None)),
        "opens": random.choice(("08:00", "09:00", "23:00", "soon", None)),
    }  # fmt: skip
    now = datetime.fromisoformat(random.choice(TIMES))
    return Request(Subject("user", "ann"), Action("view"), Resource("doc", "d", resource), {NOW: now})


def some_atoms(random: Random) -> list[Atom]:
    texts = random.sample(TEXTS, random.randint(2, 4))
    return [atom for text in texts for atom in atoms(parse_condition(text, lambda _: None, {}))]


def test_any_two_comparisons_turn_out_together_as_outcomes_say() -> None:
    random = Random(0)
    requests = [random_request(random) for _ in range(40)]
    parsed = {text: tuple(atoms(parse_condition(text, lambda _: None, {}))) for text in TEXTS}
    for pair in combinations(TEXTS, 2):
        try:
            space = truth_space(atom for text in pair for atom in parsed[text])
        except TooManyCases:
            continue
        known = {outcome.truths for outcome in space.outcomes}
        for request in requests:
            truths = tuple(evaluate_atom(atom, request) for atom in space.atoms)
            assert truths in known, (pair, truths, request)


@pytest.mark.parametrize("seed", range(60))
def test_outcomes_are_complete_and_real(seed: int) -> None:
    random = Random(seed)
    try:
        space = truth_space(some_atoms(random))
    except TooManyCases:
        return
    known = {outcome.truths for outcome in space.outcomes}
    for _ in range(400):
        request = random_request(random)
        truths = tuple(evaluate_atom(atom, request) for atom in space.atoms)
        assert truths in known, (list(map(str, space.atoms)), truths, request)
    if space.has_free_matches:
        return
    for outcome in space.outcomes:
        resource: dict[str, object] = {}
        context: dict[str, object] = {}
        for term, value in sorted(outcome.values.items(), key=lambda item: len(str(item[0]))):
            (attribute,) = [term] if isinstance(term, Attribute) else attributes_in(term)[:1]
            if attribute.root == "context":
                context[NOW] = value
                continue
            holder = resource
            for part in attribute.path[:-1]:
                holder = holder.setdefault(part, {})  # type: ignore[assignment]
            holder[attribute.path[-1]] = value if isinstance(term, Attribute) else shown_as_sent(value)
        request = Request(Subject("user", "ann"), Action("view"), Resource("doc", "d", resource), context)
        if any(str(term).startswith(("weekday", "time_of_day", "context.now -")) for term in outcome.values):
            continue  # such a value follows from a time that is not shown
        assert tuple(evaluate_atom(atom, request) for atom in space.atoms) == outcome.truths, (outcome, request)


@pytest.mark.parametrize(
    ("beside", "value"),
    [
        ("has resource.t", "2026-01-31T23:00:00Z"),
        ("resource.t == 1", "2026-01-31T23:00:00Z"),
        ("resource.t", "2026-01-31T23:00:00Z"),
        ('resource.tags overlaps ["x"] and has resource.t', "2026-01-31T23:00:00Z"),
    ],
)
def test_what_is_read_as_a_time_may_be_one_whatever_else_is_asked_of_it(beside: str, value: str) -> None:
    asked = parse_condition(f'{beside} and resource.t < time("2026-03-01T00:00:00Z")', lambda _: None, {})
    space = truth_space(atoms(asked))
    request = Request(Subject("user", "ann"), Action("view"), Resource("doc", "d", {"t": value, "tags": ["x"]}), {})
    assert tuple(evaluate_atom(atom, request) for atom in space.atoms) in {outcome.truths for outcome in space.outcomes}


def test_a_number_that_a_duration_is_made_of_may_be_there() -> None:
    asked = parse_condition("has resource.n and context.now - resource.t < days(resource.n)", lambda _: None, {})
    space = truth_space(atoms(asked))
    assert (True, True) in {outcome.truths for outcome in space.outcomes}


LISTS_OF = (
    'resource.l subset of ["x", "y", "z"]', 'resource.l overlaps ["y", "z"]', '["x", "y", "z"] subset of resource.l',
    "resource.a in resource.l", "resource.b in resource.l", 'resource.a in ["y", "z"]', "resource.a == resource.b",
    'resource.l contains "x"', "resource.l contains 1", "resource.l subset of [1, 2]", "resource.a < 2", "has resource.l",
    'starts_with(resource.a, "x")',
)  # fmt: skip


@pytest.mark.parametrize("seed", range(5, 15))
def test_lists_whose_elements_nothing_tells_apart_are_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Random(seed).sample(LISTS_OF, 3)
    asked = [atom for text in texts for atom in atoms(parse_condition(text, lambda _: None, {}))]
    try:
        short = truth_space(asked)
        monkeypatch.setattr(symmetry, "_signature", lambda *_: None)
        whole = truth_space(asked)
    except TooManyCases:
        return
    assert {one.truths for one in short.outcomes} == {one.truths for one in whole.outcomes}


def test_many_values_in_two_lists_are_decided_exactly() -> None:
    names = ", ".join(f'"r{number}"' for number in range(18))
    text = f"resource.role in resource.offered and resource.role in [{names}]"
    assert len(truth_space(atoms(parse_condition(text, lambda _: None, {}))).outcomes) == 9


def shown_as_sent(value: object) -> object:
    return value.isoformat() if hasattr(value, "hour") and not hasattr(value, "year") else shown(value)


def test_nobody_asks_without_a_name() -> None:
    space = truth_space(atoms(parse_condition('subject.id == "" or subject.id == resource.owner', lambda _: None, {})))
    assert all(
        "" not in [value for name, value in one.values.items() if str(name) == "subject.id"] for one in space.outcomes
    )
