"""The names that a policy set declares, as far as they can be read: what an editor offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from klausel.core.loading.load import CONDITIONS_FILE, FEATURES_FOLDER, PROPERTIES_FILE, ROLES_FILE, SourceFile
from klausel.core.terms.problem import Problem
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, Items, Node, ReadYaml, Text, read_yaml


@dataclass(frozen=True, slots=True)
class DeclaredNames:
    """Levels (top first), roles with their level, resource types with their actions, conditions with their text.

    `subject_types` are the types of those who ask; none where they are not declared.
    """

    levels: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    resource_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    subject_types: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """Every action of every type, once."""
        return tuple(dict.fromkeys(action for actions in self.resource_types.values() for action in actions))

    @property
    def earned_anywhere(self) -> tuple[str, ...]:
        """The roles that may stand behind `any`: those of all levels but the top one."""
        return tuple(role for role, level in self.roles.items() if level in self.levels[1:])


def declared_names(files: list[SourceFile], reader: ReadYaml = read_yaml) -> tuple[DeclaredNames, list[Problem]]:
    """What the files of a policy set declare, faulty or not; and why a file of them cannot be read at all.

    `reader` gives what `read_yaml` does, where somebody remembers that.
    """
    read: list[tuple[SourceFile, Fields]] = []
    problems: list[Problem] = []
    for file in sorted(files, key=lambda one: (one.layer, one.name)):
        if file.name in (ROLES_FILE, CONDITIONS_FILE, PROPERTIES_FILE) or _is_feature(file.name):
            text, found = decode(file.content, file.shown_as)
            root = None
            if text is not None:
                root, found = reader(text, file.shown_as)
            if root is not None:
                read.append((file, root))
            else:
                problems += found
    roles = [root for file, root in read if file.name == ROLES_FILE]
    # Only the first folder has levels.
    levels = [level for root in roles[:1] for level, _ in _entries(root.get("levels"))]
    names_of_roles: dict[str, str] = {}
    types: dict[str, tuple[str, ...]] = {}
    conditions: dict[str, str] = {}
    for root in roles:
        for role, node in _entries(root.get("roles")):
            names_of_roles.setdefault(role, _text(node.get("level")) if isinstance(node, Fields) else "")
    for file, root in read:
        for type_, node in _entries(root.get("resource_types")) if _is_feature(file.name) else ():
            actions = _texts(node.get("actions")) if isinstance(node, Fields) else ()
            types.setdefault(type_, tuple(dict.fromkeys(actions)))
        for condition, node in _entries(root) if file.name == CONDITIONS_FILE else ():
            conditions.setdefault(condition, _text(node))
    asking = [name for file, root in read if file.name == PROPERTIES_FILE for name in _texts(root.get("subject_types"))]
    return DeclaredNames(tuple(levels), names_of_roles, types, conditions, tuple(dict.fromkeys(asking))), problems


def _is_feature(name: str) -> bool:
    return name.startswith(FEATURES_FOLDER) and name.endswith(".yaml")


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    for key, value in node.entries if isinstance(node, Fields) else ():
        if key.value.strip():
            yield key.value, value


def _texts(node: Node | None) -> tuple[str, ...]:
    nodes = node.values if isinstance(node, Items) else (node,)
    return tuple(text for text in map(_text, nodes) if text)


def _text(node: Node | None) -> str:
    return node.value.strip() if isinstance(node, Text) else ""
