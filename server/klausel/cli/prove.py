"""The command `prove`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from klausel.cli.formats import format_option
from klausel.cli.options import (
    EXIT_PROBLEMS,
    at_option,
    load_or_exit,
    model_option,
    say_other_model,
    steps_option,
    with_other_model,
)
from klausel.cli.output import say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.proof import Verdict, prove_all, verdict_as_json
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.decisions.explain import show_value
from klausel.service.pipeline import LoadedPolicy


def _write_text(loaded: LoadedPolicy, verdicts: Sequence[Verdict]) -> None:
    say_other_model(loaded)
    say_lines(line for verdict in verdicts for line in _lines(verdict))
    broken = sum(not verdict.holds for verdict in verdicts)
    say(f"{len(verdicts) - broken} of {len(verdicts)} invariants hold", err=True)


def _write_json(loaded: LoadedPolicy, verdicts: Sequence[Verdict]) -> None:
    say_json(with_other_model(loaded, {"verdicts": [verdict_as_json(verdict) for verdict in verdicts]}), indent=2)


@click.command("prove")
@at_option
@policies_option
@model_option
@format_option({"text": _write_text, "json": _write_json})
@steps_option
def prove_command(
    at: str | None,
    policies: Path,
    model: Path | None,
    write: Callable[[LoadedPolicy, Sequence[Verdict]], None],
    max_steps: int,
) -> None:
    """Decide every invariant of invariants.yaml exactly, over all combinations of roles and conditions.

    Exits with 1 when one does not hold, and shows the smallest case that breaks it.

    \b
    Examples:
      klausel prove
      klausel prove --at 2026-03-01
    """
    loaded = load_or_exit(policies, model, at=at)
    verdicts = list(prove_all(loaded.compiled.policy, max_steps))
    write(loaded, verdicts)
    raise SystemExit(EXIT_PROBLEMS if any(not verdict.holds for verdict in verdicts) else 0)


_ABOUT_NOBODY = {
    "never": "it speaks of nobody, for nobody can hold this role and none that contains it; say at_most, and who may",
    "always": "it speaks of nobody, for nobody can hold this role where it is asked",
}


def _lines(verdict: Verdict) -> Iterator[str]:
    invariant, found = verdict.invariant, verdict.counterexample
    free = (
        "; comparisons that follow from each other, such as patterns, were taken as free" if verdict.has_free_matches else ""
    )
    if verdict.undecided is not None:
        yield f"UNKNOWN {invariant.name}"
        yield f"        {invariant.place}: {verdict.undecided}; {TOO_MANY_CASES_HINT}"
        return
    if found is None:
        yield f"holds   {invariant.name} (for {verdict.combinations} combinations{free})"
        if not verdict.combinations:
            yield f"        {invariant.place}: {_ABOUT_NOBODY.get(invariant.kind, 'nothing is asked there')}"
        return
    yield f"BROKEN  {invariant.name}"
    yield f"        {invariant.place}: {found.message}{free}"
    yield f"        who holds: {', '.join(f'{role} in {domain}' for role, domain in found.held) or 'no role'}"
    if found.thing is not None:
        yield f"        asked in: {found.domain or 'no domain'}"
    for name, value in found.values:
        yield f"        with: {name} = {show_value(value)}"
    for grant in found.grants:
        yield f"        because of: {grant.source}: {grant}"
    if found.thing is not None and not found.grants:
        yield "        because no grant allows it"
