"""The command `lsp`."""

from __future__ import annotations

from pathlib import Path

import click

from klausel.cli.options import fail
from klausel.cli.policy_folder import policies_option
from klausel.storage.policy_files.folder import folders_of
from klausel.storage.policy_files.git_source import git_address


@click.command()
@policies_option
def lsp(policies: Path) -> None:
    """Serve editors over the Language Server Protocol, on the standard input and output.

    Problems as you type, completion, what a name or a grant means, definitions and uses, renaming in all files, fixes, the
    canonical form, and beside each grant its tests and last commit. It needs the extra lsp; docs/policies.md says how editors
    start it. Each file belongs to the nearest policy folder above it, so nothing need be named; several --policies make one set
    of these folders, as for klausel check.

    \b
    Examples:
      klausel lsp
      klausel lsp --policies policies --policies production
    """
    if git_address(str(policies)):
        raise click.UsageError(f"an editor opens files in a folder, and {policies} is none; name one with --policies")
    folders = folders_of(policies)
    try:
        from klausel.cli.language_server.server import make_server
    except ImportError as error:
        fail(f"the language server needs {error.name}, which is missing; install Klausel with its extra lsp")
    make_server(folders if len(folders) > 1 else ()).start_io()
