"""The command `log`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path

import click

import klausel
from klausel.cli.completion import complete_action, complete_role, complete_type
from klausel.cli.database_options import database_option
from klausel.cli.formats import format_option
from klausel.cli.log_rows import (
    COLUMNS,
    OTHER_MODEL,
    cells_of,
    for_reading,
    row_for_programs,
    row_for_reading,
    stated,
)
from klausel.cli.moments import moment_of
from klausel.cli.options import accepted_models, at_option, exits_on_problems, open_history, say_commit_at
from klausel.cli.output import painted, say, say_json, say_lines, say_painted
from klausel.cli.people_concerned import people_concerned, people_option
from klausel.cli.policy_folder import policies_option
from klausel.cli.progress import progress
from klausel.cli.refusals import Refusals
from klausel.core.analysis.table import Sheet, as_html, csv_line
from klausel.core.difference.commit_changes import CommitChanges, Topic
from klausel.core.difference.formats import as_text
from klausel.core.loading.cache import LoadCache
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.terms.moment import moment_text
from klausel.core.terms.problem import Problem
from klausel.service.policy_history import PolicyHistory, Step
from klausel.service.rare_collections import rare_collections
from klausel.storage.git.kept_answers import KeptAnswers
from klausel.storage.git.objects import GitCommit, commit_as_json
from klausel.storage.git.repository import GitRepository


@dataclass(frozen=True, slots=True)
class _Changes:
    """What one commit changed, or why its files do not load, as it is told: it is the same whenever it is asked again.

    `text` are lines, `rows` the last cells of rows, `members` those of the JSON object.
    """

    text: list[str]
    rows: list[list[str]]
    members: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Told:
    """One commit, the merge that brought it, and what it changed."""

    commit: GitCommit
    merged_by: str | None
    changes: _Changes


@dataclass(frozen=True, slots=True)
class _Page:
    """What a table needs beside its rows."""

    columns: tuple[str, ...]
    facts: Callable[[], tuple[tuple[str, str], ...]]
    picture: Callable[[], Iterable[str]]


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


def _write_text(log: Iterator[_Told], page: _Page) -> None:
    for told in log:
        say_painted((*_about(told), *told.changes.text))


def _write_json(log: Iterator[_Told], page: _Page) -> None:
    for told in log:
        say_json(_as_json(told))


def _write_csv(log: Iterator[_Told], page: _Page) -> None:
    say(csv_line(page.columns))
    rows = (row_for_programs(one.commit, one.merged_by, cells, page.columns) for one in log for cells in one.changes.rows)
    say_lines(map(csv_line, rows))


def _write_html(log: Iterator[_Told], page: _Page) -> None:
    columns = for_reading(page.columns)
    rows = (row_for_reading(told.commit, told.merged_by, cells, columns) for told in log for cells in told.changes.rows)
    sheet = Sheet(
        *("What the commits changed", page.facts(), (), columns, [("", rows)], lambda notes: ()),
        is_in_full=True,
        picture=page.picture,
        nothing="No commit changed anything of this.",
    )
    say_lines(as_html(sheet))


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
@click.option(
    "--fresh", is_flag=True, help="Work out every commit again, also those whose answers are kept in .git/klausel."
)
@click.option(
    "--weakened", is_flag=True, help="Only commits by which an invariant, or a rule, does not demand all that it did."
)
@click.option("--first-parent", is_flag=True, help="Only the main line: a merge stands for all that it brought.")
@click.option(
    "--check",
    is_flag=True,
    help="Mark the commits that a service would have refused: a policy test fails, or an invariant does not hold. Slower.",
)
@people_option
@at_option
@policies_option
@database_option
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
    weakened: bool,
    fresh: bool,
    first_parent: bool,
    check: bool,
    people: bool,
    at: str | None,
    policies: Path,
    database: str,
    write: Callable[[Iterator[_Told], _Page], None],
) -> None:
    """List the commits that changed what the policies mean, newest first, each with its gains and losses.

    Commits that changed nothing in meaning are left out, but for those that --check marks. A commit whose files do not load is
    shown, and the next good one is compared with the last good one before. A merge is compared with its first parent.

    \b
    Examples:
      klausel log -n 5
      klausel log --role lead --type quiz
      klausel log --at v2.0 --format json
      klausel log --weakened
      klausel log --check --first-parent
      klausel log --since 2026-01-01 --author ann --format csv > changes.csv
    """
    wanted = _Wanted(since, until, author)
    topic = Topic(role, resource_type, action)
    told = _log(policies, at, first_parent, topic, wanted, fresh, check, database if people else None)
    columns = (*COLUMNS, "people") if people else COLUMNS
    which = "those by which a rule demands less" if weakened else "of the main line, merges whole" if first_parent else "all"
    page = _Page(columns, lambda: _facts(policies, at, topic, wanted, which, check), lambda: _roles_at(policies, at))
    found = count()
    with exits_on_problems(policies, at), closing(told):
        chosen = (one for one in told if not weakened or one.changes.members["demands_less"])
        listed = (one for one, _ in zip(islice(chosen, number), found, strict=False))
        write(listed, page)
    if not next(found):
        say("klausel: no commit changed anything of this", err=True)


def _facts(
    policies: Path, at: str | None, topic: Topic, wanted: _Wanted, which: str, check: bool
) -> tuple[tuple[str, str], ...]:
    """What a page is about, for who finds it on paper: which history, and what of it."""
    opened, commit, folder = open_history(policies, at)
    opened.close()
    told = {
        "policies": folder or ".",
        "commits up to": f"{commit.id}, {commit.committed:%Y-%m-%d}",
        "made from": "" if wanted.since is None else moment_text(wanted.since),
        "made before": "" if wanted.until is None else moment_text(wanted.until),
        "author": wanted.author or "",
        "about": ", ".join(filter(None, (topic.role, topic.resource_type, topic.action))),
        "commits": which,
        "checked": "as a service checks them" if check else "no",
    }
    return tuple((name, text) for name, text in told.items() if text)


def _roles_at(policies: Path, at: str | None) -> Iterable[str]:
    """A picture of the roles as of the newest commit; none where its policies do not load."""
    opened, commit, folder = open_history(policies, at)
    with closing(opened) as repository:
        found = PolicyHistory(repository, folder).edition(commit, folder)
    return () if found is None or found.policy is None else as_svg(role_picture(found.policy))


def _log(
    policies: Path,
    at: str | None,
    first_parent: bool,
    topic: Topic,
    wanted: _Wanted,
    fresh: bool,
    check: bool,
    database: str | None,
) -> Generator[_Told]:
    opened, commit, folder = open_history(policies, at)
    say_commit_at(policies, at, commit.id)
    with closing(opened) as repository:
        # A commit is loaded for itself, for the one after it, and to be checked, with others in between.
        cache = LoadCache(loadings=3)
        history = PolicyHistory(repository, folder, cache)
        commits = [one for one in history.commits(commit, first_parent) if wanted.includes(one[0])]
        brought = {} if first_parent or not commits else repository.merges_that_brought(commit)
        bar = progress(total=len(commits), unit=" commits", is_short=False)
        with rare_collections(), ExitStack() as ending, _Kept(repository, topic, fresh) as kept, bar:
            refusals = Refusals(policies, at, repository, commits, kept.refusals_of, cache) if check else None
            if refusals is not None:
                ending.callback(refusals.close)
            for one, name in commits:
                if database is None:
                    changes = _changes_at(history, one, name, topic, kept.of(name))
                else:
                    # Who holds a role today is another answer tomorrow, so nothing of this is kept.
                    changes = _changes(history.step(one, name), topic, database)
                if refusals is not None:
                    changes = _with_refusal(changes, refusals.of(one, name))
                bar.update()
                if changes is not None:
                    bar.clear()
                    yield _Told(one, brought.get(one.id), changes)


class _Kept:
    """What was told of commits before, by the folder that they had the policies in."""

    def __init__(self, repository: GitRepository, topic: Topic, fresh: bool) -> None:
        self._repository, self._topic, self._fresh = repository, topic, fresh
        self._of_folders: dict[tuple[str, str], KeptAnswers] = {}

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._of_folders.values():
            kept.close()

    def of(self, folder: str) -> KeptAnswers:
        """What commits changed in a folder of this name, shown from here, by this version, about this topic."""
        return self._kept("log 6", folder, {"topic": asdict(self._topic)})

    def refusals_of(self, folder: str) -> KeptAnswers:
        """Why a service of this version would have refused commits, with the models that are accepted here."""
        return self._kept("refused 1", folder, {"models": sorted(accepted_models())})

    def _kept(self, answers: str, folder: str, more: dict[str, object]) -> KeptAnswers:
        kept = self._of_folders.get((answers, folder))
        if kept is None:
            question = {
                "answers": answers,
                "version": klausel.__version__,
                "folder": folder,
                "shown": [self._repository.shown(folder), self._repository.shown("")],
                **more,
            }
            kept = self._of_folders[answers, folder] = KeptAnswers(self._repository.git_dir, question, self._fresh)
        return kept


def _changes_at(history: PolicyHistory, commit: GitCommit, folder: str, topic: Topic, kept: KeptAnswers) -> _Changes | None:
    """What a commit changed of what is asked about; None for nothing."""
    if commit.id in kept:
        known = kept[commit.id]
        return None if known is None else _Changes(**known)
    step = history.step(commit, folder)
    changes = _changes(step, topic)
    # Another clone, or this one with the rest of its history, may know what was before.
    if not step.is_cut:
        told = None if changes is None else {"text": changes.text, "rows": changes.rows, "members": changes.members}
        kept.keep(commit.id, told)
    return changes


def _with_refusal(changes: _Changes | None, told: list[str]) -> _Changes | None:
    """The changes with why a service would have refused the commit; a commit of which nothing else is to be told, too."""
    if changes is None:
        if not told:
            return None
        changes = _Changes([], [], _members(CommitChanges()))
    first = (
        [f"  ! would have been refused: {told[0]}{f', and {len(told) - 1} more' if len(told) > 1 else ''}"] if told else []
    )
    if not changes.members["loads"]:
        # What does not load is told so already.
        first = []
    rows = [stated("would have been refused", text) for text in told]
    return _Changes(first + changes.text, rows + changes.rows, {**changes.members, "would_have_been_refused": told})


def _changes(step: Step, topic: Topic, database: str | None = None) -> _Changes | None:
    """What a commit changed of what is asked about, with the people of a database that it concerns; None for nothing."""
    problems, changes, has_other_model = step.problems, step.changes(topic), step.has_other_model
    if database is not None and changes.report is not None:
        people, everybody = people_concerned(changes.report.difference, database)
        changes = replace(changes, report=replace(changes.report, people=people, everybody=everybody))
    if not (changes or has_other_model or problems):
        return None
    remarks = tuple(_remarks(step))
    text = list(_lines(changes, remarks, has_other_model, problems))
    members = _members(changes, problems, step, has_other_model)
    return _Changes(text, list(cells_of(changes, remarks, has_other_model, problems)), members)


def _members(
    changes: CommitChanges, problems: Sequence[Problem] = (), step: Step | None = None, has_other_model: bool = False
) -> dict[str, object]:
    return {
        "loads": not problems,
        "problems": [str(problem) for problem in problems],
        "broken_commits_before": 0 if step is None else step.skipped,
        "clone_ends_here": step is not None and step.is_cut,
        "policies_gone": step is not None and step.after is None,
        "model_changed": has_other_model,
        **changes.as_json(),
    }


def _remarks(step: Step) -> Iterator[str]:
    """What a reader must know of how a commit was compared."""
    if step.skipped:
        yield f"compared with the last that loads, {step.skipped + 1} commits before"
    if step.is_cut:
        yield "the clone ends here: what was there before counts as gained; git fetch --unshallow brings the rest"
    if step.after is None:
        yield "the policies are gone"


def _about(told: _Told) -> Iterator[str]:
    commit = told.commit
    merge = " (merge)" if len(commit.parents) > 1 else ""
    yield f"{commit.id[:12]}  {commit.date:%Y-%m-%d}  {commit.author}  {commit.subject}{merge}"
    if (commit.committer, commit.committer_email) != (commit.author, commit.email):
        yield f"  committed by {commit.committer} on {commit.committed:%Y-%m-%d}"
    elif commit.committed.date() != commit.date.date():
        yield f"  committed on {commit.committed:%Y-%m-%d}"
    if told.merged_by is not None:
        yield f"  merged by {told.merged_by[:12]}"
    for key, value in commit.trailers:
        yield f"  {key}: {value}"
    if commit.signature is not None:
        yield f"  signed ({commit.signature}; git verify-commit checks it)"


def _lines(
    changes: CommitChanges, remarks: Sequence[str], has_other_model: bool, problems: Sequence[Problem]
) -> Iterator[str]:
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        yield f"  ! does not load: {errors[0]}{more}"
    yield from (f"  {remark}" for remark in remarks)
    for text in changes.removed:
        yield f"  - {text}"
    for text in changes.added:
        yield f"  + {text}"
    for rule in changes.rules:
        yield f"  ~ {rule}"
    for text in changes.entities:
        yield f"  ~ {text}"
    if has_other_model:
        yield f"  ~ {OTHER_MODEL}"
    if changes.report is not None and changes.has_changes:
        _, headline, *lines = as_text(changes.report, painted)
        yield f"  {headline}"
        yield from (f"  note: {note}" for note in changes.notes)
        yield from (f"  {line}" for line in lines if line and not line.startswith("note: "))


def _as_json(told: _Told) -> dict[str, object]:
    about = {"commit": commit_as_json(told.commit), "parents": told.commit.parents, "merged_by": told.merged_by}
    return about | told.changes.members
