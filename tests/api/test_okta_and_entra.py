"""What Okta and Entra document that they send, in the shapes in which they send it: right after each request, and again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from doors import ROOT, Json
from identity_provider import BOSSES, ENTERPRISE, GROUP, LETTERS, MAPPING, PATCH, ROLES, USER, Provider, fitting

from klausel.app import create_service
from klausel.settings import Settings

CLERKS = ("group:Clerks", "clerk", "north")


def is_clerk(name: str) -> tuple[str, str, str]:
    return (f"user:{name}", "group:Clerks", "")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """One whose people have a boss already, and see at once what changes."""
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    for name, text in (("roles.yaml", ROLES), ("features/letters.yaml", LETTERS), ("provisioning.yaml", MAPPING)):
        (policies / name).write_text(text)
    service = create_service(
        Settings(policies=str(policies), model=str(ROOT / "model.conf"), database=f"sqlite:///{tmp_path}/people.db")
    )
    one = Provider(service, policies)
    one.group("Bosses", one.person("bea"))
    assert one.rows() == BOSSES
    yield one
    service.store.close()


def op(name: str, path: str | None = None, value: object = ...) -> Json:
    return {"op": name, **({} if path is None else {"path": path}), **({} if value is ... else {"value": value})}


def patch_of(*operations: Json) -> Json:
    return {"schemas": [PATCH], "Operations": list(operations)}


LEAVES: dict[str, Json] = {
    "Okta": op("replace", value={"active": False}),
    "Okta with the id": op("replace", value={"id": "ID", "active": False}),
    "Entra": op("Replace", "active", "False"),
    "Entra with the flag": op("replace", "active", False),
    "Entra, added": op("Add", "active", "False"),
    "Entra without a path": op("Replace", value={"active": "False"}),
    "Entra, all of the schema": op("Replace", f"{USER}:active", "False"),
    "small letters": op("replace", "active", "false"),
    "with another value": op("replace", value={"displayName": "Gone", "active": False}),
    "capital letters": op("REPLACE", "Active", "FALSE"),
}


@pytest.mark.parametrize("shape", LEAVES)
def test_who_is_deactivated_in_any_shape_loses_all_at_once(provider: Provider, shape: str) -> None:
    joe = provider.person("joe", active=True)
    provider.group("Clerks", joe)
    assert provider.may_read("joe")
    left: list[str] = []
    for _ in range(2):
        provider.ask("PATCH", f"/Users/{joe}", json.loads(json.dumps(patch_of(LEAVES[shape])).replace("ID", joe)), 204)
        assert (provider.may_read("joe"), provider.rows()) == (False, BOSSES)
        assert provider.ask("GET", f"/Users/{joe}")["active"] is False
        left.append(provider.service.store.revision())
    assert left[0] == left[1], "what was sent again left no record"


STAYS: dict[str, tuple[str, object]] = {
    "a PUT that says nothing of it": ("PUT", {"schemas": [USER], "userName": "joe"}),
    "a PUT that says null": ("PUT", {"schemas": [USER], "userName": "joe", "active": None}),
    "a name": ("PATCH", op("replace", "displayName", "Joe")),
    "null": ("PATCH", op("replace", "active", None)),
    "removed": ("PATCH", op("remove", "active")),
    "another value without a path": ("PATCH", op("replace", value={"displayName": "Joe", "active": None})),
}


@pytest.mark.parametrize("how", STAYS)
def test_who_is_inactive_comes_back_by_nothing_but_being_called_active(provider: Provider, how: str) -> None:
    joe = provider.person("joe")
    provider.group("Clerks", joe)
    provider.patch(f"/Users/{joe}", op("replace", "active", False))
    method, body = STAYS[how]
    if method == "PUT":
        provider.ask("PUT", f"/Users/{joe}", body)
    else:
        assert isinstance(body, dict)
        provider.patch(f"/Users/{joe}", body)
    assert (provider.may_read("joe"), provider.rows()) == (False, BOSSES)
    provider.patch(f"/Users/{joe}", op("Replace", "active", "True"))
    assert provider.may_read("joe")


JOINS: list[Callable[[str], list[Json]]] = [
    lambda id_: [op("add", "members", [{"value": id_, "display": "joe"}])],
    lambda id_: [op("Add", "members", [{"$ref": None, "value": id_}])],
    lambda id_: [op("add", "members", {"value": id_})],
    lambda id_: [op("add", value={"members": [{"value": id_}]})],
    lambda id_: [op("replace", "members", [{"value": id_}])],
    lambda id_: [op("replace", value={"members": [{"value": id_}]})],
    lambda id_: [op("Replace", value={"displayName": "Clerks", "members": [{"value": id_}]})],
    lambda id_: [op("add", f"{GROUP}:members", [{"value": id_}])],
    lambda id_: [op("remove", "members"), op("add", "members", [{"value": id_}])],
    lambda id_: [op("add", "members", [{"value": id_}, {"value": id_}])],
]
LEFT: list[Callable[[str], list[Json]]] = [
    lambda id_: [op("remove", f'members[value eq "{id_}"]')],
    lambda id_: [op("Remove", f'members[value eq "{id_}"]')],
    lambda id_: [op("Remove", "members", [{"$ref": None, "value": id_}])],
    lambda id_: [op("Remove", "members", [{"value": id_}])],
    lambda id_: [op("remove", "members")],
    lambda id_: [op("Remove", "members", None)],
    lambda id_: [op("replace", "members", [])],
    lambda id_: [op("replace", value={"members": []})],
    lambda id_: [op("remove", f'MEMBERS[VALUE EQ "{id_}"]')],
    lambda id_: [op("add", "members", [{"value": id_}]), op("remove", f'members[value eq "{id_}"]')],
    lambda id_: [op("remove", f'{GROUP}:members[value eq "{id_}"]')],
]


@pytest.mark.parametrize("way", range(max(len(JOINS), len(LEFT))))
def test_who_joins_and_leaves_in_any_shape_has_the_roles_exactly_as_long(provider: Provider, way: int) -> None:
    joins, leaves = JOINS[way % len(JOINS)], LEFT[way % len(LEFT)]
    joe, clerks = provider.person("joe"), provider.group("Clerks")
    assert provider.rows() == BOSSES
    inside = sorted([*BOSSES, CLERKS, is_clerk("joe")])
    for is_inside, shape, rows in 2 * [(True, joins, inside), (False, leaves, BOSSES)]:
        seen = set()
        for _ in range(2):
            provider.patch(f"/Groups/{clerks}", *shape(joe))
            assert (provider.may_read("joe"), provider.rows()) == (is_inside, rows)
            seen.add(provider.service.store.revision())
        assert len(seen) == 1, "what was sent again left no record"


def test_a_whole_life_at_okta(provider: Provider) -> None:
    joe = provider.person("joe", externalId="00u1", emails=[{"primary": True, "value": "joe@example.com", "type": "work"}])
    clerks = provider.group("Clerks", joe)
    provider.patch(f"/Users/{joe}", op("replace", value={"active": False}))
    # One who was deactivated may still be a member, or become one, and holds nothing by it.
    provider.patch(f"/Groups/{clerks}", op("remove", f'members[value eq "{joe}"]'))
    provider.patch(f"/Groups/{clerks}", op("add", "members", [{"value": joe}]))
    assert (provider.may_read("joe"), provider.rows()) == (False, BOSSES)
    # The same person is made again, and has the old id told by the search.
    assert provider.ask("POST", "/Users", {"schemas": [USER], "userName": "Joe"}, 409)["scimType"] == "uniqueness"
    found = provider.ask("GET", f"/Users?{fitting('userName', 'JOE')}&startIndex=1&count=2")["Resources"]
    assert [one["id"] for one in found] == [joe]
    whole = {"schemas": [USER], "id": joe, "userName": "joe", "active": True, "groups": [], "meta": {"resourceType": "User"}}
    provider.ask("PUT", f"/Users/{joe}", whole)
    assert provider.may_read("joe")
    provider.patch(f"/Groups/{clerks}", op("replace", value={"id": clerks, "displayName": "Others"}))
    assert (provider.may_read("joe"), ("user:joe", "group:Others", "") in provider.rows()) == (False, True)
    provider.patch(f"/Groups/{clerks}", op("replace", value={"id": clerks, "displayName": "Clerks"}))
    assert provider.may_read("joe")
    provider.patch(f"/Users/{joe}", op("replace", value={"active": False}))
    provider.ask("DELETE", f"/Users/{joe}", expected=204)
    provider.ask("DELETE", f"/Users/{joe}", expected=404)
    provider.patch(f"/Users/{joe}", op("replace", value={"active": True}), expected=404)
    assert provider.rows() == BOSSES
    # Whoever has the name next is somebody else.
    again = provider.person("joe")
    assert again != joe and not provider.may_read("joe")


def test_one_request_of_entra_does_all_of_it_or_nothing(provider: Provider) -> None:
    joe, clerks = provider.person("joe"), provider.group("Clerks")
    provider.patch(
        f"/Users/{joe}",
        op("Add", "externalId", "e1"),
        op("Replace", "displayName", "Joe"),
        op("Add", f"{ENTERPRISE}:manager", [{"$ref": "http://x/Users/1", "value": "1"}]),
        op("Add", 'phoneNumbers[type eq "work"].value', "1"),
        op("Replace", 'emails[type eq "work"].value', "joe@example.com"),
        op("Replace", value={"name.givenName": "Joe"}),
    )
    assert provider.ask("GET", f"/Users?{fitting('externalId', 'e1')}")["Resources"][0]["id"] == joe
    before = provider.ask("GET", f"/Groups/{clerks}")
    for nobody in ("0" * 32, clerks, "user:joe", ""):
        provider.patch(f"/Groups/{clerks}", op("Add", "members", [{"value": joe}, {"value": nobody}]), expected=400)
        provider.patch(
            f"/Groups/{clerks}",
            op("Replace", "displayName", "Bosses of all"),
            op("Add", "members", [{"value": nobody}]),
            expected=400,
        )
    assert (provider.ask("GET", f"/Groups/{clerks}"), provider.rows()) == (before, BOSSES)


def test_groups_in_groups_are_refused_and_give_nothing(provider: Provider) -> None:
    clerks = provider.group("Clerks")
    outer = {"schemas": [GROUP], "displayName": "All", "members": [{"value": clerks, "type": "Group"}]}
    assert "person" in provider.ask("POST", "/Groups", outer, 400)["detail"]
    assert provider.rows() == BOSSES


def test_large_groups_are_asked_for_without_their_members(provider: Provider) -> None:
    joe = provider.person("joe")
    clerks = provider.group("Clerks", joe)
    for path in (f"/Groups/{clerks}", "/Groups", f"/Groups?{fitting('displayName', 'clerks')}"):
        for excluded in ("members", "Members", f"{GROUP}:members", "externalId,members"):
            told = provider.ask("GET", f"{path}{'&' if '?' in path else '?'}excludedAttributes={quote(excluded)}")
            assert all("members" not in one for one in told.get("Resources", [told]))
    is_in_it = quote(f'id eq "{clerks}" and members[value eq "{joe}"]')
    assert provider.ask("GET", f"/Groups?filter={is_in_it}")["totalResults"] == 1
    assert provider.ask("GET", "/ServiceProviderConfig")["bulk"]["supported"] is False
    provider.ask("POST", "/Bulk", {"schemas": [], "Operations": []}, 501)


def test_pages_begin_where_providers_say(provider: Provider) -> None:
    for number in range(5):
        provider.person(f"p{number}")
    for start, count, names in (
        (1, 2, ["bea", "p0"]),
        (3, 2, ["p1", "p2"]),
        (0, 2, ["bea", "p0"]),
        (-5, 2, ["bea", "p0"]),
        (6, 100, ["p4"]),
        (7, 100, []),
        (1, -1, []),
    ):
        told = provider.ask("GET", f"/Users?startIndex={start}&count={count}")
        assert [one["userName"] for one in told.get("Resources", [])] == names
        assert (told["totalResults"], told["startIndex"], told["itemsPerPage"]) == (6, max(start, 1), len(names))


@pytest.mark.parametrize(
    "body",
    [
        b'{"schemas": ["%b"], "userName": "ann", "active": true, "active": false}' % USER.encode(),
        b'{"schemas": ["%b"], "userName": "ann", "USERNAME": "bo"}' % USER.encode(),
        b'{"schemas": ["%b"], "userName": "ann", "name": {"givenName": "Ann", "givenname": "Bo"}}' % USER.encode(),
    ],
)
def test_what_is_said_twice_is_refused(provider: Provider, body: bytes) -> None:
    sent = {"content_type": "application/scim+json", "base_url": "http://localhost"}
    answer = provider.client.post("/scim/v2/Users", data=body, **sent)
    assert (answer.status_code, "twice, in whatever case" in answer.get_json()["detail"]) == (400, True)
    assert provider.rows() == BOSSES
    assert provider.ask("GET", "/Users")["totalResults"] == 1
