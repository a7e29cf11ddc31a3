"""`POST /v1/explain`: why, in JSON; it agrees with the evaluation on everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from doors import ALLOWED, DENIED, EXPLAIN, ROOT, Door, Doors, asking, grant, open_doors
from hypothesis import given, settings
from hypothesis import strategies as st

ALWAYS = {"decision", "reason", "domain", "roles_held"}
GRANT = {"grant", "source", "effect", "grantee", "because"}
GRANT_SEEN = GRANT | {"role_assignment", "inheritance", "condition"}


def line_of(file: str, text: str) -> str:
    lines = (ROOT / "policies" / "features" / file).read_text(encoding="utf-8").splitlines()
    return f"policies/features/{file}:{lines.index(text) + 1}"


def test_an_allow_names_the_grant_its_line_the_role_and_what_the_condition_saw(client: Door) -> None:
    told = client.explain(ALLOWED)
    decided_by = told["decided_by"]
    assert told.keys() == ALWAYS | {"decided_by", "also"}
    assert decided_by.keys() == GRANT_SEEN
    assert told["decision"] is True
    assert told["domain"] == "acme/support"
    assert told["roles_held"] == [
        {"role": "agent", "domain": "acme/sales"},
        {"role": "lead", "domain": "acme/support"},
        {"role": "user", "domain": "acme"},
    ]
    assert decided_by["source"].endswith(line_of("quizzes.yaml", "  - allow: lead"))
    assert decided_by["role_assignment"] == {"subject": "user:leo", "role": "lead", "domain": "acme/support"}
    assert decided_by["inheritance"] == ["lead"]
    assert decided_by["condition"] == {
        "text": "is_published",
        "comparisons": [{"text": 'resource.status == "published"', "value": True, "read": {"resource.status": "published"}}],
    }
    assert decided_by["source"] in told["reason"]


def test_an_inherited_role_shows_its_chain(client: Door) -> None:
    told = client.explain({**ALLOWED, "subject": {"type": "user", "id": "ada"}})
    assert told["decision"] is True
    chain = told["decided_by"]["inheritance"]
    assert chain[0] == "admin"
    assert chain[-1] == told["decided_by"]["grantee"]
    assert told["decided_by"]["role_assignment"] == {"subject": "user:ada", "role": "admin", "domain": "acme"}


def test_a_deny_by_default_shows_at_most_five_grants_and_what_each_lacked(client: Door) -> None:
    told = client.explain(DENIED)
    assert told.keys() == ALWAYS | {"nearest"}
    assert told["decision"] is False
    assert told["reason"] == "denied, because no grant allows it"
    assert 1 <= len(told["nearest"]) <= 5
    for near in told["nearest"]:
        assert near.keys() == GRANT | {"lacks"}
        assert near["effect"] == "allow"
        assert near["lacks"]
        assert all(lack.keys() == {"part", "message"} for lack in near["lacks"])
    unmet = [len(near["lacks"]) for near in told["nearest"]]
    assert unmet == sorted(unmet)


def test_a_name_that_no_file_declares_is_told(client: Door) -> None:
    assert 'resource type "quizz"; did you mean "quiz"?' in client.explain(asking("leo", "edit", "quizz"))["reason"]
    assert 'no action "edti"; did you mean "edit"?' in client.explain(asking("leo", "edti", "quiz"))["reason"]


def test_where_no_domain_is_named_the_domain_is_null(client: Door) -> None:
    told = client.explain(asking("leo", "edit", "quiz"))
    assert (told["decision"], told["domain"]) == (False, None)


@pytest.mark.parametrize("request_body", [{}, {"subject": {}}, {**ALLOWED, "action": "edit"}, {**ALLOWED, "context": 1}])
def test_what_is_no_evaluation_is_a_400_as_there(client: Door, request_body: object) -> None:
    explained, evaluated = client.post(EXPLAIN, request_body), client.post("/access/v1/evaluation", request_body)
    assert (explained.status, explained.body) == (400, evaluated.body)


# --- A policy with deny grants ------------------------------------------------------------------------------------

DOCUMENTS = """\
resource_types:
  account: {actions: [view]}
  workspace: {actions: [view]}
  doc:
    actions: [read, write]
grants:
  - {allow: agent, to: [read, write], resource: doc}
  - {allow: any lead, to: read, resource: doc}
  - {allow: anyone, to: read, resource: doc, when: resource.public == true}
  - {deny: lead, to: write, resource: doc, when: resource.locked, because: What is locked stays as it is.}
  - {deny: anyone, to: read, resource: doc, when: 'context.banned == true and subject.age < 18'}
  - {allow: user, to: write, resource: doc, in: acme, when: 'resource.owner == subject.id or resource.size > 3'}
