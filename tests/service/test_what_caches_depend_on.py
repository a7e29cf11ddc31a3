"""Every cache of answers about people or entities says from what they depend, and tells nothing that one of that made wrong.

A new cache needs a bound, `depends_on` in its class, and a scenario here for each name in it; of the rest of `WHAT_CHANGES` it
says in `NOT_MOVED_BY` why that makes no answer wrong. `test_every_cache_is_known.py` finds those that are not here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import NamedTuple

import pytest
from caches_in_code import keepers
from serving import Served
from sqlalchemy import Engine, make_url
from storage_people import ROLES, row
from stored_entities import todo, todo_policy
from test_restored_backup import copy
from versions import ROLES as ROLES_FILE
from versions import write_set

import klausel
from klausel.client import clients
from klausel.client.answers import Decision
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.core.terms.moment import instant_text
from klausel.service.authentication import ApiKeys, Unauthenticated
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.oauth import OauthTokens, TokenRules
from klausel.service.role_assignments import marks_of_writes
from klausel.service.stored_properties import StoredProperties
from klausel.settings import Settings
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.change_feed import ChangeFeed

PACKAGE = Path(klausel.__file__).parent
OF_ANSWERS = {
    "service.authentication.ApiKeys": ApiKeys,
    "service.effective_roles_cache.EffectiveRolesCache": EffectiveRolesCache,
    "service.oauth.OauthTokens": OauthTokens,
    "service.stored_properties.StoredProperties": StoredProperties,
    "client.clients._Memory": clients._Memory,
}
WHAT_CHANGES = (
    "role assignments",
    "members of groups",
    "roles of groups",
    "stored entities",
    "the policies",
    "the moment",
    "other processes",
    "whether other processes are heard",
)
"""What can change between two questions."""
_OF_PEOPLE = WHAT_CHANGES[:5]
_OF_OTHER_PROCESSES = WHAT_CHANGES[6:]
NOT_MOVED_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "service.authentication.ApiKeys": (_OF_PEOPLE, "about applications"),
    "service.effective_roles_cache.EffectiveRolesCache": (("stored entities",), "they give no role"),
    "service.oauth.OauthTokens": ((*_OF_PEOPLE, *_OF_OTHER_PROCESSES), "about applications, by what the issuer signed"),
    "service.stored_properties.StoredProperties": (
        ("role assignments", "members of groups", "roles of groups", "the policies", "the moment"),
        "an entity is what is stored, whoever asks, when, and under which policies",
    ),
    "client.clients._Memory": ((*_OF_PEOPLE, *_OF_OTHER_PROCESSES), "its seconds are how long they may go unseen"),
}

NOW = 1_000_000.0
ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")


class Scenario(NamedTuple):
    """A cache, a question that it answers, and a change that makes the answer another one."""

    cache: object
    ask: Callable[[], object]
    change: Callable[[], object]


class Place(NamedTuple):
    """Where a scenario has its files, its clock, and what is closed after it."""

    folder: Path
    patch: pytest.MonkeyPatch
    after: ExitStack

    def engine(self) -> Engine:
        """A further connection to the one database."""
        engine = open_database(f"sqlite:///{self.folder}/people.db")
        self.after.callback(engine.dispose)
        return engine

    def store(self, feed: ChangeFeed | None = None) -> AssignmentStore:
        store = AssignmentStore(self.engine(), clock=lambda: NOW, feed=feed)
        self.after.callback(store.close)
        return store

    def feed(self) -> ChangeFeed:
        """A feed that tells nothing, and is trusted."""
        feed = ChangeFeed(make_url(f"sqlite:///{self.folder}/people.db"), Limits(), 1.0)
        feed.close()
        feed.trusted_until = inf
        return feed

    def served(self) -> Served:
        policies = write_set(self.folder)
        database = f"sqlite:///{self.folder}/people.db"
        served = Served(Settings(database=database, policies=str(policies), model=str(self.folder / "model.conf")))
        self.after.callback(served.close)
        return served


def leading(
    place: Place, *rows: Assignment, feed: ChangeFeed | None = None
) -> tuple[AssignmentStore, EffectiveRolesCache, Callable[[], bool]]:
    """Bo's roles, with these rows: whether he leads, by way of the cache."""
    store = place.store(feed)
    store.write(ROLES, [ADMIN, USER, *rows], [])
    cache = EffectiveRolesCache(store, ROLES)

    def is_lead() -> bool:
        cache.refresh()
        return "lead" in cache.roles_in("user:bo", "acme/support", NOW)

    return store, cache, is_lead


