"""Checking the settings of the OpenID provider before anything starts."""

from __future__ import annotations

from importlib.util import find_spec

import click

from klausel.core.terms.claim_rules import read_claim_rule
from klausel.core.terms.identifiers import fault_in_subject
from klausel.settings import SETTINGS, Settings
from klausel.storage.callers.key_sets import fault_in_place, is_address

_NEEDED = ("oidc_issuer", "oidc_client_id", "oidc_allow")


def check_oidc(settings: Settings) -> None:
    """Exits with a message where nobody could sign in by the provider that the settings name."""
    own = [one for one in SETTINGS.values() if one.field.startswith("oidc_")]
    given = [one.option for one in own if getattr(settings, one.field) != one.default]
    if not given:
        return
    missing = [SETTINGS[name].option for name in _NEEDED if not getattr(settings, name)]
    if missing:
        raise click.UsageError(f"signing in by an OpenID provider needs {' and '.join(missing)} too")
    if settings.authentication == "none":
        raise click.UsageError(f"{given[0]} says how people sign in, so it needs --authentication, such as keys")
    if find_spec("authlib") is None or find_spec("joserfc") is None:
        raise click.UsageError("signing in is done by Authlib, which is not installed; install Klausel with its extra oidc")
    issuer = settings.oidc_issuer or ""
    fault = fault_in_place(issuer) if is_address(issuer) else "is not an https address"
    if fault:
        raise click.BadParameter(f'"{issuer}" {fault}', param_hint="--oidc-issuer")
    fault = fault_in_subject(settings.oidc_person_type, "somebody")
    if fault:
        raise click.BadParameter(f'"{settings.oidc_person_type}" {fault}', param_hint="--oidc-person-type")
    for rule in settings.oidc_allow:
        try:
            read_claim_rule(rule)
        except ValueError as error:
            raise click.BadParameter(f'"{rule}" {error}', param_hint="--oidc-allow") from None
