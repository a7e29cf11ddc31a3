"""Every cache of answers about people or entities says from what they depend, and tells nothing that one of that made wrong.

A new cache needs a bound, `depends_on` in its class, and a scenario here for each name in it; of the rest of `WHAT_CHANGES` it
says in `NOT_MOVED_BY` why that makes no answer wrong. One of something else needs a row in `OF_OTHER_THINGS`.
"""

from __future__ import annotations

import ast
import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from serving import Served
from sqlalchemy import Engine
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
from klausel.service import authentication
from klausel.service.authentication import ApiKeys, Unauthenticated
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.oauth import OauthTokens, TokenRules
from klausel.service.stored_properties import StoredProperties
from klausel.settings import Settings
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database

PACKAGE = Path(klausel.__file__).parent
OF_ANSWERS = {
    "service.authentication.ApiKeys": ApiKeys,
    "service.effective_roles_cache.EffectiveRolesCache": EffectiveRolesCache,
    "service.oauth.OauthTokens": OauthTokens,
    "service.stored_properties.StoredProperties": StoredProperties,
    "client.clients._Memory": clients._Memory,
}
WHAT_CHANGES = ("role assignments", "groups", "stored entities", "the policies", "the moment", "other processes")
"""What can change between two questions."""
_OF_PEOPLE = ("role assignments", "groups", "stored entities", "the policies")
NOT_MOVED_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "service.authentication.ApiKeys": ((*_OF_PEOPLE, "other processes"), "about applications; a key is kept for seconds"),
    "service.effective_roles_cache.EffectiveRolesCache": (("stored entities",), "they give no role"),
    "service.oauth.OauthTokens": ((*_OF_PEOPLE, "other processes"), "about applications, by what the issuer signed"),
    "service.stored_properties.StoredProperties": (
        ("role assignments", "groups", "the policies", "the moment"),
        "an entity is what is stored, whoever asks, when, and under which policies",
    ),
    "client.clients._Memory": ((*_OF_PEOPLE, "other processes"), "its seconds are how long they may go unseen"),
}
OF_OTHER_THINGS = {
    "api.connections.ConnectionWatch": "what is open now",
    "api.connections.RequestsInProgress": "what is open now",
    "api.console.changes_page.ChangesPage": "by commit and folder: no commit ever changes",
    "casbin_policies.model_shape.other_matcher": "by the text of the model",
    "api.openapi._parts": "made of the program alone",
    "casbin_policies.stock_export._Written": "for one export",
    "casbin_policies.stock_request.Layout": "for one export",
    "guarding.Guarded": "what the program declares of its classes",
    "service.authentication.RateLimit": "counts",
    "service.permissions._Menus": "for one request, under one policy",
    "service.recorded_decisions.DecisionsThen": "by the digest of the policies",
    "service.refused_commits.RefusedCommits": "by the name and the id of the folder, and the model: what has these never changes",
    "service.stored_properties.StoredOfSubjects": "for one search",
    "storage.entities.narrowing._Narrowing": "for one query",
    "service.policy_history.PolicyHistory": "by the ids of trees: what has one never changes",
    "service.tally.Tally": "counts",
    "service.tally._OfThread": "counts",
    "storage.assignments.row_check.RowCheck": "for one import, under one policy",
    "storage.decision_log.queue.DecisionLog": "by grant, kept alive beside its text; and counts",
    "storage.git.kept_answers.KeptAnswers": "by commit, and by the question and the version of the program",
    "storage.git.line_history.LineHistory": "by commit: no commit ever changes",
    "storage.git.repository.GitRepository": "by the ids of objects: what has one never changes",
}
NOT_PURE = ("api", "casbin", "casbin_policies", "client", "django", "service", "storage")
"""The rooms in which answers can be kept from one question to the next; `core` keeps what is made of equal values alone."""

