"""From files to a policy set: everything is checked, every problem is found, and any error refuses the whole set."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from klausel.core.loading.cache import HashedOnce, LoadCache
from klausel.core.loading.conditions import NamedConditions
from klausel.core.loading.entity_files import read_entities
from klausel.core.loading.feature_files import GrantsOfFile, TypesOfFile, join_by_file, report_contradictions
from klausel.core.loading.features import (
    Vocabulary,
    read_csv_grants,
    read_csv_links,
    read_grants,
    read_resource_types,
    report_repeated_types,
)
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import FEATURE, ROLES
from klausel.core.loading.invariants import read_invariants
from klausel.core.loading.later_folders import joined, report_said_already
from klausel.core.loading.property_types import (
    OF_OTHERS,
    check_types_of_ids,
    read_properties_file,
    read_stored_types,
    read_subject_types,
    types_of_ids,
)
from klausel.core.loading.roles import Link, check_identified_by, join_roles, read_levels, read_roles
from klausel.core.loading.test_files import read_tests
from klausel.core.policy.entity_faults import with_written
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import GrantIndex, PolicySet, ResourceType
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.policy.roles import Level, Role, RoleModel
from klausel.core.terms.escaping import shown
from klausel.core.terms.problem import Place, PolicyError, Problem, Suggestions
from klausel.core.text.csv_rows import read_csv
from klausel.core.text.decoding import decode_policies
from klausel.core.text.yaml_nodes import Fields, Text, read_yaml

ROLES_FILE = "roles.yaml"
CONDITIONS_FILE = "conditions.yaml"
PROPERTIES_FILE = "properties.yaml"
INVARIANTS_FILE = "invariants.yaml"
PROVISIONING_FILE = "provisioning.yaml"
ENTITIES_FILE = "entities.yaml"
ENTITIES_FOLDER = "entities/"
FEATURES_FOLDER = "features/"
TESTS_FOLDER = "tests/"
TESTS_ENDING = "_test.yaml"
LONGEST_MESSAGE = 500

_Texts = tuple[tuple[str, str | None], ...]
"""Files, each as it is called for people, with its text; None for one that is no text."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a policy set: its name inside the folder (`features/quizzes.yaml`), its name for people, its bytes.

    `layer` is 0 in the first folder, or the only one; the folders after it are joined to those before.
    """

    name: str
    shown_as: str
    content: bytes
    layer: int = 0

    @property
    def key(self) -> str:
        """A name that no other file of the set has; no file with a meaning in the first folder is called like a later one's."""
        return f"+{self.layer}/{self.name}" if self.layer else self.name


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A policy set with its warnings, or no policy set and at least one error; problems are sorted by place.

    `tests` are those of the test files that were given, sorted by file, in the order of each.
    """

    policy: PolicySet | None
    problems: tuple[Problem, ...]
    tests: tuple[PolicyTest, ...] = ()

    def or_raise(self) -> PolicySet:
        """The policy set; raises `PolicyError` when there is none."""
        if self.policy is None:
            raise PolicyError(self.problems)
        return self.policy


def load_policy(
    files: Iterable[SourceFile], further_problems: Iterable[Problem] = (), cache: LoadCache | None = None
) -> LoadResult:
    """Reads the files of one policy set; never raises on what they hold.

    `further_problems` were found before (while reading the folder, or in model.conf); an error among them refuses too.
    With a `cache`, files that did not change since the last loading with it are not read again.
    """
    in_order = sorted(files, key=lambda file: (file.layer, file.name))
    return _Loader(in_order, list(further_problems), cache or LoadCache()).load()


_HINT_ON_EMPTY = "delete it, or bring back what was in it"


class _Loader:
    def __init__(self, files: list[SourceFile], further_problems: list[Problem], cache: LoadCache) -> None:
        self.files = files
        self.cache = cache
        cache.begin()
        self.suggestions = Suggestions()
        self.problems = ProblemList(self.suggestions)
        self.problems.found += further_problems
        self.texts = {file.key: self._decoded(file) for file in files}
        self.shown = {file.key: file.shown_as for file in files}
        self.roots = {
            name: self._mapping(text, self.shown[name])
            for name, text in self.texts.items()
            if name.endswith(".yaml") and text is not None
        }
        self.csv_rows = {
            name: self._rows(text, self.shown[name])
            for name, text in self.texts.items()
            if name.endswith(".csv") and text is not None
        }

    def load(self) -> LoadResult:
        """The policy set of the files, in the order in which what stands in one is needed to read the next."""
        if ROLES_FILE not in self.shown:
            missing = no_roles(_folder(self.files) + ROLES_FILE)
            # One that is there and cannot be read has its problem already.
            if all(problem.place.file != missing.place.file for problem in self.problems.found):
                self.problems.found.append(missing)
        roles_root, _ = self._joined(ROLES_FILE)
        roles, declared_roles = self._roles(roles_root)
        conditions, conditions_texts = self._named_conditions()
        in_features = [file.key for file in self.files if file.name.startswith(FEATURES_FOLDER)]
        features = {name: root for name in in_features if (root := self.roots.get(name)) is not None}
        is_complete = all(name in features for name in in_features if name.endswith(".yaml"))
        types, types_values, declared_types = self._types_of_files(features, roles)
        if roles_root is not None and is_complete:
            check_identified_by(roles_root, declared_types, self.problems)
        properties_root = self._properties_root()
        properties = read_properties_file(properties_root, self.problems) if properties_root else {}
        known_types = declared_types if is_complete else None
        subject_types = read_subject_types(properties_root, self.problems) if properties_root else None
        stored_subjects, stored_resources = (
            read_stored_types(properties_root, known_types, subject_types, self.problems)
            if properties_root
            else (frozenset[str](), frozenset[str]())
        )
        ids = self._places_of_ids(features, properties_root, subject_types, known_types)
        vocabulary = Vocabulary(
            roles,
            declared_roles,
            types,
            declared_types,
            conditions.parse,
            is_complete,
            properties,
            conditions.place_in,
            subject_types,
        )
        words = self.cache.remembered(("words", vocabulary.names(), types_values, conditions_texts), object)
        by_file = self._grants_of_files(features, vocabulary, words)
        joined_questions = partial(join_by_file, [of_file.by_question for of_file in by_file], operator.add)
        by_question = self.cache.renewed("questions", joined_questions).found
        report_contradictions(by_file, by_question, self.problems)
        invariants = self._invariants_of_files(vocabulary, words)
        # A role that is faulty where it is declared is missing from its pair.
        pairs = [rule.who for rule in invariants if rule.kind == "separate" and len(rule.who) == 2]
        separate = tuple((pair[0], pair[1]) for pair in pairs)
        joint = frozenset().union(*(of_file.joint for of_file in by_file))
        roles = replace(roles, separate=separate, joint=joint)
        vocabulary = replace(vocabulary, roles=roles)
        provisioning_root, _ = self._joined(PROVISIONING_FILE)
        provisioning = None
        if provisioning_root:
            from klausel.core.loading.provisioning import read_provisioning

            provisioning = read_provisioning(provisioning_root, vocabulary, self.problems)
        tests = self._tests_of_files(vocabulary, words)
        self._report_left_out(conditions)
        policy = PolicySet(
            roles,
            MappingProxyType(types),
            MappingProxyType(conditions.named),
            tuple(grant for of_file in by_file for grant in of_file.grants),
            (),
            "",
            invariants,
            MappingProxyType(dict(properties)),
            stored_subjects,
            stored_resources,
            subject_types,
            MappingProxyType(ids),
            provisioning=provisioning,
        )
        return self._result(self._with_entities(policy, is_complete), by_question, tests)

    def _named_conditions(self) -> tuple[NamedConditions, _Texts]:
        """The named conditions, and the texts that they were read from."""
        root, is_readable = self._joined(CONDITIONS_FILE)
        texts = self._texts_of(CONDITIONS_FILE)
        read = partial(self._conditions, root, is_readable)
        conditions, problems = self.cache.remembered(("conditions", texts, is_readable), read)
        self.problems.found += problems
        return conditions, texts

    def _types_of_files(
        self, features: Mapping[str, Fields], roles: RoleModel
    ) -> tuple[dict[str, ResourceType], tuple[object, ...], frozenset[str]]:
        """The resource types of all files, what changes with them, and the names of all, also of those that have a fault."""
        levels = HashedOnce(roles.levels)
        by_file: list[TypesOfFile] = []
        for name, root in features.items():
            if not root.entries:
                self._report_empty(self.shown[name])
            self.problems.check_keys(root, FEATURE.names, FEATURE.what)
            self.problems.text(root.get("description"), "description")
            key = ("types", self.shown[name], self.texts[name], levels)
            by_file.append(self.cache.remembered(key, partial(self._types, root, roles)))
            self.problems.found += by_file[-1].problems
        types = self.cache.renewed("types", partial(join_by_file, [of_file.found for of_file in by_file], _first))
        if types.has_shared_keys:
            for of_file in by_file:
                report_repeated_types(types.found, of_file.found.values(), self.problems)
        values = tuple(of_file.as_value for of_file in by_file)
        declared = self.cache.remembered(("declared types", values), partial(_names_of, by_file))
        return types.found, values, declared

    def _properties_root(self) -> Fields | None:
        for file in self._called(PROPERTIES_FILE):
            self._report_where_empty(file)
        root, _ = self._joined(PROPERTIES_FILE)
        return root

    def _places_of_ids(
        self,
        features: Mapping[str, Fields],
        properties_root: Fields | None,
        subject_types: Collection[str] | None,
        known_types: frozenset[str] | None,
    ) -> dict[str, Place]:
        """Each type whose ids properties hold, with the first place that says so."""
        found = [
            one
            for name, root in features.items()
            for one in self.cache.remembered(("ids", self.shown[name], self.texts[name]), partial(_ids_in, root))
        ]
        found += _ids_in(properties_root) if properties_root else ()
        if subject_types is not None and known_types is not None:
            check_types_of_ids(found, subject_types, known_types, self.problems)
        places: dict[str, Place] = {}
        for text, of in found:
            places.setdefault(of, text.place)
        return places

    def _grants_of_files(self, features: Mapping[str, Fields], vocabulary: Vocabulary, words: object) -> list[GrantsOfFile]:
        by_file: list[GrantsOfFile] = []
        for name in (name for name in self.shown if name in features or name in self.csv_rows):
            read = partial(self._grants, features.get(name), self.csv_rows.get(name, []), vocabulary)
            by_file.append(self.cache.remembered(("grants", self.shown[name], self.texts[name], words), read))
            self.problems.found += by_file[-1].problems
        return by_file

    def _invariants_of_files(self, vocabulary: Vocabulary, words: object) -> tuple[Invariant, ...]:
        for file in self._called(INVARIANTS_FILE):
            known = self.roots.get(file.key)
            if known is not None and not known.entries:
                # No error: sets that are in force may have one.
                self.problems.warn(Place(file.shown_as, 1, 1), "empty-file", "the file says nothing", _HINT_ON_EMPTY)
        root, _ = self._joined(INVARIANTS_FILE)
        if not root:
            return ()
        key = ("invariants", self._texts_of(INVARIANTS_FILE), words)
        invariants, problems = self.cache.remembered(key, partial(self._invariants, root, vocabulary))
        self.problems.found += problems
        return invariants

    def _tests_of_files(self, vocabulary: Vocabulary, words: object) -> list[PolicyTest]:
        tests: list[PolicyTest] = []
        for file in self.files:
            root = self.roots.get(file.key)
            if is_test_file(file.name) and root is not None:
                self._report_where_empty(file)
                roles = vocabulary.roles
                key = ("tests", file.shown_as, self.texts[file.key], words, roles.separate, roles.joint)
                found, problems = self.cache.remembered(key, partial(self._tests, root, vocabulary))
                tests += found
                self.problems.found += problems
        return tests

    def _report_left_out(self, conditions: NamedConditions) -> None:
        if not any(problem.severity == "error" for problem in self.problems.found):
            # Grants that use them were left out too; a deny among them must not be lost, whatever was overlooked.
            for label in conditions.left_out:
                self.problems.add(
                    label.place, "condition-syntax", f'condition "{label.value}" cannot be read', "write it again"
                )

    def _with_entities(self, policy: PolicySet, is_complete: bool) -> PolicySet:
        """The policy set with what files say of single subjects and resources."""
        files = [file for file in self.files if is_entity_file(file.name)]
        for file in files:
            self._report_where_empty(file)
        if not files:
            return policy
        declaring = {file.shown_as for file in self.files if file.name in (ROLES_FILE, PROPERTIES_FILE)}
        faulty = {problem.place.file for problem in self.problems.found if problem.severity == "error"}
        is_checked = is_complete and not declaring & faulty
        found = [(file.layer, root) for file in files if (root := self.roots.get(file.key)) is not None]
        return replace(policy, entities=read_entities(found, policy, is_checked, self.problems))

    def _result(self, policy: PolicySet, by_question: GrantIndex, tests: list[PolicyTest]) -> LoadResult:
        problems = tuple(sorted({printable(problem) for problem in self.problems.finished()}))
        if any(problem.severity == "error" for problem in problems):
            return LoadResult(None, problems)
        digest = files_digest((file.key, file.content) for file in self.files if not is_test_file(file.name))
        policy = replace(policy, warnings=problems, files_digest=digest)
        policy.take_index(by_question)
        if policy.entities:
            tests = [_joined_to_entities(policy, test) for test in tests]
        return LoadResult(policy, problems, tuple(tests))

    def _texts_of(self, name: str) -> _Texts:
        return tuple((file.shown_as, self.texts[file.key]) for file in self._called(name))

    def _called(self, name: str) -> list[SourceFile]:
        """The files of this name, of each folder in turn."""
        return [file for file in self.files if file.name == name]

    def _joined(self, name: str) -> tuple[Fields | None, bool]:
        """What the files of this name say together, and whether all could be read; None where there is none, or one could not."""
        files = self._called(name)
        found = [(file.layer, root) for file in files if (root := self.roots.get(file.key)) is not None]
        if len(found) < len(files):
            return None, False
        return joined(name, found, self.problems), True

    def _decoded(self, file: SourceFile) -> str | None:
        key = ("text", file.shown_as, file.content)
        text, problems = self.cache.remembered(key, lambda: decode_policies(file.content, file.shown_as))
        self.problems.found += problems
        return text

    def _mapping(self, text: str, shown_as: str) -> Fields | None:
        root, problems = self.cache.remembered(("yaml", shown_as, text), lambda: read_yaml(text, shown_as))
        self.problems.found += problems
        return root

    def _rows(self, text: str, shown_as: str) -> list[list[Text]]:
        rows, problems = self.cache.remembered(("csv", shown_as, text), lambda: read_csv(text, shown_as))
        if not rows and not problems:
            self._report_empty(shown_as)
        self.problems.found += problems
        return rows

    def _conditions(self, root: Fields | None, is_readable: bool) -> tuple[NamedConditions, list[Problem]]:
        """The named conditions, and the problems in them."""
        problems = ProblemList(self.suggestions)
        return NamedConditions(root, is_readable, problems), problems.finished()

    def _types(self, root: Fields, roles: RoleModel) -> TypesOfFile:
        """The resource types of one feature file, and the problems in them."""
        problems = ProblemList(self.suggestions)
        found: list[ResourceType] = []
        names = list(read_resource_types(root, found, roles, problems))
        return TypesOfFile.of(names, found, problems.finished())

    def _grants(self, root: Fields | None, rows: list[list[Text]], vocabulary: Vocabulary) -> GrantsOfFile:
        """The grants of one feature file, and the problems in them."""
        problems = ProblemList(self.suggestions)
        read = read_csv_grants(rows, vocabulary, problems) if root is None else read_grants(root, vocabulary, problems)
        return GrantsOfFile.of(tuple(read), problems.finished())

    def _tests(self, root: Fields, vocabulary: Vocabulary) -> tuple[list[PolicyTest], list[Problem]]:
        """The policy tests of one file, and the problems in them."""
        problems = ProblemList(self.suggestions)
        return list(read_tests(root, vocabulary, problems)), problems.finished()

    def _invariants(self, root: Fields, vocabulary: Vocabulary) -> tuple[tuple[Invariant, ...], list[Problem]]:
        """The invariants, and the problems in them."""
        problems = ProblemList(self.suggestions)
        return tuple(read_invariants(root, vocabulary, problems)), problems.finished()

    def _report_where_empty(self, file: SourceFile) -> None:
        root = self.roots.get(file.key)
        if root is not None and not root.entries:
            self._report_empty(file.shown_as)

    def _report_empty(self, shown_as: str) -> None:
        self.problems.add(Place(shown_as, 1, 1), "empty-file", "the file says nothing", _HINT_ON_EMPTY)

    def _roles(self, root: Fields | None) -> tuple[RoleModel, frozenset[str] | None]:
        """The role model, and the names of all roles, also of faulty ones; None where they are not to be known."""
        levels: tuple[Level, ...] = ()
        declared: dict[str, Role] = {}
        links: list[Link] = []
        names: frozenset[str] | None = None
        if root is not None:
            meant = self.problems.check_keys(root, ROLES.names, ROLES.what)
            levels = read_levels(root, "levels" in meant, self.problems)
            declared, links = read_roles(root, levels, self.problems)
            roles_node = root.get("roles")
            if isinstance(roles_node, Fields):
                names = frozenset(key.value for key, _ in roles_node.entries)
            elif roles_node is None and "roles" not in meant:
                names = frozenset()
        layers = {file.shown_as: file.layer for file in self.files}
        for file in self.files:
            found = read_csv_links(self.csv_rows.get(file.key, []), names, self.problems)
            for container, inner, in_place in found:
                role = declared.get(container.value)
                if role is not None and layers[role.place.file] < file.layer:
                    report_said_already(container, f"role {container.value}", role.place, self.problems)
                else:
                    links.append((container, inner, in_place))
        return join_roles(levels, declared, names or frozenset(), links, self.problems), names


def _first(one: ResourceType, _: ResourceType) -> ResourceType:
    return one


def _names_of(types_by_file: Iterable[TypesOfFile]) -> frozenset[str]:
    """The names of the resource types of all files, also of those that have a fault."""
    return frozenset(name for of_file in types_by_file for name in of_file.names)


def _ids_in(root: Fields) -> tuple[tuple[Text, str], ...]:
    """The types whose ids a file declares: below each resource type, and in `properties.yaml`; each where it stands."""
    types = root.get("resource_types")
    declared = [one for _, one in types.entries if isinstance(one, Fields)] if isinstance(types, Fields) else []
    nodes = [*(one.get("properties") for one in declared), *(root.get(name) for name in OF_OTHERS)]
    return tuple(one for node in nodes for one in types_of_ids(node))


def no_roles(shown_as: str) -> Problem:
    """The problem of a policy set without `roles.yaml`, which would have this name for people."""
    hint = "every policy set declares its levels and roles there; klausel init writes a small one to start from"
    return Problem(Place(shown_as, 1, 1), "missing-file", f"there is no {ROLES_FILE}", hint)


def is_test_file(name: str) -> bool:
    """Whether a file of a policy set holds policy tests, which say nothing about decisions and enter no digest."""
    return name.startswith(TESTS_FOLDER) and name.count("/") == 1 and name.endswith(TESTS_ENDING)


def is_entity_file(name: str) -> bool:
    """Whether a file of a policy set says something of single subjects and resources."""
    return name == ENTITIES_FILE or (name.startswith(ENTITIES_FOLDER) and name.endswith(".yaml"))


def _joined_to_entities(policy: PolicySet, test: PolicyTest) -> PolicyTest:
    """A test whose questions have what the files say of who asks, and of what is asked about."""
    joined_ = (replace(one, request=with_written(policy, one.request)) for one in test.expectations)
    return replace(test, expectations=tuple(joined_))


def files_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """A digest over the sorted (name, bytes) of files, as `sha256:…`; any change of any byte or name changes it."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        for part in (name.encode(errors="surrogatepass"), content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def printable(problem: Problem) -> Problem:
    """The same problem, so that one line of a terminal shows it, whatever the files hold."""
    texts = (problem.place.file, problem.message, problem.hint)
    file, message, hint = escaped = tuple(map(_on_one_line, texts))
    if escaped == texts:
        return problem
    return replace(problem, place=problem.place._replace(file=file), message=message, hint=hint)


def _on_one_line(text: str) -> str:
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[: LONGEST_MESSAGE // 2]} … {text[-LONGEST_MESSAGE // 2 :]}"
    return shown(text)


def _folder(files: list[SourceFile]) -> str:
    for file in files:
        if file.name.endswith((".yaml", ".csv")) and file.shown_as.endswith(file.name):
            return file.shown_as[: -len(file.name)]
    return "policies/"
