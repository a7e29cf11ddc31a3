"""The way of a policy set from its files to what decides: read, check, gate. Both doors and the running service go it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from klausel.casbin_policies.engine import CompiledPolicy, compile_policy
from klausel.casbin_policies.model_shape import model_digest, other_matcher, problems_in_model
from klausel.core.analysis.budget import MOST_STEPS
from klausel.core.lint.rules.switch_off import without_switched_off
from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import ROLES_FILE, LoadResult, SourceFile, is_test_file, load_policy
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.orphans import StoredRole, orphan_problems
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.problem import SWITCH_OFF_MARK, Place, PolicyError, Problem
from klausel.core.text.decoding import decode
from klausel.service.rare_collections import rare_collections
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.policy_files.folder import Commit, PolicyFiles, read_folder

if TYPE_CHECKING:
    from klausel.core.testing.gate import Gate


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy set ready to decide, and the names of its version; `commit` is None outside a git repository.

    `tests` are the policy tests beside it, empty when they were not asked for.
    """

    compiled: CompiledPolicy
    files_digest: str
    commit: Commit | None
    warnings: tuple[Problem, ...]
    tests: tuple[PolicyTest, ...] = ()
    recorded_as: bytes = field(init=False, repr=False, compare=False)
    """The version as records of decisions name it, in JSON."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "recorded_as", orjson.dumps(self.version))

    @property
    def version(self) -> dict[str, object]:
        """What names the version in answers and records."""
        version: dict[str, object] = {"digest": self.files_digest}
        if self.commit is not None:
            version |= {"commit": self.commit.id, "dirty": self.commit.dirty}
        return version


def open_policy(folder: Path, model: Path, with_tests: bool = False, accepted_models: Collection[str] = ()) -> LoadedPolicy:
    """The policy set in a folder, compiled under a model; raises `PolicyError` with every problem found.

    Test files are read only `with_tests`: no decision depends on them. Warnings that comments switch off are left out.
    """
    return load_files(read_folder(folder, model), with_tests, accepted_models=accepted_models)


def load_files(
    found: PolicyFiles,
    with_tests: bool = False,
    cache: LoadCache | None = None,
    accepted_models: Collection[str] = (),
    earlier: CompiledPolicy | None = None,
) -> LoadedPolicy:
    """The policy set that files say, compiled under the model among them; raises `PolicyError` with every problem.

    With a `cache`, files that did not change since the last loading with it are not read again; what was compiled of an
    `earlier` policy set and is the same is not compiled again. Warnings that comments switch off are left out.
    """
    result, compiled = load_result(found, with_tests, cache, accepted_models, earlier)
    warnings = tuple(without_switched_off(result.problems, texts_with_switch_offs(found))) if result.problems else ()
    return LoadedPolicy(compiled, compiled.policy.files_digest, found.find_commit(), warnings, result.tests)


@rare_collections()
def load_result(
    found: PolicyFiles,
    with_tests: bool,
    cache: LoadCache | None = None,
    accepted_models: Collection[str] = (),
    earlier: CompiledPolicy | None = None,
) -> tuple[LoadResult, CompiledPolicy]:
    """What the loader says of files without an error, every warning included.

    Raises `PolicyError` where there is one, with the warnings but those that comments switch off.

    `accepted_models` are the digests of models that may have a matcher of their own.
    """
    problems = list(found.problems)
    model_text = _model_text(found.files)
    if model_text is not None:
        problems += problems_in_model(model_text, found.model, accepted_models)
    result = load_policy((file for file in found.files if with_tests or not is_test_file(file.name)), problems, cache)
    try:
        policy = result.or_raise()
    except PolicyError as error:
        raise PolicyError(without_switched_off(error.problems, texts_with_switch_offs(found))) from None
    assert model_text is not None
    return result, compile_policy(policy, model_text, found.model, accepted_models, earlier)


def _model_text(files: Iterable[SourceFile]) -> str | None:
    """The text of the model; None when there is none, or when loading will report its bytes."""
    for file in files:
        if file.name == MODEL_NAME:
            text, problems = decode(file.content, file.shown_as)
            return None if problems else text
    return None


def texts_with_switch_offs(found: PolicyFiles) -> dict[str, str]:
    """The texts of the files of the policy set that may hold a comment that switches off a warning, by their names for people."""
    mark = SWITCH_OFF_MARK.encode()
    with_mark = [file for file in found.files if file.name != MODEL_NAME and mark in file.content]
    return {file.shown_as: decode(file.content, file.shown_as)[0] or "" for file in with_mark}


@rare_collections()
def load_checked(
    found: PolicyFiles,
    cache: LoadCache | None = None,
    accepted_models: Collection[str] = (),
    most_steps: int = MOST_STEPS,
    gate: Gate | None = None,
    earlier: CompiledPolicy | None = None,
) -> LoadedPolicy:
    """The policy set that files say, once its policy tests passed and its invariants held; raises `PolicyError`.

    Proving the invariants may go through so many steps; an invariant beyond that counts as one that does not hold.
    With a `gate`, what did not change since the last time at it is not tested and proved again; of an `earlier` policy set,
    what is the same is not compiled again.
    """
    loaded = load_files(found, with_tests=True, cache=cache, accepted_models=accepted_models, earlier=earlier)
    problems = unmet_by(loaded, found, most_steps, gate)
    if problems:
        raise PolicyError([*loaded.warnings, *problems])
    return loaded


def unmet_by(
    loaded: LoadedPolicy, found: PolicyFiles, most_steps: int = MOST_STEPS, gate: Gate | None = None
) -> list[Problem]:
    """A problem for each policy test that fails and each invariant that does not hold, of the set that files say; see `Gate`."""
    from klausel.core.testing.gate import Gate  # who only asks does not wait for what proves

    compiled = loaded.compiled
    model = _model_text(found.files) if compiled.other_model is None else None
    return list((gate or Gate()).unmet(compiled.policy, compiled, loaded.tests, most_steps, model))


def problems_of_orphans(
    found: PolicyFiles, loaded: LoadedPolicy, orphaned_in: Callable[[RoleModel], Iterable[StoredRole]]
) -> tuple[Problem, ...]:
    """An error for each stored role that counts for nothing under the set that files say; `orphaned_in` finds these."""
    roles = loaded.compiled.policy.roles
    roles_file = next((file.shown_as for file in found.files if file.name == ROLES_FILE), ROLES_FILE)
    return orphan_problems(roles, orphaned_in(roles), roles_file)


def accepted_model_of(found: PolicyFiles, accepted_models: Collection[str]) -> str | None:
    """The digest of the model among files, where it was accepted though its matcher is not Klausel's; else None."""
    text = _model_text(found.files)
    if text is None or not accepted_models or problems_in_model(text, found.model, accepted_models):
        return None
    return other_matcher(text)


