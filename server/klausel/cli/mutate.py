"""The command `mutate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import click

from klausel.casbin_policies.engine import CompiledPolicy, compile_policy
from klausel.cli.formats import format_option
from klausel.cli.options import (
    EXIT_PROBLEMS,
    accepted_models,
    at_option,
    exits_on_problems,
    fail,
    model_option,
    read_policies,
    say_commit_at,
    say_other_model,
    with_other_model,
)
from klausel.cli.output import say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.cli.processes import work_on
from klausel.cli.progress import progress
from klausel.cli.test import run_tests
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.policy.policy_set import PolicySet
from klausel.core.testing.mutants import Mutant, mutants
from klausel.core.testing.mutation import Judge, Verdict, missing_test, mutants_as_json, score
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.policy_files.folder import PolicyFiles

FEWEST_FOR_PROCESSES = 1000
"""Below so many mutants, starting processes takes longer than one needs for all."""
_AT_ONCE = 50


def _write_text(loaded: LoadedPolicy, everything: Sequence[Mutant], verdicts: Sequence[Verdict]) -> None:
    say_other_model(loaded)
    say_lines(_lines(everything, verdicts))


@click.command()
@at_option
@policies_option
@model_option
@format_option(
    {
        "text": _write_text,
        "json": lambda loaded, *found: say_json(with_other_model(loaded, mutants_as_json(*found)), indent=2),
    }
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="How many work at once; without it, one, or for many mutants one for each processor.",
)
def mutate(
    at: str | None,
    policies: Path,
    model: Path | None,
    write: Callable[[LoadedPolicy, Sequence[Mutant], Sequence[Verdict]], None],
    processes: int | None,
) -> None:
    """Change the policies a little, in every way, and name the changes that no policy test notices.

    A grant is dropped, given to the next stronger or weaker role, its condition or a part of it dropped, or negated, its
    place changed; a link of inheritance is dropped, a rule of a level or a role, or a way in which requests name a level;
    an action is asked in another level. What changes no decision at all, whoever asks for whatever, is proved to be
    equivalent and does not count. Nothing is written. Exits with 1 when a change goes unnoticed.

    \b
    Examples:
      klausel mutate
      klausel mutate --at v1.2
    """
    with exits_on_problems(policies, at):
        files = read_policies(policies, model, at)
        loaded = load_files(files, with_tests=True, accepted_models=accepted_models())
    if loaded.commit is not None:
        say_commit_at(policies, at, loaded.commit.id)
    failed = sum(bool(outcome.failures) for outcome in run_tests(loaded, loaded.tests))
    if failed:
        fail(f"{failed} of {len(loaded.tests)} policy tests fail already; run klausel test and fix them first")
    everything = list(mutants(loaded.compiled.policy))
    if processes is None:
        processes = 1 if len(everything) < FEWEST_FOR_PROCESSES else os.cpu_count() or 1
    verdicts = list(
        progress(_verdicts(loaded, everything, files, processes), total=len(everything), unit="mutant", is_short=False)
    )
    write(loaded, everything, verdicts)
    say(_summary(verdicts), err=True)
    raise SystemExit(EXIT_PROBLEMS if any(verdict.fate == "survived" for verdict in verdicts) else 0)


def _verdicts(loaded: LoadedPolicy, everything: Sequence[Mutant], files: PolicyFiles, processes: int) -> Iterator[Verdict]:
    """The verdicts on all mutants, in their order."""
    if processes == 1:
        judge = judge_of(loaded, files)
        yield from map(judge.verdict, everything)
        return
    # Policy sets do not travel between processes; each worker loads the same files and makes the same mutants.
    arguments = (replace(files, find_commit=_no_commit), accepted_models())
    positions = range(len(everything))
    blocks = [positions[start : start + _AT_ONCE] for start in positions[::_AT_ONCE]]
    yield from chain.from_iterable(work_on(blocks, _judging, arguments, processes))


def _no_commit() -> None:
    """The commit of files that travel to another process, where nobody asks for it."""


def judge_of(loaded: LoadedPolicy, files: PolicyFiles) -> Judge:
    """The judge over the tests of a policy set, loaded of these files."""
    model_text = next(file for file in files.files if file.name == MODEL_NAME).content.decode()
    accepted = [loaded.compiled.other_model] if loaded.compiled.other_model else []

    def compile_(policy: PolicySet) -> CompiledPolicy:
        return compile_policy(policy, model_text, accepted_models=accepted)

    return Judge(loaded.compiled.policy, loaded.tests, compile_)


def _judging(files: PolicyFiles, accepted: tuple[str, ...]) -> Callable[[Iterable[int]], list[Verdict]]:
    """What gives the verdicts on mutants by their positions."""
    loaded = load_files(files, with_tests=True, accepted_models=accepted)
    judge, everything = judge_of(loaded, files), list(mutants(loaded.compiled.policy))
    return lambda positions: [judge.verdict(everything[position]) for position in positions]


def _lines(everything: Sequence[Mutant], verdicts: Sequence[Verdict]) -> Iterator[str]:
    for mutant, verdict in zip(everything, verdicts, strict=True):
        if verdict.fate == "equivalent":
            yield f"equivalent  {mutant.place.source}: {mutant.what}"
            yield f"            changes no decision, in none of {verdict.combinations} combinations"
    for mutant, verdict in zip(everything, verdicts, strict=True):
        missing = missing_test(verdict)
        if missing is not None:
            yield f"SURVIVED    {mutant.place.source}: {mutant.what}"
            yield f"            add a test: {missing}"
        elif verdict.undecided is not None:
            yield f"SURVIVED    {mutant.place.source}: {mutant.what}"
            yield f"            whether it changes anything cannot be told: {verdict.undecided}; {TOO_MANY_CASES_HINT}"


def _summary(verdicts: Sequence[Verdict]) -> str:
    fates = [verdict.fate for verdict in verdicts]
    counts = ", ".join(f"{fates.count(fate)} {fate}" for fate in ("killed", "survived", "equivalent"))
    return f"{len(fates)} mutants: {counts}; mutation score {score(fates):.1f} %"
