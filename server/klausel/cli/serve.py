"""The command `serve`."""

from __future__ import annotations

import dataclasses
import errno
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from granian.constants import Interfaces
from granian.log import LogLevels

from klausel.cli.assignments import import_file
from klausel.cli.change_options import origin_here
from klausel.cli.database_options import assignments_at, check_listen_url, explains_storage_errors
from klausel.cli.oauth_settings import check_oauth
from klausel.cli.oidc_settings import check_oidc
from klausel.cli.options import fail, load_or_exit
from klausel.cli.output import say
from klausel.cli.service_options import service_options, settings_given
from klausel.cli.worker_server import WorkerServer
from klausel.core.analysis.other_model import note_on
from klausel.core.loading.load import ROLES_FILE
from klausel.core.policy.orphans import orphan_problems
from klausel.core.terms.masking import fault_in_mask
from klausel.core.testing.gate import unmet_expectations
from klausel.service.pipeline import LoadedPolicy
from klausel.settings import (
    ENVIRONMENT_VARIABLE,
    WAITING_AT_ONCE,
    WORKERS_FOLDER_VARIABLE,
    Settings,
    fault_in_network,
    fault_in_prefix,
    fault_in_public_url,
)
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.assignments.stored_roles import orphaned_in
from klausel.storage.callers.keys import KeyStore
from klausel.storage.decision_log.queue import SinkError
from klausel.storage.decision_log.sinks import STDOUT, open_sink
from klausel.storage.file_rules import DEMO_FILE
from klausel.storage.policy_files.folder import folders_of, model_beside
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.sql.access import READS_AT_ONCE, WRITES_AT_ONCE
from klausel.storage.sql.database import is_in_memory

THREADS_PER_WORKER = READS_AT_ONCE + WRITES_AT_ONCE + WAITING_AT_ONCE + 3
"""So that some are left when as many as may do so wait for the database, in line and for slow bodies."""
MORE_CONNECTIONS = 256
"""How many more than `max_connections` are accepted, so that they are seen and others closed for them."""
BACKLOG = 4096
OTHER_DESCRIPTORS = 256
"""Files, pipes and connections to the database."""
SECONDS_TO_END = 10


class _IntendedThreads(logging.Filter):
    """Keeps the server from warning of the number of threads, which is meant: most of them only wait."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is told."""
        return "Python threads" not in record.getMessage()


