"""Timing in rounds that alternate, so that whatever else the machine does meets every contestant alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

Round = Callable[[], float]
"""Measures once; the seconds of one call, or the calls in a second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read for one contestant, round by round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest round."""
        return min(self.rounds), max(self.rounds)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing measured for several contestants; `unit` is seconds, per second, or bytes."""

    what: str
    readings: Mapping[str, Reading]
    unit: str = "s"
    base: str = "klausel"

    def ratio(self, name: str) -> float | None:
        """How many times better the base is than a contestant; None without a base."""
        base = self.readings.get(self.base)
        if base is None or name not in self.readings or not base.median or not self.readings[name].median:
            return None
        other = self.readings[name].median
        return base.median / other if self.unit == "/s" else other / base.median


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the project and what this run got; `is_met` is None when it could not be measured."""

    what: str
    wanted: str
    got: str
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds a decision against a count, for one contestant."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Section:
    """One part of the report."""

    title: str
    note: str
    in_one_table: bool = False
    comparisons: list[Comparison] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def seconds_per_call(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], seconds: float) -> float:
    """The mean over whole passes through the calls, for about this long; at least one call, never many more."""
    started = perf_counter()
    for number, values in enumerate(calls, start=1):
        function(*values)
        if perf_counter() - started > seconds:
            return (perf_counter() - started) / number
    passes = max(1, int(seconds / max(perf_counter() - started, 1e-9)))
    gc.collect()
    started = perf_counter()
    for _ in range(passes):
        for values in calls:
            function(*values)
    return (perf_counter() - started) / (passes * len(calls))


def caller(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], seconds: float) -> Round:
    """A contestant that is a Python function."""
    return lambda: seconds_per_call(function, calls, seconds)


def alternate(
    contestants: Mapping[str, Round], rounds: int, step: Callable[[str], None] = lambda text: None
) -> dict[str, Reading]:
    """Each contestant measured once a round, the order turned from round to round."""
    names = list(contestants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            step(f"{name}, round {number + 1} of {rounds}")
            found[name].append(contestants[name]())
    return {name: Reading(tuple(values)) for name, values in found.items()}


def times(value: float | None) -> str:
    """A ratio in words that fit a table."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f} ×"
    return f"{value:.1f} ×" if value >= 10 else f"{value:.2f} ×"


def shown(value: float, unit: str) -> str:
    """A value with a unit that suits its size."""
    if unit == "/s":
        return f"{value:,.0f} /s"
    if unit == "B":
        return f"{value / 1e6:,.1f} MB"
    for factor, name in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
        if value < factor * 1000:
            number = value / factor
            return (
                f"{number:,.0f} {name}"
                if number >= 100
                else f"{number:.2f} {name}"
                if number < 10
                else f"{number:.1f} {name}"
            )
    return f"{value:.2f} s"


def at_most(what: str, got: float | None, limit: float, why_not: str = "not measured") -> Target:
    """A target that a ratio must not exceed."""
    if got is None:
        return Target(what, f"≤ {limit:g} ×", why_not, None)
    return Target(what, f"≤ {limit:g} ×", times(got), got <= limit)


def at_least(what: str, got: float | None, limit: float, why_not: str = "not measured") -> Target:
    """A target that a ratio must reach."""
    if got is None:
        return Target(what, f"≥ {limit:,g} ×", why_not, None)
    return Target(what, f"≥ {limit:,g} ×", times(got), got >= limit)


def flat(points: Iterable[tuple[int, float]]) -> float | None:
    """The last point of a curve over its first; None with fewer than two."""
    values = [value for _, value in points]
    return values[-1] / values[0] if len(values) > 1 else None
