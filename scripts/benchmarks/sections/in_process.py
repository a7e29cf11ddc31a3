"""One warm decision in a process: Klausel, its floor, stock pycasbin and the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.contestants import Contestant
from benchmarks.measuring import Comparison, Section, Target, alternate, at_least, times
from benchmarks.scale import Scale
from benchmarks.workload import Question

KLAUSEL = "klausel"
WHOLE = "klausel, with domain and roles"
STOCK = "stock pycasbin"
NODE = "node-casbin"
CEDAR = "cedarpy"
VAKT = "vakt"
FLOOR = "floor"


def measure_in_process(
    contestants: Mapping[str, Contestant], questions: Sequence[Question], scale: Scale, step: Callable[[str], None]
) -> Section:
    """The seconds of one decision over the shipped policies."""
    section = Section(
        "One warm decision in a process, shipped policies",
        "`klausel` is CompiledEnforcer.enforce; the floor is one dictionary lookup and one set test, without conditions.",
    )
    rounds = {
        name: contestant.round(questions if name != STOCK else questions[:200], scale.seconds)
        for name, contestant in contestants.items()
    }
    comparison = Comparison("one decision", alternate(rounds, scale.rounds, step))
    section.comparisons.append(comparison)
    floor = comparison.ratio(FLOOR)
    above_floor = 1 / floor if floor else None
    section.targets += [
        at_least("warm decision: × stock pycasbin", comparison.ratio(STOCK), 1000),
        at_least("warm decision: × cedarpy", comparison.ratio(CEDAR), 30, "cedarpy could not be had"),
        at_least("warm decision: × node-casbin", comparison.ratio(NODE), 30, "node-casbin could not be had"),
        Target("warm decision: × the floor", "≤ 4 ×", times(above_floor), above_floor is not None and above_floor <= 4),
    ]
    return section
