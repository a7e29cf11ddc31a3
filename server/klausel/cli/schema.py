"""The command `schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from klausel.cli.options import EXIT_PROBLEMS, fail, model_beside, refuse_all_but_one_folder, write_or_exit
from klausel.cli.output import say
from klausel.cli.policy_folder import policies_option
from klausel.core.loading.declared_names import DeclaredNames, declared_names
from klausel.core.loading.json_schema import schemas_for
from klausel.core.loading.load import ROLES_FILE, no_roles
from klausel.storage.file_rules import SCHEMAS_FOLDER
from klausel.storage.policy_files.folder import read_files, shown


@click.command()
@policies_option
@click.option("--check", "is_check", is_flag=True, help="Write nothing; exit with 1 when a schema is not up to date.")
def schema(policies: Path, is_check: bool) -> None:
    """Write the JSON Schemas by which editors complete and check the YAML files, with the names of this policy set.

    They stand in the folder schemas beside the policies. Run it again after a role, a resource type, an action, a
    condition or a level was added. Problems in the files do not stop it, except in a file that cannot be read at all.

    \b
    Examples:
      klausel schema
      klausel schema --check
    """
    names = _names_or_exit(policies)
    folder = policies / SCHEMAS_FOLDER
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
    if not stale:
        say(f"the schemas in {shown(folder)} are up to date", err=True)
    raise SystemExit(EXIT_PROBLEMS if is_check and stale else 0)


def _names_or_exit(policies: Path) -> DeclaredNames:
    refuse_all_but_one_folder(policies)
    if not policies.is_dir():
        fail(f"{policies}: there is no such folder; name the one that holds roles.yaml with --policies")
    files, found = read_files(policies, model_beside(policies, None))
    if all(file.name != ROLES_FILE for file in files):
        fail(str(no_roles(shown(policies / ROLES_FILE))))
    names, problems = declared_names(files)
    problems += [problem for problem in found if problem.id == "unreadable-file"]
    if problems:
        for problem in sorted(problems):
            say(str(problem), err=True)
        fail("nobody knows which names these files declare, so the schemas are left as they are; fix them first")
    return names
