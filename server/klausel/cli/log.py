"""The command `log`."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
from tqdm import tqdm

from klausel.cli.blame import commit_as_json
from klausel.cli.options import at_option, exits_on_problems, open_history
from klausel.cli.policy_folder import policies_option
from klausel.core.difference.compare import Change, difference_between
from klausel.core.difference.declarations import Declaration, declarations
from klausel.core.difference.formats import as_text
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX
from klausel.core.terms.problem import Problem
from klausel.service.policy_history import PolicyHistory, Step

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_COLOURS = {"+": "green", "-": "red", "±": "yellow"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked about; None for everything."""

    role: str | None
    resource_type: str | None
    action: str | None

    def grants_of(self, policy: PolicySet) -> PolicySet:
        """The policy set with the grants alone that matter."""
        if self.resource_type is None and self.action is None:
            return policy
        grants = [grant for grant in policy.grants if self._is_about(grant.resource_type, grant.action)]
        return replace(policy, grants=tuple(grants))

    def includes(self, change: Change) -> bool:
        """Whether a change reaches the role."""
        names = {name.removeprefix(ANY_PREFIX).split(" ")[0] for name in (*change.who, *change.with_it)}
        return self.role is None or self.role in names

    def includes_declaration(self, declaration: Declaration) -> bool:
        """Whether a declaration is about what is asked."""
        if self.role is not None:
            return self.role in declaration.roles
        if self.resource_type is None and self.action is None:
            return True
        return bool(declaration.resource_type) and self._is_about(declaration.resource_type, declaration.action)

    def _is_about(self, resource_type: str, action: str) -> bool:
        return self.resource_type in (None, resource_type) and self.action in (None, action)


@dataclass(frozen=True, slots=True)
class _Told:
    """What one commit changed: gains and losses, declarations, the model; or why its files do not load."""

    step: Step
    report: DifferenceReport | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    model_changed: bool
    problems: tuple[Problem, ...]

    @property
    def has_changes(self) -> bool:
        return self.report is not None and bool(self.report.difference.changes or self.report.difference.undecided)

    @property
    def says_nothing(self) -> bool:
        return not (self.has_changes or self.added or self.removed or self.model_changed or self.problems)


@click.command("log")
@click.option("--role", help="Only what this role gains or loses; also by `any`, and by what it contains.")
@click.option("--type", "resource_type", help="Only what concerns this resource type.")
@click.option("--action", help="Only what concerns this action.")
@click.option("-n", "--number", type=click.IntRange(1), help="At most so many commits.")
@click.option("--first-parent", is_flag=True, help="Only the main line: a merge stands for all that it brought.")
@at_option
@policies_option
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="json: one commit a line.")
def log(
    role: str | None,
    resource_type: str | None,
    action: str | None,
    number: int | None,
    first_parent: bool,
    at: str | None,
    policies: Path,
    format_: str,
) -> None:
    """List the commits that changed what the policies mean, newest first, each with its gains and losses.

    Commits that changed nothing in meaning are left out. A commit whose files do not load is shown, and the next good
    one is compared with the last good one before. A merge is compared with its first parent.

    \b
    Examples:
      klausel log -n 5
      klausel log --role lead --type quiz
      klausel log --at v2.0 --format json
    """
    wanted = _Wanted(role, resource_type, action)
    found = 0
    with exits_on_problems(policies, at):
        for told in _log(policies, at, first_parent, wanted):
            click.echo(json.dumps(_as_json(told), ensure_ascii=False) if format_ == "json" else "\n".join(_lines(told)))
            found += 1
            if found == number:
                return
    if not found:
        click.echo("klausel: no commit changed anything of this", err=True)


