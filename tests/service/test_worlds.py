"""Worlds with every word of the language: engine, HTTP, stock Casbin and searches answer what the oracle says."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import oracle_of_worlds
from doors import EVALUATIONS, HttpDoor
from opened_services import Opened, in_pages
from policy_sets import Asked
from running_service import running
from worlds import World, make_world
from worlds_as_files import files_of

from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Request, asked_at
from klausel.service.decision_service import Service
from klausel.service.searches import Search

# How many of each kind; `scripts/nightly` asks for more.
SETS = int(os.environ.get("KLAUSEL_TEST_WORLDS", "4"))
SERVED = int(os.environ.get("KLAUSEL_TEST_WORLDS_SERVED", "1"))
FIRST = int(os.environ.get("KLAUSEL_TEST_FIRST_WORLD", "0"))
REQUESTS = 60
STOCK = 2  # of the requests of a world so many are asked through stock Casbin too, which is slow, and who can
BATCH = 1000


def opened_world(opened: Opened, seed: int, requests: int, base: datetime | None = None) -> tuple[World, Service] | None:
    """A world and a service over its files; None where two of its grants contradict each other, which the loader refuses."""
    world = make_world(seed, requests) if base is None else make_world(seed, requests, base)
    try:
        return world, opened.service_of(files_of(world, seed), world.rows, world.entities)
    except PolicyError as error:
        assert {one.id for one in error.problems if one.severity == "error"} == {"contradiction"}, f"world {seed}: {error}"
        return None


def test_decisions_about_worlds_are_those_of_the_oracle(tmp_path: Path) -> None:
    opened = Opened(f"sqlite:///{tmp_path}/klausel.db", tmp_path)
    answers: Counter[bool] = Counter()
    for seed in range(FIRST, FIRST + SETS):
        if (found := opened_world(opened, seed, REQUESTS)) is None:
            continue
        world, service = found
        clock = world.moments[:1]
        service = replace(service, clock=lambda clock=clock: clock[0])
        policy = service.policy.compiled.policy
        try:
            for now in world.moments:
                clock[0] = now
                decide = service.decider()
                for request in world.requests:
                    expected = oracle_of_worlds.allows(world, request, now)
                    assert decide(request).allowed is expected, f"world {seed} at {now}: expected {expected} for {request}"
                    answers[expected] += 1
                asked = Asked(policy, held_at(world, now))
                for request in world.requests[:STOCK]:
                    expected = oracle_of_worlds.allows(world, request, now)
                    told = asked.stock_allows(asked_at(oracle_of_worlds.joined(world, request), now))
                    assert told is expected, f"world {seed} at {now}, stock: expected {expected} for {request}"
                    about = request._replace(subject=request.subject._replace(type="user", id=""))
                    wanted = [id_ for id_ in known(world) if oracle_of_worlds.allows(world, asked_by(about, id_), now)]
                    found_so = in_pages(Search(service, about), "subject", Random(seed))
                    assert found_so == wanted, f"world {seed} at {now}, who can: expected {wanted} for {about}"
        finally:
            service.store.close()
    assert answers.total() > SETS * REQUESTS * 2, "too many generated worlds were refused"
    assert answers[True] > answers.total() / 8, "too few generated requests are allowed"
    print(f"{answers.total()} decisions, {answers[True]} of them allowed")


def known(world: World) -> list[str]:
    """The people whom the database knows: they have a role or are in a group, at whatever time, or something is stored."""
    keys = [row.subject for row in world.rows]
    keys += [f"{one.type}:{one.id}" for one in world.entities if one.kind == "subject" and world.stores]
    return sorted({key.removeprefix("user:") for key in keys if key.startswith("user:")})


def asked_by(request: Request, id_: str) -> Request:
    return request._replace(subject=request.subject._replace(id=id_))


def held_at(world: World, now: datetime) -> dict[str, list[tuple[str, str]]]:
    """The rows that count at that time, by the names that roles have today, as the table that stock Casbin reads has them."""
    subjects = {f"{request.subject.type}:{request.subject.id}" for request in world.requests}
    rows = {who: oracle_of_worlds.rows_of(world, who, now) for who in subjects}
    return {who: [(role, "/".join(where)) for role, where in found] for who, found in rows.items()}


def test_decisions_about_worlds_over_http_are_those_of_the_oracle(tmp_path: Path) -> None:
    opened = Opened(f"sqlite:///{tmp_path}/klausel.db", tmp_path)
    base = datetime.now(UTC).replace(microsecond=0)
    answered = 0
    for seed in range(FIRST, FIRST + SERVED):
        if (found := opened_world(opened, seed, BATCH, base)) is None:
            continue
        world, service = found
        service.store.close()
        options = ["--database", opened.url, "--model", str(tmp_path / "model.conf"), "--orphaned-assignments", "warn"]
        for folder in service.settings.policies.split(os.pathsep):
            options += ["--policies", folder]
        with running(tmp_path, *options) as (_, port):
            sent = [as_json(request) for request in world.requests]
            body = json.dumps({"evaluations": sent}).encode()
            before = datetime.now(UTC)
            answer = HttpDoor(port).ask("POST", EVALUATIONS, body)
            after = datetime.now(UTC)
        assert answer.status == 200, answer.body
        for request, told in zip(world.requests, answer.json["evaluations"], strict=True):
            expected = {oracle_of_worlds.allows(world, request, now) for now in (before, after)}
            assert told["decision"] in expected, f"world {seed} at {before}, over HTTP: {request}"
            answered += len(expected) == 1
    assert answered > SERVED * BATCH / 2
    print(f"{answered} decisions over HTTP")


def as_json(request: Request) -> dict[str, object]:
    subject, action, resource, context = request
    return {
        "subject": {"type": subject.type, "id": subject.id, "properties": subject.properties},
        "action": {"name": action.name, "properties": action.properties},
        "resource": {"type": resource.type, "id": resource.id, "properties": resource.properties},
        "context": context,
    }
