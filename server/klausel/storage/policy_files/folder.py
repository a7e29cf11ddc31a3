"""Reading the files of a policy set and its model, from a folder or a commit, with the commit that they come from."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from klausel.core.loading.load import FEATURES_FOLDER, ROLES_FILE, SourceFile, no_roles
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
from klausel.storage.git.moved_folder import folder_at
from klausel.storage.git.objects import GitCommit, GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.plain_files import PlainFiles, lies_in

_OPENED_FOR_READING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

CUTOFF_OF_SLIPS = 0.85
"""How like another name one must be to have been meant, where most names have nothing to do with policies."""


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


def folders_of(policies: Path) -> tuple[Path, ...]:
    """The folders that are meant by `policies`: one, or several that are joined, with the separator of search paths between.

    A folder with such a name is a folder.
    """
    text = str(policies)
    if os.pathsep not in text or os.path.exists(text):
        return (policies,)
    return tuple(map(Path, text.split(os.pathsep)))


def are_folders(policies: Path) -> bool:
    """Whether a path is a folder, or the names of several that are joined."""
    return all(folder.is_dir() for folder in folders_of(policies))


def tree_path_of(repository: GitRepository, policies: Path) -> str:
    """The path of a folder in the trees of its repository, or of several with colons between, as `read_at` takes them.

    Raises `GitError` for one outside its work tree.
    """
    folders = folders_of(policies)
    paths = [repository.tree_path(folder) for folder in folders]
    return paths[0] if len(paths) == 1 else ":".join(path or "." for path in paths)


def read_folder(policies: Path, model: Path) -> PolicyFiles:
    """What stands in a folder, or in several that are joined, and in the model.

    Raises `PolicyError` when there is no such folder, or no way to it.
    """
    folders = folders_of(policies)
    if len(folders) > 1 and "" in str(policies).split(os.pathsep):
        message, hint = "several policy folders are named, and one of the names is empty", "look at what should stand there"
        raise PolicyError([Problem(Place(str(policies), 1, 1), "later-folder", message, hint)])
    files, problems = _read_one(folders[0], model)
    parts = [(folders[0], tuple(files))]
    for layer, folder in enumerate(folders[1:], 1):
        if any(os.path.realpath(folder) == os.path.realpath(other) for other, _ in parts):
            message, hint = "this folder is named twice, and would be joined to itself", "name each policy folder once"
            raise PolicyError([Problem(Place(shown(folder), 1, 1), "later-folder", message, hint)])
        found, further = _read_one(folder, None)
        parts.append((folder, tuple(found)))
        files += [replace(file, layer=layer) for file in found]
        problems += further
    return PolicyFiles(tuple(files), tuple(problems), shown(model), lambda: _commit_of_all(parts, model))


def _read_one(folder: Path, model: Path | None) -> tuple[list[SourceFile], list[Problem]]:
    """The files of one folder; without a `model` it is one that is joined to others, and needs no roles of its own."""
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # a folder above may not be entered, or the name is too long
        raise PolicyError([_no_access(folder, "folder", error)]) from error
    if not is_folder:
        what = "this is a file, not the folder of a policy set" if folder.exists() else "there is no such folder"
        hint = f"name the folder that holds {ROLES_FILE} and {FEATURES_FOLDER}, or start one with klausel init"
        above = next((place / folder for place in Path.cwd().parents if (place / folder / ROLES_FILE).is_file()), None)
        if above is not None and not folder.is_absolute():
            hint = f"did you mean {os.path.relpath(above)}? " + hint.capitalize()
        raise PolicyError([Problem(Place(shown(folder), 1, 1), "missing-file", what, hint)])
    files, problems = read_files(folder, model)
    if all(file.name == MODEL_NAME for file in files):
        raise PolicyError(_no_policy_folder(folder, problems) if model else [*problems, nothing_to_add(shown(folder))])
    return files, problems


def nothing_to_add(folder: str) -> Problem:
    """The problem of a folder that is joined to others, and says nothing."""
    hint = f"put files in it, in {FEATURES_FOLDER} and beside it, or do not name it"
    return Problem(Place(folder, 1, 1), "missing-file", "this folder holds nothing that could be added", hint)


def _no_policy_folder(folder: Path, problems: Iterable[Problem]) -> list[Problem]:
    """What is wrong where a folder holds nothing of a policy set: that, and not each of its files."""
    slips = difflib.get_close_matches(ROLES_FILE, [path.name for path in folder.iterdir()], n=1, cutoff=CUTOFF_OF_SLIPS)
    slip = {shown(folder / name) for name in slips}
    telling = [problem for problem in problems if problem.id != "unknown-file" or problem.place.file in slip]
    missing = no_roles(shown(folder / ROLES_FILE))
    below = next((path.parent for path in sorted(folder.glob(f"*/{ROLES_FILE}"))), None)
    if below is not None:
        missing = replace(missing, hint=f"did you mean the folder {shown(below)}? " + missing.hint.capitalize())
    return [*telling, missing]


def model_beside(policies: Path, model: Path | None) -> Path:
    """The model to use: the one named, else `model.conf` beside the policies, in the working directory, of Klausel itself."""
    if model is not None:
        return model
    places = (folders_of(policies)[0].resolve().parent / MODEL_NAME, Path(MODEL_NAME), DEFAULT_MODEL)
    return next(place for place in places if os.path.isfile(place))


def read_at(
    repository: GitRepository,
    revision: str | GitCommit,
    folder: str,
    model: str | Path | None = None,
) -> PolicyFiles:
    """The files of a policy set in a folder of a commit, and its model; nothing is checked out.

    `folder` is a path in the trees of the repository, or several with colons between, and so is a `model` that is a text; a
    `Path` is a file outside of them, None is `model.conf` beside the first folder or at the root of that commit, else the
    one that comes with Klausel.
    Raises `GitError` when git cannot answer.
    """
    commit = repository.commit(revision) if isinstance(revision, str) else revision
    first, *later = _folders_at(repository, commit, folder)
    folder = first
    files, problems = repository.files_at(commit, folder)
    for layer, other in enumerate(later, 1):
        found, further = repository.files_at(commit, other)
        files += [replace(file, layer=layer) for file in found]
        problems += further if found else [*further, nothing_to_add(repository.shown(other))]
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


def _folders_at(repository: GitRepository, commit: GitCommit, folder: str) -> list[str]:
    """The folders that are meant at a commit; one that has a colon in its name is one."""
    whole = folder_at(repository, commit, folder)
    if ":" not in folder or repository.entry(commit, whole) is not None:
        return [whole]
    parts = folder.split(":")
    names = [folder_at(repository, commit, "" if one == "." else PurePosixPath(one).as_posix()) for one in parts]
    if "" in parts or len(set(names)) < len(names):
        raise GitError(f"{folder} names a folder twice, or none; name each policy folder once")
    return names


def read_files(folder: Path, model: Path | None) -> tuple[list[SourceFile], list[Problem]]:
    """The files of one folder and the model, where one is named, and a problem for each file that has no meaning where it stands.

    What a link leads to is read where it lies in the folder too, as in a mounted ConfigMap; never what lies outside of it,
    for what is read here is shown to others.
    """
    files: list[SourceFile] = []
    problems: list[Problem] = []
    root = os.path.realpath(folder)
    shown_folder = shown(folder)
    start = "" if shown_folder == "." else f"{shown_folder.rstrip('/')}/"
    names, plain = _everything_in(folder, root, problems)
    with PlainFiles(root) as plain_files:
        for name in names:
            path, shown_as = os.path.join(folder, name), start + name
            problem = problem_of_name(name, shown_as)
            content = plain_files.content(path) if problem is None and name in plain else None
            if content is not None:
                files.append(SourceFile(name, shown_as, content))
                continue
            why = None if problem is not None and name in plain else _why_unreadable(path, root)
            if why is not None:
                problems.append(unreadable(shown_as, *why))
            elif problem is not None:
                problems.append(problem)
            else:
                _read(path, name, shown_as, files, problems, root)
    if model is not None:
        _read_model(model, files, problems)
    return files, problems


def _read_model(model: Path, files: list[SourceFile], problems: list[Problem]) -> None:
    try:
        is_file = model.is_file()
    except OSError as error:
        problems.append(_no_access(model, "file", error))
        return
    if is_file:
        _read(model, MODEL_NAME, shown(model), files, problems)
    else:
        problems.append(no_model(shown(model)))


def _everything_in(folder: Path, root: str, problems: list[Problem]) -> tuple[list[str], set[str]]:
    """The names of all that is no folder and is not passed over, sorted, and those among them that are regular files.

    A link to a folder is followed when that lies in `root` and is not read anyway, so that no folder is read twice and no
    circle of links without end; else it is among the names. A problem for each folder that cannot be read.
    """
    found: list[str] = []
    plain: set[str] = set()
    links: list[str] = []
    read_already: set[str] = set()

    def walk(place: str, above: str) -> None:
        try:
            with os.scandir(place) as entries:
                listed = list(entries)
        except OSError as error:
            problems.append(_no_access(Path(place), "folder", error))
            return
        read_already.add(os.path.realpath(place))
        folders: list[str] = []
        for entry in listed:
            name = above + entry.name
            if _is_folder(entry):
                if not is_passed_over(f"{name}/"):
                    (links if entry.is_symlink() else folders).append(name)
            elif not is_passed_over(name):
                found.append(name)
                if entry.is_file(follow_symlinks=False):
                    plain.add(name)
        for name in folders:
            walk(os.path.join(folder, name), f"{name}/")

    walk(str(folder), "")
    while links:
        # Only now are the folders known that are read without any link.
        link = links.pop(0)
        target = os.path.realpath(os.path.join(folder, link))
        if lies_in(target, root) and target not in read_already:
            walk(os.path.join(folder, link), f"{link}/")
        else:
            found.append(link)
    return sorted(found, key=lambda name: name.split("/")), plain


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether something is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _why_unreadable(path: str, root: str) -> tuple[str, str] | None:
    """Why something in a folder is not to be read, and the cure; None for a file. Opens nothing."""
    target = os.path.realpath(path)
    if not lies_in(target, root):
        return "this is a link that goes out of the policy folder, and such are not followed", "put the file itself here"
    try:
        kind = os.stat(target).st_mode
    except FileNotFoundError:
        return "this is a link to a file that is not there", "bring the file back, or delete the link"
    except OSError as error:
        return f"the file cannot be read: {_reason(error)}", "give the reader access to it"
    if stat.S_ISDIR(kind):
        return "this is a link to a folder that is read already", "delete the link"
    return None if stat.S_ISREG(kind) else ("this is not a regular file", "put a file here, or delete it")


def _read(
    path: str | Path, name: str, shown_as: str, files: list[SourceFile], problems: list[Problem], root: str | None = None
) -> None:
    """Adds a file, or the problem with it; with a `root`, nothing that lies outside of it is opened."""
    try:
        content = _content(path, root)
    except OSError as error:
        problems.append(_no_access(Path(path), "file", error))
        return
    if len(content) > LARGEST_FILE:
        problems.append(too_large(shown_as))
    else:
        files.append(SourceFile(name, shown_as, content))


def _content(path: str | Path, root: str | None) -> bytes:
    """The bytes of a file, one more than may be at most; raises OSError, too when it is none any more."""
    replaced = OSError(errno.EINVAL, "it was replaced by something else")
    target = os.path.realpath(path, strict=True)
    # What was looked at may have been replaced since, by a link that leads out or by a pipe, which would be waited for.
    if root is not None and not lies_in(target, root):
        raise replaced
    with open(os.open(target, os.O_RDONLY | _OPENED_FOR_READING), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise replaced
        # As much as the file has, for room is made for all that is asked for; and the rest, if it grew meanwhile.
        content = file.read(min(found.st_size, LARGEST_FILE) + 1)
        return content if len(content) <= found.st_size else content + file.read(LARGEST_FILE + 1 - len(content))


def _no_access(path: Path, kind: str, error: OSError) -> Problem:
    return unreadable(shown(path), f"the {kind} cannot be read: {_reason(error)}", "give the reader access to it")


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()


def shown(path: Path) -> str:
    """A path, or several that are joined, as people should see them: relative to the working directory when they lie inside."""
    folders = folders_of(path)
    if len(folders) > 1:
        return os.pathsep.join(map(shown, folders))
    try:
        return Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def _commit_of_all(parts: Iterable[tuple[Path, tuple[SourceFile, ...]]], model: Path) -> Commit | None:
    """The commit of folders that are joined, where they all stand at one."""
    commits = [commit_of(folder, None if number else model, files) for number, (folder, files) in enumerate(parts)]
    known = {commit.id: commit for commit in commits if commit is not None}
    if None in commits or len(known) != 1:
        return None
    return Commit(next(iter(known)), any(commit.dirty for commit in commits if commit is not None))


def commit_of(folder: Path, model: Path | None, files: Iterable[SourceFile]) -> Commit | None:
    """The commit that a folder stands at; None outside a repository, before its first commit, or without git.

    It is dirty when the files that were read are not those of the commit, byte for byte, whatever git's index says.
    """
    try:
        with GitRepository.containing(folder) as repository:
            place = repository.tree_path_or_none(folder)
            model_place = None if model is None else repository.tree_path_or_none(model)
            return None if place is None else _compared(repository, place, model_place, files)
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
