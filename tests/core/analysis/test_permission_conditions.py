"""Conditions of permissions leave out what is never true."""

from __future__ import annotations

import pytest
from policy_sets import policy_of

from klausel.core.analysis.matrix import verdict_in_words
from klausel.core.analysis.permission import Question, given_values, question_in
from klausel.core.policy.fitting import without_guards

FILES = {
    "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
    "features/notes.yaml": """
resource_types:
  note: {actions: [read], properties: {owner: text, size: number, draft: boolean}}
grants:
  - {allow: editor, to: read, resource: note, when: 'ALLOW'}
  - {deny: editor, to: read, resource: note, when: 'DENY'}
""",
}


@pytest.mark.parametrize(
    ("allow", "deny", "condition"),
    [
        (
            "resource.size < 9",
            '(resource.owner == "a" or resource.owner != "a") and resource.size > 3',
            "resource.size < 9 and resource.size <= 3",
        ),
        (
            'resource.draft or resource.owner == "a" and resource.owner == "b"',
            "resource.size > 3",
            "resource.draft and resource.size <= 3",
        ),
        (
            "resource.size < 3 and resource.size > 3 or resource.draft",
            "not has resource.owner",
            "resource.draft and has resource.owner",
        ),
    ],
)
def test_what_is_never_true_is_left_out(allow: str, deny: str, condition: str) -> None:
    files = {name: text.replace("ALLOW", allow).replace("DENY", deny) for name, text in FILES.items()}
    question = question_in(policy_of(files), "note", "read", None)
    assert isinstance(question, Question)
    permission = question.permission({"editor"})
    assert permission.condition is not None
    assert str(without_guards(permission.condition)) == condition


def test_what_declared_types_bring_is_told_beside_the_condition() -> None:
    texts = {**FILES, "features/notes.yaml": FILES["features/notes.yaml"].replace("size: number", "size: [small, large]")}
    files = {
        name: text.replace("ALLOW", "resource.size == resource.owner").replace("DENY", "resource.draft")
        for name, text in texts.items()
    }
    for given in (None, given_values("", {"subject": {"team": "red"}})):
        question = question_in(policy_of(files), "note", "read", None, given)
        assert isinstance(question, Question)
        permission = question.about({}).permission({"editor"})
        assert permission.condition is not None
        assert 'in ["small", "large"]' in str(permission.condition)
        shown = without_guards(permission.condition, permission.brought)
        assert str(shown) == "resource.size == resource.owner and not resource.draft"
        assert verdict_in_words(permission, {}) == f"when {shown}"
