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
from klausel.api.request_metrics import RequestMetrics
from klausel.api.shared_metrics import SharedMetrics
from klausel.service.decision_service import Service
from klausel.service.policy_in_force import LivePolicy
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.sql.access import StorageError
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import access_of

SECONDS_FOR_THE_DATABASE = 0.3
"""How long metrics wait for a number that the database knows."""


class Metrics(Collector):
    """What is told of one service; with a `folder` that its workers share, of all of them.

    Counters have no label for the process, so they are summed over workers; gauges have one.
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
        yield from _DecisionMetrics(self._service).collect()
        yield from _PolicyMetrics(self._service.live).collect()
        yield from _DatabaseMetrics(self._service).collect()
        if self._service.store.feed is not None:
            yield from _StalenessMetrics(self._service.store.feed).collect()
        if self._watch is not None:
            yield from _ConnectionMetrics(self._watch).collect()
        if self._service.decision_log is not None:
            yield from _DecisionLogMetrics(self._service.decision_log).collect()


class _DecisionMetrics(Collector):
    """Each worker process decides by itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        process, totals = str(os.getpid()), self._service.decisions.totals()
        decisions = CounterMetricFamily(
            "klausel_decisions", "Evaluations that were answered, by the answer", labels=("decision",)
        )
        for answer, name in ((True, "allow"), (False, "deny")):
            decisions.add_metric((name,), totals.get(answer, 0))
        yield decisions
        kept = self._service.live.in_force.resolved_roles
        reads = CounterMetricFamily("klausel_effective_roles_reads", "Subjects whose roles were read from the database")
        reads.add_metric((), kept.reads)
        yield reads
        yield _gauge("klausel_effective_roles_kept", "Subjects whose roles are kept in memory", process, len(kept))
        what = "About how much memory the roles that are kept take"
        yield _gauge("klausel_effective_roles_bytes", what, process, kept.approximate_bytes)


class _PolicyMetrics(Collector):
    """Each worker process refreshes its policies by itself."""

    def __init__(self, live: LivePolicy) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        live, process = self._live, str(os.getpid())
        loaded, refusal = live.in_force.policy, live.refusal
        reloads = CounterMetricFamily(
            "klausel_policy_reloads",
            "Times that the policy files were read, by what came of it",
            labels=("result",),
        )
        for outcome, count in live.reloads.items():
            reloads.add_metric((outcome,), count)
        yield reloads
        yield _gauge(
            "klausel_policy_refused",
            "1 while the files are refused and older policies are in force",
            process,
            refusal is not None,
        )
        yield _gauge(
            "klausel_policy_too_old", "1 while the policies are too old and deny everything", process, live.is_too_old
        )
        yield _gauge(
            "klausel_policy_confirmed_timestamp_seconds",
            "When the files were last known to be those in force",
            process,
            live.confirmed_unix_seconds,
        )
        orphaned = live.orphaned_soon(SECONDS_FOR_THE_DATABASE)
        if orphaned is not None:
            what = "Stored role assignments that count for nothing under the policies in force"
            yield _gauge("klausel_orphaned_assignments", what, process, sum(one.number for one in orphaned))
        info = GaugeMetricFamily(
            "klausel_policy_info", "The policies in force", labels=("process", "files_digest", "meaning_digest", "commit")
        )
        commit = loaded.commit.id if loaded.commit is not None else ""
        info.add_metric((process, loaded.files_digest, loaded.compiled.meaning_digest, commit), 1)
        yield info


class _DatabaseMetrics(Collector):
    """Each worker process asks the database by itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        process = str(os.getpid())
        failed = CounterMetricFamily(
            "klausel_decisions_failed",
            "Decisions that were denied only because something failed: the database, or the service itself",
            labels=("reason",),
        )
        for reason, count in self._service.failures.counts().items():
            failed.add_metric((reason,), count)
        yield failed
        pool = self._service.store.engine.pool
        if isinstance(pool, QueuePool):
            what = "Connections to the database that are in use"
            yield _gauge("klausel_database_connections_used", what, process, pool.checkedout())
        yield _gauge(
            "klausel_database_silent",
            "1 while the database does not answer in time, or cannot be reached",
            process,
            not self._answers(),
        )

    def _answers(self) -> bool:
        access = access_of(self._service.store.engine)
        if access.is_out_of_reach and not access.is_silent:
            # Where nobody asks any more, nobody else would find out that it is back.
            with suppress(StorageError):
                self._service.store.revision()
        return access.answers


class _StalenessMetrics(Collector):
    """Each worker process listens by itself."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        process, staleness = str(os.getpid()), self._feed.staleness
        what = "1 while changes of other processes are followed, so that what is kept may be told"
        yield _gauge("klausel_changes_trusted", what, process, self._feed.is_trusted)
        what = "How long ago what is kept was last known to be right; infinite while it is not told"
        yield _gauge("klausel_staleness_seconds", what, process, staleness)


class _ConnectionMetrics(Collector):
    """Each worker process accepts connections by itself."""

    def __init__(self, watch: ConnectionWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        process = str(os.getpid())
        yield _gauge("klausel_connections", "Connections that are open", process, self._watch.open)
        yield _gauge("klausel_connections_most", "Connections that may be open", process, self._watch.most)
        closed = CounterMetricFamily(
            "klausel_connections_closed", "Connections that the service cut, by why", labels=("reason",)
        )
        for reason, count in self._watch.closed.items():
            closed.add_metric((reason,), count)
        yield closed


class _DecisionLogMetrics(Collector):
    """Each worker process has a queue of its own."""

    def __init__(self, decision_log: DecisionLog) -> None:
        self._decision_log = decision_log

    def collect(self) -> Iterator[Metric]:
        counts, process = self._decision_log.counts(), str(os.getpid())
        records = CounterMetricFamily(
            "klausel_decision_log_records", "Records of decisions, by what became of them", labels=("result",)
        )
        records.add_metric(("written",), counts.written)
        records.add_metric(("dropped",), counts.dropped)
        yield records
        yield _gauge("klausel_decision_log_waiting", "Records that wait to be written", process, counts.waiting)


def _gauge(name: str, what: str, process: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=("process",))
    family.add_metric((process,), value)
    return family
