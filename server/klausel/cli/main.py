"""The command `klausel`."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

import klausel
from klausel.cli.command_group import CommandGroup

_SERVICE = "Run the service"
SECTIONS = {
    "Write policies": {
        "init": ("init", "init"),
        "import": ("import_", "import_"),
        "check": ("policies", "check"),
        "fmt": ("fmt", "fmt"),
        "schema": ("schema", "schema"),
        "declare": ("declare", "declare"),
        "lsp": ("lsp", "lsp"),
        "playground": ("playground", "playground"),
        "compile": ("policies", "compile_"),
        "export": ("export", "export"),
    },
    "Be sure of them": {
        "test": ("test", "test_command"),
        "mutate": ("mutate", "mutate"),
        "prove": ("prove", "prove_command"),
        "diff": ("diff", "diff"),
    },
    "Ask": {
        "can": ("decisions", "can"),
        "explain": ("decisions", "explain"),
        "shell": ("shell", "shell"),
        "who-can": ("search", "who_can_command"),
        "what-can": ("search", "what_can_command"),
        "matrix": ("review", "matrix"),
        "picture": ("picture", "picture"),
    },
    "Look back": {
        "log": ("log", "log"),
        "blame": ("blame", "blame"),
        "review": ("review", "review"),
        "findings": ("findings", "findings"),
        "decisions": ("decision_log", "decisions"),
        "replay": ("replay", "replay"),
        "unused": ("unused", "unused"),
        "audit": ("audit", "audit"),
    },
    _SERVICE: {
        "serve": ("serve", "serve"),
        "config": ("config", "config"),
        "assignments": ("assignments", "assignments"),
        "entities": ("entities", "entities"),
        "keys": ("keys", "keys"),
        "db": ("db", "db"),
    },
}
"""The commands as help shows them, each with the module and the name that it is written under."""

COMMANDS = {name: written for commands in SECTIONS.values() for name, written in commands.items()}


class LazyGroup(CommandGroup):
    """Imports a command's module only when it is used, so that `klausel check` does not wait for the database and the server."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """As click has it; as the first process of a container, to which SIGTERM means nothing by itself, it ends by that."""
        if os.getpid() == 1:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        return super().main(*arguments, **options)

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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under the headings of `SECTIONS`, each with its first sentence, whole."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            rows = []
            for name in commands:
                command = self.get_command(ctx, name)
                sentence = inspect.cleandoc((command and command.help) or "").partition("\n\n")[0]
                rows.append((name.ljust(width), " ".join(sentence.split())))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(klausel.__version__, prog_name="klausel")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Who may do what: policies in text files, people in a database, decisions in between.

    \b
    Exit codes: 0 done or allowed, 1 problems found, 2 wrong usage, 3 denied.

    \b
    Examples:
      klausel init my-policies
      klausel check
      klausel can --as lead@acme/support edit quiz --set status=published
      klausel serve --demo
    """
    # What only works on policy files runs in pipelines of others, whose variables are their own.
    if ctx.invoked_subcommand in SECTIONS[_SERVICE]:
        from klausel.settings import fault_in_environment

        fault = fault_in_environment(os.environ)
        if fault:
            raise click.UsageError(fault, ctx)
