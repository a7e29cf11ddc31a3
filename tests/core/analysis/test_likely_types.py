"""The types that follow from conditions and tests; no declaration that is written changes what is allowed."""

from __future__ import annotations

import pytest
from policy_sets import policy_of

from klausel.core.analysis.likely_types import LikelyTypes, likely_types
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.properties import OneOf

ROLES = "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n"


def likely(*conditions: str, effect: str = "allow", resources: str = "", people: str = "") -> LikelyTypes:
    grants = "".join(
        f"  - {{{effect}: editor, to: read, resource: note, when: '{condition}'}}\n" for condition in conditions
    )
    texts = {
        "roles.yaml": ROLES,
        "features/notes.yaml": f"resource_types:\n  note: {{actions: [read]}}\ngrants:\n{grants}",
        "tests/notes_test.yaml": f"people:\n  ann: {{roles: {{}}{people}}}\nresources:\n  one: {{type: note{resources}}}\n"
        "tests:\n  - {name: nobody, resource: one}\n",
    }
    loaded = load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()])
    return likely_types(loaded.or_raise(), loaded.tests)


def types(*conditions: str, **further: str) -> dict[str, str]:
    found = likely(*conditions, **further).found
    return {f"{root}.{name}": str(type_) for (_, root), declared in found.items() for name, type_ in declared.items()}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("resource.a", {"resource.a": "boolean"}),
        ("resource.a == true", {"resource.a": "boolean"}),
        ("resource.a < 5", {"resource.a": "number"}),
        ("resource.a == subject.id", {"resource.a": "user id"}),
        ('subject.type == "robot" and resource.a == subject.id', {"resource.a": "robot id"}),
        ("subject.id in resource.a", {"resource.a": "list of user id"}),
        ("resource.a contains 5", {"resource.a": "list of number"}),
        ('resource.a overlaps ["x"]', {"resource.a": "list of text"}),
        ("resource.a < context.now", {"resource.a": "time"}),
        ("context.now - resource.a < days(30)", {"resource.a": "time"}),
        ('starts_with(subject.mail, "a")', {"subject.mail": "text"}),
        ('resource.a.b == "x" and resource.a.c == 5', {"resource.a": "{b: text, c: number}"}),
        ('resource.a in ["x", "y"] and context.b == "z"', {"resource.a": "one of x, y", "context.b": "text"}),
        # Other values than these would be allowed, so there may be others.
        ('resource.a not in ["x", "y"]', {"resource.a": "text"}),
    ],
)
def test_a_condition_tells_the_type_of_what_it_reads(condition: str, expected: dict[str, str]) -> None:
    assert types(condition) == expected


def test_tests_add_values_and_properties() -> None:
    sent = ", a: z, c: 5, d: '2026-01-01T00:00:00Z', e: [x], f: {g: true}, h: any"
    assert types('resource.a in ["x", "y"]', resources=sent, people=", team: red") == {
        "resource.a": "one of x, y, z",
        "subject.team": "text",
        "resource.c": "number",
        "resource.d": "time",
        "resource.e": "list of text",
        "resource.f": "{g: boolean}",
        "resource.h": "text",
    }


@pytest.mark.parametrize(
    ("condition", "resources", "expected"),
    [
        ("resource.a == resource.b", "", "nothing tells its type"),
        ('resource.a == 1 or resource.a == "x"', "", "it is taken as number and as text"),
        ("resource.a == 1", ", a: x", "conditions take it as number, but a policy test sends 'x'"),
    ],
)
def test_what_nothing_tells_is_left_with_the_reason(condition: str, resources: str, expected: str) -> None:
    found = likely(condition, resources=resources)
    assert found.unknown[0].startswith(f"resource.a of note: {expected}")
    assert not any("a" in declared for declared in found.found.values())


def test_the_same_texts_are_a_choice_only_where_no_other_value_decides_otherwise() -> None:
    two = 'resource.a == "x"', 'resource.a == "y"'
    assert likely(*two).found[("note", "resource")]["a"] == OneOf(("x", "y"))
    assert str(likely(*two, effect="deny").found[("note", "resource")]["a"]) == "text"
    assert policy_of({"roles.yaml": ROLES}).properties == {}
