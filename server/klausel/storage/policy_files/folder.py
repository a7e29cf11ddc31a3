"""Reading the files of a policy set and its model, from a folder or a commit, with the commit that they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from klausel.core.loading.load import ROLES_FILE, SourceFile, no_roles
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.storage.file_rules import (
    DEFAULT_MODEL,
    LARGEST_FILE,
    MODEL_NAME,
    is_passed_over,
    no_model,
    problem_of_name,
    too_large,
    unreadable,
)
from klausel.storage.git.objects import GitError
from klausel.storage.git.repository import GitRepository


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit that the files come from; `dirty` when they differ from it."""

    id: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """The files of a policy set as they were read in one go, the model among them, with the problems of reading them.

    Two are equal when every byte and every problem is. `model` is the name of the model for people; `find_commit` looks
    up the commit that the files come from.
    """

    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...]
    model: str
    find_commit: Callable[[], Commit | None] = field(compare=False)


def read_folder(folder: Path, model: Path) -> PolicyFiles:
    """What stands in a folder and in its model; raises `PolicyError` when there is no such folder, or no way to it."""
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # a folder above may not be entered, or the name is too long
        raise PolicyError([_no_access(folder, "folder", error)]) from error
    if not is_folder:
        what = "this is a file, not the folder of a policy set" if folder.exists() else "there is no such folder"
        hint = "name the folder that holds roles.yaml and features/"
        above = next((place / folder for place in Path.cwd().parents if (place / folder / ROLES_FILE).is_file()), None)
        if above is not None and not folder.is_absolute():
            hint = f"did you mean {os.path.relpath(above)}? " + hint.capitalize()
        raise PolicyError([Problem(Place(shown(folder), 1, 1), "missing-file", what, hint)])
    files, problems = read_files(folder, model)
    if all(file.name == MODEL_NAME for file in files):
        raise PolicyError([*problems, no_roles(shown(folder / ROLES_FILE))])
    return PolicyFiles(tuple(files), tuple(problems), shown(model), lambda: commit_of(folder, model, files))


def read_at(
    repository: GitRepository,
    revision: str,
    folder: str,
    model: str | Path | None = None,
) -> PolicyFiles:
    """The files of a policy set in a folder of a commit, and its model; nothing is checked out.

    `folder` is a path in the trees of the repository, and so is a `model` that is a text; a `Path` is a file outside of
    them, None is `model.conf` beside the folder or at the root of that commit, else the one that comes with Klausel.
    Raises `GitError` when git cannot answer.
    """
    commit = repository.commit(revision)
    files, problems = repository.files_at(commit, folder)
    if model is None:
        places = (str(PurePosixPath(folder).parent / MODEL_NAME), MODEL_NAME)
        model = next((place for place in places if repository.entry(commit, place)), DEFAULT_MODEL)
    if isinstance(model, Path):
        model_shown = shown(model)
        _read_model(model, files, problems)
    else:
        model_shown = repository.shown(model)
        content, problem = repository.file_at(commit, model)
        if content is not None:
            files.append(SourceFile(MODEL_NAME, model_shown, content))
        else:
            problems.append(problem or no_model(model_shown))
    return PolicyFiles(tuple(files), tuple(problems), model_shown, lambda: Commit(commit.id, dirty=False))


def read_files(folder: Path, model: Path) -> tuple[list[SourceFile], list[Problem]]:
    """The files of a policy set and the model, and a problem for each file that has no meaning where it stands."""
    files: list[SourceFile] = []
    problems: list[Problem] = []
    for path in _everything_in(folder, problems):
        name = path.relative_to(folder).as_posix()
        if is_passed_over(name):
            continue
        try:
            is_file = path.is_file()
        except OSError as error:
            problems.append(_no_access(path, "file", error))
            continue
        if not is_file:
            problems.append(unreadable(shown(path), *_why_unreadable(path)))
            continue
        problem = problem_of_name(name, shown(path))
        if problem is None:
            _read(path, name, files, problems)
        else:
            problems.append(problem)
    _read_model(model, files, problems)
    return files, problems


def _read_model(model: Path, files: list[SourceFile], problems: list[Problem]) -> None:
    try:
        is_file = model.is_file()
    except OSError as error:
        problems.append(_no_access(model, "file", error))
        return
    if is_file:
        _read(model, MODEL_NAME, files, problems)
    else:
        problems.append(no_model(shown(model)))


def _everything_in(folder: Path, problems: list[Problem]) -> list[Path]:
    """All that is no folder, sorted, links to folders included; a problem for each folder that cannot be read."""

    def report(error: OSError) -> None:
        problems.append(_no_access(Path(error.filename), "folder", error))

    found = []
    for place, folders, names in os.walk(folder, onerror=report):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name) for name in (*names, *links)]
    return sorted(found)


def _why_unreadable(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return "this is a link to a folder, and such are not followed", "put the files themselves here"
    if path.is_symlink():
        return "this is a link to a file that is not there", "bring the file back, or delete the link"
    return "this is not a regular file", "put a file here, or delete it"


def _read(path: Path, name: str, files: list[SourceFile], problems: list[Problem]) -> None:
    try:
        if path.stat().st_size > LARGEST_FILE:
            problems.append(too_large(shown(path)))
        else:
            files.append(SourceFile(name, shown(path), path.read_bytes()))
    except OSError as error:
        problems.append(_no_access(path, "file", error))


def _no_access(path: Path, kind: str, error: OSError) -> Problem:
    why = (error.strerror or "it cannot be read").lower()
    return unreadable(shown(path), f"the {kind} cannot be read: {why}", "give the reader access to it")


def shown(path: Path) -> str:
    """A path as people should see it: relative to the working directory when it lies inside."""
    try:
        return Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def commit_of(folder: Path, model: Path, files: Iterable[SourceFile]) -> Commit | None:
    """The commit that a folder stands at; None outside a repository, before its first commit, or without git.

    It is dirty when the files that were read are not those of the commit, byte for byte, whatever git's index says.
    """
    try:
        with GitRepository.containing(folder) as repository:
            place = repository.tree_path_or_none(folder)
            return None if place is None else _compared(repository, place, repository.tree_path_or_none(model), files)
    except GitError:
        return None


def _compared(repository: GitRepository, folder: str, model: str | None, files: Iterable[SourceFile]) -> Commit:
    """HEAD, beside the files; `model` is None where it is none of the repository's."""
    head = repository.commit("HEAD")
    now = {file.name: file.content for file in files if file.name != MODEL_NAME or model is not None}
    try:
        committed, _ = repository.files_at(head, folder)
    except GitError:
        return Commit(head.id, dirty=True)
    then = {file.name: file.content for file in committed}
    content = None if model is None else repository.file_at(head, model)[0]
    if content is not None:
        then[MODEL_NAME] = content
    return Commit(head.id, now != then)
