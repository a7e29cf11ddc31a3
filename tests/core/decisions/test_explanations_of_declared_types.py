"""What is not as declared is said in words, and a comparison that reads it is unknown, as in the decision."""

from __future__ import annotations

import pytest
from policy_sets import Asked, policy_of

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation, explain
from klausel.core.decisions.explanation_format import explanation_as_json, explanation_lines, reason
from klausel.core.terms.request import Action, Request, Resource, Subject

TEXTS = {
    "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
    "features/notes.yaml": """
resource_types:
  note: {actions: [read, edit, sign], properties: {status: [draft, final], author: user id, keeper: user id}}
grants:
  - {allow: editor, to: [read, edit], resource: note, when: resource.status != "draft"}
  - {deny: editor, to: edit, resource: note, when: resource.status == "draft"}
  - {allow: editor, to: sign, resource: note}
  - {deny: editor, to: sign, resource: note, when: resource.author == subject.id or resource.keeper == subject.id}
""",
}
HELD = [("editor", "main")]


def explained(action: str, status: str, **further: object) -> Explanation:
    policy = policy_of(TEXTS)
    asked = Asked(policy, {"user:ann": HELD})
    request = Request(Subject("user", "ann"), Action(action), Resource("note", "n1", {"status": status, **further}))
    explanation = explain(policy, asked.compiled, lambda _: EffectiveRoles.of(policy.roles, HELD), request)
    assert explanation.decision.allowed is asked.allows(request)
    return explanation


def text_of(explanation: Explanation) -> str:
    return "\n".join(explanation_lines(explanation))


def test_an_allow_that_does_not_hold_says_what_is_not_as_declared() -> None:
    told = explained("read", "Final")
    assert told.decision.allowed is False
    expected = (
        'resource.status != "draft" is unknown (resource.status is "Final", which is not as declared: one of draft, final)'
    )
    assert expected in text_of(told)


def test_a_deny_that_holds_says_it_too() -> None:
    told = explained("edit", "Final")
    assert told.decided_by is not None
    assert told.decided_by.grant.effect == "deny"
    decided_by = explanation_as_json(told)["decided_by"]
    assert isinstance(decided_by, dict)
    (comparison,) = decided_by["condition"]["comparisons"]
    assert comparison == {
        "text": 'resource.status == "draft"',
        "value": None,
        "read": {"resource.status": "Final"},
        "not_as_declared": {"resource.status": "one of draft, final"},
    }


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({}, "; whether that is so is unknown, as resource.author is missing and resource.keeper is missing"),
        ({"author": "eve"}, "; whether that is so is unknown, as resource.keeper is missing"),
        ({"author": "eve", "keeper": 5}, "; whether that is so is unknown, as resource.keeper is not as declared"),
        ({"author": "ann"}, ""),
        ({"author": "ann", "keeper": 5}, ""),
    ],
)
def test_the_reason_says_what_leaves_open_whether_a_deny_is_meant(sent: dict[str, object], why: str) -> None:
    told = reason(explained("sign", "final", **sent))
    assert told.endswith(f"when resource.author == subject.id or resource.keeper == subject.id{why}")


def test_the_reason_of_what_is_allowed_says_nothing_of_it() -> None:
    assert reason(explained("sign", "final", author="eve", keeper="eve")).endswith("allow editor to sign note")


@pytest.mark.parametrize(("status", "allowed"), [("draft", False), ("final", True)])
def test_what_is_as_declared_is_explained_as_it_is_written(status: str, allowed: bool) -> None:
    told = explained("read", status)
    assert told.decision.allowed is allowed
    assert 'resource.status != "draft" is ' + str(allowed).lower() in text_of(told)
    assert "as declared" not in text_of(told)
