"""The command `schema`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from klausel.cli.file_schemas import FILES, schema_of_file
from klausel.cli.options import EXIT_PROBLEMS, fail, refuse_what_is_no_folder, write_or_exit
from klausel.cli.output import say, say_lines
from klausel.cli.output_schemas import OUTPUTS, schema_of
from klausel.cli.policy_folder import policies_option
from klausel.core.loading.declared_names import DeclaredNames, declared_names
from klausel.core.loading.json_schema import schemas_for
from klausel.core.loading.load import ROLES_FILE, SourceFile, no_roles
from klausel.storage.file_rules import SCHEMAS_FOLDER
from klausel.storage.policy_files.folder import folders_of, read_files, shown


@click.command()
@policies_option
@click.option(
    "--output",
    metavar="COMMAND",
    help='Print the schema of the JSON that a command prints or writes instead: diff, "decisions find", "review apply".',
)
@click.option("--check", "is_check", is_flag=True, help="Write nothing; exit with 1 when a schema is not up to date.")
def schema(policies: Path, output: str | None, is_check: bool) -> None:
    """Write the JSON Schemas by which editors complete and check the YAML files, with the names of this policy set.

    They stand in the folder schemas beside the policies. Run it again after a role, a resource type, an action, a
    condition or a level was added. Problems in the files do not stop it, except in a file that cannot be read at all.
    Of several folders each gets its own, with the names of those before it.

    \b
    Examples:
      klausel schema
      klausel schema --check
      klausel schema --output diff
    """
    if output is not None:
        if output not in OUTPUTS and output not in FILES:
            message = (
                f'no command "{output}" has --format json or writes such a file; there are {", ".join((*OUTPUTS, *FILES))}'
            )
            raise click.BadParameter(message, param_hint="--output")
        found = schema_of(output) if output in OUTPUTS else schema_of_file(output)
        say_lines(json.dumps(found, indent=2).splitlines())
        return
    refuse_what_is_no_folder(policies)
    folders = folders_of(policies)
    for folder in folders:
        if not folder.is_dir():
            fail(f"{folder}: there is no such folder; name the one that holds roles.yaml with --policies")
    stale = 0
    known: list[SourceFile] = []
    for layer, folder in enumerate(folders):
        names = _names_or_exit(folder, layer, known)
        stale += _write_schemas(folder / SCHEMAS_FOLDER, names, is_check)
    if not stale:
        told = " and ".join(shown(folder / SCHEMAS_FOLDER) for folder in folders)
        say(f"the schemas in {told} are up to date", err=True)
    raise SystemExit(EXIT_PROBLEMS if is_check and stale else 0)


def _write_schemas(folder: Path, names: DeclaredNames, is_check: bool) -> int:
    """Writes what is not up to date, or only says so; how many that are."""
    stale = 0
    for name, content in schemas_for(names).items():
        path = folder / name
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        stale += 1
        if not is_check:
            write_or_exit(path, text.encode())
        say(f"{shown(path)}: {'not up to date; run klausel schema' if is_check else 'written'}")
    return stale


def _names_or_exit(folder: Path, layer: int, known: list[SourceFile]) -> DeclaredNames:
    """The names of a folder and those before it, whose files are `known`, and then its own, too."""
    files, found = read_files(folder, None)
    if not layer and all(file.name != ROLES_FILE for file in files):
        fail(str(no_roles(shown(folder / ROLES_FILE))))
    known += [replace(file, layer=layer) for file in files]
    names, problems = declared_names(known)
    problems += [problem for problem in found if problem.id == "unreadable-file"]
    if problems:
        say_lines(sorted(problems), err=True)
        fail("nobody knows which names these files declare, so the schemas are left as they are; fix them first")
    return names
