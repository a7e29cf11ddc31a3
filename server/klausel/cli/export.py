"""The command group `export`: policies for what is not Klausel."""

from __future__ import annotations

from pathlib import Path

import click

from klausel.casbin_policies.stock_export import MOST_QUESTIONS, NotExpressible, stock_pair
from klausel.cli.assignment_file import AssignmentFile, BrokenFile
from klausel.cli.options import EXIT_PROBLEMS, at_option, fail, load_or_exit, model_option
from klausel.cli.output import say, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.storage.file_rules import DEFAULT_MODEL


@click.group("export")
def export() -> None:
    """Write the policies for something else.

    \b
    Example:
      klausel export casbin stock --assignments people.csv
    """


@export.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--assignments",
    "people",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A CSV of role assignments, as klausel assignments export writes it, for the g rows.",
)
@click.option(
    "--leave-out",
    is_flag=True,
    help="Write the grants that stock Casbin can say, and name the others. Less is allowed then, never more.",
)
@click.option(
    "--questions",
    type=click.IntRange(min=100),
    default=MOST_QUESTIONS,
    show_default=True,
    help="How many questions, about, to ask both for the proof, where there are more.",
)
@at_option
@policies_option
@model_option
def casbin(
    target: Path,
    people: Path | None,
    leave_out: bool,
    questions: int,
    at: str | None,
    policies: Path,
    model: Path | None,
) -> None:
    """Write model.conf and policy.csv for stock Casbin, in any language, with no code of ours.

    What stock Casbin cannot say is named with its line, and nothing is written then. Otherwise stock Casbin and the policies were
    asked the questions that their names make, for holders of each role in each domain, and decided alike.

    \b
    Example:
      klausel export casbin stock --assignments people.csv
    """
    if target.is_dir() and any(target.iterdir()):
        fail(f"nothing was written, because {target} is not empty; name another target")
    policy = load_or_exit(policies, model, at=at).compiled.policy
    file = AssignmentFile(people) if people is not None else None
    try:
        assignments = [] if file is None else list(file)
    except BrokenFile as error:
        fail(f"{people}:{error.line}: {error.message}")
    if file is not None and file.faults:
        row, fault = next(iter(file.faults.items()))
        fail(f"{people}:{file.line_of[row]}: {fault}")
    try:
        pair = stock_pair(policy, assignments, DEFAULT_MODEL.read_text(encoding="utf-8"), leave_out, questions)
    except NotExpressible as error:
        say_lines(error.faults, err=True)
        say("nothing was written; --leave-out writes the rest, where single grants are at fault", err=True)
        raise SystemExit(EXIT_PROBLEMS) from None
    say_lines((f"left out: {one}" for one in pair.left_out), err=True)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in (("model.conf", pair.model), ("policy.csv", pair.policy)):
            (target / name).write_text(text, encoding="utf-8")
            say(str(target / name))
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}")
    rest = f"; {len(pair.left_out)} grants were left out" if pair.left_out else ""
    say(f"stock Casbin and {policies} decide {pair.proof} alike{rest}")
