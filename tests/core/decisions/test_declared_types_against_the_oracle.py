"""Generated policies with declared properties: what is sent and is not as declared is unknown, in decisions and Casbin's rows."""

import declared_policies
import pytest
from declared_policies import generate_declared
from generated_sets import asked_of

SETS = 120
SETS_IN_A_TEST = 20
EVERY = 10  # of so many sets one is asked through stock Casbin too, which is slow


@pytest.mark.parametrize("first", range(0, SETS, SETS_IN_A_TEST))
def test_decisions_under_declared_types_are_those_of_the_oracle(first: int) -> None:
    answers = []
    for seed in range(first, first + SETS_IN_A_TEST):
        generated, kinds = generate_declared(seed)
        asked = asked_of(generated)
        if asked is None:
            continue
        for number, request in enumerate(generated.requests):
            expected = declared_policies.allows(asked.policy, kinds, generated.assignments, request)
            assert asked.allows(request) is expected, f"seed {seed}: expected {expected} for {request}\n{generated}"
            if seed % EVERY == 0 and number < 10:
                assert asked.stock_allows(request) is expected, f"seed {seed}, stock: {request}\n{generated}"
            answers.append(expected)
    assert len(answers) > SETS_IN_A_TEST * 25, "too many generated sets were refused"
    assert sum(answers) > len(answers) / 12, "too few generated requests are allowed"
