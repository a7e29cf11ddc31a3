"""The command `prove`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from klausel.cli.options import EXIT_PROBLEMS, load_or_exit, model_option, say_other_model, steps_option, with_other_model
from klausel.cli.output import say, say_json
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.proof import Verdict, prove_all
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.decisions.explain import show_value


@click.command("prove")
@policies_option
@model_option
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@steps_option
def prove_command(policies: Path, model: Path | None, format_: str, max_steps: int) -> None:
    """Decide every invariant of invariants.yaml exactly, over all combinations of roles and conditions.

    Exits with 1 when one does not hold, and shows the smallest case that breaks it.

    \b
    Example:
      klausel prove
    """
    loaded = load_or_exit(policies, model)
    verdicts = list(prove_all(loaded.compiled.policy, max_steps))
    if format_ == "json":
        answer = with_other_model(loaded, {"verdicts": [_as_json(verdict) for verdict in verdicts]})
        say_json(answer, indent=2)
    else:
        say_other_model(loaded)
        for verdict in verdicts:
            for line in _lines(verdict):
                say(line)
        broken = sum(not verdict.holds for verdict in verdicts)
        say(f"{len(verdicts) - broken} of {len(verdicts)} invariants hold", err=True)
    raise SystemExit(EXIT_PROBLEMS if any(not verdict.holds for verdict in verdicts) else 0)


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


def _as_json(verdict: Verdict) -> dict[str, object]:
    found = verdict.counterexample
    return {
        "name": verdict.invariant.name,
        "source": f"{verdict.invariant.place.file}:{verdict.invariant.place.line}",
        "holds": verdict.holds,
        "undecided": verdict.undecided,
        "combinations": verdict.combinations,
        "pattern_matches_taken_as_free": verdict.has_free_matches,
        "counterexample": found
        and {
            "message": found.message,
            "held": [{"role": role, "domain": domain} for role, domain in found.held],
            "thing": str(found.thing) if found.thing else None,
            "domain": found.domain,
            "values": dict(found.values),
            "grants": [{"grant": str(grant), "source": grant.source} for grant in found.grants],
        },
    }
