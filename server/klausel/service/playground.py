"""A policy set as somebody edits a copy of it: what may be edited, and what is said of it and at a cursor. Nothing is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from klausel.core.analysis.proof import prove_all
from klausel.core.difference.compare import difference_between
from klausel.core.difference.formats import MOST_SHOWN, rows_for_people
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, as_json
from klausel.core.editing.completion import offers_at
from klausel.core.editing.hover import about_what_stands_at
from klausel.core.editing.mentions import mentions_in
from klausel.core.editing.patch import FileChange, patch_of
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.load import SourceFile
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import PolicyError, Problem, problem_as_json
from klausel.core.testing.gate import failed_tests, problem_of_verdict
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import ReadYaml, read_yaml
from klausel.service.pipeline import check_files, load_files
from klausel.service.policy_history import open_history
from klausel.storage.file_rules import LARGEST_FILE, MODEL_NAME, is_passed_over, problem_of_name
from klausel.storage.git.objects import GitError
from klausel.storage.policy_files.folder import PolicyFiles, folders_of

_NAME = re.compile(r"(?:[\w-][\w .-]*/)*[\w-][\w .-]*")
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
Stage = tuple[str, dict[str, object]]
MOST_OFFERS = 200


class NotEditable(Exception):
    """A file may not be edited, or not so; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Playground:
    """The policy set that copies are made of, and how its copies are judged.

    `read` gives its files as they are now and raises `PolicyError`; `policies` names their folder, and `called` says to people
    what a copy is compared with. `save` writes files as `save_files` does, and is None where nothing is stored.
    """

    read: Callable[[], PolicyFiles]
    policies: str
    called: str
    accepted_models: Collection[str]
    most_steps: int
    save: Callable[[Mapping[str, tuple[bytes | None, bytes | None]]], None] | None = None


def editable_files(found: PolicyFiles) -> dict[str, SourceFile]:
    """The files of a policy set without its model, by their names for people, in their order."""
    return {file.shown_as: file for file in found.files if file.name != MODEL_NAME}


def digest_of(text: str) -> str:
    """By what it is seen that a text is another one than before, whatever its line ends."""
    return sha256(_with_line_feeds(text).encode("utf-8", "surrogatepass")).hexdigest()


def text_of(file: SourceFile) -> str:
    """The text of a file as an editor has it, each line ended by a line feed; raises `NotEditable`."""
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError:
        raise NotEditable(f"{file.shown_as} is not UTF-8, so its text cannot be shown") from None
    if _NO_TEXT.search(text):
        raise NotEditable(f"{file.shown_as} has control characters, which no page can carry")
    return _with_line_feeds(text)


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def new_file(found: PolicyFiles, name: str) -> str:
    """The name for people of a file that is to be made in the first folder; raises `NotEditable`."""
    first = next((file for file in found.files if file.layer == 0 and file.name != MODEL_NAME), None)
    folder = "" if first is None else first.shown_as.removesuffix(first.name)
    name = name.removeprefix(folder) if folder else name
    if not _NAME.fullmatch(name) or is_passed_over(name):
        raise NotEditable(f'"{name}" is no name of a policy file; write one such as features/letters.yaml')
    problem = problem_of_name(name, folder + name)
    if problem is not None:
        raise NotEditable(f'"{name}" cannot be made: {problem.hint}')
    if any(file.shown_as == folder + name for file in found.files):
        raise NotEditable(f"{folder}{name} is there already; open it in the list")
    return folder + name


def with_changes(found: PolicyFiles, changes: Mapping[str, str | None]) -> PolicyFiles:
    """The policy set with other texts in some files, with new files, and without those that are None; raises `NotEditable`.

    A file whose text is the same keeps every byte; a changed one keeps the kind of its line ends.
    """
    files: list[SourceFile | None] = list(found.files)
    places = {file.shown_as: place for place, file in enumerate(found.files) if file.name != MODEL_NAME}
    for shown_as, text in changes.items():
        if text is None:
            if shown_as in places:
                files[places[shown_as]] = None
            continue
        try:
            content = _with_line_feeds(text).encode("utf-8")
        except UnicodeEncodeError:
            raise NotEditable(f"the text of {shown_as} has half a character in it; take it out") from None
        if len(content) > LARGEST_FILE:
            raise NotEditable(f"the text of {shown_as} has more than {LARGEST_FILE} bytes; make several files of it")
        place = places.get(shown_as)
        if place is None:
            made = new_file(found, shown_as)
            if made != shown_as:
                raise NotEditable(f'there is no file "{shown_as}" in this policy set')
            files.append(SourceFile(_name_in_folder(found, made), made, content))
            continue
        file = found.files[place]
        if text_of(file).encode("utf-8") == content:
            continue
        only_pairs = b"\r\n" in file.content and file.content.count(b"\n") == file.content.count(b"\r\n")
        files[place] = replace(file, content=content.replace(b"\n", b"\r\n") if only_pairs else content)
    return replace(found, files=tuple(file for file in files if file is not None))


