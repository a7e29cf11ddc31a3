"""The scenarios in which the AuthZEN working group tries decision points with each other, by configuration alone.

A list of todos, a gateway that asks about routes, searches over records, and an identity provider that fills a token by a search.
What must come out stands here in plain Python, from the rules of each scenario in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from doors import EVALUATION, EVALUATIONS, SEARCHES, Door, Doors, open_doors
from jsonschema import Draft202012Validator
from policy_sets import MODEL
from test_callers import Calling

from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore

FILES = {
    "roles.yaml": """
levels: {site: {constant: main}}
roles:
  viewer: {level: site}
  editor: {level: site, contains: viewer}
  admin: {level: site, contains: editor}
  evil_genius: {level: site, contains: editor}
""",
    "properties.yaml": """
subject: {email: text, department: text, role: text}
stored: {subjects: user, resources: record}
""",
    "features/todos.yaml": """
resource_types:
  user: {actions: [can_read_user]}
  todo:
    actions: [can_read_todos, can_create_todo, can_update_todo, can_delete_todo]
    properties: {ownerID: text}
grants:
  - {allow: viewer, to: can_read_user, resource: user}
  - {allow: viewer, to: can_read_todos, resource: todo}
  - {allow: editor, to: can_create_todo, resource: todo}
  - {allow: editor, to: [can_update_todo, can_delete_todo], resource: todo, when: resource.ownerID == subject.email}
  - {allow: evil_genius, to: can_update_todo, resource: todo}
  - {allow: admin, to: can_delete_todo, resource: todo}
""",
    "features/routes.yaml": """
resource_types:
  route: {actions: [GET, POST, PUT, DELETE]}
grants:
  - {allow: viewer, to: GET, resource: route, when: 'resource.id in ["/users/{userId}", "/todos"]'}
  - {allow: editor, to: POST, resource: route, when: resource.id == "/todos"}
  - {allow: editor, to: [PUT, DELETE], resource: route, when: 'resource.id == "/todos/{todoId}"'}
""",
    "features/records.yaml": """
resource_types:
  record: {actions: [view, edit, delete], properties: {title: text, department: text, owner: text}}
grants:
  - {allow: anyone, to: [view, edit, delete], resource: record, when: resource.owner == subject.id}
  - {allow: anyone, to: view, resource: record, when: resource.department == subject.department}
  # Any record that there is: nobody is found for one that is not stored.
  - {allow: anyone, to: view, resource: record, when: has resource.owner and subject.role == "manager"}
  - allow: anyone
    to: edit
    resource: record
    when: subject.role == "manager" and resource.department == subject.department
