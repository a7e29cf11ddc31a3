"""The command `klausel`."""

from __future__ import annotations

import click

import klausel
from klausel.cli.assignments import assignments
from klausel.cli.decisions import can, explain
from klausel.cli.mutate import mutate
from klausel.cli.policies import check, compile_
from klausel.cli.prove import prove_command
from klausel.cli.serve import serve
from klausel.cli.test import test_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(klausel.__version__, prog_name="klausel")
def main() -> None:
    """Who may do what: policies in text files, people in a database, decisions in between.

    \b
    Exit codes: 0 done or allowed, 1 problems found, 2 wrong usage, 3 denied.

    \b
    Examples:
      klausel check
      klausel can user:leo edit quiz --in acme/support --set status=published
      klausel serve --demo
    """


for command in (serve, check, compile_, test_command, mutate, prove_command, can, explain, assignments):
    main.add_command(command)
