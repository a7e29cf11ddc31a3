"""A changed declaration in a difference: shown where it changes a decision, named where it does not, exact on generated sets."""

from __future__ import annotations

import re

import pytest
from declared_policies import generate_declared
from flips import flip
from generated_sets import asked_of
from policy_sets import policy_of

from klausel.core.difference.compare import difference_between
from klausel.core.difference.report import DifferenceReport, headline, notes
from klausel.core.policy.policy_set import PolicySet

ROLES = "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n"
GRANTS = """
grants:
  - {allow: editor, to: read, resource: note, when: resource.status != "draft" and subject.team == "red"}
  - {allow: editor, to: edit, resource: note, when: resource.status == "draft"}
"""


def notes_with(properties: str, others: str = "subject: {team: text}") -> PolicySet:
    feature = f"resource_types:\n  note: {{actions: [read, edit], properties: {{{properties}}}}}{GRANTS}"
    return policy_of({"roles.yaml": ROLES, "features/notes.yaml": feature, "properties.yaml": others + "\n"})


def test_a_declaration_that_changes_a_decision_is_the_cause_of_the_change() -> None:
    difference = difference_between(notes_with("status: [draft, final]"), notes_with("status: [draft, final, old]"))
    assert difference.verdict == "more permissive"
    (change,) = difference.changes
    assert (change.action, change.relation) == ("read", "widened")
    assert [(cause.kind, cause.source, cause.text) for cause in change.causes] == [
        (
            "declaration",
            "features/notes.yaml:2",
            "resource.status of note is declared as one of draft, final, old; it was one of draft, final",
        )
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            notes_with("status: [final, draft], owner: text"),
            "properties of note: status is one of final, draft; it was one of draft, final; owner is text; it was user id "
            "(features/notes.yaml:2)",
        ),
        (notes_with("status: [draft, final]"), "properties of note: owner is no longer declared (features/notes.yaml:2)"),
        (
            notes_with("status: [draft, final], owner: user id", "subject: {team: text, level: number}"),
            "properties of subject: level is declared as number",
        ),
    ],
    ids=["another type", "gone", "new"],
)
def test_a_declaration_that_changes_none_is_named(after: PolicySet, expected: str) -> None:
    difference = difference_between(notes_with("status: [draft, final], owner: user id"), after)
    report = DifferenceReport(difference, "before", "after")
    assert headline(report) == "the same: nothing changes in what is allowed"
    assert notes(report) == [expected]


QUICK = (12, 13, 15, 30, 42, 44, 46, 49, 53)
"""Seeds of sets of which a difference is found within a second."""


def test_every_request_that_declarations_decide_otherwise_is_in_the_difference() -> None:
    flips = 0
    for seed in QUICK:
        generated, _ = generate_declared(seed, requests=1000)
        texts = {name: text for name, text in generated.texts.items() if name != "properties.yaml"}
        texts["features/one.yaml"] = re.sub(r", properties: \{.*\}\}$", "}", texts["features/one.yaml"], flags=re.MULTILINE)
        declared, plain = asked_of(generated), asked_of(generated._replace(texts=texts))
        assert declared is not None and plain is not None
        difference = difference_between(declared.policy, plain.policy)
        undecided = {text.partition(":")[0] for text in difference.undecided}
        for request in generated.requests:
            if f"{request.action.name} {request.resource.type}" in undecided:
                continue
            before, after = declared.allows(request), plain.allows(request)
            expected = None if before == after else after
            held = generated.held.get(f"{request.subject.type}:{request.subject.id}", ())
            assert flip(difference, held, request) is expected, f"seed {seed}: {request}\n{generated}"
            flips += expected is not None
    assert flips, "no request told the sets apart"
