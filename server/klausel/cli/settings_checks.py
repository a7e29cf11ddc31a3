"""Checking the settings of the service before anything starts: those that fit no start whatever else is there."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from klausel.cli.database_options import check_listen_url
from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.core.terms.claim_rules import read_claim_rule
from klausel.core.terms.escaping import without_credentials
from klausel.core.terms.identifiers import fault_in_subject
from klausel.core.terms.masking import fault_in_mask
from klausel.core.terms.problem import nearest_name
from klausel.service.oauth import scopes_of
from klausel.service.signing_keys import KINDS, keys_in
from klausel.settings import (
    SETTINGS,
    Settings,
    fault_in_host,
    fault_in_network,
    fault_in_prefix,
    fault_in_public_url,
)
from klausel.storage.callers.key_sets import KeySetUnreadable, fault_in_place, is_address, read_key_set
from klausel.storage.callers.tls_certificate import read_tls_certificate
from klausel.storage.decision_log.sinks import DATABASE, STDOUT
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.sql.database import is_in_memory, read_url

_TARGETS = (STDOUT, DATABASE)


def checked(settings: Settings) -> Settings:
    """The settings with the IP address of their host; exits with a message where no service starts with them."""
    if settings.demo and git_address(settings.policies):
        raise click.UsageError(f"the demo people are read from a folder, and {settings.policies} is none; leave out --demo")
    settings = dataclasses.replace(settings, host=_address_of(settings))
    _check_address(settings)
    _check_database(settings)
    check_listen_url(settings)
    _check_tls(settings)
    _check_decision_log(settings)
    _check_traces(settings)
    return settings


def _check_database(settings: Settings) -> None:
    if is_in_memory(read_url(settings.database)):
        message = "a database in memory is lost between processes; name a file, such as sqlite:///klausel.db"
        raise click.BadParameter(message, param_hint="--database")


def _check_decision_log(settings: Settings) -> None:
    _check_target(settings.decision_log or "")
    for pointer in settings.decision_log_mask:
        _refuse(pointer, fault_in_mask(pointer), "--decision-log-mask")
    if settings.decision_log_strict and settings.decision_log is None:
        raise click.UsageError("--decision-log-strict needs --decision-log, which says where the records go")
    if settings.decision_log_strict and settings.decision_log_sample_allows < 1:
        raise click.UsageError(
            "--decision-log-strict records every decision; leave out --decision-log-sample-allows, or be less strict"
        )


def _check_target(target: str) -> None:
    """Refuses a slip for one of the words, which would be a file of that name."""
    if target.isalpha() and target not in _TARGETS and nearest_name(target, (*_TARGETS, "stderr"), 0.8) is not None:
        _refuse(target, f"is neither stdout nor database; write one of them, or ./{target} for a file", "--decision-log")


def _check_traces(settings: Settings) -> None:
    if not settings.traces:
        return
    try:
        import_module("klausel.api.tracing")
    except ImportError:
        message = "--traces needs OpenTelemetry, which is not installed; install Klausel with its extra opentelemetry"
        raise click.UsageError(message) from None


def _address_of(settings: Settings) -> str:
    """The IP address of the host to listen on, of version 4 where it has both."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        message = f'"{settings.host}" is no address of this machine; write one such as 127.0.0.1, ::1 or localhost'
        raise click.BadParameter(message, param_hint="--host") from None
    address = min(found, key=lambda one: one[0] != socket.AF_INET)[4][0]
    return str(address)


def _check_address(settings: Settings) -> None:
    open_to_all, is_open = settings.insecure_no_authentication, settings.authentication == "none"
    if not settings.is_loopback and is_open and not open_to_all:
        raise click.UsageError(
            f"callers are not authenticated, so on {settings.host} anybody who reaches it could ask, and change role "
            "assignments. Give --authentication keys or oauth, listen on 127.0.0.1 behind a proxy that authenticates, or give "
            "--insecure-no-authentication."
        )
    if not is_open and open_to_all:
        raise click.UsageError("--authentication and --insecure-no-authentication exclude each other; leave out one")
    if is_open and settings.max_requests_per_second is not None:
        raise click.UsageError("--max-requests-per-second counts by caller, so it needs --authentication keys or oauth")
    _check_oauth(settings)
    _check_oidc(settings)
    _check_proxies(settings)
    if settings.public_url is not None:
        _refuse(settings.public_url, fault_in_public_url(settings.public_url), "--public-url")


def _check_proxies(settings: Settings) -> None:
    for name in settings.allowed_hosts:
        _refuse(name, fault_in_host(name), "--allowed-host")
    for address in settings.trusted_proxies:
        _refuse(address, fault_in_network(address), "--trusted-proxy")
    _refuse(settings.path_prefix, fault_in_prefix(settings.path_prefix), "--path-prefix")


