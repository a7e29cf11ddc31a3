"""A declared type that decides something can be dropped as a mutant, and a test that says `undeclared: true` notices."""

from policy_sets import MODEL

from klausel.casbin_policies.engine import compile_policy
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.testing.mutants import mutants
from klausel.core.testing.mutation import Judge

FEATURE = """
resource_types:
  note: {actions: [read], properties: {status: [draft, final], owner: user id}}
grants:
  - {allow: editor, to: read, resource: note, when: resource.status != "draft" and resource.owner == subject.id}
"""
TESTS = """
people: {ann: {roles: {main: editor}}}
resources:
  final: {type: note, status: final, owner: ann}
  odd: {type: note, status: Final, owner: ann, undeclared: true}
tests:
  - {name: what is final, resource: final, allowed: {ann: read}}
"""
ODD = "  - {name: what is neither, resource: odd}\n"


def fates(tests: str) -> dict[str, str]:
    texts = {
        "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
        "features/notes.yaml": FEATURE,
        "tests/notes_test.yaml": tests,
    }
    loaded = load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()])
    policy = loaded.or_raise()
    judge = Judge(policy, loaded.tests, lambda changed: compile_policy(changed, MODEL))
    return {one.what: judge.verdict(one).fate for one in mutants(policy) if one.kind == "declaration dropped"}


def test_only_a_type_that_decides_something_is_dropped_and_a_test_notices() -> None:
    assert fates(TESTS) == {"type of status of note: dropped": "survived"}
    assert fates(TESTS + ODD) == {"type of status of note: dropped": "killed"}
