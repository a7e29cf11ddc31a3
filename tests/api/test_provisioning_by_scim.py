"""People and groups come from identity providers by SCIM: as Okta and Entra send them, and as a compliance client asks."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from doors import ROOT
from identity_provider import BOSSES, ENTERPRISE, GROUP, LETTERS, MAPPING, PATCH, ROLES, USER, Provider, fitting
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

from klausel.api import scim_models
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.service import provisioning
from klausel.service.decision_service import Service
from klausel.settings import Settings
from klausel.storage.assignments import store as store_module
from klausel.storage.callers.keys import KeyStore
from klausel.storage.provisioned import rows

Open = Callable[..., Provider]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a service with a small policy set, and `mapping`, on a database."""
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES)
    (policies / "features" / "letters.yaml").write_text(LETTERS)
    services: list[Service] = []

    def open_one(database: str = "sqlite://", mapping: str | None = MAPPING, key: str = "", **settings: Any) -> Provider:
        if mapping is not None:
            (policies / "provisioning.yaml").write_text(mapping)
        service = create_service(
            Settings(policies=str(policies), model=str(ROOT / "model.conf"), database=database, **settings)
        )
        services.append(service)
        return Provider(service, policies, key)

    yield open_one
    for service in services:
        service.store.close()


@pytest.fixture
def provider(opened: Open) -> Provider:
    """A provider whose people have a boss already."""
    one = opened()
    one.group("Bosses", one.person("bea"))
    assert one.rows() == BOSSES
    return one


def test_a_compliance_client_finds_no_fault(opened: Open) -> None:
    one = opened(mapping="subject_from: userName\n")
    # Beside thousands of modules these take seconds to import, which only who runs this test should wait for.
    from scim2_client.engines.wsgi import WSGISCIMClient
    from scim2_tester import Status, check_server

    client = WSGISCIMClient(one.client.application, base_url="http://localhost/scim/v2")
    found = check_server(client)
    assert [(result.title, result.reason) for result in found if result.status is Status.ERROR] == []
    # People and groups are not searched together.
    assert {result.title for result in found if result.status is Status.SKIPPED} == {"search_with_attributes"}
    assert Counter(result.status for result in found)[Status.SUCCESS] >= 60


