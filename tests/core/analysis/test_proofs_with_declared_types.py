"""Proofs know the values that are declared, and that a declared property may still be missing."""

from __future__ import annotations

import pytest
from policy_sets import policy_of

from klausel.core.analysis.proof import prove

ROLES = "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n"
FEATURE = """
resource_types:
  note: {actions: [read, edit], properties: {status: [draft, final]}}
  page: {actions: [read]}
grants:
  - {allow: editor, to: read, resource: note, when: resource.status == "draft"}
  - {allow: editor, to: read, resource: note, when: resource.status == "final"}
  - {allow: editor, to: edit, resource: note}
  - {deny: anyone, to: edit, resource: note, when: resource.status == "draft"}
  - {deny: anyone, to: edit, resource: note, when: resource.status == "final"}
  - {allow: editor, to: read, resource: page, when: 'resource.status in ["draft", "final"]'}
"""


def verdict(invariant: str, feature: str = FEATURE) -> tuple[bool, dict[str, object]]:
    texts = {"roles.yaml": ROLES, "features/notes.yaml": feature, "invariants.yaml": f"invariants: [{{{invariant}}}]\n"}
    policy = policy_of(texts)
    found = prove(policy, policy.invariants[0])
    return found.holds, dict(found.counterexample.values) if found.counterexample else {}


@pytest.mark.parametrize(
    ("invariant", "holds", "values"),
    [
        # A grant for each value is one for all of them: whatever status there is.
        ("always: editor, to: read, resource: note, when: has resource.status", True, {}),
        ("always: editor, to: read, resource: note, when: 'resource.status != \"draft\"'", True, {}),
        # But there may be none.
        ("always: editor, to: read, resource: note", False, {}),
        # A deny for each value is one for all, and holds where there is none, too.
        ("never: anyone, to: edit, resource: note", True, {}),
        # Of pages nothing is declared, so there may be a third status.
        ("always: editor, to: read, resource: page, when: has resource.status", False, {"resource.status": {}}),
    ],
)
def test_invariants_are_proved_over_the_values_that_are_declared(
    invariant: str, holds: bool, values: dict[str, object]
) -> None:
    assert verdict(invariant) == (holds, values)


def test_without_the_declaration_a_third_value_breaks_it() -> None:
    undeclared = FEATURE.replace(", properties: {status: [draft, final]}", "")
    assert verdict("never: anyone, to: edit, resource: note", undeclared)[0] is False
    assert verdict("always: editor, to: read, resource: note, when: has resource.status", undeclared)[0] is False


@pytest.mark.parametrize("type_", ["time", "text", "number", "boolean", "user id", "list of text", "[draft, final]"])
def test_somebody_may_where_a_property_of_any_type_is_there(type_: str) -> None:
    feature = f"""
resource_types: {{note: {{actions: [read, edit], properties: {{due: {type_}}}}}}}
grants:
  - {{allow: editor, to: read, resource: note, when: has resource.due}}
  - {{allow: editor, to: edit, resource: note}}
  - {{deny: editor, to: edit, resource: note, when: not has resource.due}}
"""
    assert verdict("never: editor, to: read, resource: note", feature)[0] is False
    assert verdict("never: editor, to: edit, resource: note", feature)[0] is False