def _log(policies: Path, at: str | None, first_parent: bool, wanted: _Wanted) -> Iterator[_Told]:
    opened, commit, folder = open_history(policies, at)
    with closing(opened) as repository:
        history = PolicyHistory(repository, folder)
        commits = history.commits(commit, first_parent)
        with _rare_collections(), tqdm(total=len(commits), unit=" commits", leave=False, disable=None) as bar:
            for one, name in commits:
                told = _told(history.step(one, name), wanted)
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


def _told(step: Step, wanted: _Wanted) -> _Told:
    """What a step changed of what is wanted; the first policies are compared with the same without any grant."""
    if step.after is not None and step.after.policy is None:
        return _Told(step, None, (), (), False, step.after.problems)
    before = None if step.before is None else step.before.policy
    after = None if step.after is None else step.after.policy
    if before is after:
        return _Told(step, None, (), (), _has_other_model(step), ())
    known = before or after
    assert known is not None
    stated = _declared(before, after)
    sides = [wanted.grants_of(policy or replace(known, grants=())) for policy in (before, after)]
    is_declared_alike = stated[0] == stated[1]
    difference = difference_between(*(_apart(*sides) if is_declared_alike else sides))
    changes = tuple(change for change in difference.changes if wanted.includes(change))
    renames = renames_between(*sides) if before and after and not is_declared_alike else ()
    report = DifferenceReport(replace(difference, changes=changes), "before", step.commit.id, renames)
    added, removed = (
        tuple(sorted(each.text for each in stated[one] - stated[other] if wanted.includes_declaration(each)))
        for one, other in ((1, 0), (0, 1))
    )
    return _Told(step, report, added, removed, _has_other_model(step), ())


def _declared(before: PolicySet | None, after: PolicySet | None) -> tuple[set[Declaration], set[Declaration]]:
    """What either side declares; both empty where that is the same at the same places, as it is at most commits."""
    if before and after and (before.roles, before.resource_types) == (after.roles, after.resource_types):
        return set(), set()
    return set(declarations(before)) if before else set(), set(declarations(after)) if after else set()


def _apart(before: PolicySet, after: PolicySet) -> Iterator[PolicySet]:
    """Two sets that declare the same, each without the grants about what both say in the same words at the same places."""
    for policy, other in ((before, after), (after, before)):
        yield replace(
            policy,
            grants=tuple(
                grant
                for grant in policy.grants
                if policy.grants_about(grant.resource_type, grant.action)
                != other.grants_about(grant.resource_type, grant.action)
            ),
        )


def _has_other_model(step: Step) -> bool:
    return step.before is not None and step.after is not None and step.before.model != step.after.model


def _lines(told: _Told) -> Iterator[str]:
    commit = told.step.commit
    merge = " (merge)" if len(commit.parents) > 1 else ""
    yield f"{commit.id[:12]}  {commit.date:%Y-%m-%d}  {commit.author}  {commit.subject}{merge}"
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
    for text in told.removed:
        yield f"  - {text}"
    for text in told.added:
        yield f"  + {text}"
    if told.model_changed:
        yield "  ~ the model is another one, so its matcher may decide otherwise"
    if told.report is not None and told.has_changes:
        _, *lines = as_text(told.report, _paint)
        yield from (f"  {line}" for line in lines if line)


def _paint(text: str, style: str) -> str:
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=_COLOURS[style])


def _as_json(told: _Told) -> dict[str, object]:
    return {
        "commit": commit_as_json(told.step.commit),
        "parents": told.step.commit.parents,
        "loads": not told.problems,
        "problems": [str(problem) for problem in told.problems],
        "broken_commits_before": told.step.skipped,
        "clone_ends_here": told.step.is_cut,
        "model_changed": told.model_changed,
        "declared": {"added": told.added, "removed": told.removed},
        **_difference_as_json(told),
    }


def _difference_as_json(told: _Told) -> dict[str, object]:
    if told.report is None:
        return {"verdict": "same", "changes": [], "renames": [], "not_compared": []}
    whole = as_json(told.report)
    return {name: whole[name] for name in ("verdict", "changes", "renames", "not_compared")}
