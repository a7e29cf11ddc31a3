"""Policy tests as data: what people in a story are expected to be able to do."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.terms.problem import Place
from klausel.core.terms.request import Request

Held = tuple[tuple[str, str], ...]
"""Role assignments of one subject, as (role, domain)."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expected answer: the question, the roles of who asks, and the names that the test file gives to both.

    `decided_by` is the text of the grant that must have decided, None where any may. `is_forbidden` when the rules forbid
    the role assignments, at least to somebody who is alone.
    """

    person: str
    resource: str
    request: Request
    held: Held
    allowed: bool
    decided_by: str | None
    place: Place
    is_forbidden: bool = False

    @property
    def action(self) -> str:
        """The action asked about."""
        return self.request.action.name

    @property
    def question(self) -> tuple[str, str]:
        """The resource type and the action, as `PolicySet.grants_about` takes them."""
        return self.request.resource.type, self.request.action.name


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One test of a file: its name (unique in the file) and what it expects, at least one thing."""

    name: str
    place: Place
    expectations: tuple[Expectation, ...]


def grant_text(text: str) -> str:
    """A grant's text with single spaces, so that it may be wrapped over lines where it is quoted."""
    return " ".join(text.split())
