"""`GET /v1/casbin-js`: what the library casbin.js reads allows what the service allows, and nothing that a condition decides."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from doors import PERMISSIONS, Answer, Door, Doors, HttpDoor
from node_packages import run_in_node

PEOPLE = ("ada", "max", "mia", "leo", "rosa", "ann", "nobody")
DOMAINS = ("acme", "acme/support", "acme/sales", "globex")
VARIANTS = (
    {},
    *({"status": status, "creator": creator} for status in ("draft", "published") for creator in ("ann", "leo")),
    {"owner": "leo", "reviewee": "ann", "role": "agent", "target": "leo"},
)
IN_BROWSER = """
const kept = {};
globalThis.localStorage = {
  getItem: (key) => kept[key] ?? null,
  setItem: (key, value) => { kept[key] = value; },
  removeItem: (key) => { delete kept[key]; },
};
const {Authorizer} = require('casbin.js');
(async () => {
  const authorizer = new Authorizer('auto', {endpoint: input.endpoint});
  await authorizer.setUser(input.user);
  const answers = [];
  for (const [action, object, domain] of input.asked) answers.push(await authorizer.can(action, object, domain));
  console.log(JSON.stringify(answers));
})();
"""


def ask(door: Door, subject: str, domain: str | None = None) -> Answer:
    place = "" if domain is None else f"/{domain}"
    return door.get(f"/v1/casbin-js{place}?subject={quote(subject)}")


def rows(answer: Answer) -> set[tuple[str, ...]]:
    assert answer.status == 200, answer.body
    return {tuple(row[1:]) for row in json.loads(answer.json["data"])["p"]}


def resource(type_: str, domain: str, properties: dict[str, str]) -> dict[str, object]:
    named = dict(zip(("account", "workspace"), domain.split("/"), strict=False))
    # A thing that is itself the domain is named by its id.
    return {"type": type_, "id": named.get(type_, "x1"), "properties": {**named, **properties}}


@pytest.mark.parametrize("user", PEOPLE)
def test_a_row_is_what_is_allowed_whatever_the_resource_is(demo: Doors, user: str) -> None:
    policy = demo.service.policy.compiled.policy
    conditional = {(grant.resource_type, grant.action) for grant in policy.grants if grant.condition is not None}
    everything = {(type_, action) for type_, one in policy.resource_types.items() for action in one.actions}
    for domain in DOMAINS:
        asked = [resource(type_, domain, variant) for type_ in policy.resource_types for variant in VARIANTS]
        question = {"subject": {"type": "user", "id": user}, "resources": asked}
        menus = demo.lane.post(PERMISSIONS, question).json["permissions"]
        allowed = set(everything)
        for one, menu in zip(asked, menus, strict=True):
            allowed -= {(one["type"], action) for type_, action in everything if type_ == one["type"]} - {
                (one["type"], action) for action in menu["actions"]
            }
        told = {
            (type_, action) for _, where, type_, action in rows(ask(demo.lane, f"user:{user}", domain)) if where == domain
        }
        assert told <= allowed
        # Each thing of a type that names a domain lies in that one, and so in none above it.
        elsewhere = {(type_, action) for type_, action in everything if type_ == "workspace" and "/" not in domain}
        assert allowed - told <= conditional | elsewhere


def test_without_a_domain_it_is_where_the_subject_holds_roles(service: Door) -> None:
    everywhere = rows(ask(service, "user:leo"))
    assert {domain for _, domain, _, _ in everywhere} >= {"acme/support"}
    for domain in {domain for _, domain, _, _ in everywhere}:
        assert {row for row in everywhere if row[1] == domain} == rows(ask(service, "user:leo", domain))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/casbin-js", "subject is not given"),
        ("/v1/casbin-js?subject=ann", "is not written as type:id"),
        ("/v1/casbin-js?subject=user:", "subject "),
        ("/v1/casbin-js/acme//x?subject=user:ann", "domain"),
        ("/v1/casbin-js?subject=user:ann&x=1", "unknown parameter"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_cure(service: Door, path: str, said: str) -> None:
    answer = service.get(path)
    assert answer.status == 400 and said in answer.body.decode()


def test_the_real_library_answers_as_the_service_does(server: HttpDoor) -> None:
    types = server.get("/v1/policy/types").json["resource_types"]
    asked = [(action, type_, "acme/support") for type_, one in types.items() for action in one["actions"]]
    endpoint = f"http://127.0.0.1:{server.port}/v1/casbin-js"
    for user in ("user:leo", "user:ann", "user:nobody"):
        answers = run_in_node(IN_BROWSER, {"endpoint": endpoint, "user": user, "asked": asked})
        told = rows(ask(server, user))
        assert answers == [(user, domain, type_, action) in told for action, type_, domain in asked]
        assert any(answers) is (user != "user:nobody")
