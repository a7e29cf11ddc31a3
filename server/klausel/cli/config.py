"""The command `config`: the settings as the service would start with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import explains_storage_errors
from klausel.cli.formats import format_option
from klausel.cli.output import say, say_json
from klausel.cli.service_options import service_options, settings_given
from klausel.cli.setting_options import source_of
from klausel.cli.settings_checks import checked
from klausel.core.terms.escaping import without_credentials
from klausel.service.oauth import scopes_of
from klausel.settings import SETTINGS, Setting, Settings
from klausel.storage.policy_files.folder import model_beside
from klausel.storage.policy_files.git_source import git_address

HIDDEN = "(hidden)"
NOT_SET = "-"
WITHOUT = {one.key: one.about.shown_default.replace("`", "") for one in SETTINGS.values() if one.about.shown_default}
"""What holds while nobody sets them, in words."""
_PASSWORD_IN_QUERY = re.compile(r"([?&][^=&]*pass(?:word|wd)?=)[^&]*", re.IGNORECASE)


@click.group(cls=CommandGroup)
def config() -> None:
    """Look at the settings of the service.

    \b
    Example:
      klausel config show
    """


def _write_text(shown: Mapping[str, tuple[object, str]]) -> None:
    width = max(map(len, shown))
    for key, (value, source) in shown.items():
        told = _as_text(value)
        say(f"{key:{width}}  {WITHOUT.get(key, told) if told == NOT_SET else told}  ({source})")


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or NOT_SET
    return NOT_SET if value is None or value == "" else str(value)


def _write_json(shown: Mapping[str, tuple[object, str]]) -> None:
    say_json({key: {"value": value, "from": source} for key, (value, source) in shown.items()}, indent=2)


@config.command()
@service_options
@format_option({"text": _write_text, "json": _write_json})
@explains_storage_errors
@click.pass_context
def show(ctx: click.Context, /, policies: Path, model: Path | None, write: Any, **options: object) -> None:
    """Print every setting, its value, and where it comes from, as `klausel serve` would take it; passwords are hidden.

    Those with which it would not start are printed, too, and then refused as it refuses them.

    \b
    Examples:
      klausel config show
      klausel config show --config klausel.yaml --format json
    """
    settings = settings_given(policies, model if git_address(str(policies)) else model_beside(policies, model), options)
    write(dict(_shown(ctx, settings)))
    checked(settings)


def _shown(ctx: click.Context, settings: Settings) -> Iterator[tuple[str, tuple[object, str]]]:
    for setting in SETTINGS.values():
        yield setting.key, (_told(setting, _in_force(settings, setting)), source_of(ctx, setting))


def _in_force(settings: Settings, setting: Setting) -> object:
    """The value that the service goes by, also where that follows from other settings."""
    value: object = getattr(settings, setting.field)
    if value:
        return value
    if setting.field == "public_url":
        return settings.base_url
    if setting.field == "listen_url" and settings.database.startswith("postgres"):
        return settings.database
    if setting.field == "oauth_scopes":
        return tuple(f"{theirs}={ours}" for theirs, ours in scopes_of(()).items())
    return value


def _told(setting: Setting, value: object) -> object:
    if value is None or not setting.about.secret:
        return without_credentials(value) if isinstance(value, str) else value
    try:
        return _without_passwords(make_url(str(value))) if setting.about.is_url else HIDDEN
    except (ArgumentError, ValueError):
        return HIDDEN


def _without_passwords(url: URL) -> str:
    shown = url.render_as_string(hide_password=True)
    return _PASSWORD_IN_QUERY.sub(r"\1***", shown)