def _refuse(value: str, fault: str | None, option: str) -> None:
    """Raises `click.BadParameter` for a value with a fault."""
    if fault:
        raise click.BadParameter(f'"{without_credentials(value)}" {fault}', param_hint=option)


def _given_of(settings: Settings, prefix: str) -> list[str]:
    """The options that are not as they are by default, of the settings whose names start so."""
    own = [one for one in SETTINGS.values() if one.field.startswith(prefix)]
    return [one.option for one in own if getattr(settings, one.field) != one.default]


def _missing(settings: Settings, *names: str) -> str:
    """The options of the settings that are not given; empty where all are."""
    return " and ".join(SETTINGS[name].option for name in names if not getattr(settings, name))


def _check_oauth(settings: Settings) -> None:
    """Whether tokens could be taken as the settings say."""
    if not settings.takes_tokens:
        if given := _given_of(settings, "oauth_"):
            raise click.UsageError(f"{given[0]} says how tokens are taken, so it needs --authentication oauth")
        return
    if missing := _missing(settings, "oauth_issuer", "oauth_audience", "oauth_keys"):
        raise click.UsageError(f"--authentication {settings.authentication} needs {missing}")
    if find_spec("joserfc") is None:
        raise click.UsageError("tokens are read by joserfc, which is not installed; install Klausel with its extra oauth")
    if not settings.oauth_algorithms:
        raise click.UsageError(
            f"--oauth-algorithm is an empty list, so no token could be taken; name some of {', '.join(KINDS)}"
        )
    for name in settings.oauth_algorithms:
        if name not in KINDS:
            _refuse(name, f"is none that is taken; there are {', '.join(KINDS)}", "--oauth-algorithm")
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
    _refuse(place, fault_in_place(place), "--oauth-keys")
    # An issuer may start later than the service, which then answers 503 to tokens; a file is there or wrong.
    if is_address(place):
        return
    try:
        keys = keys_in(read_key_set(place))
    except KeySetUnreadable as error:
        raise click.BadParameter(f'"{place}": {error}', param_hint="--oauth-keys") from None
    if not keys:
        _refuse(place, "holds no public key that can sign a token", "--oauth-keys")


def _check_oidc(settings: Settings) -> None:
    """Whether anybody could sign in by the provider that the settings name."""
    given = _given_of(settings, "oidc_")
    if not given:
        return
    if missing := _missing(settings, "oidc_issuer", "oidc_client_id", "oidc_allow"):
        raise click.UsageError(f"signing in by an OpenID provider needs {missing} too")
    if settings.authentication == "none":
        raise click.UsageError(f"{given[0]} says how people sign in, so it needs --authentication, such as keys")
    if find_spec("authlib") is None or find_spec("joserfc") is None:
        raise click.UsageError("signing in is done by Authlib, which is not installed; install Klausel with its extra oidc")
    issuer = settings.oidc_issuer or ""
    _refuse(issuer, fault_in_place(issuer) if is_address(issuer) else "is not an https address", "--oidc-issuer")
    _refuse(settings.oidc_person_type, fault_in_subject(settings.oidc_person_type, "somebody"), "--oidc-person-type")
    for rule in settings.oidc_allow:
        try:
            read_claim_rule(rule)
        except ValueError as error:
            _refuse(rule, str(error), "--oidc-allow")


def _check_tls(settings: Settings) -> None:
    """Reads what TLS needs, so that what cannot be read stops the start and not each worker."""
    if settings.tls_certificate is None:
        if settings.tls_key or settings.tls_client_ca:
            raise click.UsageError("the other settings of TLS need --tls-certificate")
        return
    if settings.tls_key is None:
        raise click.UsageError("--tls-certificate needs --tls-key, the private key of it")
    certificate, key, authorities = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if b"-----BEGIN PRIVATE KEY-----" not in _content_for_tls(key):
        cure = f"make one: openssl pkcs8 -topk8 -nocrypt -in {key} -out NEW.key"
        fail(f"{key} is no private key in PKCS#8 without a password; {cure}")
    for name in (certificate, *([authorities] if authorities else ())):
        if b"-----BEGIN CERTIFICATE-----" not in _content_for_tls(name):
            fail(
                f"{name} holds no certificate in PEM; name the file that does, or make one: openssl x509 -in {name} -out NEW.pem"
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    place = f"{certificate}, {key}"
    try:
        context.load_cert_chain(certificate, key)
        if authorities:
            place = authorities
            context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            fail(f"{key} is not the private key of {certificate}; name PEM files that belong together")
        fail(f"TLS cannot be served with {place}: {error.reason or error}; name whole PEM files that belong together")
    # What OpenSSL takes and cannot be read here is served all the same.
    with suppress(ValueError):
        for fault in read_tls_certificate(certificate).faults(settings.public_host):
            say(f"klausel: warning: the certificate {certificate} {fault}", err=True)


def _content_for_tls(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        fail(f"TLS cannot be served with {name}: {why}; name a PEM file that the service may read")
