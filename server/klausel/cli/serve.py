"""The command `serve`."""

from __future__ import annotations

import dataclasses
import errno
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import click
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from klausel.cli.assignments import import_file
from klausel.cli.change_options import origin_here
from klausel.cli.database_options import assignments_at, explains_storage_errors
from klausel.cli.options import fail, load_or_exit
from klausel.cli.output import say, say_lines
from klausel.cli.service_options import service_options, settings_given
from klausel.cli.settings_checks import checked
from klausel.cli.worker_server import WorkerServer, ended_by_signals, hear_the_first_stop
from klausel.core.analysis.other_model import note_on
from klausel.core.loading.load import ROLES_FILE
from klausel.core.policy.orphans import orphan_problems
from klausel.core.terms.problem import PolicyError
from klausel.core.testing.gate import unmet_expectations
from klausel.service.pipeline import LoadedPolicy
from klausel.settings import (
    ENVIRONMENT_VARIABLE,
    WAITING_AT_ONCE,
    WORKERS_FOLDER_VARIABLE,
    Settings,
)
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.assignments.stored_roles import orphaned_in
from klausel.storage.callers.keys import KeyStore
from klausel.storage.decision_log.queue import SinkError
from klausel.storage.decision_log.sinks import STDOUT, open_sink
from klausel.storage.file_rules import DEMO_FILE
from klausel.storage.policy_files.folder import folders_of, model_beside
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.sql.access import READS_AT_ONCE, WRITES_AT_ONCE, StorageError

APPLICATION = "klausel.app:create_app_from_environment"
THREADS_PER_WORKER = READS_AT_ONCE + WRITES_AT_ONCE + WAITING_AT_ONCE + 3
"""So that some are left when as many as may do so wait for the database, in line and for slow bodies."""
MORE_CONNECTIONS = 256
"""How many more than `max_connections` are accepted, so that they are seen and others closed for them."""
BACKLOG = 4096
OTHER_DESCRIPTORS = 256
"""Files, pipes and connections to the database."""
SECONDS_TO_END = 3
"""How long a worker may take to end after the longest request that it had begun could be answered."""


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
@ended_by_signals()
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
    settings = checked(settings_given(policies, found_model, options))
    loaded = load_or_exit(policies, found_model, with_tests=True)
    _check_expectations(loaded, settings.max_analysis_steps)
    say_lines(loaded.warnings, err=True)
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
    message = f"Klausel answers at {settings.base_url} ({counts} from {policies}); stop it with Ctrl-C"
    # Workers that are forked off have it at once, also those that are started again.
    import_module(APPLICATION.partition(":")[0])
    server = _server(settings)
    server.on_startup(_pass_reloads_on)
    server.tell_when_it_answers(lambda: say(message, err=settings.decision_log == STDOUT))
    with TemporaryDirectory(prefix="klausel-") as folder:
        os.environ[WORKERS_FOLDER_VARIABLE] = folder
        server.on_shutdown(lambda: rmtree(folder, ignore_errors=True))
        server.serve(target_loader=_load_application)


def _server(settings: Settings) -> WorkerServer:
    return WorkerServer(
        APPLICATION,
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        # One connection of HTTP/2 holds as many half bodies as it likes, and never looks as if it waited for them.
        http=HTTPModes.http1,
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
        workers_kill_timeout=math.ceil(settings.body_seconds + settings.database_write_seconds + SECONDS_TO_END),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _check_expectations(loaded: LoadedPolicy, most_steps: int) -> None:
    unmet = list(unmet_expectations(loaded.compiled.policy, loaded.compiled, loaded.tests, most_steps))
    say_lines(unmet, err=True)
    if unmet:
        fail("the policies do not do what their tests and invariants expect; fix one or the other first")


def _try_decision_log(settings: Settings) -> None:
    """Opens the log once, so that a place that cannot be written stops the start and not each worker."""
    if settings.decision_log is None:
        return
    try:
        open_sink(settings.decision_log, settings.database, settings.decision_log_max_bytes, 0).close()
    except SinkError as error:
        fail(f"the decision log cannot be written: {error}")


def _prepare_database(settings: Settings, loaded: LoadedPolicy, policies: Path) -> None:
    with assignments_at(settings.database, creates=True) as store:
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
    hear_the_first_stop()
    try:
        return getattr(import_module(module), name)()
    except StorageError as error:
        fail(f"a worker cannot start: {error}")
    except PolicyError as error:
        say_lines(error.problems, err=True)
        fail("a worker cannot start: the policies have problems; fix them first")
