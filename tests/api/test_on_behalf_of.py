"""Changes of role assignments on behalf of a person: as far as the policies let that person, and nobody raises themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from doors import ASSIGNMENTS, Answer, Door, Doors, Json, demo_people, grant, open_doors

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore

ROOT = Path(__file__).parents[2]
NO_GRANT = "no grant of the policies allows it"
# Everybody with a role may give and take every role, also where they hold none of it.
PERMISSIVE = """
levels: {company: {named_by: company}, team: {named_by: team, requires_role_above: true}}
roles:
  owner: {level: company, contains: [member, head]}
  member: {level: company}
  head: {level: team, contains: worker}
  worker: {level: team}
"""
PERMISSIVE_FEATURE = """
resource_types: {role_assignment: {actions: [grant, revoke]}}
grants:
  - {allow: member, to: grant, resource: role_assignment}
  - {allow: owner, to: revoke, resource: role_assignment}
  - {deny: anyone, to: grant, resource: role_assignment, when: resource.grantee_type == "robot"}
  - {allow: anyone, to: grant, resource: role_assignment, when: resource.group == "open"}
"""


def write_policies(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def row(subject: str, role: str, domain: str = "", **times: str) -> Json:
    where = {"group": role} if role.startswith("group:") else {"role": role, "domain": domain}
    return {"subject": subject, **where, **times}


def change(door: Door, person: str, grant: list[Json] = [], revoke: list[Json] = [], **more: object) -> Answer:  # noqa: B006
    return door.post(ASSIGNMENTS, {"grant": grant, "revoke": revoke, "on_behalf_of": person, **more})


def stored(doors: Doors, subject: str) -> set[tuple[str, str]]:
    return {one.key[1:] for one in doors.service.store.export_rows() if one.subject == subject}


def put(doors: Doors, rows: list[tuple[str, str, str]]) -> Doors:
    """The same service with these rows alone."""
    wanted = [Assignment(*one) for one in rows]
    store = doors.service.store
    others = [one for one in store.export_rows() if one.key not in {one.key for one in wanted}]
    store.write(doors.service.policy.compiled.policy.roles, wanted, others)
    return doors


@pytest.fixture(scope="module")
def shipped_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with open_doors(tmp_path_factory.mktemp("shipped") / "own.db") as doors:
        yield doors


@pytest.fixture(scope="module")
def permissive_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("permissive")
    files = {"roles.yaml": PERMISSIVE, "features/roles.yaml": PERMISSIVE_FEATURE}
    with open_doors(folder / "own.db", policies=str(write_policies(folder / "policies", files))) as doors:
        yield doors


@pytest.fixture
def shipped(shipped_service: Doors) -> Doors:
    return put(shipped_service, demo_people())


@pytest.fixture
def permissive(permissive_service: Doors) -> Doors:
    return put(
        permissive_service,
        [
            ("user:olga", "owner", "acme"),
            ("user:max", "member", "acme"),
            ("user:willi", "member", "acme"),
            ("user:willi", "worker", "acme/red"),
            ("group:heads", "head", "acme/red"),
        ],
    )


@pytest.mark.parametrize(
    ("person", "to_grant"),
    [
        ("user:ada", row("user:eve", "admin", "acme")),
        ("user:max", row("user:eve", "account_manager", "acme")),
        ("user:max", row("user:paula", "lead", "acme/support")),
        ("user:mia", row("user:paula", "manager", "acme/support")),
    ],
)
def test_a_person_gives_what_the_policies_let_it_give(shipped: Doors, person: str, to_grant: Json) -> None:
    assert change(shipped.lane, person, [to_grant]).status == 200
    assert (to_grant["role"], to_grant["domain"]) in stored(shipped, to_grant["subject"])


@pytest.mark.parametrize(
    ("person", "to_grant"),
    [
        ("user:max", row("user:eve", "admin", "acme")),
        ("user:mia", row("user:eve", "user", "acme")),
        ("user:sam", row("user:paula", "lead", "acme/support")),
        ("user:grace", row("user:eve", "user", "acme")),
        ("user:leo", row("user:paula", "agent", "acme/support")),
        ("user:nobody", row("user:paula", "agent", "acme/support")),
        ("robot:ada", row("user:eve", "user", "acme")),
    ],
)
def test_a_row_that_the_person_may_not_give_is_refused_with_its_name(shipped: Doors, person: str, to_grant: Json) -> None:
    answer = change(shipped.lane, person, [row("user:eve", "user", "acme"), to_grant])
    assert answer.status == 403
    what = f"{person} may not grant {to_grant['role']} in {to_grant['domain']} to {to_grant['subject']}: {NO_GRANT}"
    assert {"list": "grant", "index": 1, **to_grant, "message": what} in answer.json["refused"]
    assert not stored(shipped, "user:eve")


def test_a_row_that_the_person_may_not_take_refuses_all(shipped: Doors) -> None:
    answer = change(shipped.lane, "user:max", [row("user:eve", "user", "acme")], [row("user:ada", "admin", "acme")])
    assert answer.message == f"revoke[0]: user:max may not revoke admin in acme from user:ada: {NO_GRANT}"
    assert not stored(shipped, "user:eve")


def test_other_times_take_what_was_held_so_they_need_both(permissive: Doors) -> None:
    until = row("user:willi", "worker", "acme/red", until="2199-01-01T00:00:00Z")
    answer = change(permissive.lane, "user:max", [until])
    assert answer.message == f"grant[0]: user:max may not revoke worker in acme/red from user:willi: {NO_GRANT}"
    assert change(permissive.lane, "user:olga", [until]).status == 200


def test_a_leaver_goes_only_by_who_may_take_each_role(shipped: Doors) -> None:
    def remove(person: str) -> Answer:
        parameters = {"subject": "user:leo", "account": "acme", "on_behalf_of": person}
        return shipped.lane.ask("DELETE", f"{ASSIGNMENTS}?{urlencode(parameters)}")

    assert remove("user:mia").status == 403
    assert stored(shipped, "user:leo")
    assert remove("user:max").json["removed"] == 3


def test_the_change_log_names_the_person_and_the_caller(opened: Callable[..., Doors]) -> None:
    doors = opened(authentication="keys")
    grant(doors.service, demo_people())
    scopes = frozenset({"assign_on_behalf", "audit"})
    key = KeyStore(doors.service.store.engine).new(Caller("app", scopes, frozenset({"acme"})), None)[1]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = {"grant": [row("user:eve", "user", "acme")]}
    alone = doors.lane.ask("POST", ASSIGNMENTS, _json(body), headers=headers)
    assert alone.status == 403
    assert alone.message == (
        "this caller changes roles only on behalf of a person; name one in on_behalf_of, such as user:ann"
    )
    parameters = urlencode({"subject": "user:leo", "account": "acme"})
    assert doors.lane.ask("DELETE", f"{ASSIGNMENTS}?{parameters}", b"", headers=headers).status == 403
    assert doors.lane.ask("POST", ASSIGNMENTS, _json({**body, "on_behalf_of": "user:max"}), headers=headers).status == 200
    change = doors.lane.get("/v1/assignment-log?domain=acme&limit=1", Authorization=f"Bearer {key}").json["changes"][0]
    assert (change["by"], change["caller"], change["channel"]) == ("user:max", "caller:app", "http_on_behalf")


def _json(body: Json) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("person", "status", "message"),
    [
        ("max", 400, 'on_behalf_of: "max" has no type; write it as type:id, such as user:ann'),
        ("group:heads", 400, "on_behalf_of: group:heads is a group, and no person; name one, such as user:ann"),
        (7, 400, "on_behalf_of is not a string"),
        ("", 400, 'on_behalf_of: "" has no type; write it as type:id, such as user:ann'),
    ],
)
def test_a_person_is_written_with_its_type(shipped: Doors, person: object, status: int, message: str) -> None:
    answer = shipped.lane.post(ASSIGNMENTS, {"grant": [row("user:eve", "user", "acme")], "on_behalf_of": person})
    assert answer.status == status
    assert answer.message.startswith(message)


def test_by_names_nobody_else_than_the_person(shipped: Doors) -> None:
    rows = [row("user:eve", "user", "acme")]
    assert change(shipped.lane, "user:max", rows, by="cara").status == 409
    assert change(shipped.lane, "user:max", rows, by="user:max").status == 200


def test_a_set_that_says_nothing_of_roles_refuses_and_says_what_to_declare(
    opened: Callable[..., Doors], tmp_path: Path
) -> None:
    feature = "resource_types: {note: {actions: [read]}}\ngrants: [{allow: member, to: read, resource: note}]\n"
    folder = write_policies(tmp_path / "policies", {"roles.yaml": PERMISSIVE, "features/notes.yaml": feature})
    doors = opened(policies=str(folder))
    grant(doors.service, [("user:olga", "owner", "acme")])
    answer = change(doors.lane, "user:olga", [row("user:eve", "member", "acme")])
    assert answer.status == 403
    assert "declare it in a feature file with the actions grant and revoke" in answer.message


def test_a_deny_tells_where_it_stands(permissive: Doors) -> None:
    answer = change(permissive.lane, "user:olga", [row("robot:r1", "member", "acme")])
    assert answer.message.endswith("features/roles.yaml:6 denies it")


# --- Nobody raises themselves, whatever the policies say --------------------------------------------------------------

RAISES = {
    "by a row of its own": [row("user:max", "owner", "acme")],
    "by a row that begins later": [row("user:max", "owner", "acme", **{"from": "2190-01-01T00:00:00Z"})],
    "by joining a group": [row("user:max", "group:heads")],
    "by a group in a group": [row("user:max", "group:outer"), row("group:outer", "group:heads")],
    "by a group made at once": [row("user:max", "group:new"), row("group:new", "head", "acme/red")],
    "by a role somewhere": [row("user:max", "worker", "acme/blue")],
}


@pytest.mark.parametrize("rows", RAISES.values(), ids=RAISES)
def test_nobody_gives_themselves_a_role_that_they_do_not_hold(permissive: Doors, rows: list[Json]) -> None:
    answer = change(permissive.lane, "user:max", rows)
    assert answer.status == 403
    assert "user:max would get " in answer.message
    assert "nobody gives themselves a role that they do not hold" in answer.message
    assert stored(permissive, "user:max") == {("member", "acme")}


def test_nobody_raises_a_group_that_they_are_in(permissive: Doors) -> None:
    assert change(permissive.lane, "user:olga", [row("user:max", "group:heads")]).status == 200
    assert change(permissive.lane, "user:max", [row("group:heads", "owner", "acme")]).status == 403
    # Through a group above, too; somebody else may, and it may be what max holds already.
    assert (
        change(permissive.lane, "user:max", [row("group:heads", "group:top"), row("group:top", "owner", "acme")]).status
        == 403
    )
    assert change(permissive.lane, "user:max", [row("group:heads", "worker", "acme/red")]).status == 200
    assert change(permissive.lane, "user:olga", [row("group:heads", "owner", "acme")]).status == 200


def test_nobody_makes_a_role_of_their_own_last_longer(permissive: Doors) -> None:
    for_a_time = [row("user:willi", "head", "acme/red", until="2199-01-01T00:00:00Z")]
    assert change(permissive.lane, "user:olga", for_a_time).status == 200
    # To revoke it, as other times do, willi would need to be an owner; so somebody gives that for a shorter time.
    owner = [row("user:willi", "owner", "acme", until="2190-01-01T00:00:00Z")]
    assert change(permissive.lane, "user:olga", owner).status == 200
    answer = change(permissive.lane, "user:willi", [row("user:willi", "head", "acme/red")])
    assert "user:willi would get head in acme/red from 2199-01-01T00:00:00Z on" in answer.message


def test_what_a_stronger_role_contains_is_held_already(permissive: Doors) -> None:
    assert change(permissive.lane, "user:olga", [row("user:olga", "worker", "acme/red")]).status == 200
    assert change(permissive.lane, "user:olga", [row("user:olga", "group:heads")]).status == 200


def test_members_of_a_group_are_changed_by_who_may_give_each_of_its_roles(shipped: Doors) -> None:
    grant(shipped.service, [("group:both", "lead", "acme/support"), ("group:both", "user", "acme")])
    answer = change(shipped.lane, "user:mia", [row("user:eve", "group:both")])
    assert answer.message == (f"grant[0]: user:mia may not grant user in acme to user:eve through group:both: {NO_GRANT}")
    assert change(shipped.lane, "user:max", [row("user:eve", "group:both")]).status == 200
    assert change(shipped.lane, "user:mia", revoke=[row("user:eve", "group:both")]).status == 403
    assert change(shipped.lane, "user:max", revoke=[row("user:eve", "group:both")]).status == 200


def test_a_group_without_a_role_is_asked_about_by_its_name(permissive: Doors) -> None:
    answer = change(permissive.lane, "user:olga", [row("user:eve", "group:empty")])
    assert answer.status == 403
    assert "group:empty has no role, so no domain says who may change its members; give it a role first" in answer.message
    assert change(permissive.lane, "user:olga", [row("user:eve", "group:open")]).status == 200


def test_the_condition_sees_the_stored_properties_of_the_person(opened: Callable[..., Doors], tmp_path: Path) -> None:
    properties = "subject: {clearance: number}\nstored: {subjects: [user], resources: [role_assignment]}\n"
    feature = """
resource_types: {role_assignment: {actions: [grant, revoke]}}
grants: [{allow: member, to: grant, resource: role_assignment, when: subject.clearance > 3 and resource.role == "member"}]
"""
    files = {"roles.yaml": PERMISSIVE, "features/roles.yaml": feature, "properties.yaml": properties}
    doors = opened(policies=str(write_policies(tmp_path / "policies", files)))
    grant(doors.service, [("user:olga", "owner", "acme"), ("user:max", "member", "acme")])
    max_ = {"kind": "subject", "type": "user", "id": "max", "properties": {"clearance": 5}}
    # What is stored of the row itself has no say: the row is what it is.
    lie = {"kind": "resource", "type": "role_assignment", "id": "user:eve owner acme", "properties": {"role": "member"}}
    assert change(doors.lane, "user:max", [row("user:eve", "member", "acme")]).status == 403
    assert doors.lane.post("/v1/entities", {"put": [max_, lie]}).status == 200
    assert change(doors.lane, "user:max", [row("user:eve", "member", "acme")]).status == 200
    assert change(doors.lane, "user:max", [row("user:eve", "owner", "acme")]).status == 403