# Standard output may be the decision log, so nothing else goes there.
_LOG_OF_THE_SERVER = {
    "filters": {"intended": {"()": _IntendedThreads}},
    "handlers": {
        name: {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": form, "filters": ["intended"]}
        for name, form in (("console", "generic"), ("access", "access"))
    },
}


@click.command()
@service_options
@explains_storage_errors
def serve(policies: Path, model: Path | None, **options: object) -> None:
    """Answer decisions over HTTP.

    \b
    Examples:
      klausel serve --demo
      klausel serve --config klausel.yaml
      klausel serve --policies ../policies.git@main:policies
      klausel serve --database postgresql://localhost/klausel --public-url https://pdp.example.com
    """
    address = git_address(str(policies))
    found_model = model if address else model_beside(policies, model)
    settings = settings_given(policies, found_model, options)
    if address and settings.demo:
        raise click.UsageError(f"the demo people are read from a folder, and {policies} is none; leave out --demo")
    settings = dataclasses.replace(settings, host=_address_of(settings))
    _check_address(settings)
    check_listen_url(settings)
    _check_tls(settings)
    _check_decision_log(settings)
    _check_traces(settings)
    loaded = load_or_exit(policies, found_model, with_tests=True)
    _check_expectations(loaded, settings.max_analysis_steps)
    for warning in loaded.warnings:
        say(str(warning), err=True)
    if loaded.compiled.other_model is not None:
        say(note_on(loaded.compiled.other_model), err=True)
    _check_port(settings)
    _prepare_database(settings, loaded, policies)
    _try_decision_log(settings)
    _allow_descriptors(settings)
    os.environ[ENVIRONMENT_VARIABLE] = settings.as_text()
    if not settings.base_url.startswith("https:"):
        note = f"the metadata names {settings.base_url}, which is not https, so callers elsewhere will not take it"
        say(f"klausel: {note}; give --public-url an https address", err=True)
    counts = f"{len(loaded.compiled.policy.grants)} grants"
    say(
        f"Klausel answers at {settings.base_url} ({counts} from {policies}); stop it with Ctrl-C",
        err=settings.decision_log == STDOUT,
    )
    server = _server(settings)
    server.on_startup(_pass_reloads_on)
    with TemporaryDirectory(prefix="klausel-") as folder:
        os.environ[WORKERS_FOLDER_VARIABLE] = folder
        server.serve(target_loader=_load_application)


def _server(settings: Settings) -> WorkerServer:
    return WorkerServer(
        "klausel.app:create_app_from_environment",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=THREADS_PER_WORKER,
        backpressure=settings.max_connections + MORE_CONNECTIONS,
        backlog=BACKLOG,
        log_level=LogLevels.warning,
        log_dictconfig=_LOG_OF_THE_SERVER,
        log_access=False,
        websockets=False,
        ssl_cert=_path(settings.tls_certificate),
        ssl_key=_path(settings.tls_key),
        ssl_ca=_path(settings.tls_client_ca),
        ssl_client_verify=settings.tls_client_ca is not None,
        workers_kill_timeout=SECONDS_TO_END,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _check_expectations(loaded: LoadedPolicy, most_steps: int) -> None:
    unmet = list(unmet_expectations(loaded.compiled.policy, loaded.compiled, loaded.tests, most_steps))
    for problem in unmet:
        say(str(problem), err=True)
    if unmet:
        fail("the policies do not do what their tests and invariants expect; fix one or the other first")


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


def _try_decision_log(settings: Settings) -> None:
    """Opens the log once, so that a place that cannot be written stops the start and not each worker."""
    if settings.decision_log is None:
        return
    try:
        open_sink(settings.decision_log, settings.database, settings.decision_log_max_bytes, 0).close()
    except SinkError as error:
        fail(f"the decision log cannot be written: {error}")


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
            raise click.BadParameter(f'"{settings.public_url}" {fault}', param_hint="--public-url")


def _check_proxies(settings: Settings) -> None:
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


def _prepare_database(settings: Settings, loaded: LoadedPolicy, policies: Path) -> None:
    with assignments_at(settings.database, creates=True) as store:
        if is_in_memory(store.engine.url):
            message = "a database in memory is lost between processes; name a file, such as sqlite:///klausel.db"
            raise click.BadParameter(message, param_hint="--database")
        if settings.authentication == "keys" and not any(KeyStore(store.engine).all()):
            say("klausel: there is no API key yet, so nobody is answered; make one with `klausel keys new`", err=True)
        _check_orphans(settings, loaded, store)
        if not settings.demo:
            return
        if not store.is_empty():
            message = "the database has role assignments already, so the demo people were not loaded"
            say(message, err=settings.decision_log == STDOUT)
            return
        file = folders_of(policies)[0] / DEMO_FILE
        if not file.is_file():
            fail(f"there are no demo people in {file}; start without --demo")
        result = import_file(store, loaded.compiled.policy.roles, file, origin_here(reason="demo people"))
        message = f"{result.added} role assignments of demo people loaded into the empty database"
        say(message, err=settings.decision_log == STDOUT)


def _check_orphans(settings: Settings, loaded: LoadedPolicy, store: AssignmentStore) -> None:
    roles = loaded.compiled.policy.roles
    first = folders_of(Path(settings.policies))[0]
    problems = orphan_problems(roles, orphaned_in(store.engine, roles), f"{first}/{ROLES_FILE}")
    refuses = settings.orphaned_assignments == "refuse"
    for problem in problems:
        say(str(problem if refuses else dataclasses.replace(problem, severity="warning")), err=True)
    if problems and refuses:
        fail("stored role assignments would count for nothing; to start all the same, give --orphaned-assignments warn")


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            cure = "another address with --host" if error.errno == errno.EADDRNOTAVAIL else "another port with --port"
            fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose {cure}")


def _allow_descriptors(settings: Settings) -> None:
    """Lets this process and its workers open a descriptor for each connection, as far as the system permits."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + MORE_CONNECTIONS + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            say(
                f"the system lets a process open {soft} files, too few for {settings.max_connections} connections; "
                "raise it (ulimit -n), or lower --max-connections",
                err=True,
            )


def _pass_reloads_on() -> None:
    """Makes SIGHUP refresh the policies of every worker; Granian would start new workers, which a broken set would stop."""

    def pass_on(*_: object) -> None:
        for worker in multiprocessing.active_children():
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, pass_on)


def _load_application(target: str) -> Any:
    """The application of a worker process; Granian's own way of finding it depends on the folder that it is started in."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)()
