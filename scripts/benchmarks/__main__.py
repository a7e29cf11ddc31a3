"""The command line of `scripts/bench`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from benchmarks.children import RunFailed
from benchmarks.documentation import write_documentation
from benchmarks.peers.packages import cache_folder
from benchmarks.plots import draw
from benchmarks.report import as_json, as_text
from benchmarks.scale import LARGE, QUICK, USUAL
from benchmarks.sections.http import WrongAnswers
from benchmarks.session import SECTIONS, Difference, run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, type=click.Choice(SECTIONS), help="Only this part; may be given several times.")
@click.option("--large", is_flag=True, help="Up to ten million people; takes some minutes more.")
@click.option("--quick", is_flag=True, help="Tiny counts, to see that all of it works; the figures mean nothing.")
@click.option("--json", "json_file", type=click.File("w", lazy=True), help="Every round as JSON, to a file or to - .")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="The picture; else .bench/performance.png.")
@click.option("--write-docs", is_flag=True, help="Write docs/performance.md and its picture.")
def main(
    only: tuple[str, ...],
    large: bool,
    quick: bool,
    json_file: click.utils.LazyFile | None,
    plot: Path | None,
    write_docs: bool,
) -> None:
    """Measures Klausel beside its peers, in under five minutes on two cores.

    Exit codes: 0 measured, 1 a peer decides otherwise or the run failed, 2 wrong usage.
    """
    signal.signal(signal.SIGTERM, _stop)
    if large and quick:
        raise click.UsageError("--large and --quick exclude each other")
    sections = tuple(section for section in SECTIONS if not only or section in only)
    scale = QUICK if quick else LARGE if large else USUAL
    try:
        found = run(scale, sections)
    except (Difference, WrongAnswers) as difference:
        click.echo(f"The decisions are not the same, so nothing is reported.\n{difference}", err=True)
        sys.exit(1)
    except RunFailed as failure:
        click.echo(f"The run failed, so nothing is reported.\n{failure}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(130)
    to_standard_output = json_file is not None and json_file.name == "-"
    click.echo(as_text(found), err=to_standard_output)
    picture = plot or cache_folder() / "performance.png"
    if draw(found.sections, picture):
        click.echo(f"The picture is in {plot or '.bench/performance.png'}.", err=True)
    if json_file is not None:
        json.dump(as_json(found), json_file, indent=2)
        json_file.write("\n")
    if write_docs:
        write_documentation(found)


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
