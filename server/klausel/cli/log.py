"""The command `log`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import click
from tqdm import tqdm

from klausel.cli.completion import complete_action, complete_role, complete_type
from klausel.cli.formats import format_option
from klausel.cli.moments import moment_of
from klausel.cli.options import at_option, exits_on_problems, open_history
from klausel.cli.output import say, say_json, say_lines, say_painted
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.table import Sheet, as_html, csv_line
from klausel.core.difference.commit_changes import CommitChanges, Topic, changes_of_commit
from klausel.core.difference.formats import as_text
from klausel.core.terms.problem import Problem
from klausel.service.policy_history import PolicyHistory, Step
from klausel.storage.git.objects import GitCommit, commit_as_json

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_COLOURS = {"+": "green", "-": "red", "±": "yellow"}


@dataclass(frozen=True, slots=True)
class _Told:
    """What one commit changed; or why its files do not load."""

    step: Step
    changes: CommitChanges
    model_changed: bool
    problems: tuple[Problem, ...]
    merged_by: str | None = None

    @property
    def says_nothing(self) -> bool:
        return not (self.changes or self.model_changed or self.problems)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which commits are told, beside what they are about; None for any. Moments in microseconds since 1970."""

    since: int | None
    until: int | None
    author: str | None

    def includes(self, commit: GitCommit) -> bool:
        """Whether a commit was made then, and by whom is asked."""
        made = commit.committed.timestamp() * 1_000_000
        if (self.since is not None and made < self.since) or (self.until is not None and made >= self.until):
            return False
        return self.author is None or self.author.casefold() in f"{commit.author} <{commit.email}>".casefold()


def _write_text(log: Iterator[_Told]) -> None:
    for told in log:
        say_painted(_lines(told))


def _write_json(log: Iterator[_Told]) -> None:
    for told in log:
        say_json(_as_json(told))


def _write_csv(log: Iterator[_Told]) -> None:
    say(csv_line(_COLUMNS))
    for told in log:
        for row in _rows(told):
            say(csv_line(row))


def _write_html(log: Iterator[_Told]) -> None:
    rows = (row for told in log for row in _rows(told))
    say_lines(as_html(Sheet("What the commits changed", (), (), _COLUMNS, [("", rows)], lambda notes: ())))


@click.command("log")
@click.option(
    "--role",
    shell_complete=complete_role,
    help="Only what this role gains or loses; also by `any`, and by what it contains.",
)
@click.option("--type", "resource_type", shell_complete=complete_type, help="Only what concerns this resource type.")
@click.option("--action", shell_complete=complete_action, help="Only what concerns this action.")
@click.option("-n", "--number", type=click.IntRange(1), help="At most so many commits.")
@click.option("--since", callback=moment_of, metavar="MOMENT", help="Only commits made from then on: 2026-03-01.")
@click.option("--until", callback=moment_of, metavar="MOMENT", help="Only commits made before then.")
@click.option("--author", metavar="TEXT", help="Only commits of an author whose name or address holds this.")
@click.option("--first-parent", is_flag=True, help="Only the main line: a merge stands for all that it brought.")
@at_option
@policies_option
@format_option(
    {"text": _write_text, "json": _write_json, "csv": _write_csv, "html": _write_html},
    help="json: one commit a line; csv and html: a row for each change.",
)
def log(
    role: str | None,
    resource_type: str | None,
    action: str | None,
    number: int | None,
    since: int | None,
    until: int | None,
    author: str | None,
    first_parent: bool,
    at: str | None,
    policies: Path,
    write: Callable[[Iterator[_Told]], None],
) -> None:
    """List the commits that changed what the policies mean, newest first, each with its gains and losses.

    Commits that changed nothing in meaning are left out. A commit whose files do not load is shown, and the next good
    one is compared with the last good one before. A merge is compared with its first parent.

    \b
    Examples:
      klausel log -n 5
      klausel log --role lead --type quiz
      klausel log --at v2.0 --format json
      klausel log --since 2026-01-01 --author ann --format csv > changes.csv
    """
    told = _log(policies, at, first_parent, Topic(role, resource_type, action), _Wanted(since, until, author))
    found = count()
    with exits_on_problems(policies, at), closing(told):
        write(one for one, _ in zip(islice(told, number), found, strict=False))
    if not next(found):
        say("klausel: no commit changed anything of this", err=True)


