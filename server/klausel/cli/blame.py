"""The command `blame`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import pairwise
from pathlib import Path

import click

from klausel.cli.completion import complete_action, complete_type
from klausel.cli.formats import format_option
from klausel.cli.options import at_option, check_declared, exits_on_problems, open_history, say_commit_at, with_note_on
from klausel.cli.output import say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.other_model import note_on
from klausel.core.difference.provenance import Cause, Permission, permissions
from klausel.core.loading.load import load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX
from klausel.service.pipeline import other_model_of
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.git.line_history import LineHistory
from klausel.storage.git.objects import GitCommit, commit_as_json
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import model_beside, read_at, read_folder
from klausel.storage.policy_files.git_source import git_address


@dataclass(frozen=True, slots=True)
class _Written:
    """One cause of a permission, with the commit of each of its lines; None for a line that is not committed.

    `newest` is the line that was changed last, the first of several, with its commit.
    """

    cause: Cause
    commits: tuple[GitCommit | None, ...]

    newest: tuple[int, GitCommit | None]


_Found = list[tuple[Permission, list[_Written]]]


@dataclass(frozen=True, slots=True)
class _Blamed:
    """Who may do an action to a type by which lines, the commits of these, newest first, and the roles that no grant reaches."""

    resource_type: str
    action: str
    found: _Found
    commits: list[GitCommit]
    without: list[str]
    other_model: str | None


def _write_table(blamed: _Blamed) -> None:
    if blamed.other_model is not None:
        say(note_on(blamed.other_model))
    say_lines(_lines(blamed.found, blamed.commits))
    if blamed.without:
        say(f"no grant: {', '.join(blamed.without)}")


def _write_json(blamed: _Blamed) -> None:
    answer: dict[str, object] = {
        "resource_type": blamed.resource_type,
        "action": blamed.action,
        "permissions": [_as_json(permission, causes) for permission, causes in blamed.found],
        "without": blamed.without,
    }
    say_json(with_note_on(blamed.other_model, answer), indent=2)


@click.command("blame")
@click.argument("resource_type", metavar="TYPE", shell_complete=complete_type)
@click.argument("action", shell_complete=complete_action)
@at_option
@policies_option
@format_option({"table": _write_table, "json": _write_json})
def blame(resource_type: str, action: str, at: str | None, policies: Path, write: Callable[[_Blamed], None]) -> None:
    """Say for each role which lines let it do ACTION to a TYPE, and who wrote them when.

    Shown are the grant, each link of inheritance that leads to it, and each named condition that it uses, with the
    commit that changed it last.

    \b
    Examples:
      klausel blame quiz edit
      klausel blame quiz edit --at HEAD~20 --format json
    """
    with exits_on_problems(policies, at):
        write(_blame(resource_type, action, policies, at))


def _blame(resource_type: str, action: str, policies: Path, at: str | None) -> _Blamed:
    repository, commit, folder = open_history(policies, at)
    say_commit_at(policies, at, commit.id)
    with closing(repository):
        if at is None and git_address(str(policies)) is None:
            found = read_folder(policies, model_beside(policies, None))
            lines = LineHistory(repository, None)
        else:
            found = read_at(repository, commit.id, folder)
            lines = LineHistory(repository, commit)
        files = [file for file in found.files if file.name != MODEL_NAME]
        policy = load_policy(files, found.problems).or_raise()
        check_declared(policy, resource_type, action, tells_all=True)
        told = [
            (one, [_written(repository, lines, cause) for cause in one.causes])
            for one in permissions(policy, files, resource_type, action)
        ]
        commits = _newest_first(repository, told)
        return _Blamed(resource_type, action, told, commits, _without(policy, told), other_model_of(found))


def _newest_first(repository: GitRepository, found: _Found) -> list[GitCommit]:
    """The commits that are shown, each once."""
    commits = {
        commit.id: commit
        for _, causes in found
        for written in causes
        for commit in [written.newest[1]]
        if commit is not None
    }

    def order(one: GitCommit, other: GitCommit) -> int:
        return -1 if repository.is_newer(one, other) else 1

    return sorted(commits.values(), key=cmp_to_key(order))


def _written(repository: GitRepository, lines: LineHistory, cause: Cause) -> _Written:
    pairs = [(line, lines.writer_of_line(cause.file, line)) for line in cause.lines]
    newest = pairs[0]
    for pair in pairs[1:]:
        if newest[1] is not None and (pair[1] is None or repository.is_newer(pair[1], newest[1])):
            newest = pair
    return _Written(cause, tuple(commit for _, commit in pairs), newest)


def _without(policy: PolicySet, found: _Found) -> list[str]:
    """The roles that no grant reaches, in the order of the file."""
    reached = {permission.holder for permission, _ in found}
    return [name for name in policy.roles.roles if name not in reached]


def _lines(found: _Found, commits: list[GitCommit]) -> Iterator[str]:
    """A heading for each role and grant, with its causes under it; then every commit once."""
    rows = {
        (written.cause, written.newest): (written.cause.what, f"{written.cause.file}:{written.newest[0]}")
        for _, causes in found
        for written in causes
    }
    widths = [max((len(row[column]) for row in rows.values()), default=0) for column in (0, 1)]
    for permission, causes in found:
        yield f"{permission.holder}{_through(permission)}: {permission.grant}"
        for written in causes:
            what, place = rows[written.cause, written.newest]
            yield f"  {what:<{widths[0]}}  {place:<{widths[1]}}  {_commit(written.newest[1])}"
    for commit in commits:
        yield f"{commit.id[:12]}: {commit.subject}"


def _through(permission: Permission) -> str:
    """The roles between a role and the grantee, which is among them; a role's own `any` form leads nowhere else."""
    names = [
        inner
        for outer, inner in pairwise(permission.chain)
        if inner.removeprefix(ANY_PREFIX) != outer.removeprefix(ANY_PREFIX)
    ]
    return f" (through {', '.join(names)})" if names else ""


def _commit(commit: GitCommit | None) -> str:
    return f"{commit.id[:12]}  {commit.date:%Y-%m-%d}  {commit.author}" if commit else "not committed"


def _as_json(permission: Permission, causes: list[_Written]) -> dict[str, object]:
    grant = permission.grant
    return {
        "holder": permission.holder,
        "chain": permission.chain,
        "effect": grant.effect,
        "grant": str(grant),
        "condition": grant.condition_text or None,
        "source": grant.source,
        "because": grant.because or None,
        "causes": [
            {
                "what": written.cause.what,
                "file": written.cause.file,
                "lines": [
                    {"line": line, "commit": commit and commit_as_json(commit)}
                    for line, commit in zip(written.cause.lines, written.commits, strict=True)
                ],
            }
            for written in causes
        ],
    }
