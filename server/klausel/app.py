"""The one place where the parts are joined: settings in, a WSGI application out. Nothing happens at import."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from flask import Flask
from sqlalchemy import Engine

from klausel.api.access import check_routes
from klausel.api.behind_proxy import BehindProxy
from klausel.api.connections import ConnectionWatch, RequestsInProgress
from klausel.api.console.routes import console_routes, is_served
from klausel.api.freshness import share_freshness
from klausel.api.http import share
from klausel.api.lane import EvaluationLane
from klausel.api.metrics import Metrics
from klausel.api.request_metrics import RequestMetrics
from klausel.api.routes import authzen_routes, klausel_routes
from klausel.api.scim import scim_routes
from klausel.api.service_log import show_log
from klausel.core.terms.claim_rules import read_claim_rule
from klausel.enforcer.installation import check_installation
from klausel.service.authentication import ApiKeys, Authentication, Proofs, RateLimit
from klausel.service.decision_service import Service
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.oauth import OauthTokens, TokenRules, scopes_of
from klausel.service.openid import OpenIdProvider, OpenIdRules
from klausel.service.policy_in_force import LivePolicy
from klausel.service.provisioning import Provisioner
from klausel.service.role_assignments import marks_of_writes
from klausel.service.sign_in import SignIns
from klausel.service.signing_keys import SigningKeys
from klausel.service.steady_clock import SteadyClock
from klausel.settings import ENVIRONMENT_VARIABLE, WAITING_AT_ONCE, WORKERS_FOLDER_VARIABLE, Settings
from klausel.storage.assignments.store import AssignmentStore, StoreChange
from klausel.storage.assignments.stored_roles import orphaned_in
from klausel.storage.callers.key_sets import read_key_set
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.decision_log.sinks import FileSink, open_sink
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.policy_files.folder import model_beside
from klausel.storage.policy_files.git_source import GitFolder, git_address
from klausel.storage.policy_files.source import PolicySource
from klausel.storage.policy_files.watched_folder import RECHECK_SECONDS, PolicyFolder
from klausel.storage.schema import open_database
from klausel.storage.sql.access import IN_LINE, Crowded, Limits
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import StorageError, access_of, is_in_memory, make_engine, read_url
from klausel.storage.sql.file_check import DamagedFile, FileCheck
from klausel.storage.sql.history import OtherSchema

SECONDS_TO_READ_ALL = 60.0
SECONDS_TO_END = 5
"""How long a worker without a parent may take to answer what it has begun."""
MOST_ARENAS = 2
_M_ARENA_MAX = -8


def create_app(settings: Settings) -> Flask:
    """The application; raises `PolicyError` for a broken policy set and `StorageError` for an unusable database.

    Its policies change when it is told so, over HTTP, and not by themselves.
    """
    check_installation()
    return _join(create_service(settings))


def _join(service: Service, watches: bool = False) -> Flask:
    tracer, counted = None, RequestMetrics()
    if service.settings.traces:
        # Needs packages that are not installed everywhere.
        from klausel.api.tracing import TracedRequestMetrics, TracedRequests, open_tracer, traced_service

        tracer, counted = open_tracer(), TracedRequestMetrics()
        service = traced_service(service, tracer)
    settings, access = service.settings, access_of(service.store.engine)
    # Whoever only waits, for a slow body or in line for the database, holds one of as many threads.
    requests = RequestsInProgress(in_line=lambda: access.in_line)
    access.may_be_in_line = lambda: min(IN_LINE, WAITING_AT_ONCE - requests.slow_bodies())
    watch = (
        ConnectionWatch(settings.port, settings.max_connections, settings.body_seconds, requests)
        if watches and settings.fast_lane
        else None
    )
    folder = os.environ.get(WORKERS_FOLDER_VARIABLE) if watches else None
    metrics = Metrics(service, counted, watch, Path(folder) if folder else None)
    app = create_flask_app(service, metrics, counted)
    if settings.fast_lane:
        app.wsgi_app = EvaluationLane(service, app.wsgi_app, requests, counted)  # type: ignore[method-assign]
    if tracer is not None:
        app.wsgi_app = TracedRequests(app.wsgi_app, tracer)  # type: ignore[method-assign]
    if settings.path_prefix or settings.trusted_proxies:
        app.wsgi_app = BehindProxy(app.wsgi_app, settings.path_prefix, settings.trusted_proxies)  # type: ignore[method-assign]
    if watch is not None:
        watch.start()
        metrics.start()
    return app


def create_flask_app(service: Service, metrics: Metrics | None = None, counted: RequestMetrics | None = None) -> Flask:
    """The routes over the parts behind them; `metrics` are those of a process that is a worker, `counted` its requests."""
    counted = counted or RequestMetrics()
    settings = service.settings
    app = Flask("klausel", static_folder=None)
    share(app, settings, service.authentication, service.sign_ins, counted)
    share_freshness(app, service)
    app.register_blueprint(authzen_routes(service))
    app.register_blueprint(klausel_routes(service, metrics or Metrics(service, counted)))
    app.register_blueprint(scim_routes(service))
    if is_served(service):
        app.register_blueprint(console_routes(service))
    check_routes(app)
    return app


def create_service(settings: Settings) -> Service:
    """The parts behind the routes; where one cannot be made, the database is left."""
    # One for all that ends: decisions, who may give roles, keys, tokens and sign-ins.
    clock = SteadyClock()
    engine = open_database(settings.database, database_limits(settings))
    store = AssignmentStore(engine, clock.seconds, open_feed(settings, engine))
    try:
        return _service_over(settings, store, clock)
    except BaseException:
        store.close()
        raise


def _service_over(settings: Settings, store: AssignmentStore, clock: SteadyClock) -> Service:
    engine = store.engine
    live = LivePolicy(
        _source_of(settings),
        partial(EffectiveRolesCache, store),
        settings.max_policy_age_seconds,
        orphaned_in=partial(orphaned_in, _patient(engine, database_limits(settings))),
        takes_orphaning=settings.orphaned_assignments == "warn",
        accepted_models=settings.accept_model,
        settle_seconds=_settle_seconds(settings),
        most_steps=settings.max_analysis_steps,
    )
    provisioner = Provisioner(store)
    live.add_listener(provisioner.apply_mapping)
    provisioner.apply_mapping(live.in_force.policy.compiled.policy)
    decision_log = open_decision_log(settings)
    if decision_log is not None:
        live.add_listener(lambda _: decision_log.forget_grants())

    file_check = FileCheck(engine, partial(forget_all, store))
    store.close_first.append(file_check.close)

    def fault() -> str | None:
        try:
            file_check.look()
            store.revision()
        except Crowded:
            pass  # a burst of questions: readiness is lost where the database does not answer them in time
        except DamagedFile:
            return "the database of role assignments cannot be read any more; the service's log says why"
        except OtherSchema as error:
            return str(error)
        except StorageError:
            return "the database of role assignments does not answer"
        if store.feed is not None and store.feed.is_long_unheard:
            return (
                "changes of role assignments are not heard, so each decision reads the database; the service's log says why"
            )
        if decision_log is not None and not decision_log.is_ready():
            return "the decision log cannot be written, and without it nothing is answered"
        return None

    authentication = open_authentication(settings, store, clock)
    return Service(
        settings,
        live,
        store,
        fault,
        decision_log=decision_log,
        clock=clock,
        authentication=authentication,
        sign_ins=open_sign_ins(settings, engine, authentication, clock),
        openid=open_provider(settings, clock),
    )


def forget_all(store: AssignmentStore) -> None:
    """Lets all that is told from now on be read again, over new connections."""
    store.reader.close()
    store.engine.dispose()
    store.tell(StoreChange(None))


def _patient(engine: Engine, limits: Limits) -> Engine:
    """An engine on the same database for what reads all of a table: of ten million rows that takes longer than a decision may."""
    if is_in_memory(engine.url):
        return engine
    seconds = max(limits.read_seconds or 0.0, SECONDS_TO_READ_ALL)
    return make_engine(engine.url, hold_connections=True, limits=dataclasses.replace(limits, read_seconds=seconds))


def open_feed(settings: Settings, engine: Engine) -> ChangeFeed | None:
    """What tells the changes of other processes on PostgreSQL; None on other databases. Raises `StorageError`."""
    if engine.url.drivername != "postgresql+psycopg":
        return None
    url = engine.url if settings.listen_url is None else read_url(settings.listen_url)
    return ChangeFeed(url, database_limits(settings), settings.max_staleness_seconds)


def open_authentication(settings: Settings, store: AssignmentStore, clock: SteadyClock) -> Authentication | None:
    """What finds out who calls; None where the settings let everybody call. Raises `StorageError`."""
    if settings.authentication == "none":
        return None
    proofs: list[Proofs] = []
    keys = KeyStore(store.engine)
    keys.prepare()
    if settings.takes_keys:
        api_keys = ApiKeys(keys, clock.seconds, marks_of_writes(store))
        store.close_first.append(api_keys.close)
        proofs.append(api_keys)
    if settings.takes_tokens:
        proofs.append(open_tokens(settings, clock))
    per_second = settings.max_requests_per_second
    return Authentication(proofs, None if per_second is None else RateLimit(per_second / settings.workers))


def open_tokens(settings: Settings, clock: SteadyClock) -> OauthTokens:
    """What takes the tokens of the issuer that the settings name; its keys are read now, and in the background from now on."""
    assert settings.oauth_issuer and settings.oauth_audience and settings.oauth_keys
    keys = SigningKeys(
        partial(read_key_set, settings.oauth_keys),
        settings.oauth_keys_refresh_seconds,
        settings.oauth_keys_max_age_seconds,
    )
    keys.refresh()
    keys.follow()
    rules = TokenRules(
        settings.oauth_issuer,
        settings.oauth_audience,
        settings.oauth_algorithms,
        scopes_of(settings.oauth_scopes),
        settings.oauth_accounts_claim,
        settings.oauth_leeway_seconds,
    )
    return OauthTokens(rules, keys, clock.seconds)


def open_sign_ins(
    settings: Settings, engine: Engine, authentication: Authentication | None, clock: SteadyClock
) -> SignIns | None:
    """What people sign in to the console by; None where nobody could. Raises `StorageError`."""
    if authentication is None or not (settings.takes_keys or settings.oidc_issuer):
        return None
    trusted = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_person_claim,
        settings.oidc_person_type,
        *settings.oidc_allow,
    )
    sessions = SessionStore(engine, settings.takes_keys, json.dumps(trusted))
    sessions.prepare()
    return SignIns(sessions, KeyStore(engine), settings.session_hours * 3600, authentication.rate_limit, clock.seconds)


def open_provider(settings: Settings, clock: SteadyClock) -> OpenIdProvider | None:
    """The OpenID provider that people sign in by; None where the settings name none."""
    if not settings.oidc_issuer or not settings.oidc_client_id:
        return None
    return OpenIdProvider(
        OpenIdRules(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret,
            settings.oidc_scopes,
            f"{settings.base_url}/console/sign-in/callback",
            settings.oidc_person_claim,
            settings.oidc_person_type,
            tuple(map(read_claim_rule, settings.oidc_allow)),
        ),
        clock.seconds,
    )


def database_limits(settings: Settings) -> Limits:
    """How long the service waits for its database."""
    return Limits(
        settings.database_connect_seconds,
        settings.database_read_seconds,
        settings.database_write_seconds,
        settings.database_lock_seconds,
    )


def open_decision_log(settings: Settings) -> DecisionLog | None:
    """The decision log that the settings ask for; raises `SinkError` when it cannot be written."""
    if settings.decision_log is None:
        return None
    limits = database_limits(settings)
    # A strict log is waited for before anything is answered, so it gets no longer than a reading.
    limits = dataclasses.replace(limits, write_seconds=limits.read_seconds, lock_seconds=settings.database_read_seconds)
    sink = open_sink(
        settings.decision_log, settings.database, settings.decision_log_max_bytes, settings.decision_log_files, limits
    )
    return DecisionLog(
        sink,
        strict=settings.decision_log_strict,
        sample_rate=settings.decision_log_sample_allows,
        masks=settings.decision_log_mask,
        most_waiting=settings.decision_log_queue,
        # Standard output and the database are read by tools of others, a record at a time.
        makes_tables=isinstance(sink, FileSink),
    )


def _source_of(settings: Settings) -> PolicySource:
    """Where the policies come from, looked at three times at least in the time after which they are too old."""
    max_age_seconds = settings.max_policy_age_seconds
    most_seconds = float("inf") if max_age_seconds is None else max_age_seconds / 3
    address = git_address(settings.policies)
    if address is None:
        folder = Path(settings.policies)
        named = None if settings.model == MODEL_NAME else Path(settings.model)
        return PolicyFolder(folder, model_beside(folder, named), min(RECHECK_SECONDS, most_seconds))
    model = Path(settings.model) if settings.model else None
    return GitFolder(address, model, min(settings.poll_seconds, most_seconds))


def _settle_seconds(settings: Settings) -> float:
    """A commit is whole as it is; a folder is not, while somebody changes its files."""
    if git_address(settings.policies) is not None:
        return 0.0
    age = settings.max_policy_age_seconds
    return settings.settle_seconds if age is None else min(settings.settle_seconds, age / 3)


def create_app_from_environment() -> Flask:
    """The application of a worker process, with the settings that its parent left in the environment.

    Its policies follow their files, are read again on SIGHUP, and what happens to them is logged to standard error.
    """
    if multiprocessing.parent_process() is not None:
        # The handler that came along is the parent's: it would let a stop pass by until this worker is ready, and then be killed.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    bound_arenas()
    settings = Settings.from_text(os.environ[ENVIRONMENT_VARIABLE])
    show_log(settings.log_format)
    check_installation()
    service = create_service(settings)
    if settings.workers > 1:
        service = dataclasses.replace(service, tell_other_processes=_tell_parent)
    service.store.reader.open_ahead()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: service.live.refresh_soon())
    app = _join(service, watches=True)
    threading.Thread(target=_end_with_parent, name="klausel-parent", daemon=True).start()
    # What is here now stays. Going through it again with every collection would hold all requests up, most of all while a
    # changed set is loaded.
    gc.collect()
    gc.freeze()
    service.live.follow()
    return app


def bound_arenas() -> None:
    """Lets all threads of this process take memory from few arenas; to be called before they are started.

    glibc makes one for nearly each of the first threads, and what one of them freed serves no other: memory rises for hours,
    until each arena has had its busiest moment. Other systems have no such function. Who sets `MALLOC_ARENA_MAX` is obeyed.
    """
    if "MALLOC_ARENA_MAX" not in os.environ and "arena_max" not in os.environ.get("GLIBC_TUNABLES", ""):
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST_ARENAS)


def _end_with_parent() -> None:
    """Ends this worker when the process that started it is gone: left alone it would keep the port, and nobody could stop it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(1)


def _tell_parent() -> None:
    """Sends SIGHUP to the process that started the workers, which passes it on to all of them."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid == os.getppid():
        os.kill(parent.pid, signal.SIGHUP)
