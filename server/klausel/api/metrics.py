"""What monitoring reads, in the text format of Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from klausel.api.connections import ConnectionWatch
from klausel.api.request_metrics import RequestMetrics, counter, gauge
from klausel.api.shared_metrics import SharedMetrics
from klausel.service.decision_service import Service
from klausel.service.policy_in_force import LivePolicy
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.tls_certificate import read_tls_certificate
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.sql.access import StorageError
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import access_of

SECONDS_FOR_THE_DATABASE = 0.3
"""How long metrics wait for a number that the database knows."""


class Metrics(Collector):
    """What is told of one service; with a `folder` that its workers share, of all of them.

    Each worker process decides, refreshes its policies, listens and asks the database by itself. Counters have no label for
    the process, so they are summed over workers; gauges have one.
    """

    def __init__(
        self,
        service: Service,
        requests: RequestMetrics,
        watch: ConnectionWatch | None = None,
        folder: Path | None = None,
    ) -> None:
        self._service = service
        self._requests = requests
        self._watch = watch
        self._shared = None if folder is None else SharedMetrics(folder, self._own)
        # Read once, as the server does: a new file counts from the next start on.
        self._certificate_ends = _end_of_certificate(service.settings.tls_certificate)

    def start(self) -> None:
        """Begins to tell the other workers."""
        if self._shared is not None:
            self._shared.start()

    def answer(self) -> tuple[bytes, int, dict[str, str]]:
        """Body, status and headers of the answer to `GET /metrics`."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}

    def describe(self) -> list[Metric]:
        """Nothing beforehand: what is registered is asked once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        return self._own() if self._shared is None else self._shared.of_all()

    def _own(self) -> Iterator[Metric]:
        yield from self._requests.collect()
        yield from _of_decisions(self._service)
        yield from _of_policies(self._service.live)
        yield from _of_database(self._service)
        if self._certificate_ends is not None:
            what = "When the certificate that is shown to callers ends, or the first of those between it and the root"
            yield gauge("klausel_tls_certificate_expiration_timestamp_seconds", what, self._certificate_ends)
        if self._service.store.feed is not None:
            yield from _of_staleness(self._service.store.feed)
        if self._watch is not None:
            yield from _of_connections(self._watch)
        if self._service.decision_log is not None:
            yield from _of_decision_log(self._service.decision_log)


def _end_of_certificate(file: str | None) -> float | None:
    with suppress(OSError, ValueError):
        return None if file is None else read_tls_certificate(file).ends.timestamp()
    return None


def _of_decisions(service: Service) -> Iterator[Metric]:
    totals = service.decisions.totals()
    counts = {name: totals.get(answer, 0) for answer, name in ((True, "allow"), (False, "deny"))}
    yield counter("klausel_decisions", "Evaluations that were answered, by the answer", "decision", counts)
    kept = service.live.in_force.resolved_roles
    reads = CounterMetricFamily("klausel_effective_roles_reads", "Subjects whose roles were read from the database")
    reads.add_metric((), kept.reads)
    yield reads
    yield gauge("klausel_effective_roles_kept", "Subjects whose roles are kept in memory", len(kept))
    what = "About how much memory the roles that are kept take"
    yield gauge("klausel_effective_roles_bytes", what, kept.approximate_bytes)


def _of_policies(live: LivePolicy) -> Iterator[Metric]:
    loaded = live.in_force.policy
    what = "Times that the policy files were read, by what came of it"
    yield counter("klausel_policy_reloads", what, "result", live.reloads)
    what = "1 while the files are refused and older policies are in force"
    yield gauge("klausel_policy_refused", what, live.refusal is not None)
    yield gauge("klausel_policy_too_old", "1 while the policies are too old and deny everything", live.is_too_old)
    what = "When the files were last known to be those in force"
    yield gauge("klausel_policy_confirmed_timestamp_seconds", what, live.confirmed_unix_seconds)
    orphaned = live.orphaned_soon(SECONDS_FOR_THE_DATABASE)
    if orphaned is not None:
        what = "Stored role assignments that count for nothing under the policies in force"
        yield gauge("klausel_orphaned_assignments", what, sum(one.number for one in orphaned))
    info = GaugeMetricFamily(
        "klausel_policy_info", "The policies in force", labels=("process", "files_digest", "meaning_digest", "commit")
    )
    commit = loaded.commit.id if loaded.commit is not None else ""
    info.add_metric((str(os.getpid()), loaded.files_digest, loaded.compiled.meaning_digest, commit), 1)
    yield info


def _of_database(service: Service) -> Iterator[Metric]:
    what = "Decisions that were denied only because something failed: the database, or the service itself"
    yield counter("klausel_decisions_failed", what, "reason", service.failures.counts())
    pool = service.store.engine.pool
    if isinstance(pool, QueuePool):
        what = "Connections to the database that are in use"
        yield gauge("klausel_database_connections_used", what, pool.checkedout())
    what = "1 while the database does not answer in time, or cannot be reached"
    yield gauge("klausel_database_silent", what, not _answers(service.store))


def _answers(store: AssignmentStore) -> bool:
    access = access_of(store.engine)
    if access.is_out_of_reach and not access.is_silent:
        # Where nobody asks any more, nobody else would find out that it is back.
        with suppress(StorageError):
            store.revision()
    return access.answers


def _of_staleness(feed: ChangeFeed) -> Iterator[Metric]:
    staleness = feed.staleness
    what = "1 while changes of other processes are followed, so that what is kept may be told"
    yield gauge("klausel_changes_trusted", what, feed.is_trusted)
    what = "How long ago what is kept was last known to be right; infinite while it is not told"
    yield gauge("klausel_staleness_seconds", what, staleness)


def _of_connections(watch: ConnectionWatch) -> Iterator[Metric]:
    yield gauge("klausel_connections", "Connections that are open", watch.open)
    yield gauge("klausel_connections_most", "Connections that may be open", watch.most)
    yield counter("klausel_connections_closed", "Connections that the service cut, by why", "reason", watch.closed)


def _of_decision_log(decision_log: DecisionLog) -> Iterator[Metric]:
    counts = decision_log.counts()
    told = {"written": counts.written, "dropped": counts.dropped}
    yield counter("klausel_decision_log_records", "Records of decisions, by what became of them", "result", told)
    yield gauge("klausel_decision_log_waiting", "Records that wait to be written", counts.waiting)
