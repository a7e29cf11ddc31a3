"""The command `test`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import click

from klausel.cli.formats import format_option
from klausel.cli.options import EXIT_PROBLEMS, at_option, load_or_exit, model_option
from klausel.cli.output import say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.terms.problem import did_you_mean
from klausel.core.testing.coverage import Coverage, coverage_as_json, coverage_of
from klausel.core.testing.run import Failure, Outcome, ResolvedRoles, failures, outcomes_as_json
from klausel.service.pipeline import LoadedPolicy


def _write_text(outcomes: Sequence[Outcome], touched: Coverage | None) -> None:
    say_lines(_lines(outcomes, touched))


def _write_json(outcomes: Sequence[Outcome], touched: Coverage | None) -> None:
    coverage = {} if touched is None else {"coverage": coverage_as_json(touched)}
    say_json({**outcomes_as_json(outcomes), **coverage}, indent=2)


def _write_junit(outcomes: Sequence[Outcome], touched: Coverage | None) -> None:
    say_lines(_as_junit(outcomes).splitlines())
    if touched is not None:
        say(_in_short(touched), err=True)


@click.command("test")
@at_option
@policies_option
@model_option
@click.option("-k", "word", metavar="NAME", help="Only tests with this in their name or the name of their file.")
@format_option(
    {"text": _write_text, "json": _write_json, "junit": _write_junit},
    help="junit: the XML that build servers read.",
)
@click.option("--coverage", is_flag=True, help="Also say which grants, conditions, roles and inheritance no test touches.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="With --coverage: exit with 1 when less is touched.",
)
def test_command(
    at: str | None,
    policies: Path,
    model: Path | None,
    word: str | None,
    write: Callable[[Sequence[Outcome], Coverage | None], None],
    coverage: bool,
    fail_under: float | None,
) -> None:
    """Run the policy tests, policies/tests/*_test.yaml: who may do what, as you expect it.

    Exits with 1 when a test fails.

    \b
    Examples:
      klausel test
      klausel test -k quiz
      klausel test --coverage --fail-under 100
      klausel test --at v1.2
    """
    if fail_under is not None and not coverage:
        raise click.UsageError("--fail-under needs --coverage")
    loaded = load_or_exit(policies, model, with_tests=True, at=at)
    chosen = chosen_tests(loaded.tests, word)
    outcomes = list(run_tests(loaded, chosen))
    touched = coverage_of(loaded.compiled.policy, chosen) if coverage else None
    write(outcomes, touched)
    say(_summary(outcomes), err=True)
    has_failed = any(outcome.failures for outcome in outcomes)
    is_under = touched is not None and fail_under is not None and touched.percent < fail_under
    if touched is not None and is_under:
        say(f"klausel: {touched.percent:.1f} % is touched, less than {fail_under:g} %", err=True)
    raise SystemExit(EXIT_PROBLEMS if has_failed or is_under else 0)


def chosen_tests(tests: Sequence[PolicyTest], word: str | None) -> tuple[PolicyTest, ...]:
    """The tests with a word in their name or that of their file, in any case; all without one."""
    if word is None:
        return tuple(tests)
    chosen = tuple(
        test for test in tests if word.lower() in test.name.lower() or word.lower() in Path(test.place.file).name.lower()
    )
    if not chosen:
        words = {part for test in tests for part in f"{test.name} {Path(test.place.file).stem}".lower().split()}
        hint = did_you_mean(word.lower(), words)
        raise click.UsageError(f'no test has "{word}" in its name or that of its file; {hint}'.rstrip("; "))
    return chosen


def run_tests(loaded: LoadedPolicy, tests: Sequence[PolicyTest]) -> Iterator[Outcome]:
    """The outcomes of tests, in their order."""
    policy = loaded.compiled.policy
    resolved_roles = ResolvedRoles(policy)
    for test in tests:
        yield Outcome(test, failures(policy, loaded.compiled, test, resolved_roles))


def failure_lines(failure: Failure) -> Iterator[str]:
    """A failure for people: where it is expected, the question, both answers, and the reason of the one that came."""
    yield f"{failure.expectation.place.source}: {failure.question}"
    yield f"  expected: {failure.expected}"
    yield f"  got:      {failure.got}"
    yield f"  reason:   {failure.reason}"
    if failure.cure:
        yield f"  fix:      {failure.cure}"


def _lines(outcomes: Sequence[Outcome], touched: Coverage | None) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.failures:
            yield f"FAILED  {outcome.test.name} ({outcome.test.place.source})"
            for failure in outcome.failures:
                yield from (f"  {line}" for line in failure_lines(failure))
    if touched is not None:
        for missed in touched.missed:
            yield f"{missed.place.source}: no test touches this: {missed.what}"
        yield _in_short(touched)


def _in_short(touched: Coverage) -> str:
    counts = ", ".join(f"{done} of {all_} {kind}" for kind, done, all_ in touched.by_kind)
    return f"coverage {touched.percent:.1f} %: {counts}"


def _summary(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "there are no tests; write the first in tests/<feature>_test.yaml (docs/policies.md, Tests)"
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    answers = sum(len(outcome.test.expectations) for outcome in outcomes)
    return f"{len(outcomes) - failed} of {len(outcomes)} tests passed, with {answers} answers"


def _as_junit(outcomes: Sequence[Outcome]) -> str:
    root = ElementTree.Element("testsuites")
    files = dict.fromkeys(outcome.test.place.file for outcome in outcomes)
    for file in files:
        of_file = [outcome for outcome in outcomes if outcome.test.place.file == file]
        failed = sum(bool(outcome.failures) for outcome in of_file)
        counts = {"name": file, "tests": str(len(of_file)), "failures": str(failed), "errors": "0", "skipped": "0"}
        suite = ElementTree.SubElement(root, "testsuite", counts)
        for outcome in of_file:
            place = {"file": file, "line": str(outcome.test.place.line)}
            case = ElementTree.SubElement(suite, "testcase", {"classname": file, "name": outcome.test.name, **place})
            if outcome.failures:
                count = len(outcome.failures)
                message = f"{count} answer{'s are' if count > 1 else ' is'} not as expected"
                element = ElementTree.SubElement(case, "failure", {"message": message})
                element.text = "\n".join(line for failure in outcome.failures for line in failure_lines(failure))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