def a_role_is_revoked(place: Place) -> Scenario:
    store, cache, is_lead = leading(place, LEAD)
    return Scenario(cache, is_lead, lambda: store.write(ROLES, [], [LEAD]))


def a_member_leaves_a_group(place: Place) -> Scenario:
    member = Assignment("user:bo", "group:leads", "")
    store, cache, is_lead = leading(place, member, LEAD._replace(subject="group:leads"))
    return Scenario(cache, is_lead, lambda: store.write(ROLES, [], [member]))


def a_group_loses_a_role(place: Place) -> Scenario:
    """Of a group in a group."""
    chain = (Assignment("user:bo", "group:helpers", ""), Assignment("group:helpers", "group:leads", ""))
    held = LEAD._replace(subject="group:leads")
    store, cache, is_lead = leading(place, *chain, held)
    return Scenario(cache, is_lead, lambda: store.write(ROLES, [], [held]))


def a_role_ends(place: Place) -> Scenario:
    _, cache, _ = leading(place, LEAD._replace(ends=instant_text(NOW + 10)))
    moment = [NOW]
    return Scenario(
        cache,
        lambda: "lead" in cache.roles_in("user:bo", "acme/support", moment[0]),
        lambda: moment.__setitem__(0, NOW + 10),
    )


def another_process_revokes(place: Place) -> Scenario:
    _, cache, is_lead = leading(place, LEAD)
    return Scenario(cache, is_lead, lambda: place.store().write(ROLES, [], [LEAD]))


def nobody_hears_who_revokes(place: Place) -> Scenario:
    feed = place.feed()
    _, cache, _ = leading(place, LEAD, feed=feed)

    def change() -> None:
        feed.trusted_until = -inf
        place.store().write(ROLES, [], [LEAD])

    return Scenario(cache, lambda: "lead" in cache.roles_in("user:bo", "acme/support", NOW), change)


def another_backup_is_restored(place: Place) -> Scenario:
    store, cache, is_lead = leading(place)
    copy(place.folder / "people.db", place.folder / "backup.db")
    store.write(ROLES, [LEAD], [])
    return Scenario(cache, is_lead, lambda: copy(place.folder / "backup.db", place.folder / "people.db"))


def a_role_contains_less(place: Place) -> Scenario:
    served = place.served()
    served.service.store.write(
        served.service.policy.compiled.policy.roles,
        [row("ann", "lead", "acme/support")],
        [row("ann", "agent", "acme/support")],
    )

    def change() -> None:
        (place.folder / "policies" / "roles.yaml").write_text(ROLES_FILE % "guest")
        assert served.live.refresh() == "taken"

    return Scenario(served.live.in_force.resolved_roles, served.decisions, change)


def what_is_stored_changes(place: Place, is_another_process: bool = False, feed: ChangeFeed | None = None) -> Scenario:
    policy, store = todo_policy(), place.store(feed)
    entities = EntityStore(store.engine, store.tell)
    entities.write(policy, [todo("1", owner="ann@x")])
    cache = EffectiveRolesCache(store, policy.roles)

    def owner() -> object:
        if feed is None:
            cache.refresh()
        return cache.stored.of([("resource", "todo", "1")])["resource", "todo", "1"].properties["owner"]

    def change() -> None:
        if feed is not None:
            feed.trusted_until = -inf
        writer = EntityStore(place.engine()) if is_another_process else entities
        writer.write(policy, [todo("1", owner="bob@x")])

    return Scenario(cache.stored, owner, change)


def another_process_stores(place: Place) -> Scenario:
    return what_is_stored_changes(place, is_another_process=True)


def nobody_hears_who_stores(place: Place) -> Scenario:
    return what_is_stored_changes(place, is_another_process=True, feed=place.feed())


