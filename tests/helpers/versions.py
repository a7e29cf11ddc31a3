"""Two good versions of a small policy set that answer every question of a batch differently, and bad versions between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROLES = """\
levels:
  account: {named_by: account, identified_by: account}
  workspace: {named_by: workspace, requires_role_above: true}
roles:
  admin: {level: account, contains: user}
  user: {level: account}
  lead: {level: workspace, contains: %s}
  agent: {level: workspace}
  guest: {level: workspace}
"""
QUIZZES = """\
resource_types:
  account: {actions: [close]}
  quiz: {actions: [view, edit, take, delete, publish, archive]}
grants:
"""
GRANTS = {
    "A": (("agent", "[view, take]"), ("any agent", "publish")),
    "B": (("agent", "[edit, delete]"), ("any agent", "archive")),
}
INVARIANTS = """\
invariants:
  - {name: Nobody closes an account, never: anyone, to: close, resource: account}
"""
TEST = """\
people:
  nobody: {roles: {}}
resources:
  quiz: {type: quiz, in: acme/support}
tests:
  - {name: strangers, resource: quiz, people: nobody, actions: [view, edit]}
"""
QUESTIONS = ("view", "edit", "take", "delete", "publish", "archive")
ANSWERS = {"A": [True, False, True, False, True, False], "B": [False, True, False, True, False, True]}
BAD = {
    "does not load": "  - {allow: agnet, to: view, resource: quiz}\n",
    "breaks an invariant": "  - {allow: agent, to: [EVERYTHING], resource: quiz}\n"
    "  - {allow: agent, to: close, resource: account}\n",
    "fails a test": "  - {allow: anyone, to: [EVERYTHING], resource: quiz}\n",
    "is no YAML": "  - {allow: agent, to: [view",
}
"""What is added to a good version; were it taken, one would see it: an agent may do everything."""
BAD_KINDS = tuple(BAD)


def quizzes(version: str, bad: str = "") -> str:
    """The text of the one file in which the versions differ; with one of `BAD`, that of a version to refuse."""
    grants = [f"  - {{allow: {who}, to: {what}, resource: quiz}}\n" for who, what in GRANTS[version]]
    return QUIZZES + "".join(grants) + (BAD[bad] if bad else "").replace("EVERYTHING", ", ".join(QUESTIONS))


def write_set(folder: Path, version: str = "A") -> Path:
    """Writes a whole policy set, and a model beside it, into a folder; gives the folder of the policies."""
    policies = folder / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "tests").mkdir()
    (policies / "roles.yaml").write_text(ROLES % "agent")
    (policies / "features" / "quizzes.yaml").write_text(quizzes(version))
    (policies / "invariants.yaml").write_text(INVARIANTS)
    (policies / "tests" / "quizzes_test.yaml").write_text(TEST)
    (folder / "model.conf").write_bytes((Path(__file__).parents[2] / "model.conf").read_bytes())
    return policies


def batch(user: str = "ann") -> dict[str, Any]:
    """A batch of all questions; ann is an agent of acme/support."""
    resource = {"type": "quiz", "id": "q1", "properties": {"account": "acme", "workspace": "support"}}
    evaluations = [{"action": {"name": action}} for action in QUESTIONS]
    return {"subject": {"type": "user", "id": user}, "resource": resource, "evaluations": evaluations}


PEOPLE = [("user:ann", "user", "acme"), ("user:ann", "agent", "acme/support")]
