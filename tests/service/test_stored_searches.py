"""Searches over what is stored find exactly what asking about each would find, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from declared_policies import generate_declared
from generated_policies import Generated, generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened_services import Opened, in_pages, known_domains

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.terms.identifiers import fault_in_subject
from klausel.core.terms.request import NOW, Request
from klausel.service.searches import Search

DOMAINS = ("", "", "a", "ab", "new", "a/a", "a/ab", "new/a", "a/a/a", "a/ab/new")
PEOPLE = ("ann", "bob", "ghost", "zoe", "only stored")


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Opened]:
    return Opened(database_url, tmp_path)


def some_of(random: Random, properties: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in properties.items() if name and random.random() < 0.8}


def entities_for(generated: Generated, types: list[str], random: Random) -> list[Entity]:
    """Resources and people with properties of the requests: of all kinds, and many not as they are declared."""
    found: dict[tuple[str, str, str], Entity] = {}
    drawn = generated.requests
    for number in range(24):
        properties = some_of(random, dict(random.choice(drawn).resource.properties))
        domain = random.choice(DOMAINS)
        if domain:
            properties = {name: value for name, value in properties.items() if random.random() < 0.9}
        id_ = random.choice((f"t{number}", random.choice(drawn).resource.id))
        type_ = random.choice(types)
        if fault_in_subject(type_, id_) is None:
            found["resource", type_, id_] = Entity("resource", type_, id_, domain, properties)
    for name in PEOPLE:
        properties = some_of(random, dict(random.choice(drawn).subject.properties))
        found["subject", "user", name] = Entity("subject", "user", name, "", properties)
    return [entity for entity in found.values() if '"\\u0000' not in str(entity)]


@settings(max_examples=14, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_searches_find_all_that_is_stored_and_allowed(opened: Opened, seed: int) -> None:
    check(opened, seed)


def check(opened: Opened, seed: int) -> int:
    random = Random(seed)
    generated = generate(seed, requests=12) if seed % 2 else generate_declared(seed, requests=12)[0]
    declared = generated.texts.get("properties.yaml", "")
    asked = asked_of(generated)
    if asked is None:
        return 0
    types = sorted(asked.policy.resource_types)
    generated.texts["properties.yaml"] = f"{declared}stored: {{subjects: user, resources: [{', '.join(types)}]}}\n"
    rows = [Assignment(*row) for row in dict.fromkeys(generated.assignments)]
    entities = entities_for(generated, types, random)
    service = opened.service(generated, rows, entities)
    decide = service.decider()
    count = 0
    try:
        for drawn in generated.requests:
            request = drawn._replace(context={name: value for name, value in drawn.context.items() if name != NOW})
            subject, _, resource, _ = request
            sent = {name: value for name, value in resource.properties.items() if random.random() < 0.3}
            about = request._replace(resource=resource._replace(id="", properties=sent))
            search = Search(service, about)
            ids = {entity.id for entity in entities if entity[:2] == ("resource", resource.type)}
            for level in asked.policy.roles.levels:
                if level.identified_by == resource.type and (place := search._above(level)) is not None:
                    ids |= set(known_domains(rows, place, level.depth))
            wanted = [
                id_
                for id_ in sorted(ids)
                if decide(about._replace(resource=resource._replace(id=id_, properties=sent))).allowed
            ]
            found = in_pages(search, "resource", random)
            assert found == wanted, (about, str(generated), rows, entities)
            who = request._replace(subject=subject._replace(type="user", id=""))
            known = {row.subject.removeprefix("user:") for row in rows if row.subject.startswith("user:")} | set(PEOPLE)

            def allowed(id_: str, who: Request = who) -> bool:
                return decide(who._replace(subject=who.subject._replace(id=id_))).allowed

            people = in_pages(Search(service, who), "subject", random)
            assert people == sorted(filter(allowed, known)), (who, str(generated), rows, entities)
            count += len(found) + len(people)
    finally:
        service.store.close()
    return count
