"""Searches over stored values of every kind, under grants drawn from a list, find what asking about each would find.

`KLAUSEL_TEST_EXAMPLES` sets how many policy sets are drawn; the suite draws few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from opened_services import MOMENT, Opened, as_file, in_pages
from storage_fixtures import database_url, postgresql_schema_url, sqlite_url  # noqa: F401

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.terms.moment import instant_text
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.searches import Part, Search
from klausel.storage.entities import finding

EXAMPLES = int(os.environ.get("KLAUSEL_TEST_EXAMPLES", "4"))
ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team}
roles:
  editor: {level: company}
  worker: {level: team}
  chief: {level: team, contains: worker}
"""
CONDITIONS = (
    "subject.email == resource.owner",
    "resource.owner == subject.id",
    "subject.email in resource.watchers",
    "resource.owner in subject.friends",
    "subject.friends overlaps resource.watchers",
    "resource.watchers overlaps ['ä', 'é', 'A']",
    "resource.size == subject.grade",
    "resource.size in [1, 2.5, -1]",
    "resource.size < subject.grade",
    "resource.flag",
    "not resource.flag",
    "not has resource.owner",
    "has resource.watchers and resource.flag",
    "resource.owner == 'ä' or resource.size == 1",
    "resource.owner == 'straße' and resource.flag",
    "resource.owner != subject.email",
    "resource.owner not in ['a', 'ä']",
    "resource.place.city == subject.email",
    "resource.id == 'r3' or resource.owner == subject.email",
    "time(resource.due) < context.now",
    "time(resource.due) >= context.now and resource.size > -1",
    "resource.size > 0 and resource.size <= 2.5",
    "resource.size >= 2.5 or 0 > resource.size",
    "starts_with(resource.owner, 'a')",
    "starts_with(resource.owner, subject.email)",
    "subject.grade > 0",
    "subject.email == 'a' and subject.grade == 1",
    "starts_with(subject.email, 'a')",
    "resource.company == 'acme' and resource.owner == subject.email",
    "resource.team == subject.home",
    "subject.friends subset of resource.watchers",
)
GRANTEES = ("anyone", "editor", "worker", "chief", "any worker")
TEXTS = (
    "a",
    "A",
    "ä",
    "a\u0308",
    "é",
    "straße",
    "strasse",
    "1",
    "",
    " a",
    "a" * 120,
    "a" * 119 + "b",
    "true",
    "ann",
    "%",
    "_",
    "\\",
    '"',
)
NUMBERS = (0, 1, 1.0, 2.5, -1, -0.5, 10**15, -0.0, 2.4999999999999996, 2**53, -(2**53), 1e300, 1.2345678901234568e18)
TIMES = ("2026-01-01T00:00:00Z", "2026-03-01T01:00:00+01:00", "2027-01-01T00:00:00+02:00", "soon")
DOMAINS = ("", "acme", "acme/red", "acme/blue", "other", "other/red", "ä/ö")
PEOPLE = ("ann", "bob", "ä", "cy", "dee")


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Opened]:  # noqa: F811
    return Opened(database_url, tmp_path)


class Drawn:
    """A policy set, in the shape that `Opened` takes."""

    def __init__(self, random: Random) -> None:
        grants = []
        for _ in range(random.randint(1, 5)):
            verb = random.choices(("allow", "deny"), (5, 1))[0]
            grantee = random.choice(GRANTEES)
            when = " and ".join(f"({one})" for one in random.sample(CONDITIONS, random.choice((1, 1, 2))))
            more = "" if random.random() < 0.15 else f', when: "{when}"'.replace("\\", "\\\\")
            grants.append(f"  - {{{verb}: {grantee}, to: read, resource: todo{more}}}\n")
        self.texts = {
            "roles.yaml": ROLES,
            "properties.yaml": "stored: {subjects: user, resources: todo}\n",
            "features/todos.yaml": "resource_types:\n  company: {actions: [close]}\n  team: {actions: [close]}\n"
            "  todo: {actions: [read]}\ngrants:\n" + "".join(grants),
        }

    def __str__(self) -> str:
        return "\n".join(self.texts.values())


def a_value(random: Random) -> object:
    one = random.choice((random.choice(TEXTS), random.choice(NUMBERS), random.random() < 0.5, None))
    return random.choices((one, [random.choice(TEXTS), one], {"city": one}, []), (6, 2, 1, 1))[0]


def properties(random: Random, of_kind: dict[str, object]) -> dict[str, object]:
    chosen = {name: value for name, value in of_kind.items() if random.random() < 0.8}
    return {name: a_value(random) if random.random() < 0.2 else value for name, value in chosen.items()}


def a_resource(random: Random) -> dict[str, object]:
    return properties(
        random,
        {
            "owner": random.choice(TEXTS),
            "watchers": random.sample(TEXTS, random.randint(0, 3)),
            "size": random.choice(NUMBERS),
            "flag": random.random() < 0.5,
            "due": random.choice(TIMES),
            "place": {"city": random.choice(TEXTS)},
        },
    )


