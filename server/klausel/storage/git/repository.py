"""A git repository as history to read from: commits, folders as of a commit, who wrote a line. Nothing is ever checked out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import Self

from klausel.core.loading.load import SourceFile
from klausel.core.terms.moment import moment_text, read_moment
from klausel.core.terms.problem import Problem, nearest_name
from klausel.storage import file_rules
from klausel.storage.git.git_program import CONFIGURATION, allowing_bare, git_environment, output_of, running
from klausel.storage.git.objects import (
    LARGEST_OBJECT,
    GitCommit,
    GitError,
    ObjectReader,
    TreeEntry,
    printable,
    read_commit,
    read_tree,
)

MOST_FILES = 20_000
MOST_COMMITS = 10_000
MOST_NAMES = 10_000
MOST_REMEMBERED_BYTES = 64 * 1024 * 1024

_FROM_THE_REFLOG = re.compile(r"@\{(?!(?:u|upstream|push)\})", re.IGNORECASE)
_FOLLOWED = re.compile(r"@\{(?:u|upstream|push)\}", re.IGNORECASE)


class GitRepository:
    """One repository, found by a path in it; `work_tree` is None for a bare one. Safe to share between threads.

    Paths in its trees are texts with `/`, from the root of the repository; the empty text is the root itself.
    """

    def __init__(self, git_dir: Path, work_tree: Path | None) -> None:
        self.git_dir = git_dir
        self.work_tree = work_tree
        self._environment = git_environment()
        self._command = ["git", f"--git-dir={git_dir}", *CONFIGURATION]
        self._objects = ObjectReader(self._command, self._environment)
        self._commits: dict[str, GitCommit] = {}
        self._trees: dict[str, tuple[TreeEntry, ...]] = {}
        self._blobs: dict[str, bytes] = {}
        self._remembered_bytes = 0

    @classmethod
    def containing(cls, path: Path) -> GitRepository:
        """The repository that a path lies in, or that it is; the path itself need not exist.

        Raises `GitError` where there is none, where it belongs to somebody else, and without git.
        """
        where = path.resolve()
        while not os.path.isdir(where) and where != where.parent:
            where = where.parent
        command = ["git", "-C", str(where), *CONFIGURATION, *allowing_bare(where), "rev-parse"]
        environment = git_environment()
        try:
            answer = output_of([*command, "--is-inside-work-tree", "--absolute-git-dir"], environment)
        except GitError as error:
            raise GitError(f"{path}: {error}") from error
        has_work_tree, _, git_dir = answer.removesuffix("\n").partition("\n")
        if has_work_tree != "true":
            return cls(Path(git_dir), None)
        work_tree = output_of([*command, "--show-toplevel"], environment).removesuffix("\n")
        return cls(Path(git_dir), Path(work_tree))

    @classmethod
    def objects_of(cls, path: Path) -> GitRepository:
        """The repository that a folder lies in, read as if it were bare: places are named by their paths in its trees.

        Raises `GitError` like `containing`, and where there is no such folder: a slip in its name must not find the
        repository around it.
        """
        if not path.is_dir():
            raise GitError(f"{path}: there is no git repository, and no such folder")
        return cls(cls.containing(path).git_dir, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process of git that reads objects."""
        self._objects.close()

    def _output(self, *arguments: str) -> str:
        """What a command of git says about the repository; raises `GitError`."""
        return output_of([*self._command, *arguments], self._environment, cwd=self.git_dir)

    def tree_path(self, path: Path) -> str:
        """The path of a file or folder in the trees of the repository; raises `GitError` for one outside its work tree."""
        found = self.tree_path_or_none(path)
        if found is None:
            raise GitError(f"{path} does not lie in the work tree of the repository {self.work_tree or self.git_dir}")
        return found

    def tree_path_or_none(self, path: Path) -> str | None:
        """The path of a file or folder in the trees of the repository; None for one outside its work tree."""
        if self.work_tree is None:
            return None
        try:
            inside = path.resolve().relative_to(self.work_tree.resolve())
        except ValueError:
            return None
        return "" if inside == Path() else inside.as_posix()

    def shown(self, tree_path: str) -> str:
        """A path of a tree as people see it in the work tree; as it is where there is none."""
        if self.work_tree is None:
            return tree_path
        path = os.path.join(self.work_tree, tree_path)
        here = os.path.join(os.getcwd(), "")
        return path.removeprefix(here)

    def branch(self) -> str | None:
        """The branch that others start from: that of origin, else the one that is checked out; None where there is none."""
        for reference in ("refs/remotes/origin/HEAD", "HEAD"):
            try:
                found = self._output("symbolic-ref", "--quiet", reference).strip()
            except GitError:
                continue
            return found.removeprefix("refs/remotes/origin/").removeprefix("refs/heads/")
        return None

    def commit(self, revision: str) -> GitCommit:
        """The commit that a revision names (`HEAD~2`, a branch, a tag, an id); raises `GitError` when it names none.

        A date or a time, alone or behind a revision (`2026-03-01`, `main@2026-03-01T12:00`), names what was in force on that
        branch, or on HEAD, at that moment. Words that git answers from the reflog are refused: a clone has its own, which says
        nothing about the branch.
        """
        if _FROM_THE_REFLOG.search(revision):
            message = f'"{printable(revision)}" asks the reflog of this clone, which does not know what the branch was then'
            raise GitError(f"{message}; name a commit, a tag or a branch")
        known = self._commits.get(revision)
        if known is not None:
            return known
        of_moment = self._in_force(revision)
        if of_moment is not None:
            return of_moment
        # What follows `:/` is all of it text that git looks for in messages, and finds only commits.
        try:
            found = self._objects.read(revision if revision.startswith(":/") else f"{revision}^{{commit}}")
        except GitError as error:
            if not _FOLLOWED.search(revision):
                raise
            # Here git ends with an error, where for any other name it says that there is none.
            message = f'"{printable(revision)}" names what a branch follows in another repository, and it follows nothing'
            raise GitError(f"{message}; name a commit, a tag or a branch, such as origin/main") from error
        if found is None or found.kind != "commit" or found.content is None:
            raise GitError(self._unknown(revision))
        if len(self._commits) >= MOST_COMMITS:
            self._commits.clear()
        commit = self._commits[found.id] = read_commit(found.id, found.content)
        return commit

    def _in_force(self, revision: str) -> GitCommit | None:
        """The commit that a revision with a moment names; None for a revision without one."""
        branch, _, written = revision.rpartition("@")
        try:
            moment = read_moment(written)
        except ValueError:
            return None
        if self._objects.read(revision, largest=0) is not None:
            name = printable(revision)
            raise GitError(f'"{name}" is a moment and the name of a tag or branch; write refs/tags/{name}, or HEAD@{name}')
        branch = branch or "HEAD"
        found = None
        line = self._main_line(branch)
        for commit, made in line:
            # What stands on top of a commit came after it, whatever the clock of its machine said.
            if made > moment:
                break
            found = commit
        if found is None:
            is_cut = bool(self.commit(line[0][0]).parents)
            why = (
                "this clone begins later; git fetch --unshallow brings the rest" if is_cut else "its first commit is younger"
            )
            raise GitError(f"nothing was in force on {printable(branch)} at {moment_text(moment)}: {why}")
        return self.commit(found)

    def _main_line(self, branch: str) -> list[tuple[str, int]]:
        """The commits of a main line, the oldest first, each with when it was made, in microseconds since 1970."""
        options = ["rev-list", "--first-parent", "--reverse", "--format=%H %ct", self.commit(branch).id, "--"]
        text = self._output(*options)
        lines = (line.split(" ") for line in text.splitlines() if not line.startswith("commit "))
        return [(commit, int(seconds) * 1_000_000) for commit, seconds in lines]

    def doubt_about(self, revision: str) -> str:
        """Why what a revision with a moment names may be wrong, by the dates of commits; empty where nothing says so."""
        branch, _, written = revision.rpartition("@")
        moment = read_moment(written)
        later = list(dropwhile(lambda one: one[1] <= moment, self._main_line(branch or "HEAD")))
        older = next((commit for commit, made in later if made <= moment), None)
        if older is None:
            return ""
        next_one, dated = later[0]
        return (
            f"commit {next_one[:12]} on top of it is dated {moment_text(dated)}, and {older[:12]} on top of that before the "
            "moment, so the clock of one was wrong; if it was that of the first, name the commit that was in force"
        )

    @property
    def is_shallow(self) -> bool:
        """Whether this clone lacks the older part of its history."""
        return self._output("rev-parse", "--is-shallow-repository").strip() == "true"

    def first_parent(self, commit: GitCommit) -> GitCommit | None:
        """The first parent of a commit; None for the first commit, and where a shallow clone ends."""
        for parent in commit.parents[:1]:
            if parent in self._commits or self._objects.read(parent, largest=0) is not None:
                return self.commit(parent)
        return None

    def _unknown(self, revision: str) -> str:
        message = f'git knows no commit "{printable(revision)}"'
        if not revision or "\n" in revision or revision.startswith("-"):
            return message
        formats = ["for-each-ref", "--format=%(refname:short)", f"--count={MOST_NAMES}"]
        names = self._output(*formats, "refs/heads", "refs/tags", "refs/remotes").split()
        if not names and self._objects.read("HEAD") is None:
            return f"{message}: the repository has no commits yet"
        there = self._objects.read(revision, largest=0)
        if there is not None:
            what = "a tag of something that is no commit" if there.kind == "tag" else f"a {there.kind}"
            return f"{message}: it is {what}; name a branch, a tag, or a commit"
        if revision in names:
            return f"{message}: there is such a ref, but the commit that it names is not there; git fsck says more"
        near = nearest_name(revision, names)
        hint = f'did you mean "{near}"?' if near else "name a branch, a tag, or a commit, such as HEAD~1"
        if revision.startswith("origin/") or len(revision) >= 40:
            hint += ("" if near else ".") + " A shallow or old clone may lack it; git fetch brings it"
        return f"{message}; {hint}"

    def entry(self, commit: GitCommit, path: str) -> TreeEntry | None:
        """What stands at a path in the tree of a commit; None for nothing."""
        found = TreeEntry("", "folder", commit.tree)
        for part in PurePosixPath(path).parts:
            if found.kind != "folder":
                return None
            here = next((entry for entry in self._tree(found.id) if entry.name == part), None)
            if here is None:
                return None
            found = here
        return found

    def _tree(self, id: str) -> tuple[TreeEntry, ...]:
        known = self._trees.get(id)
        if known is None:
            content = self._content(id, "tree", LARGEST_OBJECT)
            if content is None:
                raise GitError(f"tree {id} of the repository is larger than {LARGEST_OBJECT} bytes")
            known = self._trees[id] = tuple(read_tree(content, len(id) // 2))
        return known

    def _blob(self, id: str) -> bytes | None:
        """The bytes of a file; None when it is too large for a policy set."""
        content = self._blobs.get(id)
        if content is None:
            content = self._content(id, "blob", file_rules.LARGEST_FILE)
            if content is not None:
                self._blobs[id] = content
        return content

    def _content(self, id: str, kind: str, largest: int) -> bytes | None:
        found = self._objects.read(id, largest)
        if found is None or found.kind != kind:
            raise GitError(f"the repository lacks the {kind} {id}: it is damaged, or a clone of a part")
        self._remembered_bytes += found.size
        if self._remembered_bytes > MOST_REMEMBERED_BYTES:
            self._trees.clear()
            self._blobs.clear()
            self._remembered_bytes = found.size
        return found.content

    def files_at(self, commit: GitCommit, folder: str) -> tuple[list[SourceFile], list[Problem]]:
        """The files of a policy set in a folder of a commit, sorted, and a problem for each without a meaning there.

        The rules are those of `policy_files.read_files`, and links are followed nowhere. Raises `GitError` when the
        commit has no such folder.
        """
        root = self.entry(commit, folder)
        if root is None or root.kind != "folder":
            raise GitError(f"commit {commit.id[:12]} has no folder {folder or '.'}")
        files: list[SourceFile] = []
        problems: list[Problem] = []
        place = self.shown(f"{folder}/" if folder else "")
        for name, entry in self._everything_below(root):
            shown_as = place + name
            fault = file_rules.problem_of_name(name, shown_as) if entry.kind == "file" else None
            if fault is None:
                self._read(name, shown_as, entry, files, problems)
            else:
                problems.append(fault)
        return files, problems

    def file_at(self, commit: GitCommit, path: str) -> tuple[bytes | None, Problem | None]:
        """The bytes of one file in a commit, or the problem with it; neither where there is none."""
        entry = self.entry(commit, path)
        if entry is None:
            return None, None
        files: list[SourceFile] = []
        problems: list[Problem] = []
        self._read(path, self.shown(path), entry, files, problems)
        return (files[0].content, None) if files else (None, problems[0])

    def _everything_below(self, root: TreeEntry) -> list[tuple[str, TreeEntry]]:
        """All that is no folder and is not passed over, by its name in the folder, sorted."""
        found = self._walk(root, lambda name: not file_rules.is_passed_over(name + "/"))
        named = [one for one in found if one[1].kind != "folder" and not file_rules.is_passed_over(one[0])]
        return sorted(named, key=lambda one: one[0].split("/"))

    def inside(self, folder: TreeEntry) -> tuple[TreeEntry, ...]:
        """What stands in a folder, sorted as git does."""
        return self._tree(folder.id)

    def everything_in(self, commit: GitCommit) -> Iterator[tuple[str, TreeEntry]]:
        """Every file and folder of a commit with its path, a folder before what is in it."""
        return self._walk(TreeEntry("", "folder", commit.tree), lambda name: True)

    def _walk(self, root: TreeEntry, enters: Callable[[str], bool]) -> Iterator[tuple[str, TreeEntry]]:
        waiting = [("", root)]
        seen = 0
        while waiting:
            place, folder = waiting.pop()
            for entry in self._tree(folder.id):
                seen += 1
                if seen > MOST_FILES:
                    raise GitError(f"there are more than {MOST_FILES} files, too many for a policy set")
                name = place + entry.name
                yield name, entry
                if entry.kind == "folder" and enters(name):
                    waiting.append((name + "/", entry))

    def _read(self, name: str, shown_as: str, entry: TreeEntry, files: list[SourceFile], problems: list[Problem]) -> None:
        if entry.kind != "file":
            what = {"link": "a link", "submodule": "another repository", "folder": "a folder"}[entry.kind]
            hint = "put the file itself here, or delete it"
            problems.append(file_rules.unreadable(shown_as, f"this is {what}, and a commit is read without it", hint))
            return
        content = self._blob(entry.id)
        if content is None:
            problems.append(file_rules.too_large(shown_as))
        else:
            files.append(SourceFile(name, shown_as, content))

    def history(self, commit: GitCommit, paths: Sequence[str], first_parent: bool = False) -> Iterator[GitCommit]:
        """The commits up to this one that changed something under these paths, newest first; all, where there are none."""
        options = ["rev-list", "--date-order", *(["--first-parent"] if first_parent else []), commit.id, "--", *paths]
        with running([*self._command, *options], self._environment, cwd=self.git_dir) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    yield self.commit(line.decode("ascii").strip())
            except GeneratorExit:
                process.kill()
                raise
        if process.returncode != 0:
            raise GitError(f"git cannot walk the history of {commit.id[:12]}: it is damaged, or a clone of a part")

    def merges_that_brought(self, tip: GitCommit) -> dict[str, str]:
        """For each commit below a tip that is not on its main line, the merge of the main line that brought it in."""
        options = ["rev-list", "--topo-order", "--parents", tip.id, "--"]
        text = self._output(*options)
        parents = {commit: before for commit, *before in map(str.split, text.splitlines())}
        main: list[str] = []
        here: str | None = tip.id
        while here in parents:
            main.append(here)
            here = next(iter(parents[here]), None)
        known = set(main)
        brought: dict[str, str] = {}
        for merge in reversed(main):
            waiting = parents[merge][1:]
            while waiting:
                commit = waiting.pop()
                if commit in parents and commit not in known:
                    known.add(commit)
                    brought[commit] = merge
                    waiting += parents[commit]
        return brought

    def is_newer(self, one: GitCommit, other: GitCommit) -> bool:
        """Whether a commit was made after another; of two in the same second, the one that builds on the other."""
        if one.id == other.id or one.committed.timestamp() != other.committed.timestamp():
            return one.committed.timestamp() > other.committed.timestamp()
        return self._output("rev-list", "--count", "--ancestry-path", f"{other.id}..{one.id}", "--").strip() != "0"

    def blame(self, commit: GitCommit, path: str) -> list[str]:
        """For each line of a file in a commit, the id of the commit that wrote it, through renames of the file."""
        return self._blamed(len(commit.id), commit.id, "--", path)

    def last_with_each_line(self, before: GitCommit, after: GitCommit, path: str) -> list[str]:
        """For each line of a file in a commit, the last commit on the way to a later one that still has it.

        Raises `GitError` where the one does not lead to the other.
        """
        return self._blamed(len(before.id), "--reverse", f"{before.id}..{after.id}", "--", path)

    def _blamed(self, id_length: int, *arguments: str) -> list[str]:
        text = self._output("blame", "--porcelain", "--no-textconv", "--ignore-revs-file=", *arguments)
        heads = (line.split(" ") for line in text.split("\n"))
        return [head[0] for head in heads if len(head[0]) == id_length and len(head) in (3, 4)]

    def next_change(self, last: str, tip: GitCommit, path: str) -> GitCommit | None:
        """The first commit after one, on the way to a tip, that changed a file; None where it moved it, or none did."""
        options = ["rev-list", "--reverse", "--topo-order", "--ancestry-path", f"{last}..{tip.id}", "--", path]
        found = self._output(*options).split()
        if not found:
            return None
        moved = ["diff-tree", "-r", "-M", "--diff-filter=R", "--name-only", "-z", "--root", f"{found[0]}^1", found[0]]
        if self.entry(self.commit(found[0]), path) is None:
            now = set(self._output(*moved).split("\0")) - {""}
            if now:
                return None
        return self.commit(found[0])
