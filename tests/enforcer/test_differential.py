"""The compiled enforcer against stock pycasbin on generated models, rows, requests and edits.

`KLAUSEL_TEST_DIFFERENTIAL_DECISIONS=1000000 pytest tests/enforcer/test_differential.py` is the nightly run;
`KLAUSEL_TEST_DIFFERENTIAL_SEED` moves it to other cases.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import casbin
from generated_cases import (
    Anyone,
    Case,
    answer_without_excluded_rows,
    make_case,
    make_link,
    make_request,
    make_row,
    outcome_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klausel.casbin import CompiledEnforcer

DECISIONS = int(os.environ.get("KLAUSEL_TEST_DIFFERENTIAL_DECISIONS", "10000"))
SEED = int(os.environ.get("KLAUSEL_TEST_DIFFERENTIAL_SEED", "0"))


def compare(case: Case, stock: Any, compiled: Any, request: tuple[Any, ...]) -> None:
    wanted = outcome_of(lambda: stock.enforce_ex(*request))
    found = outcome_of(lambda: compiled.enforce_ex(*request))
    if wanted[0] == "raises" and found[0] == "answer" and case.parts:
        wanted = answer_without_excluded_rows(case, request)
    assert found == wanted, f"{case.model}\nrows {case.rows}\nroles {case.roles}\nrequest {request}\n{compiled.plan()}"
    assert outcome_of(lambda: compiled.enforce(*request))[1] == (found[1][0] if found[0] == "answer" else found[1])
    place = outcome_of(lambda: compiled.decide_row(*request))
    if place[0] == "answer":
        explained = [] if place[1][1] is None else compiled.get_policy()[place[1][1]]
        assert (place[1][0], explained) == found[1]


def edit(random: Random, case: Case, *enforcers: Any) -> None:
    """One edit, the same for the case and for each enforcer."""
    kind = random.randrange(9)
    if kind in (0, 1):
        row = make_row(random, case)
        if row not in case.rows:
            case.rows.append(row)
        for enforcer in enforcers:
            enforcer.add_policy(*row)
    elif kind == 2 and case.rows:
        row = random.choice(case.rows)
        if case.rows.count(row) > 1:
            return
        case.rows.remove(row)
        for enforcer in enforcers:
            enforcer.remove_policy(*row)
    elif kind == 3 and case.rows:
        place, row = random.randrange(len(case.rows)), make_row(random, case)
        if case.rows.count(case.rows[place]) > 1:
            return
        for enforcer in enforcers:
            enforcer.update_policy(list(case.rows[place]), list(row))
        case.rows[place] = row
    elif kind == 4 and case.rows:
        row = case.rows[0]
        case.rows = [other for other in case.rows if other[0] != row[0]] if row[0] else []
        for enforcer in enforcers:
            enforcer.remove_filtered_policy(0, row[0])
    elif kind == 5:
        row = make_row(random, case)
        case.rows.append(row)
        for enforcer in enforcers:
            enforcer.model["p"]["p"].policy.append(list(row))
    elif kind in (6, 7) and case.roles and not case.match_names:
        name = random.choice(list(case.roles))
        has_domain = name == "g" and "dom" in case.request_fields
        link = make_link(random, has_domain)
        if link not in case.roles[name]:
            case.roles[name].append(link)
        for enforcer in enforcers:
            enforcer.add_named_grouping_policy(name, *link)
    elif kind == 8 and case.roles and not case.match_names:
        name = random.choice(list(case.roles))
        if case.roles[name]:
            link = case.roles[name].pop(random.randrange(len(case.roles[name])))
            for enforcer in enforcers:
                enforcer.remove_named_grouping_policy(name, *link)


def run(random: Random, edits: int, requests: int) -> int:
    case = make_case(random)
    compiled, stock = case.enforcer(CompiledEnforcer), case.enforcer(casbin.Enforcer)
    decisions = 0
    for _ in range(edits + 1):
        for _ in range(requests):
            request = make_request(random, case)
            compare(case, stock, compiled, request)
            if case.match_names or any(isinstance(value, Anyone) for value in request):
                stock = case.enforcer(casbin.Enforcer)  # what stock says next depends on what it was asked before
            decisions += 1
        edit(random, case, compiled, stock)
    return decisions


def test_generated_models_decide_and_explain_as_stock_through_edits() -> None:
    decisions, seed = 0, SEED * 1_000_000
    while decisions < DECISIONS:
        try:
            decisions += run(Random(seed), edits=5, requests=8)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        seed += 1


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_shrinkable_models_decide_and_explain_as_stock(random: Random) -> None:
    run(random, edits=2, requests=3)