def a_subject(random: Random) -> dict[str, object]:
    friends = random.sample(TEXTS, random.randint(0, 3))
    return properties(
        random,
        {
            "email": random.choice(TEXTS),
            "friends": friends,
            "grade": random.choice(NUMBERS),
            "home": random.choice(("red", "ö")),
        },
    )


def some_rows(random: Random) -> list[Assignment]:
    """Role assignments, some over, some not begun; groups, some of whose members have left."""
    bounds = [
        None,
        None,
        instant_text((MOMENT - timedelta(days=1)).timestamp()),
        instant_text((MOMENT + timedelta(days=1)).timestamp()),
    ]
    rows: dict[tuple[str, str, str], Assignment] = {}
    for _ in range(10):
        who = random.choice([*(f"user:{name}" for name in PEOPLE), "group:g", "group:h"])
        role, domain = random.choice(
            (("editor", "acme"), ("editor", "ä"), ("worker", "acme/red"), ("worker", "ä/ö"), ("chief", "other/red"))
        )
        rows[who, role, domain] = Assignment(who, role, domain, None, random.choice(bounds))
    for member in random.sample(PEOPLE, 3):
        rows[member, "group:g", ""] = Assignment(f"user:{member}", "group:g", "", None, random.choice(bounds))
    rows["", "group:h", ""] = Assignment("group:g", "group:h", "", None, random.choice(bounds))
    return list(rows.values())


def split(random: Random, entities: list[Entity]) -> tuple[list[Entity], list[Entity]]:
    """Some of them for a file; and the others for the database, where something else stands under keys of the file."""
    written, stored = [], []
    for one in entities:
        if random.random() < 0.5 or any(isinstance(value, list) and None in value for value in one.properties.values()):
            stored.append(one)
            continue
        written.append(one)
        if random.random() < 0.5:
            other = a_subject(random) if one.kind == "subject" else a_resource(random)
            stored.append(one._replace(domain=random.choice(DOMAINS) if one.domain else "", properties=other))
    return written, stored


def check(opened: Opened, seed: int) -> int:
    random = Random(seed)
    drawn = Drawn(random)
    rows = some_rows(random)
    entities = [Entity("subject", "user", name, "", a_subject(random)) for name in PEOPLE if random.random() < 0.8]
    entities.append(Entity("subject", "user", "stored alone", "", a_subject(random)))
    entities += [Entity("resource", "todo", f"r{n}", random.choice(DOMAINS), a_resource(random)) for n in range(25)]
    try:
        service = opened.service(drawn, rows, entities)  # type: ignore[arg-type]
    except PolicyError:
        # Such as an allow that a deny takes away as a whole.
        return 0
    decide = service.decider()
    answers: list[tuple[Part, Request, list[str]]] = []
    for name in (*PEOPLE, "stored alone", "nobody"):
        sent = {} if random.random() < 0.7 else properties(random, {"company": "acme", "team": "red", **a_resource(random)})
        asked = Request(Subject("user", name, {}), Action("read"), Resource("todo", "", sent), {})
        known = sorted(one.id for one in entities if one.kind == "resource")
        found = [id_ for id_ in known if decide(asked._replace(resource=asked.resource._replace(id=id_))).allowed]
        answers.append(("resource", asked, found))
    for _ in range(6):
        place = dict(zip(("company", "team"), random.choice(DOMAINS).split("/"), strict=False))
        about = Resource(
            "todo", random.choice(("r1", "r2", "new")), {**a_resource(random), **{k: v for k, v in place.items() if v}}
        )
        sent = {} if random.random() < 0.7 else a_subject(random)
        asked = Request(Subject("user", "", sent), Action("read"), about, {})
        known = sorted(
            {*PEOPLE, "stored alone"}
            & ({row.subject.removeprefix("user:") for row in rows} | {one.id for one in entities if one.kind == "subject"})
        )
        found = [id_ for id_ in known if decide(asked._replace(subject=asked.subject._replace(id=id_))).allowed]
        answers.append(("subject", asked, found))
    if seed % 2:
        # What stands in files counts as if it was stored, and what is stored beside it counts for nothing.
        service.store.close()
        written, stored = split(random, entities)
        drawn.texts["entities.yaml"] = as_file(written)
        service = opened.service(drawn, rows, stored)  # type: ignore[arg-type]
    try:
        for part, asked, wanted in answers:
            assert in_pages(Search(service, asked), part, random) == wanted, (seed, asked)
    finally:
        service.store.close()
    return sum(len(wanted) for _, _, wanted in answers)


@pytest.mark.parametrize("most", [3, finding.MOST_LOOKED_AT])
def test_searches_of_odd_values_find_all_that_is_allowed(opened: Opened, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(finding, "MOST_LOOKED_AT", most)
    monkeypatch.setattr(finding, "FIRST_LOOKED_AT", min(most, finding.FIRST_LOOKED_AT))
    first = 0 if EXAMPLES < 100 else Random().randrange(10**9)
    assert sum(check(opened, first + number) for number in range(EXAMPLES)) > 0
