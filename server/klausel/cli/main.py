"""The command `klausel`."""

from __future__ import annotations

from importlib import import_module

import click

import klausel

COMMANDS = {
    "init": ("init", "init"),
    "serve": ("serve", "serve"),
    "check": ("policies", "check"),
    "compile": ("policies", "compile_"),
    "test": ("test", "test_command"),
    "mutate": ("mutate", "mutate"),
    "prove": ("prove", "prove_command"),
    "diff": ("diff", "diff"),
    "fmt": ("fmt", "fmt"),
    "schema": ("schema", "schema"),
    "declare": ("declare", "declare"),
    "can": ("decisions", "can"),
    "explain": ("decisions", "explain"),
    "shell": ("shell", "shell"),
    "log": ("log", "log"),
    "blame": ("blame", "blame"),
    "who-can": ("search", "who_can_command"),
    "what-can": ("search", "what_can_command"),
    "matrix": ("review", "matrix"),
    "review": ("review", "review"),
    "replay": ("replay", "replay"),
    "unused": ("unused", "unused"),
    "assignments": ("assignments", "assignments"),
    "audit": ("audit", "audit"),
}
"""Each command, with the module and the name that it is written under."""


class LazyGroup(click.Group):
    """Imports a command's module only when it is used, so that `klausel check` does not wait for the database and the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"klausel.cli.{module}"), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
