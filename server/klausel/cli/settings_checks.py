"""Checking the settings of the service before anything starts: those that fit no start whatever else is there."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from importlib import import_module
from pathlib import Path

import click

from klausel.cli.database_options import check_listen_url
from klausel.cli.oauth_settings import check_oauth
from klausel.cli.oidc_settings import check_oidc
from klausel.cli.options import fail
from klausel.core.terms.masking import fault_in_mask
from klausel.settings import (
    Settings,
    fault_in_host,
    fault_in_network,
    fault_in_prefix,
    fault_in_public_url,
    without_credentials,
)
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.sql.database import is_in_memory, read_url


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
    for pointer in settings.decision_log_mask:
        fault = fault_in_mask(pointer)
        if fault:
            raise click.BadParameter(f'"{pointer}" {fault}', param_hint="--decision-log-mask")
    if settings.decision_log_strict and settings.decision_log is None:
        raise click.UsageError("--decision-log-strict needs --decision-log, which says where the records go")
    if settings.decision_log_strict and settings.decision_log_sample_allows < 1:
        raise click.UsageError(
            "--decision-log-strict records every decision; leave out --decision-log-sample-allows, or be less strict"
        )


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
    check_oauth(settings)
    check_oidc(settings)
    _check_proxies(settings)
    if settings.public_url is not None:
        fault = fault_in_public_url(settings.public_url)
        if fault:
            shown = without_credentials(settings.public_url)
            raise click.BadParameter(f'"{shown}" {fault}', param_hint="--public-url")


def _check_proxies(settings: Settings) -> None:
    for name in settings.allowed_hosts:
        fault = fault_in_host(name)
        if fault:
            raise click.BadParameter(f'"{name}" {fault}', param_hint="--allowed-host")
    for address in settings.trusted_proxies:
        fault = fault_in_network(address)
        if fault:
            raise click.BadParameter(f'"{address}" {fault}', param_hint="--trusted-proxy")
    fault = fault_in_prefix(settings.path_prefix)
    if fault:
        raise click.BadParameter(f'"{settings.path_prefix}" {fault}', param_hint="--path-prefix")


def _check_tls(settings: Settings) -> None:
    """Reads what TLS needs, so that what cannot be read stops the start and not each worker."""
    if settings.tls_certificate is None:
        if settings.tls_key or settings.tls_client_ca:
            raise click.UsageError("the other settings of TLS need --tls-certificate")
        return
    if settings.tls_key is None:
        raise click.UsageError("--tls-certificate needs --tls-key, the private key of it")
    place = f"{settings.tls_certificate}, {settings.tls_key}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if "-----BEGIN PRIVATE KEY-----" not in Path(settings.tls_key).read_text(encoding="ascii"):
            fail(
                f"{settings.tls_key} is no private key in PKCS#8 without a password; make one: openssl pkcs8 -topk8 -nocrypt"
            )
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_ca:
            place = settings.tls_client_ca
            context.load_verify_locations(settings.tls_client_ca)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        fail(f"TLS cannot be served with {place}: {why}; name PEM files that belong together")