def with_key(
    place: Place, expires: int | None = None, feed: ChangeFeed | None = None
) -> tuple[KeyStore, str, list[float], ApiKeys, Callable[[], bool]]:
    store = place.store(feed)
    keys = KeyStore(store.engine)
    keys.prepare()
    id_, token = keys.new(Caller("crm", frozenset({"decide"})), expires)
    now = [NOW]
    cache = ApiKeys(keys, lambda: now[0], marks_of_writes(store))
    store.close_first.append(cache.close)

    def is_good() -> bool:
        try:
            return cache.caller_of(token).name == "crm"
        except Unauthenticated:
            return False

    return keys, id_, now, cache, is_good


def a_key_is_revoked(place: Place) -> Scenario:
    keys, id_, _, cache, is_good = with_key(place)
    return Scenario(cache, is_good, lambda: keys.revoke(id_))


def another_process_revokes_a_key(place: Place) -> Scenario:
    _, id_, _, cache, is_good = with_key(place)
    return Scenario(cache, is_good, lambda: KeyStore(place.engine()).revoke(id_))


def nobody_hears_who_revokes_a_key(place: Place) -> Scenario:
    feed = place.feed()
    _, id_, _, cache, is_good = with_key(place, feed=feed)

    def change() -> None:
        feed.trusted_until = -inf
        KeyStore(place.engine()).revoke(id_)

    return Scenario(cache, is_good, change)


def a_key_expires(place: Place) -> Scenario:
    _, _, now, cache, is_good = with_key(place, expires=int(NOW) + 5)
    return Scenario(cache, is_good, lambda: now.__setitem__(0, NOW + 5))


class SigningKeysHere:
    """The keys of an issuer, without one."""

    is_fresh = True
    version = 1


def with_token(place: Place) -> tuple[SigningKeysHere, list[float], OauthTokens, Callable[[], bool]]:
    keys, now = SigningKeysHere(), [NOW]
    tokens = OauthTokens(TokenRules("https://issuer", "klausel", ("RS256",), {}), keys, lambda: now[0])  # type: ignore[arg-type]

    def verified(token: str) -> dict[str, object]:
        if keys.version != 1:
            raise Unauthenticated("the token is not signed by a key of its issuer")
        return {"iss": "https://issuer", "aud": "klausel", "sub": "crm", "exp": NOW + 5}

    place.patch.setattr(tokens, "_verified", verified)

    def is_good() -> bool:
        try:
            return tokens.caller_of("a.b.c").name.endswith("crm")
        except Unauthenticated:
            return False

    return keys, now, tokens, is_good


def the_issuer_has_other_keys(place: Place) -> Scenario:
    keys, _, tokens, is_good = with_token(place)
    return Scenario(tokens, is_good, lambda: setattr(keys, "version", 2))


def a_token_expires(place: Place) -> Scenario:
    _, now, tokens, is_good = with_token(place)
    return Scenario(tokens, is_good, lambda: now.__setitem__(0, NOW + 60))


def in_memory(place: Place) -> tuple[clients._Memory, Callable[[], object]]:
    memory = clients._Memory(60)
    memory.keep(b"may ann?", Decision(True), time.monotonic(), memory.changes)
    return memory, lambda: memory.get(b"may ann?")


def the_client_changes_roles(place: Place) -> Scenario:
    memory, ask = in_memory(place)
    return Scenario(memory, ask, memory.forget)


def the_seconds_are_over(place: Place) -> Scenario:
    memory, ask = in_memory(place)
    later = time.monotonic() + 60
    return Scenario(memory, ask, lambda: place.patch.setattr(time, "monotonic", lambda: later))