def other_model_of(found: PolicyFiles) -> str | None:
    """The digest of the model among files where its matcher is not Klausel's, accepted or not; else None."""
    text = _model_text(found.files)
    if text is None:
        return None
    refused = problems_in_model(text, found.model)
    return model_digest(text) if refused else None


@rare_collections()
def check_files(
    found: PolicyFiles,
    people_in: Iterable[tuple[str, str]] = (),
    accepted_models: Collection[str] = (),
    demo_people: Iterable[tuple[Assignment | str, Place]] = (),
) -> tuple[Problem, ...]:
    """Every problem in the files of a policy set, sorted; empty when all is well. Lint looks only at a set without errors.

    `people_in` are domains in which people hold roles, beside those of the policy tests, each with where it is named.
    `demo_people` are the rows beside the policies, or why one cannot be read, each with its place.
    """
    from klausel.core.lint.registry import WARNINGS, lint  # who only asks does not wait for what looks for oversights
    from klausel.core.loading.demo_people import faulty_demo_people
    from klausel.storage.assignments.rules import violations_of_all

    try:
        result, compiled = load_result(found, with_tests=True, accepted_models=accepted_models)
    except PolicyError as error:
        return error.problems
    roles, now = compiled.policy.roles, datetime.now(UTC)
    problems = [
        *result.problems,
        *lint(compiled.policy, result.tests, people_in, now),
        *faulty_demo_people(roles, demo_people, lambda rows: violations_of_all(roles, rows, now.timestamp())),
    ]
    return tuple(without_switched_off(problems, texts_with_switch_offs(found), known=WARNINGS))