def _name_in_folder(found: PolicyFiles, shown_as: str) -> str:
    first = next((file for file in found.files if file.layer == 0 and file.name != MODEL_NAME), None)
    return shown_as if first is None else shown_as.removeprefix(first.shown_as.removesuffix(first.name))


class FileEdit(NamedTuple):
    """A file that is another one, new or gone; `before` and `after` are what it holds, None where there is none."""

    file: SourceFile
    before: bytes | None
    after: bytes | None


def changed_files(before: PolicyFiles, after: PolicyFiles) -> list[FileEdit]:
    """Each file that is another one, new or gone, with what it was."""
    old, new = editable_files(before), editable_files(after)
    found = [
        FileEdit(file, None if (was := old.get(name)) is None else was.content, file.content) for name, file in new.items()
    ]
    gone = [FileEdit(file, file.content, None) for name, file in old.items() if name not in new]
    return [one for one in (*found, *gone) if one.before != one.after]


def folders_in_repository(policies: str) -> list[str]:
    """Where the folders of a policy set lie in their repository; their own names where there is none."""
    try:
        repository, _, folder = open_history(policies)
    except GitError:
        return [folder.resolve().name for folder in folders_of(Path(policies))]
    with closing(repository):
        return [folder]


def patch_between(before: PolicyFiles, after: PolicyFiles, folders: list[str]) -> bytes:
    """What changed as a patch; `folders` says where the folder of each layer lies in the repository."""
    return patch_of(
        FileChange(str(PurePosixPath(folders[file.layer]) / file.name), was, now)
        for file, was, now in changed_files(before, after)
    )


def judged(
    before: PolicyFiles, after: PolicyFiles, accepted_models: Collection[str], most_steps: int, called: str
) -> Iterator[Stage]:
    """What is to be said of a copy, one part after the other: problems, policy tests, proofs, and what changes in meaning.

    The last part is `end`. What comes after the problems is said only of a copy without errors.
    """
    problems = check_files(after, accepted_models=accepted_models)
    errors = sum(one.severity == "error" for one in problems)
    yield "problems", {"count": len(problems), "errors": errors, "shown": _shown(problems)}
    if errors:
        yield "end", {}
        return
    loaded = load_files(after, with_tests=True, accepted_models=accepted_models)
    policy = loaded.compiled.policy
    failed = list(failed_tests(policy, loaded.compiled, loaded.tests))
    yield "tests", {"count": len(loaded.tests), "unmet": len(failed), "shown": _shown(failed)}
    yield "invariants", {"count": len(policy.invariants)}
    for verdict in prove_all(policy, most_steps):
        problem = problem_of_verdict(verdict)
        said = "UNKNOWN" if verdict.undecided is not None else "holds" if verdict.holds else "BROKEN"
        yield "proof", {"name": verdict.invariant.name, "verdict": said, "problem": problem and problem_as_json(problem)}
    try:
        live = load_files(before, accepted_models=accepted_models).compiled
    except PolicyError as error:
        first = next(one for one in error.problems if one.severity == "error")
        yield "difference", {"why_not": f"{called} cannot be compared with: {first}"}
    else:
        difference = difference_between(live.policy, policy, most_steps)
        models = (live.other_model, loaded.compiled.other_model)
        report = DifferenceReport(difference, called, "your copy", renames_between(live.policy, policy), models=models)
        yield "difference", {"changes": as_json(report), "shown": rows_for_people(report)}
    yield "end", {}


def _shown(problems: Collection[Problem]) -> list[dict[str, object]]:
    return [problem_as_json(one) for one in list(problems)[:MOST_SHOWN]]


def cursor_told(before: PolicyFiles, after: PolicyFiles, file: str, line: int, column: int, asked: str) -> Any:
    """The `offers` at a cursor, each with what it replaces, or the text `about` the name there; line and column count from 0.

    What cannot be read while somebody types counts as it was before.
    """
    here = editable_files(after).get(file)
    text = None if here is None else decode(here.content, file)[0]
    if here is None or text is None or line > text.count("\n"):
        return [] if asked == "offers" else ""
    old = editable_files(before)
    read = cache(read_yaml)
    files = [one if _is_readable(one, read) else old.get(one.shown_as, one) for one in after.files]
    if asked == "about":
        policy = _policy(after) or _policy(before)
        return about_what_stands_at(policy, mentions_in(files, read), text, here.name, file, line, column)
    found = offers_at(text, here.name, line, column, declared_names(files, read)[0], mentions_in(files, read))
    return [{"text": one.text, "about": one.about, "from": one.start} for one in found[:MOST_OFFERS]]


def _policy(found: PolicyFiles) -> PolicySet | None:
    with suppress(PolicyError):
        return load_files(found).compiled.policy
    return None


def _is_readable(file: SourceFile, read: ReadYaml) -> bool:
    text = decode(file.content, file.shown_as)[0]
    return text is not None and (not file.name.endswith(".yaml") or read(text, file.shown_as)[0] is not None)