""",
}
MEMBERS = {"cid-1": "admin evil_genius", "cid-2": "editor", "cid-3": "editor", "cid-4": "viewer", "cid-5": "viewer"}
"""By opaque ids, as tokens have them; the todos name their owners by email."""
PEOPLE = {
    "amy": ("manager", "Sales"),
    "ben": ("employee", "Legal"),
    "cleo": ("contractor", "Legal"),
    "dora": ("manager", "Finance"),
    "emil": ("employee", "Finance"),
    "finn": ("contractor", "Accounting"),
}
DEPARTMENTS = ("Legal", "Sales", "Accounting", "Finance", "Legal")
RECORDS = {
    str(number): (DEPARTMENTS[number % 5], owner)
    for number, owner in zip(range(101, 121), [*PEOPLE, *PEOPLE, *PEOPLE, *PEOPLE], strict=False)
}
ACTIONS = ("view", "edit", "delete")


def may_with_record(person: str, action: str, record: str) -> bool:
    (role, department), (of_record, owner) = PEOPLE[person], RECORDS[record]
    if owner == person:
        return True
    if action == "view":
        return role == "manager" or department == of_record
    return action == "edit" and role == "manager" and department == of_record


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("interop")
    for name, text in FILES.items():
        file = folder / "policies" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "model.conf").write_text(MODEL)
    known: dict[str, Any] = {"policies": str(folder / "policies"), "model": str(folder / "model.conf")}
    with open_doors(Path(folder / "some.db"), authentication="keys", **known) as doors:
        yield doors


@pytest.fixture(scope="module", params=["flask", "lane"])
def pdp(request: pytest.FixtureRequest, doors: Doors) -> Door:
    """The decision point, filled over HTTP, for a caller with the scopes that AuthZEN needs."""
    keys = KeyStore(doors.service.store.engine)
    filling = Calling(doors.flask, keys.new(Caller("setup", frozenset({"assign", "entities"})), None)[1])
    grant = [
        {"subject": f"{type_}:{member}", "role": role, "domain": "main"}
        for member, roles in MEMBERS.items()
        for role in roles.split()
        for type_ in ("user", "identity")
    ]
    assert filling.post("/v1/assignments", {"grant": grant}).status == 200
    put = [{"kind": "subject", "type": "user", "id": one, "properties": {"email": f"{one}@example.com"}} for one in MEMBERS]
    put += [
        {"kind": "subject", "type": "user", "id": one, "properties": {"role": role, "department": department}}
        for one, (role, department) in PEOPLE.items()
    ]
    put += [
        {"kind": "resource", "type": "record", "id": one, "domain": "main", "properties": {"department": of, "owner": owner}}
        for one, (of, owner) in RECORDS.items()
    ]
    assert filling.post("/v1/entities", {"put": put}).status == 200
    return Calling(doors.named(request.param), keys.new(Caller("app", frozenset({"check", "search"})), None)[1])


def asked(subject: str, action: str, resource: str, type_: str = "user", **properties: object) -> dict[str, Any]:
    kind, _, id_ = resource.partition(" ")
    return {
        "subject": {"type": type_, "id": subject},
        "action": {"name": action},
        "resource": {"type": kind, "id": id_, **({"properties": properties} if properties else {})},
    }


def todos() -> Iterator[tuple[dict[str, Any], bool]]:
    """Every question of the todo application, and what must be answered."""
    for member, roles in MEMBERS.items():
        writes = roles != "viewer"
        yield asked(member, "can_read_user", "user cid-4"), True
        yield asked(member, "can_read_todos", "todo todo-1"), True
        yield asked(member, "can_create_todo", "todo todo-1"), writes
        for owner in MEMBERS:
            own = writes and owner == member
            todo = {"ownerID": f"{owner}@example.com"}
            yield asked(member, "can_update_todo", "todo 7", **todo), own or "evil_genius" in roles
            yield asked(member, "can_delete_todo", "todo 7", **todo), own or "admin" in roles


def test_the_todo_application(pdp: Door) -> None:
    cases = list(todos())
    assert len(cases) == 65
    for question, expected in cases:
        assert pdp.post(EVALUATION, question).json == {"decision": expected}, question


def test_its_questions_in_one_batch(pdp: Door) -> None:
    cases = list(todos())
    answer = pdp.post(EVALUATIONS, {"evaluations": [question for question, _ in cases]}).json
    assert answer == {"evaluations": [{"decision": expected} for _, expected in cases]}


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_a_page_of_todos_with_defaults(pdp: Door, semantic: str, expected: list[bool]) -> None:
    owners = ("cid-2", "cid-3", "cid-2")
    todos = [{"resource": {"type": "todo", "id": "7", "properties": {"ownerID": f"{one}@example.com"}}} for one in owners]
    body = {
        "subject": {"type": "user", "id": "cid-2"},
        "action": {"name": "can_delete_todo"},
        "evaluations": todos,
        "options": {"evaluations_semantic": semantic},
    }
    assert pdp.post(EVALUATIONS, body).json == {"evaluations": [{"decision": one} for one in expected]}


def test_a_gateway_asks_about_routes(pdp: Door) -> None:
    one, all_ = "/todos/{todoId}", "/todos"
    routes = [("GET", "/users/{userId}"), ("GET", all_), ("POST", all_), ("PUT", one), ("DELETE", one)]
    for (member, roles), (method, path) in product(MEMBERS.items(), routes):
        expected = method == "GET" or roles != "viewer"
        assert pdp.post(EVALUATION, asked(member, method, f"route {path}", "identity")).json == {"decision": expected}


def found(pdp: Door, part: str, question: dict[str, Any]) -> list[dict[str, str]]:
    """All results of a search, over pages of three, each answer as the standard's schema has it."""
    one = {"type": "object", "required": ["name"] if part == "action" else ["type", "id"]}
    page = {
        "type": "object",
        "required": ["next_token"],
        "properties": {"next_token": {"type": "string"}, "count": {"type": "number"}, "total": {"type": "number"}},
    }
    schema = {
        "type": "object",
        "required": ["results"],
        "properties": {"page": page, "context": {"type": "object"}, "results": {"type": "array", "items": one}},
        "additionalProperties": False,
    }
    results: list[dict[str, str]] = []
    token = None
    while token != "":
        body = {**question, "page": {"limit": 3, **({"token": token} if token else {})}}
        answer = pdp.post(SEARCHES[part], body).json
        Draft202012Validator(schema).validate(answer)
        assert len(answer["results"]) <= 3
        results += answer["results"]
        token = answer["page"]["next_token"]
    return results


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_do_this_to_a_record(pdp: Door, action: str) -> None:
    for record in RECORDS:
        question = {**asked("", action, f"record {record}"), "subject": {"type": "user"}}
        expected = [{"type": "user", "id": person} for person in sorted(PEOPLE) if may_with_record(person, action, record)]
        assert found(pdp, "subject", question) == expected


@pytest.mark.parametrize("action", ACTIONS)
def test_which_records_may_somebody_do_this_to(pdp: Door, action: str) -> None:
    for person in PEOPLE:
        question = {**asked(person, action, "record "), "resource": {"type": "record"}}
        expected = [{"type": "record", "id": record} for record in RECORDS if may_with_record(person, action, record)]
        assert found(pdp, "resource", question) == expected


def test_what_may_somebody_do_to_a_record(pdp: Door) -> None:
    for person, record in product(PEOPLE, RECORDS):
        question = asked(person, "", f"record {record}")
        del question["action"]
        expected = {action for action in ACTIONS if may_with_record(person, action, record)}
        results = found(pdp, "action", question)
        assert {one["name"] for one in results} == expected
        assert len(results) == len(expected)


def test_what_nobody_knows_is_an_empty_list(pdp: Door) -> None:
    for part, question in (
        ("subject", {**asked("", "view", "record 999"), "subject": {"type": "user"}}),
        ("subject", {**asked("", "shred", "record 101"), "subject": {"type": "user"}}),
        ("resource", {**asked("nobody", "view", "record "), "resource": {"type": "record"}}),
        ("resource", {**asked("amy", "view", "record "), "resource": {"type": "folder"}}),
        ("action", {**asked("nobody", "", "record 101")}),
    ):
        assert found(pdp, part, question) == []


def test_an_identity_provider_fills_a_token(pdp: Door) -> None:
    """The claim has the records that the person may delete: their own."""
    for person in PEOPLE:
        answer = pdp.post(SEARCHES["resource"], {**asked(person, "delete", "record "), "resource": {"type": "record"}}).json
        claim = [one["id"] for one in answer["results"]]
        assert claim == [record for record, (_, owner) in RECORDS.items() if owner == person]
        assert answer["page"] == {"next_token": "", "count": len(claim), "total": len(claim)}
