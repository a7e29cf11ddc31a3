"""Generated policies, people and requests: what is decided is what the oracle says, and stock Casbin over the same rows."""

import oracle
import pytest
from generated_policies import generate
from generated_sets import asked_of

SETS = 300
SETS_IN_A_TEST = 30
EVERY = 10  # of so many sets one is asked through stock Casbin too, which is slow


@pytest.mark.parametrize("first", range(0, SETS, SETS_IN_A_TEST))
def test_decisions_on_generated_policies_are_those_of_the_oracle(first: int) -> None:
    answers = []
    for seed in range(first, first + SETS_IN_A_TEST):
        generated = generate(seed)
        asked = asked_of(generated)
        if asked is None:
            continue
        for number, request in enumerate(generated.requests):
            expected = oracle.allows(asked.policy, generated.assignments, request)
            assert asked.allows(request) is expected, f"seed {seed}: expected {expected} for {request}\n{generated}"
            if seed % EVERY == 0 and number < 10:
                assert asked.stock_allows(request) is expected, f"seed {seed}, stock: {request}\n{generated}"
            answers.append(expected)
    assert len(answers) > SETS_IN_A_TEST * 25, "too many generated sets were refused"
    assert sum(answers) > len(answers) / 12, "too few generated requests are allowed"


def test_the_oracle_stays_plain() -> None:
    with open(oracle.__file__, encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    assert len(lines) < 75