def _log(policies: Path, at: str | None, first_parent: bool, topic: Topic, wanted: _Wanted) -> Generator[_Told]:
    opened, commit, folder = open_history(policies, at)
    with closing(opened) as repository:
        history = PolicyHistory(repository, folder)
        commits = [one for one in history.commits(commit, first_parent) if wanted.includes(one[0])]
        brought = {} if first_parent or not commits else repository.merges_that_brought(commit)
        with _rare_collections(), tqdm(total=len(commits), unit=" commits", leave=False, disable=None) as bar:
            for one, name in commits:
                told = _told(history.step(one, name), topic, brought.get(one.id))
                bar.update()
                if not told.says_nothing:
                    bar.clear()
                    yield told


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Lets the garbage collector look less often: policy sets make many objects, and few circles among them."""
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _told(step: Step, topic: Topic, merged_by: str | None) -> _Told:
    """What a step changed of what is asked about."""
    if step.after is not None and step.after.policy is None:
        return _Told(step, CommitChanges(), False, step.after.problems, merged_by)
    before = None if step.before is None else step.before.policy
    after = None if step.after is None else step.after.policy
    changes = changes_of_commit(before, after, step.commit.id, topic)
    return _Told(step, changes, _has_other_model(step), (), merged_by)


def _has_other_model(step: Step) -> bool:
    return step.before is not None and step.after is not None and step.before.model != step.after.model


def _lines(told: _Told) -> Iterator[str]:
    commit = told.step.commit
    merge = " (merge)" if len(commit.parents) > 1 else ""
    yield f"{commit.id[:12]}  {commit.date:%Y-%m-%d}  {commit.author}  {commit.subject}{merge}"
    if (commit.committer, commit.committer_email) != (commit.author, commit.email):
        yield f"  committed by {commit.committer} on {commit.committed:%Y-%m-%d}"
    if told.merged_by is not None:
        yield f"  merged by {told.merged_by[:12]}"
    for key, value in commit.trailers:
        yield f"  {key}: {value}"
    if commit.signature is not None:
        yield f"  signed ({commit.signature}; git verify-commit checks it)"
    errors = [problem for problem in told.problems if problem.severity == "error"]
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        yield f"  ! does not load: {errors[0]}{more}"
    if told.step.skipped:
        yield f"  compared with the last that loads, {told.step.skipped + 1} commits before"
    if told.step.is_cut:
        yield "  the clone ends here: what was there before counts as gained; git fetch --unshallow brings the rest"
    if told.step.after is None:
        yield "  the policies are gone"
    for text in told.changes.removed:
        yield f"  - {text}"
    for text in told.changes.added:
        yield f"  + {text}"
    for rule in told.changes.rules:
        yield f"  ~ {rule}"
    if told.model_changed:
        yield "  ~ the model is another one, so its matcher may decide otherwise"
    if told.changes.report is not None and told.changes.has_changes:
        _, *lines = as_text(told.changes.report, _paint)
        yield from (f"  {line}" for line in lines if line)


_COLUMNS = (
    *("commit", "date", "author", "email", "committer", "trailers", "signature", "merged by", "subject"),
    *("kind", "who", "resource type", "action", "before", "after"),
)


def _rows(told: _Told) -> Iterator[tuple[str, ...]]:
    """A row for each thing that a commit changed, each with all about the commit."""
    commit = told.step.commit
    about = (
        *(commit.id, commit.date.isoformat(), commit.author, commit.email, commit.committer),
        "; ".join(f"{key}: {value}" for key, value in commit.trailers),
        *(commit.signature or "none", told.merged_by or "", commit.subject),
    )
    stated: tuple[tuple[str, Iterable[str]], ...] = (
        ("does not load", [str(one) for one in told.problems if one.severity == "error"]),
        ("removed", told.changes.removed),
        ("added", told.changes.added),
        ("rule", map(str, told.changes.rules)),
    )
    for kind, texts in stated:
        yield from ((*about, kind, "", "", "", "", text) for text in texts)
    if told.model_changed:
        yield (*about, "model", "", "", "", "", "another matcher")
    if told.changes.report is not None:
        for change in told.changes.report.difference.changes:
            kind = "gain and loss" if change.gain and change.loss else "gain" if change.gain else "loss"
            who = ", ".join((*change.who, *change.with_it))
            yield (*about, kind, who, change.resource_type, change.action, change.before.text(), change.after.text())


def _paint(text: str, style: str) -> str:
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=_COLOURS[style])


def _as_json(told: _Told) -> dict[str, object]:
    return {
        "commit": commit_as_json(told.step.commit),
        "parents": told.step.commit.parents,
        "merged_by": told.merged_by,
        "loads": not told.problems,
        "problems": [str(problem) for problem in told.problems],
        "broken_commits_before": told.step.skipped,
        "clone_ends_here": told.step.is_cut,
        "model_changed": told.model_changed,
        **told.changes.as_json(),
    }
