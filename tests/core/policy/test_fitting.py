"""Declared types built into conditions: what they become, for allows and for denies, and what stays as it is written."""

import pytest
from policy_sets import policy_of

from klausel.core.conditions.tree import negate
from klausel.core.policy.fitting import brought_by_types, without_guards

ROLES = "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n"
TYPES = "status: [draft, sent, paid], owner: user id, amount: number, other: number, until: time, tags: list of text"


def decides(effect: str, condition: str) -> str:
    feature = (
        f"resource_types:\n  note: {{actions: [read], properties: {{{TYPES}}}}}\n"
        f"grants:\n  - {{{effect}: editor, to: read, resource: note, when: '{condition}'}}\n"
    )
    policy = policy_of({"roles.yaml": ROLES, "features/notes.yaml": feature})
    return str(policy.grants[0].condition)


@pytest.mark.parametrize(
    ("condition", "for_allow", "for_deny"),
    [
        ('resource.status == "draft"', None, 'resource.status not in ["sent", "paid"]'),
        ('resource.status != "draft"', 'resource.status in ["sent", "paid"]', None),
        ('resource.status in ["draft", "sent"]', None, 'resource.status != "paid"'),
        ('resource.status not in ["draft", "sent"]', 'resource.status == "paid"', None),
        ("resource.amount > 5", None, None),
        ("resource.owner == subject.id", None, None),
        ("subject.id in resource.tags", None, None),
        (
            "in_network(context.ip, resource.owner)",
            'in_network(context.ip, resource.owner) and (resource.owner == "" or resource.owner != "")',
            'in_network(context.ip, resource.owner) or resource.owner != "" and resource.owner == ""',
        ),
        (
            "in_network(context.ip, resource.tags)",
            'in_network(context.ip, resource.tags) and not resource.tags overlaps ["\\u0000"]',
            'in_network(context.ip, resource.tags) or resource.tags overlaps ["\\u0000"]',
        ),
        ("resource.until < context.now", "time(resource.until) < context.now", "time(resource.until) < context.now"),
        (
            "resource.amount == resource.other",
            "resource.amount == resource.other and (resource.amount == 0 or resource.amount != 0)",
            "resource.amount == resource.other or resource.amount != 0 and resource.amount == 0",
        ),
        (
            "has resource.status",
            'has resource.status and resource.status in ["draft", "sent", "paid"]',
            None,
        ),
        ("not has resource.status", None, 'not has resource.status or resource.status not in ["draft", "sent", "paid"]'),
    ],
)
def test_conditions_hold_in_the_same_cases_of_what_is_declared_and_in_no_others(
    condition: str, for_allow: str | None, for_deny: str | None
) -> None:
    assert decides("allow", condition) == (for_allow or condition)
    assert decides("deny", condition) == (for_deny or condition)


@pytest.mark.parametrize("effect", ["allow", "deny"])
@pytest.mark.parametrize(
    "condition",
    [
        "resource.amount == resource.other",
        "resource.amount >= resource.other or has resource.amount",
        "resource.tags overlaps subject.tags and resource.amount < 5",
        "has resource.tags",
        "has resource.until",
    ],
)
def test_people_read_conditions_without_what_declared_types_bring(effect: str, condition: str) -> None:
    feature = (
        f"resource_types:\n  note: {{actions: [read], properties: {{{TYPES}}}}}\n"
        f"grants:\n  - {{{effect}: editor, to: read, resource: note, when: '{condition}'}}\n"
    )
    properties = "subject: {tags: list of text}\n"
    grant = policy_of({"roles.yaml": ROLES, "properties.yaml": properties, "features/notes.yaml": feature}).grants[0]
    assert grant.condition is not None
    assert grant.written is not None
    if effect == "allow":
        assert str(grant.condition) != condition
        assert str(without_guards(grant.condition)) == condition
    else:
        assert str(without_guards(negate(grant.condition))) == str(negate(grant.written))


@pytest.mark.parametrize(
    "condition",
    [
        '(resource.owner == "a" or resource.owner != "a") and resource.amount > 3',
        "(resource.owner == subject.id or resource.owner != subject.id) and resource.amount > 3",
        '(resource.title == "" or resource.title != "") and resource.amount > 3',
        'not has resource.title and (resource.title == "" or resource.title != "")',
    ],
)
def test_what_somebody_wrote_is_never_left_out_as_if_a_declared_type_had_brought_it(condition: str) -> None:
    feature = (
        f"resource_types:\n  note: {{actions: [read], properties: {{{TYPES}, title: text}}}}\n"
        f"grants:\n  - {{allow: editor, to: read, resource: note, when: '{condition}'}}\n"
    )
    grant = policy_of({"roles.yaml": ROLES, "features/notes.yaml": feature}).grants[0]
    assert grant.written is not None
    assert str(without_guards(grant.written)) == condition


@pytest.mark.parametrize(
    "condition",
    [
        "has resource.status",
        "resource.status == resource.mood",
        'starts_with(resource.status, "d")',
        '"x" in resource.marks',
        "has resource.marks",
        "resource.status != subject.wish and resource.amount > 3",
    ],
)
def test_people_read_conditions_without_all_the_texts_that_a_declared_type_lists(condition: str) -> None:
    types = "status: [draft, sent], mood: [draft, gay], marks: {list of: [x, y]}, amount: number"
    feature = (
        f"resource_types:\n  note: {{actions: [read], properties: {{{types}}}}}\n"
        f"grants:\n  - {{allow: editor, to: read, resource: note, when: '{condition}'}}\n"
    )
    properties = "subject: {wish: text}\n"
    policy = policy_of({"roles.yaml": ROLES, "properties.yaml": properties, "features/notes.yaml": feature})
    fitted = policy.grants[0].condition
    assert fitted is not None
    assert str(fitted) != condition
    brought = brought_by_types([fitted], policy.declarations("note"))
    assert str(without_guards(fitted, brought)) == condition
    # Alone it says something, whoever wrote it.
    for alone in brought:
        assert without_guards(alone, brought) == alone