def test_what_okta_sends_becomes_memberships_and_roles_in_every_worker(database_url: str, opened: Open) -> None:
    okta, other = opened(database_url), opened(database_url)
    # It looks whether there is one, and makes one where there is not.
    for path in (f"/Users?{fitting('userName', 'bea')}&startIndex=1&count=100", "/Users?startIndex=1&count=100"):
        assert okta.ask("GET", path)["totalResults"] == 0
    person = {
        "schemas": [USER],
        "userName": "bea",
        "name": {"givenName": "Bea", "familyName": "Lind"},
        "emails": [{"primary": True, "value": "bea@example.com", "type": "work"}],
        "displayName": "Bea Lind",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    told = okta.ask("POST", "/Users", person, 201)
    bea = told["id"]
    assert told["meta"]["location"].endswith(f"/scim/v2/Users/{bea}")
    assert "password" not in told and "locale" not in told, "what is not needed is not kept"
    assert okta.ask("GET", f"/Users?{fitting('userName', 'BEA')}")["Resources"][0]["id"] == bea
    assert okta.rows() == []
    # A group is pushed empty, renamed without a path, and its members come after it; empty, it has no roles.
    bosses = okta.group("Bosse")
    okta.patch(f"/Groups/{bosses}", {"op": "replace", "value": {"id": bosses, "displayName": "Bosses"}})
    assert okta.rows() == []
    okta.patch(f"/Groups/{bosses}", {"op": "add", "path": "members", "value": [{"value": bea, "display": "bea"}]})
    assert okta.rows() == BOSSES
    joe = okta.person("joe", active=True)
    helpers = okta.group("north-mail-helpers", joe)
    assert okta.rows()[1:4] == [
        ("group:north-mail-helpers", "clerk", "north"),
        ("group:north-mail-helpers", "helper", "north/mail"),
        ("user:bea", "group:Bosses", ""),
    ]
    assert other.may_read("joe"), "another worker knows at once"
    # Somebody is deactivated, by a value without a path, and comes back; the group keeps them as members.
    okta.patch(f"/Users/{joe}", {"op": "replace", "value": {"active": False}})
    assert okta.rows() == BOSSES
    assert not other.may_read("joe")
    assert okta.ask("GET", f"/Groups/{helpers}")["members"][0]["value"] == joe
    okta.ask("PUT", f"/Users/{joe}", {"schemas": [USER], "userName": "joe", "active": True})
    assert len(okta.rows()) == 5
    assert other.may_read("joe")
    okta.patch(f"/Groups/{helpers}", {"op": "remove", "path": f'members[value eq "{joe}"]'})
    assert okta.rows() == BOSSES
    assert not other.may_read("joe")
    okta.ask("DELETE", f"/Groups/{helpers}", expected=204)
    okta.ask("DELETE", f"/Users/{joe}", expected=204)
    okta.ask("GET", f"/Users/{joe}", expected=404)
    assert okta.rows() == BOSSES
    assert {channel for channel, _ in okta.changes()} == {"scim"}


def test_what_entra_sends_is_taken_with_its_own_ways(provider: Provider) -> None:
    entra = provider
    person = {
        "schemas": [USER, ENTERPRISE],
        "externalId": "58342554-38d6-4ec8-948c-50044d0a33fd",
        "userName": "joe",
        "active": True,
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Joe Doe", "familyName": "Doe", "givenName": "Joe"},
        "roles": [],
        ENTERPRISE: {"department": "Mail"},
    }
    joe = entra.ask("POST", "/Users", person, 201)["id"]
    by_external = fitting("externalId", "58342554-38d6-4ec8-948c-50044d0a33fd")
    assert entra.ask("GET", f"/Users?{by_external}")["Resources"][0]["id"] == joe
    group = {"schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]}
    clerks = entra.ask("POST", "/Groups", {**group, "externalId": "8aa1a0c0", "displayName": "Clerks", "members": []}, 201)[
        "id"
    ]
    by_name = f"/Groups?excludedAttributes=members&{fitting('displayName', 'Clerks')}"
    assert entra.ask("GET", by_name)["Resources"][0]["id"] == clerks
    # Its operations begin with capital letters, and what is removed stands in the value.
    entra.patch(f"/Groups/{clerks}", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": joe}]})
    assert ("group:Clerks", "clerk", "north") in entra.rows()
    found = entra.ask("GET", by_name)["Resources"][0]
    assert "members" not in found, "groups are very large"
    entra.patch(f"/Groups/{clerks}", {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": joe}]})
    assert entra.rows() == BOSSES
    entra.patch(f"/Groups/{clerks}", {"op": "Add", "path": "members", "value": [{"value": joe}]})
    # An address that is not there yet is written by a filter, a name in several parts, and false as a text.
    entra.patch(
        f"/Users/{joe}",
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "joe@example.com"},
        {"op": "Replace", "path": "name.familyName", "value": "Dow"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Post"},
    )
    told = entra.ask("GET", f"/Users/{joe}")
    assert told["emails"] == [{"type": "work", "value": "joe@example.com"}]
    assert told["name"] == {"formatted": "Joe Doe", "familyName": "Dow", "givenName": "Joe"}
    assert ENTERPRISE not in told
    unclear = entra.patch(f"/Users/{joe}", {"op": "Replace", "path": "active", "value": "perhaps"}, expected=400)
    assert unclear["detail"] == "active: Input should be a valid boolean, unable to interpret input"
    entra.patch(f"/Users/{joe}", {"op": "Replace", "path": "active", "value": "False"})
    assert entra.rows() == BOSSES
    assert not entra.may_read("joe")
    entra.patch(f"/Users/{joe}", {"op": "Replace", "path": "active", "value": "True"})
    assert entra.may_read("joe")
    # Another userName is another subject.
    entra.patch(f"/Users/{joe}", {"op": "Replace", "path": "userName", "value": "joe2"})
    assert (entra.may_read("joe"), entra.may_read("joe2")) == (False, True)


def test_what_is_sent_again_changes_nothing_and_leaves_no_record(provider: Provider) -> None:
    joe = provider.person("joe", externalId="1")
    clerks = provider.group("Clerks", joe)
    body = {"schemas": [GROUP], "displayName": "Clerks", "members": [{"value": joe}]}
    before, rows, versions = provider.changes(), provider.rows(), provider.ask("GET", f"/Groups/{clerks}")["meta"]
    assert provider.ask("POST", "/Users", {"schemas": [USER], "userName": "JOE"}, 409)["scimType"] == "uniqueness"
    assert provider.ask("POST", "/Groups", body, 409)["scimType"] == "uniqueness"
    provider.ask("PUT", f"/Groups/{clerks}", body)
    provider.patch(f"/Groups/{clerks}", {"op": "add", "path": "members", "value": [{"value": joe}]})
    provider.patch(f"/Groups/{clerks}", {"op": "remove", "path": 'members[value eq "nobody"]'})
    provider.ask("PUT", f"/Users/{joe}", {"schemas": [USER], "userName": "joe", "externalId": "1"})
    provider.patch(f"/Users/{joe}", {"op": "replace", "value": {"active": True}})
    assert provider.ask("GET", f"/Groups/{clerks}")["meta"] == versions
    provider.ask("DELETE", f"/Groups/{clerks}", expected=204)
    assert provider.rows() == BOSSES
    provider.ask("DELETE", f"/Groups/{clerks}", expected=404)
    assert (len(provider.changes()) - len(before), len(rows)) == (2, 4)


def test_what_the_rules_refuse_is_refused_whole(provider: Provider) -> None:
    bea = provider.ask("GET", f"/Users?{fitting('userName', 'bea')}")["Resources"][0]["id"]
    provider.group("Clerks", provider.person("joe"))
    held = provider.rows()
    refused = provider.patch(f"/Users/{bea}", {"op": "replace", "value": {"active": False}}, expected=409)
    assert refused["detail"] == "north would have people in it but no boss; keep one, or empty north as a whole"
    assert "scimType" not in refused
    assert provider.ask("GET", f"/Users/{bea}").get("active") is None
    provider.ask("DELETE", f"/Users/{bea}", expected=409)
    assert provider.rows() == held
    # A role in a team needs one in the firm.
    provider.map(MAPPING + '  Team: {"north/mail": helper}\n')
    tim = provider.person("tim")
    team = provider.group("Team")
    detail = provider.patch(f"/Groups/{team}", {"op": "add", "path": "members", "value": [{"value": tim}]}, expected=409)
    assert "without a role of level firm in north" in detail["detail"]
    assert "members" not in provider.ask("GET", f"/Groups/{team}")
    assert provider.rows() == held


def test_a_failure_in_the_middle_leaves_nothing_half_done(
    database_url: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = opened(database_url)
    bea = provider.person("bea")
    bosses = provider.group("Bosses")

    def fail(*_: object) -> None:
        raise RuntimeError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(store_module, "log_rows", fail)
        provider.patch(f"/Groups/{bosses}", {"op": "add", "path": "members", "value": [{"value": bea}]}, expected=500)
    assert provider.rows() == []
    assert "members" not in provider.ask("GET", f"/Groups/{bosses}")
    provider.patch(f"/Groups/{bosses}", {"op": "add", "path": "members", "value": [{"value": bea}]})
    assert provider.rows() == BOSSES


def test_another_mapping_changes_the_groups_that_are_there(provider: Provider) -> None:
    joe = provider.person("joe", externalId="j1", emails=[{"value": "joe@x"}, {"value": "j@y", "primary": True}])
    provider.group("Clerks", joe)
    member = ("user:joe", "group:Clerks", "")
    provider.map(MAPPING.replace("Clerks: {north: clerk}", "Clerks: {north: clerk, north/mail: helper}"))
    clerks = [("group:Clerks", "clerk", "north"), ("group:Clerks", "helper", "north/mail")]
    assert provider.rows() == [BOSSES[0], *clerks, BOSSES[1], member]
    # What the rules refuse of one group does not keep the others as they were; refused is the end of the only boss.
    provider.map("subject_from: userName\ngroups: {Clerks: {north: clerk}}\n")
    assert provider.rows() == [BOSSES[0], clerks[0], BOSSES[1], member]
    provider.map("subject_from: email\ngroups: {Clerks: {north: clerk}, Bosses: {north: boss}}\n")
    # Who has no address stays who they were.
    assert provider.rows() == [BOSSES[0], clerks[0], BOSSES[1], ("user:j@y", "group:Clerks", "")]
    provider.map("subject_from: externalId\nsubject_type: person\n")
    assert ("person:j1", "group:Clerks", "") in provider.rows()
    provider.map(None)
    assert [row for row in provider.rows() if row[0].startswith("group:")] == []
    assert provider.ask("GET", "/Users", expected=404)["detail"].endswith("the policies have no provisioning.yaml")


def test_a_service_that_starts_with_another_mapping_applies_it(sqlite_url: str, opened: Open) -> None:
    first = opened(sqlite_url)
    first.group("Bosses", first.person("bea"))
    first.group("Clerks", first.person("joe"))
    second = opened(sqlite_url, MAPPING.replace("Clerks: {north: clerk}", "Clerks: {}"))
    assert second.rows() == [*BOSSES, ("user:joe", "group:Clerks", "")]


@pytest.mark.parametrize(("lose", "left"), [("memberships", [("user:joe", "clerk", "south")]), ("everything", [])])
def test_a_leaver_loses_what_the_mapping_says(opened: Open, lose: str, left: list[tuple[str, str, str]]) -> None:
    provider = opened(mapping=f"{MAPPING}leavers_lose: {lose}\n")
    store, roles = provider.service.store, provider.service.policy.compiled.policy.roles
    store.write(roles, [Assignment("user:ada", "boss", "south"), Assignment("user:joe", "clerk", "south")], [])
    provider.group("Bosses", provider.person("bea"))
    joe = provider.person("joe")
    provider.group("Clerks", joe)
    provider.patch(f"/Users/{joe}", {"op": "replace", "value": {"active": False}})
    assert [row for row in provider.rows() if row[0] == "user:joe"] == left
    provider.patch(f"/Users/{joe}", {"op": "replace", "value": {"active": True}})
    assert [row for row in provider.rows() if row[0] == "user:joe"] == [*left, ("user:joe", "group:Clerks", "")]
    store.write(roles, [Assignment("user:joe", "clerk", "south")], [])
    provider.patch(f"/Users/{joe}", {"op": "replace", "value": {"displayName": "Joe"}})
    assert ("user:joe", "clerk", "south") in provider.rows(), "who stays loses nothing"
    provider.ask("DELETE", f"/Users/{joe}", expected=204)
    assert [row for row in provider.rows() if row[0] == "user:joe"] == left


def test_no_group_takes_the_roles_of_one_that_was_made_by_hand(provider: Provider) -> None:
    store, roles = provider.service.store, provider.service.policy.compiled.policy.roles
    store.write(roles, [Assignment("group:Night", "clerk", "north")], [])
    joe = provider.person("joe")
    detail = provider.group("Night", joe, expected=409)
    assert detail.startswith("group:Night has role assignments or members that did not come with this group")
    clerks = provider.group("Clerks", joe)
    provider.patch(f"/Groups/{clerks}", {"op": "replace", "path": "displayName", "value": "Night"}, expected=409)
    # What was given by hand to a group of the provider goes with it.
    store.write(roles, [Assignment("group:Clerks", "clerk", "south"), Assignment("user:ada", "boss", "south")], [])
    provider.ask("DELETE", f"/Groups/{clerks}", expected=204)
    assert [row for row in provider.rows() if "Clerks" in str(row)] == []


@pytest.fixture
def two_accounts(sqlite_url: str, opened: Open) -> tuple[Provider, Provider]:
    """The providers of north and of south, each with a key for its account."""
    one = opened(sqlite_url, authentication="keys")
    keys = KeyStore(one.service.store.engine)
    made = {
        account: keys.new(Caller(f"okta of {account}", frozenset({"provision"}), frozenset({account})), None)[1]
        for account in ("north", "south")
    }
    return Provider(one.service, one.policies, made["north"]), Provider(one.service, one.policies, made["south"])


def test_a_caller_of_one_account_has_people_and_groups_of_its_own(two_accounts: tuple[Provider, Provider]) -> None:
    north, south = two_accounts
    bosses = north.group("Bosses", north.person("bea"))
    assert north.rows() == [("group:north/Bosses", "boss", "north"), ("user:bea", "group:north/Bosses", "")]
    assert south.ask("GET", "/Users")["totalResults"] == 0
    for method in ("GET", "DELETE"):
        south.ask(method, f"/Groups/{bosses}", expected=404)
    # The same names are others there, and roles elsewhere are not given.
    bea = south.person("bea")
    detail = south.group("Bosses", bea, expected=403)
    assert detail == 'group "Bosses" would be boss in north; this caller gives roles in south alone'
    assert south.group("Night", bea)
    assert ("user:bea", "group:south/Night", "") in south.rows()
    south.group("Mixed", north.person("joe"), expected=400)
    everywhere = KeyStore(north.service.store.engine).new(Caller("entra", frozenset({"provision"})), None)[1]
    whole = Provider(north.service, north.policies, everywhere)
    assert whole.ask("GET", "/Groups")["totalResults"] == 0
    assert whole.group("south/Night", expected=409).startswith("group:south/Night has role assignments or members")


def test_who_may_not_provision_is_told_in_the_form_of_scim(opened: Open) -> None:
    one = opened(authentication="keys")
    keys = KeyStore(one.service.store.engine)
    assert one.ask("GET", "/Users", expected=401)["detail"]
    for scopes, accounts, status in (({"assign"}, None, 403), ({"provision"}, {"north", "south"}, 403)):
        caller = Caller("some", frozenset(scopes), None if accounts is None else frozenset(accounts))
        Provider(one.service, one.policies, keys.new(caller, None)[1]).ask("GET", "/Users", expected=status)
    good = Provider(one.service, one.policies, keys.new(Caller("okta", frozenset({"provision"})), None)[1])
    good.group("Bosses", good.person("bea"))
    auditor = Provider(one.service, one.policies)
    auditor.client = Client(create_flask_app(dataclasses.replace(one.service, authentication=None)))
    assert set(auditor.changes()) == {("scim", "caller:okta")}


REFUSED: list[tuple[str, str, object, int]] = [
    ("POST", "/Users", [], 400),
    ("POST", "/Users", {"schemas": [USER]}, 400),
    ("POST", "/Users", {"schemas": [USER], "userName": "a\nb"}, 400),
    ("POST", "/Users", {"schemas": [USER], "userName": "a" * 300}, 400),
    ("POST", "/Users", {"schemas": [USER], "userName": "a", "externalId": "\0"}, 400),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "a", "members": [{"value": "0" * 32}]}, 400),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "a", "members": [{"value": "a\0b"}]}, 400),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "a", "members": [{"value": "\ud800"}]}, 400),
    ("PATCH", "/Users/" + "0" * 32, {"schemas": [PATCH], "Operations": []}, 400),
    ("GET", "/Users?filter=userName", None, 400),
    ("GET", "/Users/" + "0" * 32, None, 404),
    ("GET", "/Users/..%2f", None, 404),
    ("GET", "/Persons", None, 404),
    ("GET", "/Users/", None, 404),
    ("DELETE", "/Users", None, 405),
    ("POST", "/Bulk", {}, 501),
    ("POST", "/Users", {"schemas": [USER], "userName": "a", "displayName": "b" * 300_000}, 413),
]


