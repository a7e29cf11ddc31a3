"""Latency against the number of rules, the questions staying the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.contestants import InPython, compiled, stock
from benchmarks.measuring import Comparison, Curve, Reading, Section, alternate, at_most, shown
from benchmarks.scale import Scale
from benchmarks.workload import Question
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.scope import Scope

ROUNDS = 5
PLOT = "rules"


def other_types(grant: Grant, copy: int) -> Grant:
    """The same grant about another resource type."""
    return replace(grant, resource_type=f"{grant.resource_type}_{copy}")


def other_accounts(grant: Grant, copy: int) -> Grant:
    """The same grant, limited to an account that is not asked about."""
    return replace(grant, scope=Scope(f"elsewhere{copy}", grant.scope.level))


def enlarged(policy: PolicySet, rules: int, another: Callable[[Grant, int], Grant]) -> PolicySet:
    """A policy set with its own grants and, up to so many rules, changed copies of them."""
    grants = list(policy.grants)
    copy = 0
    while len(grants) < rules:
        copy += 1
        grants += [another(grant, copy) for grant in policy.grants[: rules - len(grants)]]
    return replace(policy, grants=tuple(grants))


def measure_rules(policy: PolicySet, questions: Sequence[Question], scale: Scale, step: Callable[[str], None]) -> Section:
    """Curves of Klausel, with rules about other types and with rules about the same pairs, and of stock pycasbin."""
    section = Section(
        "Latency against the number of rules",
        "The questions stay those about the shipped types and actions. More rules are about other types, or, in the second "
        "curve, about the same types and actions but limited to other accounts.",
    )
    curves = {
        "klausel": _curve(policy, questions, scale.rule_counts, other_types, scale, step),
        "klausel, rules about the same pairs": _curve(
            policy, questions, scale.same_pair_rule_counts, other_accounts, scale, step
        ),
    }
    plotted = []
    for name, readings in curves.items():
        points = tuple((count, reading.median) for count, reading in readings.items())
        plotted.append(Curve(name, points))
        named = {f"{count:,} rules": reading for count, reading in readings.items()}
        section.comparisons.append(Comparison(name, named, base=next(iter(named))))
    stock_points, remark = _stock_points(policy, questions, scale, step)
    plotted.append(Curve("stock pycasbin", stock_points))
    named = {f"{count:,} rules": Reading((seconds,)) for count, seconds in stock_points}
    section.comparisons.append(Comparison("stock pycasbin", named, base=next(iter(named))))
    section.remarks += remark
    section.curves[PLOT] = plotted
    first, last = plotted[0].points[0], plotted[0].points[-1]
    what = f"rules {first[0]:,} → {last[0]:,}, the same pairs asked"
    section.targets.append(at_most(what, last[1] / first[1], 1.3))
    return section


def _curve(
    policy: PolicySet,
    questions: Sequence[Question],
    counts: Sequence[int],
    another: Callable[[Grant, int], Grant],
    scale: Scale,
    step: Callable[[str], None],
) -> dict[int, Reading]:
    contestants: dict[str, InPython] = {}
    for count in counts:
        step(f"making {max(count, len(policy.grants)):,} rules")
        contestants[str(max(count, len(policy.grants)))] = compiled(enlarged(policy, count, another))
    rounds = {name: contestant.round(questions, scale.seconds) for name, contestant in contestants.items()}
    return {int(name): reading for name, reading in alternate(rounds, ROUNDS, step).items()}


def _stock_points(
    policy: PolicySet, questions: Sequence[Question], scale: Scale, step: Callable[[str], None]
) -> tuple[tuple[tuple[int, float], ...], list[str]]:
    """Stock's latency, as long as the next point is expected to stay below the cap."""
    points: list[tuple[int, float]] = []
    for count in scale.rule_counts:
        rules = max(count, len(policy.grants))
        if points:
            expected = points[-1][1] * rules / points[-1][0]
            if expected > scale.slowest_stock_seconds:
                remark = f"Stock pycasbin was left out from {rules:,} rules on: about {shown(expected, 's')} a decision."
                return tuple(points), [remark]
        step(f"stock pycasbin at {rules:,} rules")
        contestant = stock(enlarged(policy, count, other_types))
        points.append((rules, contestant.round(questions[:50], scale.seconds)()))
    return tuple(points), []
