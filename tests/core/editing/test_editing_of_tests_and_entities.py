"""In policy tests and files of entities, what is offered may stand there, and what is shown is about what stands there."""

from __future__ import annotations

import pytest

from klausel.core.editing.completion import offers_at
from klausel.core.editing.hover import about_what_stands_at
from klausel.core.editing.mentions import mentions_in
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.load import SourceFile, load_policy

TEST, ENTITIES = "tests/orders_test.yaml", "entities.yaml"
FILES = {
    "roles.yaml": """\
levels:
  company: {named_by: company}
  branch: {named_by: branch}
roles:
  clerk: {level: branch}
""",
    "properties.yaml": """\
subject: {limit: number, trusted: boolean}
context: {channel: [web, shop]}
stored: {subjects: user, resources: order}
""",
    "features/orders.yaml": """\
resource_types:
  branch: {actions: [open]}
  order:
    actions: [view, refund]
    properties: {total: number, state: [open, paid]}
grants:
  - {allow: clerk, to: view, resource: order, when: context.channel == "web" and subject.limit > 1}
  - {allow: clerk, to: open, resource: branch}
""",
    ENTITIES: """\
subjects:
  - {type: user, id: cho, properties: {limit: 5, trusted: true}}
resources:
  - type: order
    id: o-8
    in: acme/south
    properties:
      state: paid
""",
    TEST: """\
people:
  "ann, who sells": {roles: {acme/north: clerk}, trusted: true}
resources:
  one: {type: order, in: acme/north, total: 40, state: paid}
tests:
  - name: what clerks see
    resource: [one]
    people: ["ann, who sells"]
    context: {channel: web}
    allowed:
      ann, who sells: refund
""",
}
SOURCES = [SourceFile(name, name, text.encode()) for name, text in FILES.items()]
POLICY = load_policy(SOURCES).or_raise()


def at(file: str, word: str) -> tuple[int, int]:
    """The line and the column, counted from 0, where a word stands first."""
    before = FILES[file][: FILES[file].index(word)]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1)


def offered(file: str, word: str) -> list[str]:
    """What is offered in front of a word."""
    found = offers_at(FILES[file], file, *at(file, word), declared_names(SOURCES)[0], mentions_in(SOURCES), POLICY)
    return [one.text for one in found]


@pytest.mark.parametrize(
    ("file", "word", "expected"),
    [
        (TEST, "paid}", ["open", "paid"]),
        (TEST, "true}", ["true", "false"]),
        (TEST, "web}", ["web", "shop"]),
        (TEST, "refund", ["view", "refund"]),
        (TEST, "acme/north, total", ["acme/south", "acme/north"]),
        (TEST, '"ann, who sells"]', ['"ann, who sells"']),
        (TEST, 'ann, who sells"]', ["ann, who sells"]),
        (ENTITIES, "true}", ["true", "false"]),
        (ENTITIES, "state", ["state: ", "total: "]),
        (ENTITIES, "paid", ["open", "paid"]),
        (ENTITIES, "acme/south", ["acme/south", "acme/north"]),
    ],
)
def test_what_is_offered_may_stand_there(file: str, word: str, expected: list[str]) -> None:
    assert offered(file, word) == expected


def test_properties_are_offered_of_those_whom_an_entry_is_about_alone() -> None:
    assert set(offered(TEST, "trusted")) >= {"limit: "}
    assert not {"total: ", "channel: ", "id: id: "} & set(offered(TEST, "trusted"))
    assert set(offered(TEST, "total")) >= {"type: "}
    assert not {"limit: ", "channel: ", "now: "} & set(offered(TEST, "total"))


@pytest.mark.parametrize(
    ("file", "word", "expected"),
    [
        (TEST, "total", "**resource.total** of order: number"),
        (TEST, "state", "**resource.state** of order: one of open, paid"),
        (TEST, "trusted", "**subject.trusted** of subject: boolean"),
        (TEST, "channel", "**context.channel** of context: one of web, shop"),
        (TEST, "40", ""),
        (ENTITIES, "limit", "**subject.limit** of subject: number"),
        (ENTITIES, "state", "**resource.state** of order: one of open, paid"),
    ],
)
def test_what_is_shown_is_about_the_word_under_the_cursor(file: str, word: str, expected: str) -> None:
    line, column = at(file, word)
    shown = about_what_stands_at(POLICY, mentions_in(SOURCES), FILES[file], file, file, line, column + 1)
    assert shown.strip() == expected
