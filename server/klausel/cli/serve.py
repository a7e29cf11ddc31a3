"""The command `serve`."""

from __future__ import annotations

import dataclasses
import errno
import logging
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from klausel.cli.assignments import import_file, origin_here
from klausel.cli.database_options import check_listen_url, database_option, database_service_options, explains_storage_errors
from klausel.cli.options import accepted_models, fail, load_or_exit, model_beside, model_option
from klausel.cli.output import say
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.other_model import note_on
from klausel.core.loading.load import ROLES_FILE
from klausel.core.policy.orphans import orphan_problems, orphaned_roles
from klausel.core.terms.masking import fault_in_mask
from klausel.core.testing.gate import unmet_expectations
from klausel.service.pipeline import LoadedPolicy
from klausel.settings import (
    ENVIRONMENT_VARIABLE,
    SLOW_BODIES_AT_ONCE,
    WORKERS_FOLDER_VARIABLE,
    Settings,
    as_public_url,
    fault_in_public_url,
)
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.assignments.stored_roles import stored_roles
from klausel.storage.callers.keys import KeyStore
from klausel.storage.decision_log.queue import SinkError
from klausel.storage.decision_log.sinks import STDOUT, open_sink
from klausel.storage.file_rules import DEMO_FILE
from klausel.storage.policy_files.folder import folders_of
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.schema import open_database
from klausel.storage.sql.access import READS_AT_ONCE, WRITES_AT_ONCE
from klausel.storage.sql.database import is_in_memory