NOW = 1_000_000.0
ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")
FILLING = {"setdefault", "update"}
MAPPINGS = {"dict", "OrderedDict", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary"}


# --- All caches are known ---------------------------------------------------------------------------------------------


@cache
def keepers(package: Path) -> dict[str, set[str]]:
    """All that keeps something by a key outside of `core`: classes, with their attributes that are mappings, and functions."""
    found: dict[str, set[str]] = {}
    files = [*package.glob("*.py"), *(file for room in NOT_PURE for file in (package / room).rglob("*.py"))]
    for file in files:
        module = ".".join(file.relative_to(package).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found |= {f"{module}.{name}": set() for name in declared_empty_and_filled(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                attributes = {*attributes_that_begin_empty(node), *declared_empty_and_filled(node)}
                if attributes:
                    found[f"{module}.{node.name}"] = attributes
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = {ast.unparse(one).split("(")[0].split(".")[-1] for one in node.decorator_list}
                if decorators & {"cache", "lru_cache"}:
                    found[f"{module}.{node.name}"] = set()
    return found


def attributes_that_begin_empty(class_: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(class_):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            value = node.value
            values = (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)
            if isinstance(target, ast.Attribute) and any(map(is_empty_mapping, values)):
                yield target.attr


def declared_empty_and_filled(scope: ast.Module | ast.ClassDef) -> set[str]:
    """Names that a module, or the fields of a class, begin with an empty mapping, and that something there fills."""
    declared = set()
    for node in scope.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_empty_mapping(node.value):
            declared.add(ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0]))
    holders = [node.value for node in ast.walk(scope) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)]
    holders += [node.value for node in ast.walk(scope) if isinstance(node, ast.Attribute) and node.attr in FILLING]
    return declared & {ast.unparse(holder).removeprefix("self.") for holder in holders}


def is_empty_mapping(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        factory = next((word.value for word in value.keywords if word.arg == "default_factory"), None)
        if factory is not None:
            return ast.unparse(factory).split(".")[-1] in MAPPINGS
        return ast.unparse(value.func).split(".")[-1] in MAPPINGS
    return isinstance(value, ast.Dict) and not value.keys


def unknown(package: Path) -> list[str]:
    """A sentence for each cache that is in neither list."""
    return [
        f"{name} keeps something by a key; where that is an answer about people or entities, say in its class what can make it "
        f"wrong (depends_on), and add it to OF_ANSWERS with a scenario for each; else say in OF_OTHER_THINGS what it keeps"
        for name in sorted(keepers(package).keys() - OF_ANSWERS.keys() - OF_OTHER_THINGS.keys())
    ]


def test_every_cache_is_known() -> None:
    assert unknown(PACKAGE) == []
    assert {*OF_ANSWERS, *OF_OTHER_THINGS} <= keepers(PACKAGE).keys(), "a name here is none of a cache any more"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class Verdicts:\n def __init__(self):\n  self._by_person: dict[str, bool] = {}\n", "Verdicts"),
        (
            "@dataclass\nclass Verdicts:\n kept: dict[str, bool] = field(default_factory=dict)\n"
            " def keep(self, who):\n  self.kept[who] = True\n",
            "Verdicts",
        ),
        ("KEPT: dict[str, bool] = {}\ndef keep(who):\n KEPT.setdefault(who, True)\n", "KEPT"),
        ("@lru_cache(100)\ndef verdict(who):\n return True\n", "verdict"),
    ],
)
def test_a_cache_that_nobody_told_of_is_found(tmp_path: Path, source: str, name: str) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "verdicts.py").write_text(source)
    (sentence,) = unknown(tmp_path)
    assert sentence.startswith(f"service.verdicts.{name} keeps something by a key; ")


# --- None tells what is no longer so ----------------------------------------------------------------------------------


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

    def store(self) -> AssignmentStore:
        store = AssignmentStore(self.engine(), clock=lambda: NOW)
        self.after.callback(store.close)
        return store

    def served(self) -> Served:
        policies = write_set(self.folder)
        database = f"sqlite:///{self.folder}/people.db"
        served = Served(Settings(database=database, policies=str(policies), model=str(self.folder / "model.conf")))
        self.after.callback(served.close)
        return served


def leading(place: Place, *rows: Assignment) -> tuple[AssignmentStore, EffectiveRolesCache, Callable[[], bool]]:
    """Bo's roles, with these rows: whether he leads, by way of the cache."""
    store = place.store()
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


def what_is_stored_changes(place: Place, is_another_process: bool = False) -> Scenario:
    policy, store = todo_policy(), place.store()
    entities = EntityStore(store.engine, store.tell)
    entities.write(policy, [todo("1", owner="ann@x")])
    cache = EffectiveRolesCache(store, policy.roles)

    def owner() -> object:
        cache.refresh()
        return cache.stored.of([("resource", "todo", "1")])["resource", "todo", "1"].properties["owner"]

    def change() -> None:
        writer = EntityStore(place.engine()) if is_another_process else entities
        writer.write(policy, [todo("1", owner="bob@x")])

    return Scenario(cache.stored, owner, change)


