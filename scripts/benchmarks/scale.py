"""How much is measured: counts and seconds, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts and seconds of one run; `seconds` is what one contestant gets in one round."""

    questions: int = 2_000
    stock_seconds: float = 15.0
    rounds: int = 5
    seconds: float = 0.25
    model_rules: int = 1_000
    model_seconds: float = 0.08
    rule_counts: tuple[int, ...] = (60, 1_000, 10_000, 100_000)
    same_pair_rule_counts: tuple[int, ...] = (60, 1_000, 10_000)
    slowest_stock_seconds: float = 1.5
    people_counts: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    postgresql_people: int = 100_000
    stock_assignments: int = 100_000
    working_set: int = 1_000
    people_rounds: int = 3
    first_decisions: int = 1_500
    http_rounds: int = 3
    http_seconds: float = 1.5
    connections: int = 32
    batch: int = 50
    changed_rules: int = 10_000
    changes: int = 20


USUAL = Scale()
LARGE = Scale(people_counts=(1_000, 10_000, 100_000, 1_000_000, 10_000_000))
QUICK = Scale(
    questions=200,
    stock_seconds=1.0,
    rounds=2,
    seconds=0.02,
    model_rules=100,
    model_seconds=0.01,
    rule_counts=(60, 300),
    same_pair_rule_counts=(60, 300),
    slowest_stock_seconds=0.1,
    people_counts=(1_000, 3_000),
    postgresql_people=1_000,
    stock_assignments=1_000,
    working_set=100,
    people_rounds=1,
    first_decisions=100,
    http_rounds=1,
    http_seconds=0.3,
    connections=8,
    changed_rules=300,
    changes=3,
)
