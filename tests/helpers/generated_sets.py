"""Generated policy sets, ready to be asked."""

from __future__ import annotations

from generated_policies import Generated
from policy_sets import Asked, policy_of

from klausel.core.terms.problem import PolicyError


def asked_of(generated: Generated) -> Asked | None:
    """The set ready to be asked; None where two of its grants contradict each other."""
    try:
        return Asked(policy_of(generated.texts), generated.held)
    except PolicyError as error:
        assert {problem.id for problem in error.problems if problem.severity == "error"} == {"contradiction"}, (
            f"{error}\n{generated}"
        )
        return None
