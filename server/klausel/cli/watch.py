"""`klausel check --watch`: problems, tests, invariants and the difference to the last commit, each time a file is saved."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from klausel.cli.options import accepted_models, open_policies
from klausel.cli.output import say, say_painted
from klausel.cli.problem_lines import Terminal, lines_of
from klausel.core.difference.compare import difference_between
from klausel.core.difference.formats import as_text
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport
from klausel.core.lint.survey import DomainSeen
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.counted import counted
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.core.testing.gate import unmet_expectations
from klausel.service.pipeline import check_files, load_files
from klausel.storage.git.objects import GitError
from klausel.storage.policy_files.folder import PolicyFiles, model_beside, shown
from klausel.storage.policy_files.watched_folder import PolicyFolder

CHANGES_SHOWN = 40
"""So many lines of a difference are shown; `klausel diff` has all."""


DemoRows = Callable[[], Iterable[tuple[Assignment | str, Place]]]


def watch(folder: Path, model: Path | None, people_in: Iterable[DomainSeen], demo_rows: DemoRows) -> None:
    """Prints how a policy set stands now, and again whenever its files are others; ends with Ctrl-C."""
    people = tuple(people_in)
    source = PolicyFolder(folder, model_beside(folder, model))
    before: PolicyFiles | tuple[Problem, ...] | None = None
    end = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: end.set())
    for now in _readings(source, end):
        if before == now:
            continue
        before = now
        if sys.stdout.isatty():
            click.clear()
        say_painted(_report(now, folder, model, people, demo_rows))
        say(f"klausel: {shown(folder)} is watched; save a file to look again, Ctrl-C ends", err=True)


def _readings(source: PolicyFolder, end: threading.Event) -> Iterator[PolicyFiles | tuple[Problem, ...]]:
    """What stands in the folder now, and after each change, until the end."""
    yield _reading(source)
    for _ in source.changes(end):
        if end.is_set():
            return
        yield _reading(source)


def _reading(source: PolicyFolder) -> PolicyFiles | tuple[Problem, ...]:
    try:
        return source.read()
    except PolicyError as error:
        return error.problems


def _report(
    found: PolicyFiles | tuple[Problem, ...],
    folder: Path,
    model: Path | None,
    people: tuple[DomainSeen, ...],
    demo_rows: DemoRows,
) -> Iterator[str]:
    if isinstance(found, tuple):
        yield from _problems(found, {})
        return
    texts = {file.shown_as: file.content.decode("utf-8", "replace") for file in found.files}
    problems = check_files(found, people, accepted_models(), demo_rows())
    yield from _problems(problems, texts)
    if any(problem.severity == "error" for problem in problems):
        yield "tests, invariants and difference wait until there are no errors"
        return
    loaded = load_files(found, with_tests=True, accepted_models=accepted_models())
    policy = loaded.compiled.policy
    unmet = list(unmet_expectations(policy, loaded.compiled, loaded.tests))
    yield from lines_of(unmet, Terminal.of(sys.stdout), texts.get)
    yield f"{len(loaded.tests)} tests and {len(policy.invariants)} invariants: {len(unmet) or 'none'} not met"
    try:
        committed = open_policies(folder, model, at="HEAD").compiled.policy
    except GitError:
        yield "there is no commit to compare with"
        return
    except PolicyError:
        yield "the last commit has problems, so there is nothing to compare with"
        return
    difference = difference_between(committed, policy)
    report = DifferenceReport(difference, "the last commit", "now", renames_between(committed, policy))
    lines = list(as_text(report, lambda text, style: text))
    yield from lines[:CHANGES_SHOWN]
    if len(lines) > CHANGES_SHOWN:
        yield f"and {len(lines) - CHANGES_SHOWN} more lines; klausel diff shows all"


def _problems(problems: tuple[Problem, ...], texts: dict[str, str]) -> Iterator[str]:
    yield from lines_of(problems, Terminal.of(sys.stdout), texts.get)
    errors = sum(problem.severity == "error" for problem in problems)
    yield f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
