"""How much one analysis may go through, counted before it is done, so that its time and its memory have a bound."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.conditions.outcomes import TooManyCases

MOST_STEPS = 1_000_000
MOST_ROLE_COMBINATIONS = 32_768
"""Ways in which one subject can hold roles that matter to one question, beyond which nothing is gone through."""
OUTCOMES_AT_ONCE = 1000
"""Outcomes that are looked at in about the time of one step, since they are the bits of a number."""


@dataclass(slots=True)
class Budget:
    """What is left for an analysis, in steps: an outcome of conditions, or a combination of roles under a thousand of them."""

    steps: int = MOST_STEPS

    def take(self, needed: int) -> None:
        """Takes so many steps; raises `TooManyCases` when they are not left."""
        if needed > self.steps:
            self.steps = 0
            raise TooManyCases(
                "the questions before it used up what this analysis may go through; analyse less at once, or allow it more steps"
            )
        self.steps -= needed


def too_many_roles(domain: str) -> TooManyCases:
    """What is raised where roles that matter can be held in too many ways."""
    return TooManyCases(f"the roles that matter to it can be held in more than {MOST_ROLE_COMBINATIONS:,} ways in {domain}")