def another_process_stores(place: Place) -> Scenario:
    return what_is_stored_changes(place, is_another_process=True)


def with_key(place: Place, expires: int | None = None) -> tuple[KeyStore, str, list[float], ApiKeys, Callable[[], bool]]:
    keys = KeyStore(place.engine())
    keys.prepare()
    id_, token = keys.new(Caller("crm", frozenset({"decide"})), expires)
    now = [NOW]
    cache = ApiKeys(keys, lambda: now[0])

    def is_good() -> bool:
        try:
            return cache.caller_of(token).name == "crm"
        except Unauthenticated:
            return False

    return keys, id_, now, cache, is_good


def a_key_is_revoked(place: Place) -> Scenario:
    keys, id_, _, cache, is_good = with_key(place)

    def change() -> None:
        keys.revoke(id_)
        later = time.monotonic() + authentication.SECONDS_KEPT
        place.patch.setattr(time, "monotonic", lambda: later)

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
    (EffectiveRolesCache, "groups"): a_member_leaves_a_group,
    (EffectiveRolesCache, "the moment"): a_role_ends,
    (EffectiveRolesCache, "the policies"): a_role_contains_less,
    (EffectiveRolesCache, "other processes"): another_process_revokes,
    (EffectiveRolesCache, "which history the database has"): another_backup_is_restored,
    (StoredProperties, "stored entities"): what_is_stored_changes,
    (StoredProperties, "other processes"): another_process_stores,
    (ApiKeys, "keys that are revoked"): a_key_is_revoked,
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
    known = {dependency for cache, dependency in SCENARIOS if cache is class_}
    assert known == set(class_.depends_on), f"{name} says one thing in depends_on, and SCENARIOS another"


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_a_cache_says_of_all_that_changes_whether_it_depends_on_it(name: str) -> None:
    said = {*OF_ANSWERS[name].depends_on, *NOT_MOVED_BY.get(name, ((), ""))[0]}
    unsaid = [one for one in WHAT_CHANGES if one not in said]
    assert not unsaid, (
        f"{name} says nothing of {', '.join(unsaid)}: name what can make an answer wrong in depends_on, with a scenario here, "
        "and say of the rest in NOT_MOVED_BY why it cannot"
    )


def has_bound(class_: ast.ClassDef) -> bool:
    """Whether something in a class compares how much it holds with the most that it may."""
    return any(
        re.search(r"\bmost|_max_", ast.unparse(one), re.IGNORECASE)
        and re.search(r"\blen\(self\.|self\._bytes", ast.unparse(one))
        for one in ast.walk(class_)
        if isinstance(one, ast.Compare)
    )


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_a_cache_has_a_bound(name: str) -> None:
    (class_,) = ast.parse(inspect.getsource(OF_ANSWERS[name])).body
    assert isinstance(class_, ast.ClassDef)
    assert has_bound(class_), (
        f"{name} grows without end: before it keeps one more, compare how much it holds with the most (MOST_…, max_…), "
        "and forget what is oldest"
    )


def test_a_cache_without_a_bound_is_found() -> None:
    (class_,) = ast.parse("class Kept:\n def keep(self, who):\n  self.kept[who] = True\n").body
    assert isinstance(class_, ast.ClassDef)
    assert not has_bound(class_)


@pytest.mark.parametrize(("cache", "dependency"), SCENARIOS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_nothing_is_told_that_is_wrong_since(cache: type, dependency: str, place: Place) -> None:
    (name,) = (name for name, class_ in OF_ANSWERS.items() if class_ is cache)
    found = fault(SCENARIOS[cache, dependency](place), keepers(PACKAGE)[name])
    assert found is None, f"{name}, of {dependency}: {found}"


@pytest.mark.parametrize("scenario", [a_role_is_revoked, a_member_leaves_a_group, another_process_revokes])
def test_a_cache_that_drops_nothing_is_found(scenario: Callable[[Place], Scenario], place: Place) -> None:
    place.patch.setattr(EffectiveRolesCache, "_drop", lambda self, subjects: None)
    assert fault(scenario(place), {"_entries"}) == "what was kept is told although it is wrong"


def test_a_cache_that_forgets_the_moment_is_found(place: Place) -> None:
    scenario = a_role_ends(place)
    scenario.ask()
    for entry in scenario.cache._entries.values():  # type: ignore[attr-defined]
        entry.always = True
    assert fault(scenario, {"_entries"}) == "what was kept is told although it is wrong"
