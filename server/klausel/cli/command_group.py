"""Groups of commands that know which one was meant."""

from __future__ import annotations

import click

from klausel.core.terms.problem import did_you_mean

_WORDS_OF_OTHERS = {
    **dict.fromkeys(("lint", "validate", "verify"), "check"),
    **dict.fromkeys(("run", "start"), "serve"),
    **dict.fromkeys(("new", "create", "setup", "quickstart"), "init"),
    "why": "explain",
    "format": "fmt",
    "tests": "test",
}
"""What other tools call a command, and its name here."""


class CommandGroup(click.Group):
    """A group that names the nearest command in the message about an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but for that message."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            other = _WORDS_OF_OTHERS.get(args[0].lower())
            hint = f'did you mean "{other}"? ' if other in known else did_you_mean(args[0], known)
            ctx.fail(f'there is no command "{args[0]}"; {hint}{ctx.command_path} --help lists them all')
        return super().resolve_command(ctx, args)
