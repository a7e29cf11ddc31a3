"""Which policy set a command is about: the folder that is named, or the one found from the working directory upward."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click
from click.core import ParameterSource

from klausel.cli.setting_options import setting_option
from klausel.core.loading.load import FEATURES_FOLDER, ROLES_FILE
from klausel.settings import Settings
from klausel.storage.policy_files.git_source import git_address

Command = TypeVar("Command", bound=Callable[..., object])

_USUAL = Path(Settings().policies)
_NAMED = f"{__name__}.named"
_IS_FOUND = f"{__name__}.is_found"


def find_policies() -> Path:
    """The policy folder that is meant where none is named: here, or in a folder above, up to the root of a git repository.

    A folder is taken that is called as usual, or that is a policy folder itself. Where there is none it is the usual name
    here, so that whoever reads it says that it is missing.
    """
    if _USUAL.is_dir():
        return _USUAL
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / ROLES_FILE).is_file() and (place / FEATURES_FOLDER).is_dir():
            return Path(os.path.relpath(place))
        if (place / _USUAL / ROLES_FILE).is_file():
            return Path(os.path.relpath(place / _USUAL))
        if (place / ".git").exists():
            break
    return _USUAL


def name_of(folder: Path) -> str:
    """What to call a policy folder in a sentence: as it was named, or by its own name where that is nothing but dots."""
    return folder.resolve().name if set(folder.parts) <= {".", ".."} else folder.as_posix()


def beside_found_policies(context: click.Context) -> Path:
    """The folder of what lies beside the policies where nothing is named: the working directory, unless they were found above."""
    if "policies" in context.params and not context.meta.get(_IS_FOUND):
        return Path()
    found = find_policies()
    return Path() if found == _USUAL else Path(os.path.relpath(found.resolve().parent))


def _take_folder(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    if folder is None:
        return
    if context.get_parameter_source("policies") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"the policies are named twice, as {folder} and by --policies; leave one of them out")
    context.meta[_NAMED] = context.params["policies"] = folder


class _Folders(click.Path):
    """A folder; its variable in the environment is one text, whatever separators it has."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [rv]


def _chosen(context: click.Context, parameter: click.Parameter, folders: tuple[Path, ...]) -> Path:
    if len(folders) > 1 and any(git_address(str(one)) for one in folders):
        raise click.UsageError("several folders at a git ref are written as one: REPO@REF:BASE:PRODUCTION")
    folder = Path(os.pathsep.join(map(str, folders)))
    if context.get_parameter_source("policies") is ParameterSource.COMMANDLINE:
        return folder
    named: Path | None = context.meta.get(_NAMED)
    if named is not None:
        return named
    if context.get_parameter_source("policies") is not ParameterSource.DEFAULT:
        return folder
    context.meta[_IS_FOUND] = True
    return find_policies()


policies_option_alone = setting_option(
    "policies",
    type=_Folders(path_type=Path, readable=False),
    multiple=True,
    default=(_USUAL,),
    show_default=f"{_USUAL}, here or in a folder above",
    is_eager=True,
    callback=_chosen,
)
_folder_argument = click.argument(
    "folder",
    metavar="[DIR]",
    required=False,
    type=click.Path(path_type=Path, readable=False),
    is_eager=True,
    expose_value=False,
    callback=_take_folder,
)


def policies_option(command: Command) -> Command:
    """Adds the parameter `policies` to a command: the argument DIR behind its others, or the option --policies."""
    return policies_option_alone(_folder_argument(command))
