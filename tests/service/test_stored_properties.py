"""Stored properties in decisions, explanations, menus and filters: they win, as fresh as role assignments, or it is a deny."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text
from stored_entities import todo, user, write_policies

from klausel.app import create_service
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.filters.tree import holds
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity, EntityKey
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.decision_service import Service
from klausel.service.permissions import permissions
from klausel.service.searches import Search
from klausel.settings import Settings
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database

ACTIONS = ("read", "update", "delete", "archive")
EDITOR = Assignment("user:ann", "editor", "acme")
OWN = todo("1", "acme", owner="ann@x")
EMAIL = user("ann", email="ann@x")


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    service = create_service(Settings(database=database_url, **write_policies(tmp_path)))  # type: ignore[arg-type]
    yield replace(service, clock=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    service.store.close()


def grant(service: Service, *rows: Assignment, revoke: tuple[Assignment, ...] = ()) -> None:
    service.store.write(service.policy.compiled.policy.roles, rows, revoke)


def put(service: Service, *entities: Entity) -> None:
    service.entities.write(service.policy.compiled.policy, entities)


def asked(action: str, id_: str, who: str = "ann", subject: dict[str, object] | None = None, **resource: object) -> Request:
    return Request(Subject("user", who, subject or {}), Action(action), Resource("todo", id_, resource))


def test_her_own_todos_while_she_is_an_editor(service: Service) -> None:
    put(service, OWN, todo("2", "acme", owner="bob@x"), EMAIL)
    grant(service, EDITOR)
    allows = lambda *args, **sent: service.decider()(asked(*args, **sent)).allowed  # noqa: E731
    assert allows("update", "1")
    assert not allows("update", "2")
    # What is stored wins over what is sent: the owner, the email, and where it lies.
    assert not allows("update", "2", owner="ann@x")
    assert not allows("update", "2", subject={"email": "bob@x"})
    assert allows("update", "1", company="zed", team="x")
    # Of what is not stored, the request tells.
    assert allows("update", "3", owner="ann@x", company="acme")
    grant(service, revoke=(EDITOR,))
    assert not allows("update", "1")


def test_what_was_read_before_it_changed_is_not_kept_after_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    put(service, OWN, EMAIL)
    grant(service, EDITOR)
    stored = service.live.in_force.resolved_roles.stored
    read = stored._reader.entities

    def read_and_be_overtaken(keys: Sequence[EntityKey]) -> list[tuple[Entity, int]]:
        found = read(keys)
        monkeypatch.setattr(stored._reader, "entities", read)
        put(service, todo("1", "acme", owner="bob@x"))
        return found

    monkeypatch.setattr(stored._reader, "entities", read_and_be_overtaken)
    service.decider()(asked("update", "1"))
    assert not service.decider()(asked("update", "1")).allowed


def test_null_says_that_there_is_none_whatever_is_sent(service: Service) -> None:
    put(service, todo("1", "acme", owner=None), EMAIL)
    grant(service, EDITOR)
    assert not service.decider()(asked("update", "1", owner="ann@x")).allowed


def soon(service: Service, wanted: bool) -> None:
    """Waits for what another process wrote: on PostgreSQL it is told of, as of role assignments."""
    give_up = time.monotonic() + 30
    while service.decider()(asked("update", "1")).allowed is not wanted:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_change_counts_as_soon_as_one_of_role_assignments(service: Service, database_url: str) -> None:
    put(service, OWN, EMAIL)
    grant(service, EDITOR)
    assert service.decider()(asked("update", "1")).allowed
    engine = open_database(database_url)
    policy = service.policy.compiled.policy
    EntityStore(engine).write(policy, [replace_owner("bob@x")])
    soon(service, wanted=False)
    put(service, OWN)
    assert service.decider()(asked("update", "1")).allowed
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM klausel_entity WHERE kind = 'subject'"))
    soon(service, wanted=False)
    engine.dispose()


def replace_owner(owner: str) -> Entity:
    return OWN._replace(properties={"owner": owner})


def test_without_the_database_it_is_a_deny(service: Service) -> None:
    put(service, OWN, EMAIL)
    grant(service, EDITOR)
    with service.store.engine.begin() as connection:
        connection.execute(text("DROP TABLE klausel_entity"))
    decision = service.decider()(asked("update", "1", owner="ann@x", company="acme", subject={"email": "ann@x"}))
    assert not decision.allowed
    assert "did not answer" in (decision.failure or "")


def test_explain_says_what_came_from_the_store(service: Service) -> None:
    put(service, OWN, EMAIL)
    grant(service, EDITOR)
    explanation = service.explain(asked("update", "1", owner="bob@x", size=3))
    assert explanation.decision.allowed
    assert explanation.from_store == ("resource.company", "resource.owner", "subject.email")
    assert explanation.request.resource.properties == {"owner": "ann@x", "size": 3, "company": "acme"}
    assert service.explain(asked("update", "unknown", "bo")).from_store == ()


def test_odd_questions_are_denied_as_ever(service: Service) -> None:
    put(service, OWN)
    for id_ in ("", "a\0b", "\ud800", "x" * 400):
        assert not service.decider()(asked("update", id_, id_)).allowed
    odd = Request(Subject([], "ann"), Action("read"), Resource({}, "1"))  # type: ignore[arg-type]
    decision = service.decider()(odd)
    assert (decision.allowed, decision.failure) == (False, "a type, an id or the name of the action is not a string")


@pytest.mark.parametrize("seed", range(3))
def test_decisions_menus_and_filters_are_those_of_requests_that_send_it_all(service: Service, seed: int) -> None:
    random = Random(seed)
    emails = ("ann@x", "bob@x", None)

    def some(**all_: tuple[object, ...]) -> dict[str, object]:
        return {name: random.choice(values) for name, values in all_.items() if random.random() < 0.7}

    def of_todo() -> dict[str, object]:
        return some(owner=emails, size=(1, 2, 3.5), done=(True, False, None), labels=(["a"], ["b", "c"], []))

    def of_user() -> dict[str, object]:
        return some(email=emails, grade=(0, 2, 9), tags=(["a"], ["c"], []))

    domains = ("", "acme", "acme/red", "acme/blue", "zed/red")
    todos = {str(n): todo(str(n), random.choice(domains), **of_todo()) for n in range(12)}
    users = {name: user(name, **of_user()) for name in ("ann", "bob", "cy")}
    put(service, *todos.values(), *users.values())
    rows = [
        Assignment(f"user:{name}", role, domain)
        for name in ("ann", "bob", "cy", "dan")
        for role, domain in (("editor", "acme"), ("owner", "zed"), ("worker", "acme/red"), ("worker", "zed/red"))
        if random.random() < 0.5
    ]
    grant(service, *rows)
    policy, plan = service.policy.compiled.policy, service.policy.compiled
    told = []
    for who in ("ann", "bob", "cy", "dan"):
        held = EffectiveRoles.of(policy.roles, [(row.role, row.domain) for row in rows if row.subject == f"user:{who}"])
        sent_of_user = of_user()
        whole_subject = {**sent_of_user, **(users[who].properties if who in users else {})}
        for id_ in [*todos, "unknown"]:
            sent: dict[str, object] = {**of_todo(), **some(company=("acme", "zed"), team=("red", "blue"))}
            whole = {**sent, **(todos[id_].properties if id_ in todos else {})}
            if id_ in todos and todos[id_].domain:
                whole = {name: value for name, value in whole.items() if name not in ("company", "team")}
                whole |= dict(zip(("company", "team"), todos[id_].domain.split("/"), strict=False))
            for action in ACTIONS:
                request = asked(action, id_, who, whole_subject, **whole)
                wanted = decide(policy, plan, lambda _, domain, held=held: held.roles_in(domain), request)  # type: ignore[misc]
                found = service.decider()(asked(action, id_, who, sent_of_user, **sent))
                assert found == wanted, request
                told.append(found.allowed)
                bare = Request(Subject("user", who, sent_of_user), Action(action), Resource("todo", ""))
                assert holds(service.filter(bare), request.resource) is wanted.allowed
            resource = Resource("todo", id_, sent)
            (menu,) = permissions(service, Subject("user", who, sent_of_user), [resource], {})
            assert [action in menu.allowed for action in ACTIONS] == told[-len(ACTIONS) :]
            if id_ in todos:
                asked_of = Request(Subject("user", who, sent_of_user), Action(""), resource)
                assert list(Search(service, asked_of).actions()) == [one for one in ACTIONS if one in menu.allowed]
    assert {True, False} == set(told)
    holders = sorted({row.subject.removeprefix("user:") for row in rows})
    for id_ in todos:
        for action in ACTIONS:
            question = Request(Subject("user", "", {"email": "bob@x"}), Action(action), Resource("todo", id_))
            each = [(who, question._replace(subject=Subject("user", who, {"email": "bob@x"}))) for who in holders]
            wanted_people = [who for who, request in each if service.decider()(request).allowed]
            assert Search(service, question).page("subject", 1000).found == wanted_people
