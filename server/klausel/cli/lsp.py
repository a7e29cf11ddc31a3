"""The command `lsp`."""

from __future__ import annotations

import click

from klausel.cli.options import fail


@click.command()
def lsp() -> None:
    """Serve editors over the Language Server Protocol, on the standard input and output.

    Problems as you type, completion, what a name or a grant means, definitions and uses, renaming in all files, fixes, the
    canonical form, and beside each grant its tests and last commit. It needs the extra lsp; docs/policies.md says how editors
    start it.

    \b
    Examples:
      klausel lsp
    """
    try:
        from klausel.cli.language_server.server import make_server
    except ImportError as error:
        fail(f"the language server needs {error.name}, which is missing; install Klausel with its extra lsp")
    make_server().start_io()