def test_what_cannot_be_is_refused(database_url: str, opened: Open) -> None:
    one = opened(database_url, max_body_bytes=200_000)
    for method, path, body, status in REFUSED:
        one.ask(method, path, body, status)
    assert one.ask("GET", "/Users")["totalResults"] == 0


def test_where_the_library_is_not_installed_the_answer_says_so(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened()
    monkeypatch.setitem(sys.modules, "scim2_server.handler", None)
    assert one.ask("GET", "/Users", expected=501)["detail"].endswith("the extra scim")


def test_a_page_of_another_site_cannot_send_people(opened: Open) -> None:
    one = opened()
    answer = one.client.post("/scim/v2/Users", data=b'{"schemas": []}', base_url="http://localhost")
    assert answer.status_code == 415
    answer = one.client.post("/scim/v2/Users", data=b"{}", content_type="text/plain", base_url="http://localhost")
    assert answer.status_code == 415


def test_people_come_in_pages_and_by_filters(opened: Open) -> None:
    one = opened()
    for name in ("Cora", "abe", "Ben", "dan"):
        one.person(name, displayName=f"{name} of north", externalId=f"x{name}")
    names = [person["userName"] for person in one.ask("GET", "/Users?startIndex=2&count=2")["Resources"]]
    assert names == ["Ben", "Cora"]
    assert one.ask("GET", f"/Users?startIndex={10**20}")["totalResults"] == 4
    told = one.ask("GET", "/Users?count=0")
    assert (told["totalResults"], told.get("Resources", [])) == (4, [])
    for text, count in (
        ('displayName co "E"', 2),
        ('externalId eq "xBen"', 1),
        ('externalId eq "xben"', 0),
        (r'externalId eq "\u0000"', 0),
        ('userName eq "BEN" and active eq true', 0),
        ('not (userName sw "c")', 3),
    ):
        assert one.ask("GET", f"/Users?filter={quote(text)}")["totalResults"] == count, text


def test_a_change_of_one_that_was_changed_meanwhile_is_refused(opened: Open) -> None:
    one = opened()
    joe = one.person("joe")
    one.patch(f"/Users/{joe}", {"op": "replace", "path": "displayName", "value": "Joe"})
    body = {"schemas": [USER], "userName": "joe"}
    one.ask("PUT", f"/Users/{joe}", body, 412, **{"If-Match": 'W/"1"'})
    one.ask("PUT", f"/Users/{joe}", body, 200, **{"If-Match": 'W/"2"'})


def test_one_member_more_costs_the_same_in_a_large_group(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [provider.person(f"p{number}") for number in range(22)]
    read: list[str] = []
    usual = rows.Provisioned
    monkeypatch.setattr(rows, "Provisioned", lambda *values: read.append(values[0]) or usual(*values))
    counts = []
    for size in (5, 20):
        group = provider.group("Clerks", *people[:size])
        del read[:]
        provider.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": people[21]}]})
        provider.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{people[21]}"]'})
        counts.append(len(read))
        assert len(provider.ask("GET", f"/Groups/{group}")["members"]) == size
        provider.ask("DELETE", f"/Groups/{group}", expected=204)
    assert counts[0] == counts[1] > 0


def test_what_would_take_minutes_is_refused_at_once(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened()
    ann = one.person("ann")
    by_type = [{"op": "add", "path": f'emails[type eq "t{n}"].value', "value": f"{n}@a.example"} for n in range(200)]
    assert "too many operations" in one.patch(f"/Users/{ann}", *by_type, expected=400)["detail"]
    one.patch(f"/Users/{ann}", *by_type[:20])
    emails = [{"value": f"{n}@example.com"} for n in range(400)]
    assert "more than 8192 bytes" in one.person("bob", 400, emails=emails)
    one.group("Strangers", ann)
    monkeypatch.setattr(scim_models, "MOST_FILTERED", 100)
    for filter_, path in (('userName co "x"', "/Users"), ('members.value co "x"', "/Groups")):
        assert one.ask("GET", f"{path}?filter={quote(filter_)}")["totalResults"] == 0
        longer = " or ".join([filter_] * 6)
        assert "too long" in one.ask("GET", f"{path}?filter={quote(longer)}", expected=400)["detail"]
    # What an index answers is never too long.
    assert one.ask("GET", f"/Users?{fitting('userName', 'x' * 200)}")["totalResults"] == 0


def test_who_is_too_long_from_an_earlier_version_can_leave(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened()
    ann = one.person("ann", displayName="x" * 300)
    monkeypatch.setattr(provisioning, "MOST_BYTES", 100)
    one.patch(f"/Users/{ann}", {"op": "replace", "path": "active", "value": False})
    assert one.ask("GET", f"/Users/{ann}")["active"] is False


def test_requests_of_a_provider_are_counted_by_what_became_of_them(opened: Open) -> None:
    one = opened()
    metrics = "klausel_provisioning_"

    def told() -> dict[str, float]:
        text = one.client.get("/metrics", base_url="http://localhost").get_data(as_text=True)
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {
            sample.labels.get("outcome", sample.name): sample.value for sample in samples if sample.name.startswith(metrics)
        }

    one.person("", expected=400)
    assert told() == {"read": 0, "written": 0, "not found": 0, "refused": 1, "failed": 0}, "nothing succeeded yet"
    before = time.time()
    joe = one.person("joe")
    one.ask("GET", f"/Users/{joe}")
    one.ask("DELETE", f"/Users/{joe}", expected=204)
    one.ask("DELETE", f"/Users/{joe}", expected=404)
    counts = told()
    assert before <= counts.pop(f"{metrics}last_success_timestamp_seconds") <= time.time()
    assert counts == {"read": 1, "written": 2, "not found": 1, "refused": 1, "failed": 0}
