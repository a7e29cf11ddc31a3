"""Running git as a program: it only reads, reads what it is told to, runs nothing that a repository names, and ends in time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from klausel.storage.git.objects import NO_GIT, GitError, printable

GIT_SECONDS = 60

# What an environment (of a hook, say) would otherwise choose in place of the folder that was named.
_NOT_PASSED_ON = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"),
    *("GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
}
# Reading writes nothing, fetches nothing, asks nobody and sees the objects as they are.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_PAGER": "cat",
}
# The configuration of a repository may name programs to run.
CONFIGURATION = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "log.showSignature=false"),
)


def git_environment() -> dict[str, str]:
    """The environment in which git only reads, and reads what it is told to."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON} | _ENVIRONMENT


def allowing_bare(where: Path) -> tuple[str, ...]:
    """Who names a bare repository itself means it, also where git looks into no bare repository that it comes across."""
    is_bare = (where / "HEAD").is_file() and (where / "objects").is_dir() and (where / "refs").is_dir()
    return ("-c", "safe.bareRepository=all") if is_bare else ()


def running(command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Git while it prints, for what is too much to wait for; raises `GitError` where there is none."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=cwd,
        )
    except OSError as error:
        raise GitError(NO_GIT) from error


def output_of(command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None) -> str:
    """What git prints; raises `GitError` with git's own words when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=GIT_SECONDS, env=environment, cwd=cwd, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise GitError(NO_GIT) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError(f"git failed: {error}") from error
    if done.returncode != 0:
        raise GitError(_reason(done.stderr.decode("utf-8", "replace")))
    return done.stdout.decode("utf-8", "surrogateescape")


def _reason(complaint: str) -> str:
    """Why git refused, in one sentence: its own first line, or ours where that one does not help."""
    if "dubious ownership" in complaint:
        return (
            "the repository belongs to somebody else, so git does not read it; if you trust it: "
            "git config --global --add safe.directory PATH"
        )
    if "not a git repository" in complaint:
        return "there is no git repository"
    lines = [line for line in complaint.splitlines() if line.strip()]
    return "git failed: " + (printable(lines[0].removeprefix("fatal: ")) if lines else "it does not say why")