SCENARIOS: dict[tuple[type, str], Callable[[Place], Scenario]] = {
    (EffectiveRolesCache, "role assignments"): a_role_is_revoked,
    (EffectiveRolesCache, "members of groups"): a_member_leaves_a_group,
    (EffectiveRolesCache, "roles of groups"): a_group_loses_a_role,
    (EffectiveRolesCache, "the moment"): a_role_ends,
    (EffectiveRolesCache, "the policies"): a_role_contains_less,
    (EffectiveRolesCache, "other processes"): another_process_revokes,
    (EffectiveRolesCache, "whether other processes are heard"): nobody_hears_who_revokes,
    (EffectiveRolesCache, "which history the database has"): another_backup_is_restored,
    (StoredProperties, "stored entities"): what_is_stored_changes,
    (StoredProperties, "other processes"): another_process_stores,
    (StoredProperties, "whether other processes are heard"): nobody_hears_who_stores,
    (ApiKeys, "keys that are revoked"): a_key_is_revoked,
    (ApiKeys, "other processes"): another_process_revokes_a_key,
    (ApiKeys, "whether other processes are heard"): nobody_hears_who_revokes_a_key,
    (ApiKeys, "the moment"): a_key_expires,
    (OauthTokens, "the keys of the issuer"): the_issuer_has_other_keys,
    (OauthTokens, "the moment"): a_token_expires,
    (clients._Memory, "what this client changed"): the_client_changes_roles,
    (clients._Memory, "the moment"): the_seconds_are_over,
}


def fault(scenario: Scenario, attributes: set[str]) -> str | None:
    """What is wrong with a cache; None for nothing."""
    before = scenario.ask()
    if scenario.ask() != before:
        return "the answer changes by itself"
    if not any(getattr(scenario.cache, name) for name in attributes):
        return "nothing is kept, so nothing is tested"
    scenario.change()
    return "what was kept is told although it is wrong" if scenario.ask() == before else None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with ExitStack() as after:
        yield Place(tmp_path, monkeypatch, after)


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_there_is_a_scenario_for_all_that_an_answer_depends_on(name: str) -> None:
    class_ = OF_ANSWERS[name]
    said = set(getattr(class_, "depends_on", ()))
    known = {dependency for cache, dependency in SCENARIOS if cache is class_}
    assert said, f"{name} does not say what can make an answer wrong: name it in its class, as depends_on = (…)"
    assert not said - known, f"{name} has no scenario in SCENARIOS for {', '.join(sorted(said - known))}"
    assert not known - said, f"{name} has scenarios for what its depends_on does not name: {', '.join(sorted(known - said))}"


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_a_cache_says_of_all_that_changes_whether_it_depends_on_it(name: str) -> None:
    depends_on = getattr(OF_ANSWERS[name], "depends_on", ())
    unmoved = NOT_MOVED_BY.get(name, ((), ""))[0]
    unsaid = [one for one in WHAT_CHANGES if one not in (*depends_on, *unmoved)]
    assert not unsaid, (
        f"{name} says nothing of {', '.join(unsaid)}: name what can make an answer wrong in depends_on, with a scenario here, "
        "and say of the rest in NOT_MOVED_BY why it cannot"
    )
    twice = [one for one in unmoved if one in depends_on or one not in WHAT_CHANGES]
    assert not twice, f"NOT_MOVED_BY says of {name} what depends_on says otherwise, or nobody knows: {', '.join(twice)}"


@pytest.mark.parametrize(("cache", "dependency"), SCENARIOS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_nothing_is_told_that_is_wrong_since(cache: type, dependency: str, place: Place) -> None:
    (name,) = (name for name, class_ in OF_ANSWERS.items() if class_ is cache)
    found = fault(SCENARIOS[cache, dependency](place), keepers(PACKAGE)[name])
    assert found is None, f"{name}, of {dependency}: {found}"


@pytest.mark.parametrize(
    "scenario", [a_role_is_revoked, a_member_leaves_a_group, a_group_loses_a_role, another_process_revokes]
)
def test_a_cache_that_drops_nothing_is_found(scenario: Callable[[Place], Scenario], place: Place) -> None:
    place.patch.setattr(EffectiveRolesCache, "_drop", lambda self, subjects: None)
    assert fault(scenario(place), {"_entries"}) == "what was kept is told although it is wrong"


def test_a_cache_that_forgets_the_moment_is_found(place: Place) -> None:
    scenario = a_role_ends(place)
    scenario.ask()
    for entry in scenario.cache._entries.values():  # type: ignore[attr-defined]
        entry.always = True
    assert fault(scenario, {"_entries"}) == "what was kept is told although it is wrong"
