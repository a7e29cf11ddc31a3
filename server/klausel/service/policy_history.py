"""The policy set through the commits of a repository: what each commit made of it, read from the object store."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from klausel.casbin_policies.model_shape import model_meaning, problems_in_model
from klausel.core.difference.commit_changes import CommitChanges, Topic, changes_of_commit
from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import files_digest, is_test_file, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import Problem
from klausel.core.text.decoding import decode
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.git.moved_folder import folder_at, former_folder
from klausel.storage.git.objects import GitCommit, GitError, TreeEntry
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import folders_of, read_at
from klausel.storage.policy_files.git_source import git_address

MOST_EDITIONS = 256
"""Policy sets kept at a time; commits with equal files share one."""


def open_history(policies: str, at: str | None = None) -> tuple[GitRepository, GitCommit, str]:
    """The repository that policies lie in, the commit that is meant, and their folder in its trees.

    Without `at` that is HEAD, or the commit that the address of the policies names. Raises `GitError`, also for policies in
    several folders; whoever calls closes the repository.
    """
    address = git_address(policies)
    if address is not None:
        repository = GitRepository.objects_of(address.repository)
        commit, folder = repository.commit(address.revision), address.folder
    else:
        if len(folders_of(Path(policies))) > 1:
            raise GitError("the policies are in several folders, which have no history in common")
        repository = GitRepository.containing(Path(policies))
        commit, folder = repository.commit(at or "HEAD"), repository.tree_path(Path(policies))
    return repository, commit, folder_at(repository, commit, folder)


def commit_with(files: str, policies: str, model: Path | None = None) -> str | None:
    """The newest commit up to the one that is checked out whose policies have this digest of their files; None for none.

    Raises `GitError` as `open_history` does.
    """
    repository, tip, folder = open_history(policies)
    with repository:
        for commit, name in PolicyHistory(repository, folder).commits(tip):
            if repository.entry(commit, name) is not None:
                found = read_at(repository, commit, name, model).files
                if files_digest((one.key, one.content) for one in found if not is_test_file(one.name)) == files:
                    return commit.id
    return None


def is_cut_off(policies: str) -> bool:
    """Whether the repository that policies lie in lacks the older part of its history, as a shallow clone does."""
    repository, _, _ = open_history(policies)
    with repository:
        return repository.is_shallow


@dataclass(frozen=True, slots=True)
class Edition:
    """The policy set as it stood at some commits with equal files.

    `policy` is None where the files have an error among their `problems`; `model` is what the model means, None where there
    is no good one.
    """

    policy: PolicySet | None
    problems: tuple[Problem, ...]
    model: object


@dataclass(frozen=True, slots=True)
class Step:
    """What one commit made of the policies; compared with the last good edition on the way through first parents.

    `before` is None where there was none, `after` where there is none any more. `skipped` counts the broken editions passed
    over on the way back. `is_cut` where a shallow clone ends, so that nobody knows what was before.
    """

    commit: GitCommit
    before: Edition | None
    after: Edition | None
    skipped: int
    is_cut: bool = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those of a commit whose policies do not load; none of one that loads, whatever its warnings."""
        return self.after.problems if self.after is not None and self.after.policy is None else ()

    @property
    def has_other_model(self) -> bool:
        """Whether the model means something else now, where the policies load."""
        if self.problems or self.before is None or self.after is None:
            return False
        return self.before.model != self.after.model

    def changes(self, topic: Topic) -> CommitChanges:
        """What it changed of what is asked about; nothing where its policies do not load."""
        if self.problems:
            return CommitChanges()
        before, after = (None if side is None else side.policy for side in (self.before, self.after))
        return changes_of_commit(before, after, self.commit.id, topic)


class PolicyHistory:
    """Reads the editions of the policy set in one folder; a folder that was renamed is followed. Equal files are read once."""

    def __init__(self, repository: GitRepository, folder: str, cache: LoadCache | None = None) -> None:
        """`cache` may be that of others who load the same policies."""
        self._repository = repository
        self._folder = folder
        self._cache = cache or LoadCache()
        self._editions: OrderedDict[tuple[str, str, str | None], Edition] = OrderedDict()
        self._read_model = lru_cache(_read_model)

    def commits(self, start: GitCommit, first_parent: bool = False) -> list[tuple[GitCommit, str]]:
        """The commits that touched the policies or their model, newest first, with the name of the folder at each.

        With `first_parent` those of the main line alone: a merge stands for all that it brought.
        """
        found: list[tuple[GitCommit, str]] = []
        seen: set[str] = set()
        waiting = [(start, self._folder)]
        while waiting:
            newest, folder = waiting.pop(0)
            for commit in self._repository.history(newest, _paths(folder), first_parent):
                if commit.id in seen or not self._is_about(commit, folder):
                    continue
                seen.add(commit.id)
                found.append((commit, folder))
                former = former_folder(self._repository, commit, folder)
                if former is not None:
                    waiting.append(former)
        return found

    def _is_about(self, commit: GitCommit, folder: str) -> bool:
        """Whether the folder has this name in a commit or in its first parent; else only another model was touched."""
        near = (commit, self._repository.first_parent(commit))
        return any(one is not None and self._repository.entry(one, folder) is not None for one in near)

    def step(self, commit: GitCommit, folder: str) -> Step:
        """What a commit made of the policies."""
        after = self.edition(commit, folder)
        skipped = 0
        before = None
        here, name = commit, folder
        while True:
            former = former_folder(self._repository, here, name)
            parent = former[0] if former else self._repository.first_parent(here)
            if parent is None:
                break
            name = former[1] if former else name
            before = self.edition(parent, name)
            if before is None or before.policy is not None:
                break
            here, before = parent, None
            skipped += 1
        return Step(commit, before, after, skipped, is_cut=parent is None and bool(here.parents))

    def edition(self, commit: GitCommit, folder: str) -> Edition | None:
        """The policy set as it stood at a commit; None where the folder was not there."""
        root = self._repository.entry(commit, folder)
        if root is None or root.kind != "folder":
            return None
        model = next(filter(None, (self._repository.entry(commit, name) for name in _models(folder))), None)
        key = (folder, root.id, None if model is None else model.id)
        edition = self._editions.get(key)
        if edition is None:
            edition = self._editions[key] = self._read(commit, folder, model)
            if len(self._editions) > MOST_EDITIONS:
                self._editions.popitem(last=False)
        else:
            self._editions.move_to_end(key)
        return edition

    def _read(self, commit: GitCommit, folder: str, model: TreeEntry | None) -> Edition:
        files, problems = self._repository.files_at(commit, folder)
        meaning = None
        for name in _models(folder):
            content, problem = self._repository.file_at(commit, name)
            if problem is not None:
                problems.append(problem)
            if content is not None:
                meaning, faults = self._read_model(content, self._repository.shown(name))
                problems += faults
            if content is not None or problem is not None:
                break
        result = load_policy((file for file in files if not is_test_file(file.name)), problems, self._cache)
        return Edition(result.policy, result.problems, meaning)


def _models(folder: str) -> list[str]:
    """Where the model may stand: beside the folder, else at the root."""
    return list(dict.fromkeys((str(PurePosixPath(folder).parent / MODEL_NAME), MODEL_NAME)))


def _paths(folder: str) -> list[str]:
    return [folder, *_models(folder)] if folder else []


def _read_model(content: bytes, shown_as: str) -> tuple[object, tuple[Problem, ...]]:
    text, problems = decode(content, shown_as)
    if text is not None and not problems:
        problems = problems_in_model(text, shown_as)
    return (None if problems or text is None else model_meaning(text)), tuple(problems)
