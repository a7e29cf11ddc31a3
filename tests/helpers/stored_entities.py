"""A small policy set about todos whose properties are stored, and the todos and people that tests store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from policy_sets import MODEL
from sqlalchemy import Engine

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.entity import Entity
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel
from klausel.storage.entities.finding import FIRST_ENTITIES, steps_of_wanted
from klausel.storage.entities.narrowing import Wanted

FILES = {
    "roles.yaml": """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team}
roles:
  owner: {level: company}
  editor: {level: company}
  worker: {level: team}
""",
    "properties.yaml": """
subject: {email: text, grade: number, tags: list of text}
stored:
  subjects: user
  resources: todo
""",
    "features/todos.yaml": """
resource_types:
  company: {actions: [close]}
  team: {actions: [close]}
  todo:
    actions: [read, update, delete, archive, create]
    asked_in: {create: team}
    properties: {owner: text, size: number, done: boolean, due: time, labels: list of text, place: {city: text}}
  note: {actions: [read]}
grants:
  - {allow: editor, to: update, resource: todo, when: subject.email == resource.owner}
  - {allow: owner, to: [read, update, delete], resource: todo}
  - {allow: worker, to: read, resource: todo, when: resource.size < subject.grade}
  - {allow: worker, to: archive, resource: todo, when: resource.done or subject.tags overlaps resource.labels}
  - {deny: anyone, to: delete, resource: todo, when: resource.done}
  - {allow: anyone, to: read, resource: note, when: subject.email == resource.owner}
""",
}


def todo_policy(**changed: str) -> PolicySet:
    """The policy set; with files replaced where they are named, such as `properties`."""
    files = {name: changed.get(name.rpartition("/")[2].partition(".")[0], text) for name, text in FILES.items()}
    result = load_policy(SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items())
    assert result.policy is not None, "\n".join(map(str, result.problems))
    return result.policy


def todo(id_: str, domain: str = "acme/red", **properties: object) -> Entity:
    """A stored todo."""
    return Entity("resource", "todo", id_, domain, properties)


def user(id_: str, **properties: object) -> Entity:
    """A stored subject of the type `user`."""
    return Entity("subject", "user", id_, "", properties)


def write_policies(folder: Path) -> dict[str, str]:
    """Writes the policy set, and the settings that name it."""
    for name, text in FILES.items():
        file = folder / "policies" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "model.conf").write_text(MODEL)
    return {"policies": str(folder / "policies"), "model": str(folder / "model.conf")}


def entities_wanted(
    engine: Engine, roles: RoleModel, wanted: Wanted, after: str = "", at_first: int = FIRST_ENTITIES
) -> Iterator[Entity]:
    """All that `steps_of_wanted` finds."""
    for step in steps_of_wanted(engine, roles, wanted, after, at_first):
        yield from step.entities
