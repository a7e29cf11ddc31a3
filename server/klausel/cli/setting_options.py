"""Options made from the definition of the settings: a value is given there, in the environment, in a file, or the default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from klausel.settings import CONFIG_VARIABLE, SETTINGS, Setting

Command = TypeVar("Command", bound=Callable[..., object])

if TYPE_CHECKING:
    from klausel.cli.config_file import Given

    TextType = click.ParamType[str]
else:
    # Older versions of click know no types of types.
    TextType = click.ParamType
_CONFIG = f"{__name__}.config"
_SOURCES = f"{__name__}.sources"


class _Secret(TextType):
    """A text, or `@` and the path of a file that holds it."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.startswith("@"):
            return text
        if text == "@":
            self.fail("no file is named behind @; write @ and its path, such as @/run/secrets/database", param, ctx)
        file = text[1:]
        try:
            # Editors of Windows put a mark before the first character.
            text = Path(file).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            # What is no whole path may be the secret itself, in the place of the name of its file.
            named, how = (f" {file}", "") if Path(file).is_absolute() else ("", ", by its whole path")
            self.fail(f"the file{named} cannot be read: {why}; name a file that the service may read{how}", param, ctx)
        except ValueError:
            self.fail(f"the file {file} cannot be read: it is no text in UTF-8; write it again as that", param, ctx)
        if not text:
            self.fail(f"the file {file} is empty; write the secret into it", param, ctx)
        if not text.isprintable():
            self.fail(
                f"the file {file} holds several lines or control characters; write the secret alone into it", param, ctx
            )
        return text


class _WholeNumber(click.IntRange):
    """A whole number within bounds, refused in words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f'"{value}" is no whole number {_within(self)}', param, ctx)


class _Number(click.FloatRange):
    """A number within bounds, refused in words; there is none that is infinite, or no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        with suppress(click.BadParameter):
            number = super().convert(value, param, ctx)
            if isfinite(number):
                return number
        self.fail(f'"{value}" is no number {_within(self)}', param, ctx)


def _within(numbers: click.IntRange | click.FloatRange) -> str:
    least, most = numbers.min, numbers.max
    if least is None:
        return "that is finite; write one"
    if most is None:
        return f"above {least:g}; write one" if numbers.min_open else f"of at least {least:g}; write one"
    return f"{'above' if numbers.min_open else 'from'} {least:g} to {most:.10g}; write one"


class SettingOption(click.Option):
    """The option of one setting."""

    def __init__(self, declared: list[str], setting: Setting, **attributes: Any) -> None:
        self.setting = setting
        super().__init__(declared, envvar=setting.variable, **attributes)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """As click finds it, and where the environment names a file that holds it."""
        text = super().resolve_envvar_value(ctx)
        variable = self.setting.variable_of_file
        file = os.environ.get(variable) if variable else None
        if not file:
            return text
        if text is not None:
            raise click.UsageError(f"{self.setting.variable} and {variable} are both set; leave out one", ctx)
        return f"@{file}"

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """As click does it, and then from the file of settings."""
        value, source = super().consume_value(ctx, opts)
        place = _name_of(self.setting, source)
        if source is ParameterSource.DEFAULT:
            given = _config(ctx).get(self.setting.key)
            if given is not None:
                value, source, place = (
                    given.texts if self.multiple else given.texts[0],
                    ParameterSource.DEFAULT_MAP,
                    given.place,
                )
        ctx.meta.setdefault(_SOURCES, {})[self.setting.field] = place
        return value, source

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """As click does it; an error names the place that the value comes from."""
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            place = source_of(ctx, self.setting)
            name = self.setting.option
            error.param_hint = name if place == name else f"{name} (from {place})"
            if not self.is_bool_flag:
                raise
            message = f'"{value}" is neither true nor false; write one of them'
            raise click.BadParameter(message, ctx, self, error.param_hint) from None


def _name_of(setting: Setting, source: ParameterSource) -> str:
    if source is ParameterSource.COMMANDLINE:
        return setting.option
    if source is ParameterSource.ENVIRONMENT:
        file = setting.variable_of_file
        return file if file and os.environ.get(file) else setting.variable
    return "default"


def source_of(ctx: click.Context, setting: Setting) -> str:
    """Where the value of a setting comes from: its option, its variable, a place in the file of settings, or `default`."""
    name: str = ctx.meta.get(_SOURCES, {}).get(setting.field, "default")
    return name


def _read(path: Path) -> dict[str, Given]:
    from klausel.cli.config_file import read_config  # who has no file of settings does not wait for its reader

    return read_config(path)


def _config(ctx: click.Context) -> dict[str, Given]:
    if _CONFIG not in ctx.meta:
        path = os.environ.get(CONFIG_VARIABLE)
        ctx.meta[_CONFIG] = _read(Path(path)) if path else {}
    found: dict[str, Given] = ctx.meta[_CONFIG]
    return found


def _take_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.meta[_CONFIG] = _read(path)


# First of all: other eager options look into the file.
config_option = click.option(
    "--config",
    # Who reads it says why it cannot be read, and what to do.
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_take_config,
    envvar=CONFIG_VARIABLE,
    show_envvar=True,
    help="File of settings, YAML or (.toml) TOML: each by the name of its option, with _ for -.",
)


def setting_option(name: str, **attributes: Any) -> Callable[[Command], Command]:
    """The option of a setting, named by its field; attributes of `click.option` win over those that its definition gives."""
    setting = SETTINGS[name]
    about = setting.about
    shown: dict[str, Any] = {"show_default": True} if setting.default not in (None, ()) else {}
    made: dict[str, Any] = {
        "help": about.help,
        "default": setting.default if setting.default not in (None, ()) else None,
        "show_envvar": True,
        **shown,
        **_type(setting),
    }
    if about.metavar:
        made["metavar"] = about.metavar
    declared = [setting.option, *([about.also] if about.also else []), setting.field]
    return click.option(*declared, cls=SettingOption, setting=setting, **{**made, **attributes})


def _type(setting: Setting) -> dict[str, Any]:
    about, kind = setting.about, setting.kind.removesuffix(" | None")
    if kind == "bool":
        return {"is_flag": True, "show_default": False}
    if setting.is_repeatable:
        return {"multiple": True}
    if about.choices:
        return {"type": click.Choice(about.choices)}
    if kind == "int":
        least, most = (None if bound is None else int(bound) for bound in (about.least, about.most))
        return {"type": _WholeNumber(least, most)}
    if kind == "float":
        return {"type": _Number(about.least, about.most, min_open=about.is_open)}
    return {"type": _Secret() if about.secret else click.STRING}
