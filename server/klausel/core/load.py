"""From files to a policy set: everything is checked, every problem is found, and any error refuses the whole set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from klausel.core.condition import Condition
from klausel.core.csv_rows import read_csv
from klausel.core.expression import KEYWORDS, ExpressionFault, parse_condition
from klausel.core.form import ProblemList
from klausel.core.identifiers import is_name
from klausel.core.load_features import (
    FEATURE_KEYS,
    Vocabulary,
    read_csv_grants,
    read_csv_links,
    read_grants,
    read_resource_types,
    report_contradictions,
)
from klausel.core.load_roles import join_roles, read_levels, read_roles
from klausel.core.policy import Grant, NamedCondition, PolicySet, ResourceType
from klausel.core.problem import Place, PolicyError, Problem
from klausel.core.roles import RoleModel
from klausel.core.yaml_nodes import Fields, Text, decode, read_yaml

ROLES_FILE = "roles.yaml"
CONDITIONS_FILE = "conditions.yaml"
FEATURES_FOLDER = "features/"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a policy set: its name inside the folder (`features/quizzes.yaml`), its name for people, its bytes."""

    name: str
    shown_as: str
    content: bytes


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A policy set with its warnings, or no policy set and at least one error; problems are sorted by place."""

    policy: PolicySet | None
    problems: tuple[Problem, ...]

    def or_raise(self) -> PolicySet:
        """The policy set; raises `PolicyError` when there is none."""
        if self.policy is None:
            raise PolicyError(self.problems)
        return self.policy


def load_policy(files: Iterable[SourceFile], further_problems: Iterable[Problem] = ()) -> LoadResult:
    """Reads the files of one policy set; never raises on what they hold.

    `further_problems` were found before (while reading the folder, or in model.conf); an error among them refuses too.
    """
    return _Loader(sorted(files, key=lambda file: file.name), list(further_problems)).load()


class _Loader:
    def __init__(self, files: list[SourceFile], further_problems: list[Problem]) -> None:
        self.files = files
        self.problems = ProblemList()
        self.problems.found += further_problems

    def load(self) -> LoadResult:
        texts = {file.name: self._decoded(file) for file in self.files}
        shown = {file.name: file.shown_as for file in self.files}
        if ROLES_FILE not in shown:
            folder = _folder(self.files)
            hint = "every policy set declares its levels and roles there; see policies/README.md"
            self.problems.add(Place(folder + ROLES_FILE, 1, 1), "missing-file", f"there is no {ROLES_FILE}", hint)
        roots = {
            name: self._mapping(text, shown[name])
            for name, text in texts.items()
            if name.endswith(".yaml") and text is not None
        }
        csv_rows = {
            name: self._rows(text, shown[name]) for name, text in texts.items() if name.endswith(".csv") and text is not None
        }
        roles, declared_roles = self._roles(roots.get(ROLES_FILE), csv_rows)
        conditions = _Conditions(roots.get(CONDITIONS_FILE), self.problems)
        types: dict[str, ResourceType] = {}
        declared_types: set[str] = set()
        features = {name: root for name, root in roots.items() if name.startswith(FEATURES_FOLDER) and root is not None}
        for root in features.values():
            self.problems.check_keys(root, FEATURE_KEYS, "a feature file")
            self.problems.text(root.get("description"), "description")
            declared_types.update(read_resource_types(root, types, roles, self.problems))
        vocabulary = Vocabulary(roles, declared_roles, types, frozenset(declared_types), conditions.parse)
        grants: list[Grant] = []
        for name in sorted({*features, *csv_rows}):
            if name in features:
                grants += read_grants(features[name], vocabulary, self.problems)
            else:
                grants += read_csv_grants(csv_rows[name], vocabulary, self.problems)
        report_contradictions(grants, self.problems)
        return self._result(roles, types, conditions.named, grants)

    def _result(
        self,
        roles: RoleModel,
        types: Mapping[str, ResourceType],
        conditions: Mapping[str, NamedCondition],
        grants: list[Grant],
    ) -> LoadResult:
        problems = tuple(sorted(set(self.problems.found)))
        if any(problem.severity == "error" for problem in problems):
            return LoadResult(None, problems)
        digest = files_digest((file.name, file.content) for file in self.files)
        policy = PolicySet(
            roles, MappingProxyType(dict(types)), MappingProxyType(dict(conditions)), tuple(grants), problems, digest
        )
        return LoadResult(policy, problems)

    def _decoded(self, file: SourceFile) -> str | None:
        text, problems = decode(file.content, file.shown_as)
        self.problems.found += problems
        return text

    def _mapping(self, text: str, shown_as: str) -> Fields | None:
        root, problems = read_yaml(text, shown_as)
        self.problems.found += problems
        return root

    def _rows(self, text: str, shown_as: str) -> list[list[Text]]:
        rows, problems = read_csv(text, shown_as)
        self.problems.found += problems
        return rows

    def _roles(self, root: Fields | None, csv_rows: Mapping[str, list[list[Text]]]) -> tuple[RoleModel, frozenset[str]]:
        if root is None:
            return RoleModel(()), frozenset()
        self.problems.check_keys(root, ("levels", "roles"), "roles.yaml")
        levels = read_levels(root, self.problems)
        declared = read_roles(root, levels, self.problems)
        roles_node = root.get("roles")
        names = frozenset(key.value for key, _ in roles_node.entries) if isinstance(roles_node, Fields) else frozenset()
        links = [link for rows in csv_rows.values() for link in read_csv_links(rows, names, self.problems)]
        return join_roles(levels, declared, set(names), links, self.problems), names


class _Conditions:
    """The named conditions, each parsed once, whatever the order in which they use each other."""

    def __init__(self, root: Fields | None, problems: ProblemList) -> None:
        self.named: dict[str, NamedCondition] = {}
        self._problems = problems
        self._texts: dict[str, tuple[Text, Text]] = {}
        self._being_read: list[str] = []
        self._faulty: set[str] = set()
        for name, node in (root or Fields((), Place("", 1, 1))).entries:
            if name.value in KEYWORDS:
                message = f'"{name.value}" cannot name a condition; the word has a meaning'
                problems.add(name.place, "bad-name", message, "choose another")
            elif not name.value.isidentifier():
                hint = "start with a letter; letters, digits and `_` may follow"
                problems.add(name.place, "bad-name", f'"{name.value}" cannot name a condition', hint)
            elif problems.name(name, "a condition", is_name):
                text = problems.text(node, f"condition {name.value}")
                if text is None:
                    self._faulty.add(name.value)
                else:
                    self._texts[name.value] = (name, text)
                    continue
            self._faulty.add(name.value)
        for name_ in self._texts:
            self._tree_of(name_)
        self.named = {name_: self.named[name_] for name_ in self._texts if name_ in self.named}

    def parse(self, text: Text) -> Condition:
        """The tree of a condition's text; raises `ExpressionFault`."""
        known = dict.fromkeys([*self._texts, *self._faulty])
        return parse_condition(text.value, self._tree_of, known)

    def _tree_of(self, name: str) -> Condition | None:
        if name in self.named:
            return self.named[name].tree
        if name not in self._texts or name in self._faulty:
            return None
        if name in self._being_read:
            place = self._texts[self._being_read[-1]][1].place
            members = " uses ".join([*self._being_read[self._being_read.index(name) :], name])
            hint = "write one of them without the other"
            self._problems.add(place, "condition-cycle", f"conditions use each other: {members}", hint)
            self._faulty.add(name)
            return None
        self._being_read.append(name)
        label, text = self._texts[name]
        try:
            tree = self.parse(text)
        except ExpressionFault as fault:
            self._faulty.add(name)
            if fault.id != "condition-faulty":
                self._problems.add(text.place_at(fault.offset), fault.id, fault.message, fault.hint)
            return None
        finally:
            self._being_read.pop()
        if name in self._faulty:
            return None
        self.named[name] = NamedCondition(name, text.value, tree, label.place)
        return tree


def files_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """A digest over the sorted (name, bytes) of files, as `sha256:…`; any change of any byte or name changes it."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _folder(files: list[SourceFile]) -> str:
    for file in files:
        if file.shown_as.endswith(file.name):
            return file.shown_as[: -len(file.name)]
    return "policies/"
