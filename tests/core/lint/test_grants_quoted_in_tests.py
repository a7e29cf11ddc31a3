"""A grant that a policy test quotes and that there is not is warned of, before the test is run."""

from __future__ import annotations

from klausel.core.lint.registry import lint
from klausel.core.loading.load import SourceFile, load_policy

FILES = {
    "roles.yaml": "levels: {account: {named_by: account}}\nroles: {user: {level: account}}\n",
    "features/notes.yaml": """\
resource_types:
  note: {actions: [read, edit]}
grants:
  - {allow: user, to: read, resource: note}
  - {allow: user, to: edit, resource: note, when: resource.owner == subject.id and subject.type == "user"}
""",
    "tests/notes_test.yaml": """\
people:
  ann: {roles: {acme: user}}
resources:
  one: {type: note, in: acme, owner: ann}
  two: {type: note, in: acme, owner: ann}
tests:
  - name: what ann may
    resource: [one, two]
    allowed:
      ann: [read, edit]
    decided_by:
      ann:
        read: allow user to reed note
        edit: allow user to edit note
          when resource.owner == subject.id and subject.type == "user"
""",
}


def test_a_grant_that_there_is_not_is_told_once_with_the_one_that_was_meant() -> None:
    loaded = load_policy(SourceFile(name, name, text.encode()) for name, text in FILES.items())
    found = [one for one in lint(loaded.or_raise(), loaded.tests) if one.id == "nothing-called-so"]
    assert [(str(one.place), one.message) for one in found] == [
        ("tests/notes_test.yaml:13:15", 'no grant reads "allow user to reed note", so none such decides here')
    ]
    assert found[0].hint.startswith('did you mean "allow user to read note"?')