THREADS_PER_WORKER = READS_AT_ONCE + WRITES_AT_ONCE + SLOW_BODIES_AT_ONCE + 3
"""So that some are left when as many as may do so wait for the database and for slow bodies."""
MORE_CONNECTIONS = 256
"""How many more than `max_connections` are accepted, so that they are seen and others closed for them."""
BACKLOG = 4096
OTHER_DESCRIPTORS = 256
"""Files, pipes and connections to the database."""
RESPAWN_SECONDS = 1.0
SECONDS_TO_END = 10
_DEFAULTS = Settings()


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
@policies_option
@model_option
@database_option
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="Address to listen on.")
@click.option("--port", default=_DEFAULTS.port, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--public-url", help="The https address under which callers reach the service, for its metadata.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which a service on loopback may be called, beside its own and that of its public URL; repeatable.",
)
@click.option("--reasons", is_flag=True, help="Give each deny its reasons, also where the request does not ask for them.")
@click.option("--demo", is_flag=True, help=f"Load the people of {DEMO_FILE} into an empty database first.")
@click.option("--workers", default=_DEFAULTS.workers, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option(
    "--max-policy-age",
    "max_policy_age_seconds",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Deny everything when the policies could not be refreshed for so long; without it, never.",
)
@click.option(
    "--orphaned-assignments",
    type=click.Choice(["refuse", "warn"]),
    default=_DEFAULTS.orphaned_assignments,
    show_default=True,
    help="What to do with policies under which stored role assignments count for nothing, as their role is not declared.",
)
@click.option(
    "--max-analysis-steps",
    default=_DEFAULTS.max_analysis_steps,
    show_default=True,
    type=click.IntRange(1),
    help="How much proving the invariants may go through before policies are taken; beyond it they are refused.",
)
@click.option("--decision-log", metavar="TARGET", help="Record every decision: stdout, database, or the path of a file.")
@click.option(
    "--decision-log-strict",
    "--log-strict",
    "decision_log_strict",
    is_flag=True,
    help="Give no answer without its record: 503 where the decision log cannot be written.",
)
@click.option(
    "--decision-log-mask",
    multiple=True,
    metavar="POINTER",
    help="Do not record this value: /resource/properties/email, or /context/* for all of the context; repeatable.",
)
@click.option(
    "--decision-log-sample-allows",
    default=_DEFAULTS.decision_log_sample_allows,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the allows that is recorded; every deny is.",
)
@click.option(
    "--decision-log-max-bytes",
    default=_DEFAULTS.decision_log_max_bytes,
    show_default=True,
    type=click.IntRange(10_000),
    help="Bytes after which a file of the decision log is put aside and another begun.",
)
@click.option(
    "--decision-log-files",
    default=_DEFAULTS.decision_log_files,
    show_default=True,
    type=click.IntRange(0),
    help="Files put aside that are kept, the oldest going first; 0 keeps all.",
)
@click.option(
    "--decision-log-queue",
    default=_DEFAULTS.decision_log_queue,
    show_default=True,
    type=click.IntRange(1),
    help="Records that may wait in each process; further ones are dropped and counted.",
)
@click.option(
    "--poll-seconds",
    default=_DEFAULTS.poll_seconds,
    show_default=True,
    type=click.FloatRange(0.1),
    help="How often a git ref is looked up again, for policies at REPO@REF:DIR.",
)
@database_service_options
@click.option(
    "--authentication",
    type=click.Choice(["none", "keys"]),
    default=_DEFAULTS.authentication,
    show_default=True,
    help="keys: answer only callers with an API key; make one with `klausel keys new`.",
)
@click.option(
    "--max-requests-per-second",
    type=click.FloatRange(0.1),
    metavar="NUMBER",
    help="Requests a second that each caller with a key may send; without it, any number.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default=_DEFAULTS.log_format,
    show_default=True,
    help="How the service's own log is written to standard error.",
)
@click.option(
    "--settle-seconds",
    default=_DEFAULTS.settle_seconds,
    show_default=True,
    type=click.FloatRange(0, 600),
    help="Take changed policy files when they stay as they are for so long; a set that is half there is never taken.",
)
@click.option(
    "--insecure-no-authentication",
    "open_to_all",
    is_flag=True,
    help="Listen beyond this machine although callers are not authenticated.",
)
@click.option(
    "--max-connections",
    default=_DEFAULTS.max_connections,
    show_default=True,
    type=click.IntRange(1),
    help="Connections to each process; beyond them, those that idle longest are closed.",
)
@click.option(
    "--body-seconds",
    default=_DEFAULTS.body_seconds,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds in which the body of a request must arrive; then its connection is cut.",
)
@click.option(
    "--max-body-bytes",
    default=_DEFAULTS.max_body_bytes,
    show_default=True,
    type=click.IntRange(1),
    help="Bytes in the body of a request.",
)
@click.option(
    "--max-nesting-depth",
    default=_DEFAULTS.max_nesting_depth,
    show_default=True,
    type=click.IntRange(3, 500),
    help="Objects and lists inside each other in a body.",
)
@click.option(
    "--max-string-characters",
    default=_DEFAULTS.max_string_characters,
    show_default=True,
    type=click.IntRange(1),
    help="Characters in a string of a body.",
)
@click.option(
    "--max-batch",
    default=_DEFAULTS.max_batch,
    show_default=True,
    type=click.IntRange(1),
    help="Evaluations, or changes of role assignments, in one request.",
)
@click.option(
    "--max-batch-bytes",
    default=_DEFAULTS.max_batch_bytes,
    show_default=True,
    type=click.IntRange(1),
    help="Bytes of a batch of evaluations once its defaults are in its items.",
)
@click.option(
    "--max-request-id-characters",
    default=_DEFAULTS.max_request_id_characters,
    show_default=True,
    type=click.IntRange(1),
    help="Characters in an X-Request-ID that is sent back and logged; a longer one is left out.",
)
@explains_storage_errors
def serve(policies: Path, model: Path | None, demo: bool, open_to_all: bool, **options: object) -> None:
    """Answer decisions over HTTP.

    \b
    Examples:
      klausel serve --demo
      klausel serve --policies ../policies.git@main:policies
      klausel serve --database postgresql://localhost/klausel --public-url https://pdp.example.com
    """
    address = git_address(str(policies))
    found_model = model if address else model_beside(policies, model)
    if address and demo:
        raise click.UsageError(f"the demo people are read from a folder, and {policies} is none; leave out --demo")
    named_model = str(found_model or "")
    accepted = accepted_models()
    settings = Settings(policies=str(policies), model=named_model, demo=demo, accept_model=accepted, **options)  # type: ignore[arg-type]
    settings = dataclasses.replace(
        settings,
        host=_address_of(settings),
        public_url=settings.public_url and as_public_url(settings.public_url),
        allowed_hosts=tuple(name.lower() for name in settings.allowed_hosts),
    )
    _check_address(settings, open_to_all)
    check_listen_url(settings)
    _check_decision_log(settings)
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
        say(f"klausel: {note}; give --public-url", err=True)
    counts = f"{len(loaded.compiled.policy.grants)} grants"
    say(
        f"Klausel answers at {settings.base_url} ({counts} from {policies}); stop it with Ctrl-C",
        err=settings.decision_log == STDOUT,
    )
    server = Granian(
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
        # One worker that dies must not end the others; a moment between two tries keeps a broken one from spinning.
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=SECONDS_TO_END,
    )
    server.on_startup(_pass_reloads_on)
    if settings.workers == 1:
        server.serve(target_loader=_load_application)
        return
    with TemporaryDirectory(prefix="klausel-") as folder:
        os.environ[WORKERS_FOLDER_VARIABLE] = folder
        server.serve(target_loader=_load_application)


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


def _check_address(settings: Settings, open_to_all: bool) -> None:
    is_open = settings.authentication == "none"
    if not settings.is_loopback and is_open and not open_to_all:
        raise click.UsageError(
            f"callers are not authenticated, so on {settings.host} anybody who reaches it could ask, and change role "
            "assignments. Give --authentication keys, listen on 127.0.0.1 behind a proxy that authenticates, or give "
            "--insecure-no-authentication."
        )
    if not is_open and open_to_all:
        raise click.UsageError("--authentication keys and --insecure-no-authentication exclude each other; leave out one")
    if is_open and settings.max_requests_per_second is not None:
        raise click.UsageError("--max-requests-per-second counts by caller, so it needs --authentication keys")
    if settings.public_url is not None:
        fault = fault_in_public_url(settings.public_url)
        if fault:
            raise click.BadParameter(f'"{settings.public_url}" {fault}', param_hint="--public-url")


def _prepare_database(settings: Settings, loaded: LoadedPolicy, policies: Path) -> None:
    with closing(AssignmentStore(open_database(settings.database))) as store:
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
    problems = orphan_problems(roles, orphaned_roles(roles, stored_roles(store.engine)), f"{first}/{ROLES_FILE}")
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
