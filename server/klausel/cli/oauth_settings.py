"""Checking the settings of OAuth before anything starts."""

from __future__ import annotations

from importlib.util import find_spec

import click

from klausel.service.oauth import scopes_of
from klausel.service.signing_keys import KINDS, keys_in
from klausel.settings import SETTINGS, Settings
from klausel.storage.callers.key_sets import KeySetUnreadable, fault_in_place, is_address, read_key_set

_NEEDED = ("oauth_issuer", "oauth_audience", "oauth_keys")


def check_oauth(settings: Settings) -> None:
    """Exits with a message where tokens could not be taken as the settings say."""
    given = [one.option for one in SETTINGS.values() if one.field.startswith("oauth_") and _is_given(settings, one.field)]
    if not settings.takes_tokens:
        if given:
            raise click.UsageError(f"{given[0]} says how tokens are taken, so it needs --authentication oauth")
        return
    missing = [SETTINGS[name].option for name in _NEEDED if not getattr(settings, name)]
    if missing:
        raise click.UsageError(f"--authentication {settings.authentication} needs {' and '.join(missing)}")
    if find_spec("joserfc") is None:
        raise click.UsageError("tokens are read by joserfc, which is not installed; install Klausel with its extra oauth")
    for name in settings.oauth_algorithms:
        if name not in KINDS:
            message = f'"{name}" is none that is taken; there are {", ".join(KINDS)}'
            raise click.BadParameter(message, param_hint="--oauth-algorithm")
    try:
        scopes_of(settings.oauth_scopes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--oauth-scope") from None
    if settings.oauth_keys_max_age_seconds < settings.oauth_keys_refresh_seconds:
        raise click.UsageError(
            "--oauth-keys-max-age-seconds is less than --oauth-keys-refresh-seconds, so keys would be too old between two "
            "readings; exchange them, or correct one"
        )
    _check_keys(settings.oauth_keys or "")


def _check_keys(place: str) -> None:
    fault = fault_in_place(place)
    if fault is not None:
        raise click.BadParameter(f'"{place}" {fault}', param_hint="--oauth-keys")
    # An issuer may start later than the service, which then answers 503 to tokens; a file is there or wrong.
    if is_address(place):
        return
    try:
        keys = keys_in(read_key_set(place))
    except KeySetUnreadable as error:
        raise click.BadParameter(f'"{place}": {error}', param_hint="--oauth-keys") from None
    if not keys:
        raise click.BadParameter(f'"{place}" holds no public key that can sign a token', param_hint="--oauth-keys")


def _is_given(settings: Settings, name: str) -> bool:
    return bool(getattr(settings, name) != SETTINGS[name].default)