"""
PEOPLE = [
    ("user:ada", "admin", "acme"),
    ("user:leo", "user", "acme"),
    ("user:leo", "lead", "acme/support"),
    ("user:ann", "user", "acme"),
    ("user:ann", "agent", "acme/support"),
    ("user:grace", "admin", "globex"),
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "policies" / "features").mkdir(parents=True)
    (folder / "policies" / "roles.yaml").write_bytes((ROOT / "policies" / "roles.yaml").read_bytes())
    (folder / "policies" / "features" / "documents.yaml").write_text(DOCUMENTS, encoding="utf-8")
    with open_doors(folder / "klausel.db", policies=str(folder / "policies")) as doors:
        grant(doors.service, PEOPLE)
        yield doors


def test_a_deny_by_a_grant_names_that_grant(documents: Doors) -> None:
    told = documents.lane.explain(asking("leo", "write", "doc", account="acme", workspace="support", locked=True))
    decided_by = told["decided_by"]
    assert told.keys() == ALWAYS | {"decided_by", "also"}
    assert told["decision"] is False
    assert (decided_by["effect"], decided_by["grantee"]) == ("deny", "lead")
    assert decided_by["because"] == "What is locked stays as it is."
    assert decided_by["condition"]["comparisons"] == [
        {"text": "resource.locked", "value": True, "read": {"resource.locked": True}}
    ]
    assert told["reason"].startswith("denied by ")


def test_a_deny_by_what_is_unknown_shows_the_unknown_as_null(documents: Doors) -> None:
    told = documents.lane.explain(asking("leo", "write", "doc", account="acme", workspace="support"))
    assert told["decided_by"]["condition"]["comparisons"] == [
        {"text": "resource.locked", "value": None, "read": {"resource.locked": None}}
    ]


def test_a_grant_to_anyone_needs_no_role_assignment(documents: Doors) -> None:
    request = asking("stranger", "read", "doc", public=True) | {"context": {"banned": False}}
    told = documents.lane.explain(request)
    assert told["decision"] is True
    assert told["decided_by"]["role_assignment"] is None
    assert told["decided_by"]["inheritance"] == []
    assert told["roles_held"] == []


def test_other_grants_that_hold_too_are_shown(documents: Doors) -> None:
    request = asking("leo", "read", "doc", account="acme", workspace="support", public=True) | {"context": {"banned": False}}
    told = documents.lane.explain(request)
    assert told["decision"] is True
    assert len(told["also"]) == 2
    assert all(seen.keys() == GRANT_SEEN and seen["effect"] == "allow" for seen in told["also"])


values: st.SearchStrategy[Any] = st.sampled_from([None, True, False, 0, 3, 4, 4.5, 10**30, "leo", "ann", "", [], {"a": 1}])
ids = st.sampled_from(["ada", "leo", "ann", "grace", "stranger", "", "a\nb"])
domains: st.SearchStrategy[Any] = st.sampled_from(["acme", "globex", "support", "sales", "", "a/b", None, 7])
requests = st.builds(
    lambda type_, user, aged, action, kind, id_, properties, context: {
        "subject": {"type": type_, "id": user, "properties": aged},
        "action": {"name": action},
        "resource": {"type": kind, "id": id_, "properties": properties},
        "context": context,
    },
    st.sampled_from(["user", "user", "user", "robot", "a:b"]),
    ids,
    st.fixed_dictionaries({}, optional={"age": values}),
    st.sampled_from(["read", "write", "view", "fly"]),
    st.sampled_from(["doc", "doc", "doc", "account", "workspace", "unheard_of"]),
    st.sampled_from(["d1", "acme", "support"]),
    st.fixed_dictionaries(
        {},
        optional={
            "account": st.one_of(st.just("acme"), domains),
            "workspace": st.one_of(st.just("support"), domains),
            "locked": values,
            "public": values,
            "owner": values,
            "size": values,
        },
    ),
    st.fixed_dictionaries({}, optional={"banned": values}),
)


@settings(max_examples=150, deadline=None)
@given(request=requests)
def test_the_explanation_agrees_with_the_evaluation_at_both_doors(documents: Doors, request: dict[str, Any]) -> None:
    answers = [door.post("/access/v1/evaluation", request) for door in (documents.flask, documents.lane)]
    assert answers[0].body == answers[1].body
    told, explained = answers[0].json, documents.lane.explain(request)
    assert explained["decision"] is told["decision"]
    assert told["decision"] is (explained.get("decided_by", {}).get("effect") == "allow")
    if "context" in told:
        assert explained["reason"] == f"denied, because {told['context']['reason']}"
    for near in explained.get("nearest", ()):
        assert near["lacks"]
