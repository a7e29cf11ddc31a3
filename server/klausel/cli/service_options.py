"""The options of all settings of the service, and the settings that were given by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from klausel.cli.database_options import database_option_alone
from klausel.cli.options import accepted_models, model_option
from klausel.cli.policy_folder import policies_option
from klausel.cli.setting_options import config_option, setting_option
from klausel.settings import SETTINGS, Settings

Command = TypeVar("Command", bound=Callable[..., object])

_OF_THEIR_OWN = ("policies", "model", "accept_model", "database")
"""What other commands take too, with rules of where it is found."""


def service_options(command: Command) -> Command:
    """Gives a command `--config` and an option for each setting of the service."""
    for name in reversed(SETTINGS):
        if name not in _OF_THEIR_OWN:
            command = setting_option(name)(command)
    return config_option(policies_option(model_option(database_option_alone(command))))


def settings_given(policies: Path, model: Path | None, options: Mapping[str, Any]) -> Settings:
    """The settings that the options of a command come to."""
    given = Settings(policies=str(policies), model=str(model or ""), accept_model=accepted_models(), **options)
    return given.tidied()
