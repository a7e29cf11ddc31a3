"""A policy set as an editor sees it: the files on disk, and over them what is typed and not saved yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from klausel.core.editing.mentions import Mention, mentions_in
from klausel.core.lint.registry import WARNINGS, lint
from klausel.core.lint.rules.switch_off import without_switched_off
from klausel.core.loading.declared_names import DeclaredNames, declared_names
from klausel.core.loading.load import ROLES_FILE, SourceFile
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.core.testing.coverage import tests_by_grant
from klausel.core.testing.gate import unmet_expectations
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, read_yaml
from klausel.service.pipeline import load_result, texts_with_switch_offs
from klausel.storage.file_rules import problem_of_name
from klausel.storage.policy_files.folder import PolicyFiles, folders_of, model_beside, read_folder, shown


def folder_of(file: Path) -> Path | None:
    """The policy folder that a file lies in: the nearest one above it with a `roles.yaml`; None where there is none."""
    return next((above for above in file.parents if (above / ROLES_FILE).is_file()), None)


@dataclass(frozen=True, slots=True)
class Checked:
    """What one look at the folder found: problems, and, where there is no error, the policy set and which tests touch a grant."""

    problems: tuple[Problem, ...]
    policy: PolicySet | None = None
    tests: Mapping[Place, tuple[str, ...]] = field(default_factory=dict)


class OpenPolicies:
    """One policy folder, or several that are joined; `typed` are the texts of files that are open in the editor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folders = folders_of(folder)
        self.typed: dict[Path, str] = {}
        self.last_good: PolicySet | None = None
        self._readable: dict[str, SourceFile] = {}
        self._trees: dict[str, tuple[str, tuple[Fields | None, list[Problem]]]] = {}

    def path_of(self, shown_as: str) -> Path:
        """The file that has this name for people."""
        return Path(shown_as).absolute()

    def name_of(self, path: Path) -> str:
        """The name of a file inside its folder: `features/quizzes.yaml`."""
        return path.relative_to(self.folders[self._layer_of(path)]).as_posix()

    def _layer_of(self, path: Path) -> int:
        """Which of the folders a file lies in; the innermost, where one lies in another."""
        around = [(len(folder.parts), layer) for layer, folder in enumerate(self.folders) if path.is_relative_to(folder)]
        return max(around)[1]

    def files(self) -> PolicyFiles:
        """Everything as it stands now; raises `PolicyError` when the folder cannot be read."""
        found = read_folder(self.folder, model_beside(self.folder, None))
        for file in found.files:
            # What is saved stands in for what cannot be read yet.
            self._readable.setdefault(file.shown_as, file)
        typed = {shown(path): path for path in self.typed}
        on_disk = {file.shown_as for file in found.files}
        files = [
            replace(file, content=self.typed[typed[file.shown_as]].encode()) if file.shown_as in typed else file
            for file in found.files
        ]
        for shown_as, path in typed.items():
            name = self.name_of(path)
            if shown_as not in on_disk and problem_of_name(name, shown_as) is None:
                files.append(SourceFile(name, shown_as, self.typed[path].encode(), self._layer_of(path)))
        return replace(found, files=tuple(files))

    def names(self) -> tuple[DeclaredNames, list[Mention], tuple[SourceFile, ...]]:
        """What the files declare and name; of a file that cannot be read just now, what stood there when it last could."""
        files = tuple(map(self._as_last_readable, self.files().files))
        return declared_names(list(files), self._read)[0], mentions_in(files, self._read), files

    def check(self) -> Checked:
        """Every problem, tests and invariants that are not met among them."""
        try:
            found = self.files()
            result, compiled = load_result(found, with_tests=True)
        except PolicyError as error:
            return Checked(error.problems)
        policy = compiled.policy
        self.last_good = policy
        warnings = [*result.problems, *lint(policy, result.tests, (), datetime.now(UTC))]
        problems = [
            *without_switched_off(warnings, texts_with_switch_offs(found), known=WARNINGS),
            *unmet_expectations(policy, compiled, result.tests),
        ]
        return Checked(tuple(sorted(problems)), policy, tests_by_grant(policy, result.tests))

    def texts(self) -> Iterator[tuple[Path, str]]:
        """The text of each file."""
        for file in self.files().files:
            text, _ = decode(file.content, file.shown_as)
            if text is not None:
                yield self.path_of(file.shown_as), text

    def _as_last_readable(self, file: SourceFile) -> SourceFile:
        text, _ = decode(file.content, file.shown_as)
        is_readable = text is not None and (
            not file.name.endswith(".yaml") or self._read(text, file.shown_as)[0] is not None
        )
        if is_readable:
            self._readable[file.shown_as] = file
        return self._readable.get(file.shown_as, file)

    def _read(self, text: str, shown_as: str) -> tuple[Fields | None, list[Problem]]:
        """What `read_yaml` says of a file, remembered for as long as the file has this text: every key that is typed asks."""
        kept = self._trees.get(shown_as)
        if kept is None or kept[0] != text:
            kept = self._trees[shown_as] = (text, read_yaml(text, shown_as))
        return kept[1]
