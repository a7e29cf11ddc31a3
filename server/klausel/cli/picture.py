"""The command `picture`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click

from klausel.cli.formats import format_option
from klausel.cli.options import at_option, fail, load_or_exit, model_option
from klausel.cli.output import say_lines
from klausel.cli.policy_folder import policies_option_alone
from klausel.core.analysis.other_model import note_on
from klausel.core.difference.compare import difference_between
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport
from klausel.core.pictures.change_picture import change_picture
from klausel.core.pictures.feature_picture import NoSuchFeature, feature_picture
from klausel.core.pictures.mermaid import as_mermaid
from klausel.core.pictures.picture import Picture
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg

WRITERS: Mapping[str, Callable[[Picture], Iterator[str]]] = {"svg": as_svg, "mermaid": as_mermaid}


@click.command()
@click.argument("feature", required=False)
@click.option("--since", metavar="REV", help="Draw what changed since a commit instead: a branch, a tag, an id, HEAD~2.")
@format_option(
    WRITERS,
    help="svg: a file of its own; mermaid: for a Markdown page.",
)
@at_option
@policies_option_alone
@model_option
def picture(
    feature: str | None,
    since: str | None,
    write: Callable[[Picture], Iterator[str]],
    at: str | None,
    policies: Path,
    model: Path | None,
) -> None:
    """Draw the roles and what each adds; or one FEATURE; or what changed.

    FEATURE is the name of a file without its folder and ending, such as quizzes, or a resource type. The picture goes to the
    standard output.

    \b
    Examples:
      klausel picture > roles.svg
      klausel picture quizzes > quizzes.svg
      klausel picture --since main --format mermaid
    """
    if feature is not None and since is not None:
        raise click.UsageError("--since draws all that changed; leave out the FEATURE")
    loaded = load_or_exit(policies, model, at=at)
    policy = loaded.compiled.policy
    if since is not None:
        before = load_or_exit(policies, model, at=since)
        models = before.compiled.other_model, loaded.compiled.other_model
        sides = before.compiled.policy, policy
        difference = difference_between(*sides)
        report = DifferenceReport(difference, since, at or "now", renames_between(*sides), models=models)
        drawn = change_picture(report)
    else:
        try:
            drawn = role_picture(policy) if feature is None else feature_picture(policy, feature)
        except NoSuchFeature as error:
            fail(str(error))
        other = loaded.compiled.other_model
        if other is not None:
            drawn = replace(drawn, remarks=(note_on(other), *drawn.remarks))
    say_lines(write(drawn))
