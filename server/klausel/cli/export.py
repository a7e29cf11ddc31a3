"""The command group `export`: policies for what is not Klausel."""

from __future__ import annotations

from pathlib import Path

import click

from klausel.casbin_policies.stock_export import NotExpressible, stock_pair
from klausel.cli.assignment_file import AssignmentFile, BrokenFile
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit, model_option
from klausel.cli.output import say
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
@policies_option
@model_option
def casbin(target: Path, people: Path | None, policies: Path, model: Path | None) -> None:
    """Write model.conf and policy.csv for stock Casbin, in any language, with no code of ours.

    What stock Casbin cannot say is named with its line, and nothing is written then. Otherwise stock Casbin and the policies were
    asked every question that their names make, for a holder of each role in each domain, and decided alike.

    \b
    Example:
      klausel export casbin stock --assignments people.csv
    """
    if target.is_dir() and any(target.iterdir()):
        fail(f"nothing was written, because {target} is not empty; name another target")
    policy = load_or_exit(policies, model).compiled.policy
    file = AssignmentFile(people) if people is not None else None
    try:
        assignments = [] if file is None else list(file)
    except BrokenFile as error:
        fail(f"{people}:{error.line}: {error.message}")
    if file is not None and file.faults:
        row, fault = next(iter(file.faults.items()))
        fail(f"{people}:{file.line_of[row]}: {fault}")
    try:
        pair = stock_pair(policy, assignments, DEFAULT_MODEL.read_text(encoding="utf-8"))
    except NotExpressible as error:
        for one in error.faults:
            say(str(one), err=True)
        say("nothing was written", err=True)
        raise SystemExit(EXIT_PROBLEMS) from None
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in (("model.conf", pair.model), ("policy.csv", pair.policy)):
            (target / name).write_text(text, encoding="utf-8")
            say(str(target / name))
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}")
    say(f"stock Casbin and {policies} decide all {pair.questions:,} questions alike")
