"""Groups of groups, times of rows, former names and stored properties: the service decides and explains what the oracle says."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import oracle
from generated_sets import asked_of
from opened_services import Opened
from people_over_time import MOMENTS, over_time

from klausel.core.terms.request import NOW, asked_at

# For a run by hand over more sets than the suite has time for.
SETS = int(os.environ.get("KLAUSEL_TEST_GENERATED_SETS", "5"))
FIRST = int(os.environ.get("KLAUSEL_TEST_FIRST_SEED", "0"))


def test_the_service_decides_on_people_over_time_as_the_oracle_does(tmp_path: Path) -> None:
    opened = Opened(f"sqlite:///{tmp_path}/klausel.db", tmp_path)
    answers: Counter[bool] = Counter()
    for seed in range(FIRST, FIRST + SETS):
        people = over_time(seed, 12)
        asked = asked_of(people.generated)
        if asked is None:
            continue
        clock = MOMENTS[:1]
        service = replace(opened.service(people.generated, people.rows, people.entities), clock=lambda clock=clock: clock[0])
        try:
            for now in MOMENTS:
                clock[0], held = now, people.held_at(now)
                decide = service.decider()
                for drawn in people.generated.requests:
                    request = drawn._replace(context={name: value for name, value in drawn.context.items() if name != NOW})
                    joined = asked_at(people.joined(request, asked.policy.roles), now)
                    expected = oracle.allows(asked.policy, held, joined)
                    decided = decide(request).allowed
                    assert decided is expected, f"seed {seed} at {now}: expected {expected} for {request}\n{people}"
                    assert service.explain(request, moment=now).decision.allowed is expected, (
                        f"seed {seed} at {now}: {request}"
                    )
                    answers[expected] += 1
        finally:
            service.store.close()
    assert answers.total() > SETS * 60, "too many generated sets were refused"
    assert answers[True] > answers.total() / 20, "too few generated requests are allowed"
