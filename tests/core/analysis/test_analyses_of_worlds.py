"""What diff, prove, mutate and the matrix claim of small worlds with every word is what deciding all cases finds."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import oracle_of_worlds
from changed_worlds import Held, changed, domains, held_sets, loaded, of_holder, promise, small_world
from exhaustive import cases_of, request_of
from flips import flip
from policy_sets import Asked
from worlds import World

from klausel.core.analysis.decision_table import View, shown_values
from klausel.core.analysis.matrix import matrix_rows
from klausel.core.analysis.proof import Counterexample, prove_all
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.conditions.tree import evaluate
from klausel.core.difference.compare import difference_between
from klausel.core.difference.equivalence import Difference, compare
from klausel.core.terms.request import Request, asked_at
from klausel.core.testing.mutants import mutants

# How many of each; `scripts/nightly` asks for more.
SETS = int(os.environ.get("KLAUSEL_TEST_WORLDS_ANALYSED", "4"))
FIRST = int(os.environ.get("KLAUSEL_TEST_FIRST_WORLD", "104"))
SEEDS = range(FIRST, FIRST + SETS)
STEPS = 100_000


def allows(world: World, held: Held, request: Request) -> bool:
    """What the oracle decides about who asks and holds this; without a time in its context, at no time."""
    context = dict(request.context)
    now = context.pop("now", None)
    subject = f"{request.subject.type}:{request.subject.id}"
    return oracle_of_worlds.allows(of_holder(world, held, subject), request._replace(context=context), now)


def test_a_difference_claims_what_deciding_on_both_sides_finds() -> None:
    flips: Counter[object] = Counter()
    for seed in SEEDS:
        maker, before = small_world(seed)
        after = changed(maker, before, maker.random.randint(1, 3))
        policies = loaded(before, seed), loaded(after, seed)
        if None in policies:
            continue
        difference = difference_between(*policies, STEPS)
        undecided = bool(difference.undecided)
        for held in held_sets(before, maker.random, 15):
            for number, request in enumerate(before.requests):
                asked = asked_at(request, before.moments[number % 3])
                sides = allows(before, held, asked), allows(after, held, asked)
                expected = None if sides[0] == sides[1] else sides[1]
                told = flip(difference, held, asked)
                assert told is expected or (undecided and told is None), f"world {seed}: {held} {asked}: {expected}"
                assert expected is None or difference.verdict in _VERDICTS[expected], f"world {seed}: {difference.verdict}"
                flips[expected] += 1
        for change in difference.changes:
            for row in change.parts:
                if row.view.space.has_free_matches:
                    continue
                for outcomes, gained in ((row.gained, True), (row.lost, False)):
                    for request in sendable(row.view, (change.resource_type, change.action), outcomes):
                        sides = allows(before, row.held, request), allows(after, row.held, request)
                        assert sides == (not gained, gained), f"world {seed}: {change} {row.held} {request}"
                        flips["shown"] += 1
    print(flips)
    assert flips[True] and flips[False]


def sendable(view: View, question: tuple[str, str], outcomes: int) -> list[Request]:
    """A few requests for some outcomes, where all values that tell them apart can be sent as they are."""
    found = []
    for position, outcome in enumerate(view.space.outcomes):
        names = [name.removeprefix("time(") for name, _ in shown_values(outcome)]
        if outcomes >> position & 1 and not any("(" in name or " - " in name for name in names) and len(found) < 20:
            found += cases_of(view, question, 1 << position)
    return found


_VERDICTS = {True: ("more permissive", "both", "unknown"), False: ("less permissive", "both", "unknown")}


def test_a_proof_claims_what_deciding_all_cases_finds() -> None:
    verdicts: Counter[str] = Counter()
    for seed in SEEDS:
        maker, world = small_world(seed)
        promises = [promise(maker) for _ in range(3)]
        policy = loaded(world, seed, promises)
        if policy is None:
            continue
        held = held_sets(world, maker.random, 15)
        for promised, verdict in zip(promises, prove_all(policy, STEPS), strict=True):
            if verdict.undecided:
                verdicts["unknown"] += 1
            elif verdict.holds:
                for number, request in enumerate(world.requests):
                    now = world.moments[number % 3]
                    for one in held:
                        assert promised.is_kept(world, one, request, now), f"world {seed}: {promised} {one} {request}"
                verdicts["holds"] += 1
            elif verdict.has_free_matches:
                verdicts["free"] += 1  # the text that it needs is not shown
            elif case := as_request(world, verdict.counterexample):
                now = case.context.pop("now", None)
                assert not promised.is_kept(world, verdict.counterexample.held, case, now), (
                    f"world {seed}: {promised} {verdict.counterexample}"
                )
                verdicts["broken"] += 1
    print(verdicts)
    assert verdicts["holds"] and verdicts["broken"]


def test_mutants_that_are_called_equivalent_are_never_told_apart() -> None:
    fates: Counter[str] = Counter()
    for seed in SEEDS:
        maker, world = small_world(seed)
        policy = loaded(world, seed)
        if policy is None:
            continue
        held = held_sets(world, maker.random, 8)
        made = list(mutants(policy))
        for mutant in maker.random.sample(made, min(len(made), 3)):
            try:
                found = compare(policy, mutant.changed, mutant.questions).difference
            except TooManyCases:
                fates["unknown"] += 1
                continue
            if found is not None and found.has_free_matches:
                fates["free"] += 1
            elif case := as_request(world, found):
                sides = [
                    Asked(one, {f"user:{case.subject.id}": found.held}).allows(case) for one in (policy, mutant.changed)
                ]
                assert sides == [found.allowed_by_first, not found.allowed_by_first], f"world {seed}: {mutant.what} {found}"
                fates["told apart"] += 1
            elif found is None:
                asked = [Asked(mutant.changed, {"user:ann": one}) for one in held]
                for number, request in enumerate(world.requests):
                    request = asked_at(request, world.moments[number % 3])
                    if (request.resource.type, request.action.name) in mutant.questions:
                        for one, changed_set in zip(held, asked, strict=True):
                            expected = allows(world, one, request)
                            assert changed_set.allows(request) is expected, f"world {seed}: {mutant.what} {one} {request}"
                fates["equivalent"] += 1
    print(fates)
    assert fates["told apart"] and fates["equivalent"]


def as_request(world: World, case: Counterexample | Difference | None) -> Request | None:
    """The request in a case that an analysis shows; None where its values cannot be sent as they are."""
    if case is None or any("(" in name.removeprefix("time(") or " - " in name for name, _ in case.values):
        return None
    question = (
        (case.resource_type, case.action) if isinstance(case, Difference) else (case.thing.resource_type, case.thing.action)
    )
    request = request_of(question, dict(case.values))
    resource = request.resource
    is_new = question[1] in world.types[question[0]].asked_in
    told = {name for name, _ in case.values}
    for level, part in zip(world.levels, case.domain.split("/") if case.domain else (), strict=False):
        if told & {f"resource.{level.name}", "resource.id"} and level.is_identified:
            continue  # the case says itself how the request names its domain
        if level.is_named:
            resource = resource._replace(properties={**resource.properties, level.name: part})
        if level.is_identified and level.name == resource.type and not is_new:
            resource = resource._replace(id=part)
    return request._replace(resource=resource)


def test_the_matrix_says_of_a_role_alone_what_deciding_finds() -> None:
    told_so: Counter[bool] = Counter()
    for seed in SEEDS:
        _, world = small_world(seed)
        world.levels = [replace(level, requires=False) for level in world.levels]
        policy = loaded(world, seed)
        if policy is None:
            continue
        cells = {(row.resource_type, row.action): row.cells for row in matrix_rows(policy)}
        for role, one in world.roles.items():
            for domain in domains(world, one.level):
                for number, request in enumerate(world.requests):
                    asked = asked_at(request, world.moments[number % 3])
                    place = oracle_of_worlds.place_of(world, request.resource, request.action.name)
                    question = (request.resource.type, request.action.name)
                    if not place or question not in cells or place[0] != domain.split("/")[0] or allows(world, (), asked):
                        continue  # what anyone may is told in a column of its own
                    cell, expected = cells[question][role], allows(world, ((role, domain),), asked)
                    said = [
                        told.permission.condition is None or evaluate(told.permission.condition, asked) is True
                        for told in cell.told
                        if told.permission.verdict != "never"
                    ]
                    if expected:
                        assert any(said), f"world {seed}: {role} in {domain}: {cell.text} {asked}"
                    elif "/".join(place).startswith(domain) and all(told.nearness == "inside" for told in cell.told):
                        assert not said or not all(said) or len(said) < len(cell.told), (
                            f"world {seed}: {role} in {domain}: {cell.text} {asked}"
                        )
                    told_so[expected] += 1
    assert told_so[True] and told_so[False]
