"""The command `fmt`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import click

from klausel.cli.options import EXIT_PROBLEMS, refuse_what_is_no_folder, write_or_exit
from klausel.cli.output import say, say_lines
from klausel.cli.policy_folder import policies_option_alone
from klausel.core.formatting.files import can_be_formatted, format_file
from klausel.core.loading.load import SourceFile
from klausel.core.terms.problem import FormatLossError, PolicyError
from klausel.storage.policy_files.folder import folders_of, model_beside, read_files, shown


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[DIR | FILE...]")
@policies_option_alone
@click.option(
    "--check", "is_check", is_flag=True, help="Write nothing; exit with 1 when a file is not in its canonical form."
)
@click.option("--diff", "is_diff", is_flag=True, help="As --check, and print what would change.")
def fmt(files: tuple[Path, ...], policies: Path, is_check: bool, is_diff: bool) -> None:
    """Bring the YAML and CSV files of the policies into their one canonical form, so that a diff shows meaning only.

    Comments stay, and so does what the files say: it is read again before anything is written. With FILE only these,
    otherwise all files of the policy set, which DIR may name; of several
    folders, those of each. A file that cannot be read, or has keys without meaning, is named and left alone; the exit code is 1
    then.

    \b
    Examples:
      klausel fmt
      klausel fmt --check
      klausel fmt policies/features/quizzes.yaml --diff
    """
    is_check = is_check or is_diff
    if len(files) == 1 and files[0].is_dir():
        policies, files = files[0], ()
    faulty = changed = same = 0
    for path, file in _chosen(files, policies):
        try:
            content = format_file(file)
        except (PolicyError, FormatLossError) as error:
            faulty += 1
            _name_faulty(file, error)
            continue
        if content == file.content:
            same += 1
            continue
        changed += 1
        if is_diff:
            click.echo(_difference(file, content), nl=False)
        else:
            say(f"{file.shown_as}: {'would change' if is_check else 'rewritten'}")
        if not is_check:
            write_or_exit(path, content)
    verb = "would change" if is_check else "changed"
    say(f"{changed} {verb}, {same} in canonical form, {faulty} left alone because of problems", err=True)
    raise SystemExit(EXIT_PROBLEMS if faulty or (is_check and changed) else 0)


def _chosen(paths: tuple[Path, ...], policies: Path) -> Iterator[tuple[Path, SourceFile]]:
    """The files named, or all, with their paths; ends with wrong usage at a name that is no file with a canonical form."""
    refuse_what_is_no_folder(policies)
    found: dict[Path, tuple[Path, SourceFile]] = {}
    for folder in folders_of(policies):
        if not folder.is_dir():
            raise click.UsageError(f"{folder}: there is no such folder; name the one that holds roles.yaml with --policies")
        of_folder = {
            (folder / file.name).resolve(): (folder / file.name, file)
            for file in read_files(folder, model_beside(folder, None))[0]
            if can_be_formatted(file.name)
        }
        if not of_folder:
            raise click.UsageError(
                f"{folder} holds no YAML or CSV file of a policy set; name the one that does with --policies"
            )
        found |= of_folder
    chosen = {path.resolve(): path for path in paths}
    unknown = [path for resolved, path in chosen.items() if resolved not in found]
    if unknown:
        raise click.UsageError(f"{shown(unknown[0])} is no YAML or CSV file of the policies in {policies}; see --policies")
    yield from (one for resolved, one in found.items() if not chosen or resolved in chosen)


def _name_faulty(file: SourceFile, error: PolicyError | FormatLossError) -> None:
    if isinstance(error, PolicyError):
        say_lines(error.problems, err=True)
    else:
        say(f"{file.shown_as}: {error}, so the file is left as it is", err=True)


def _difference(file: SourceFile, content: bytes) -> str:
    before, after = file.content.decode().splitlines(keepends=True), content.decode().splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, file.shown_as, f"{file.shown_as} (canonical)", n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
