"""Searches find exactly what asking about everybody and everything known would find, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from generated_policies import Generated, generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened_services import Opened, in_pages, known_domains

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.request import NOW, Request, Resource
from klausel.service.searches import Search

MORE_IDS = ("cat", "dan", "a-b", "é", "ann:2")


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Opened]:
    return Opened(database_url, tmp_path)


def rows_for(generated: Generated, random: Random) -> list[Assignment]:
    """The rows of the set, and more: other people of the same roles, groups with members, rows that have ended."""
    rows = {row[:3]: Assignment(*row) for row in generated.assignments}
    for who, role, domain in generated.assignments:
        for id_ in MORE_IDS:
            if random.random() < 0.3:
                rows[f"user:{id_}", role, domain] = Assignment(f"user:{id_}", role, domain)
        if random.random() < 0.3:
            rows["group:crew", role, domain] = Assignment("group:crew", role, domain)
            rows[who, "group:crew", ""] = Assignment(who, "group:crew", "")
        if random.random() < 0.2:
            ended = Assignment("user:zoe", role, domain, None, "2026-02-01T00:00:00Z")
            rows[ended.key] = ended
    return list(rows.values())


def known(rows: list[Assignment], type_: str) -> list[str]:
    return sorted({row.subject.partition(":")[2] for row in rows if row.subject.startswith(f"{type_}:")})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_searches_find_what_brute_force_finds(opened: Opened, seed: int) -> None:
    check(opened, seed)


def check(opened: Opened, seed: int) -> None:
    generated = generate(seed, requests=12)
    if asked_of(generated) is None:
        return
    random = Random(seed)
    rows = rows_for(generated, random)
    service = opened.service(generated, rows)
    policy = service.policy.compiled.policy
    decide = service.decider()
    try:
        for drawn in generated.requests:
            request = drawn._replace(context={name: value for name, value in drawn.context.items() if name != NOW})

            def allows(request: Request) -> bool:
                return decide(request).allowed

            subject, action, resource, _ = request
            for type_ in ("user", "service", "group"):
                asked = request._replace(subject=subject._replace(type=type_, id=""))
                wanted = [
                    id_ for id_ in known(rows, type_) if allows(asked._replace(subject=asked.subject._replace(id=id_)))
                ]
                assert in_pages(Search(service, asked), "subject", random) == wanted, (asked, str(generated), rows)
            declared = policy.resource_types.get(resource.type)
            names = [
                name
                for name in (declared.actions if declared else ())
                if allows(request._replace(action=action._replace(name=name)))
            ]
            assert list(Search(service, request._replace(action=action._replace(name=""))).actions()) == names
            for level in policy.roles.levels:
                if level.identified_by is None:
                    continue
                about = request._replace(resource=Resource(level.identified_by, "", resource.properties))
                search = Search(service, about)
                place = search._above(level)
                wanted = []
                if place is not None:
                    wanted = [
                        id_
                        for id_ in known_domains(rows, place, level.depth)
                        if allows(about._replace(resource=about.resource._replace(id=id_)))
                    ]
                assert in_pages(search, "resource", random) == wanted, (about, str(generated), rows)
    finally:
        service.store.close()
