"""How many requests there were, how they were answered, and how long that took."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from klausel.service.tally import Tally

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets of durations, in seconds; what took longer is in one more."""
_LABELS = (*map(str, BOUNDS), "+Inf")
OUTCOMES = ("read", "written", "not found", "refused", "failed")
"""What becomes of the requests of identity providers."""


class RequestMetrics(Collector):
    """Counts the requests that one process answered, by route; any thread may."""

    def __init__(self) -> None:
        # By route, status and bucket in one: each request that is counted costs time.
        self._requests: Tally[tuple[str, int, int]] = Tally()
        self._seconds: Tally[str] = Tally()
        self._provisioning: Tally[str] = Tally()
        self._provisioned_at: float | None = None

    def count(self, route: str, status: int, seconds: float) -> None:
        """Counts one request to an address of the service, as it is declared: not as it was sent, for that is without bound."""
        self._requests.add((route, status, bisect_left(BOUNDS, seconds)))
        self._seconds.add(route, seconds)

    def count_provisioning(self, method: str, status: int) -> None:
        """Counts one request of an identity provider, beside `count`."""
        if status < 400:
            self._provisioned_at = time.time()
            self._provisioning.add("read" if method in ("GET", "HEAD", "OPTIONS") else "written")
        else:
            self._provisioning.add("not found" if status == 404 else "refused" if status < 500 else "failed")

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        answered = CounterMetricFamily(
            "klausel_requests", "Requests that were answered, by route and status", labels=("route", "status")
        )
        by_status: defaultdict[tuple[str, int], float] = defaultdict(float)
        took: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * len(_LABELS))
        for (route, status, bucket), number in self._requests.totals().items():
            by_status[route, status] += number
            took[route][bucket] += number
        for (route, status), number in by_status.items():
            answered.add_metric((route, str(status)), number)
        yield answered
        durations = HistogramMetricFamily(
            "klausel_request_duration_seconds", "How long requests took inside of the service", labels=("route",)
        )
        sums = self._seconds.totals()
        for route, numbers in took.items():
            durations.add_metric((route,), list(zip(_LABELS, accumulate(numbers), strict=True)), sums.get(route, 0.0))
        yield durations
        outcomes = self._provisioning.totals()
        what = "Requests of identity providers, by what became of them"
        counts = {outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES}
        yield counter("klausel_provisioning_requests", what, "outcome", counts)
        if self._provisioned_at is not None:
            what = "When an identity provider was last answered without an error"
            yield gauge("klausel_provisioning_last_success_timestamp_seconds", what, self._provisioned_at)


def counter(name: str, what: str, label: str, counts: Mapping[Any, float]) -> CounterMetricFamily:
    """Something counted, by the values of one label."""
    family = CounterMetricFamily(name, what, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    """A number of this process, which has its id as a label."""
    family = GaugeMetricFamily(name, what, labels=("process",))
    family.add_metric((str(os.getpid()),), value)
    return family
