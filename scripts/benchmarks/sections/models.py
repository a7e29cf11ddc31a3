"""pycasbin's own models: the compiled enforcer beside the stock one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import casbin

from benchmarks.casbin_models import CASES, ModelCase
from benchmarks.measuring import Comparison, Section, Target, alternate, caller, times
from benchmarks.peers.agreement import Agreement
from benchmarks.scale import Scale
from klausel.casbin import CompiledEnforcer

ROUNDS = 5


def measure_models(scale: Scale, step: Callable[[str], None]) -> tuple[Section, list[Agreement]]:
    """Each model at so many rules, and whether both enforcers agree on it."""
    section = Section(
        f"pycasbin's own models, {scale.model_rules:,} rules",
        "CompiledEnforcer beside casbin.Enforcer, the same rows.",
        True,
    )
    agreements = []
    slowest: tuple[float, str] | None = None
    not_compiled = []
    for case in CASES:
        step(case.name)
        compiled, stock = (enforcer_for(case, scale.model_rules, kind) for kind in (CompiledEnforcer, casbin.Enforcer))
        requests = case.requests(scale.model_rules)
        agreements.append(_agreement(case, compiled, stock, requests, scale))
        if not compiled.plan().is_compiled:
            not_compiled.append(case.name)
        contestants = {
            "klausel": caller(compiled.enforce, requests, scale.model_seconds),
            "stock pycasbin": caller(stock.enforce, requests, scale.model_seconds),
        }
        comparison = Comparison(case.name, alternate(contestants, ROUNDS))
        section.comparisons.append(comparison)
        ratio = comparison.ratio("stock pycasbin") or 0.0
        if slowest is None or ratio < slowest[0]:
            slowest = (ratio, case.name)
    assert slowest is not None
    section.targets += [
        Target(
            "pycasbin's own models: × stock", "≥ 100 ×", f"{times(slowest[0])} at least ({slowest[1]})", slowest[0] >= 100
        ),
        Target(
            "pycasbin's own models: compiled, as plan() says",
            "all",
            "all" if not not_compiled else "not " + ", ".join(not_compiled),
            not not_compiled,
        ),
    ]
    return section, agreements


def enforcer_for(case: ModelCase, rules: int, kind: type[Any]) -> Any:
    """An enforcer of this class over a case's rows."""
    enforcer = kind(casbin.Enforcer.new_model(text=case.text))
    for kind_of_row, rows in case.rows(rules).items():
        enforcer.model.add_policies(kind_of_row[0], kind_of_row, rows)
    enforcer.build_role_links()
    return enforcer


def _agreement(case: ModelCase, compiled: Any, stock: Any, requests: list[tuple[object, ...]], scale: Scale) -> Agreement:
    give_up_at = time.perf_counter() + scale.stock_seconds / len(CASES)
    differences = []
    asked = 0
    for request in requests:
        asked += 1
        wanted, found = stock.enforce(*request), compiled.enforce(*request)
        if wanted != found:
            differences.append(f"stock says {wanted}, klausel says {found}: {request}")
        if time.perf_counter() > give_up_at:
            break
    return Agreement(f"model {case.name}", asked, tuple(differences))
