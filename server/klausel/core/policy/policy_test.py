"""Policy tests as data: what people in a story are expected to be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from klausel.core.terms.problem import Place
from klausel.core.terms.request import Request

PlacesSent = Mapping[str, Mapping[str, Place]]
"""Where each property of a request is written, by whose it is (`subject`, `resource`, `action`, `context`) and its name."""

Held = tuple[tuple[str, str], ...]
"""Role assignments of one subject, as (role, domain)."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expected answer: the question, the roles of who asks, and the names that the test file gives to both.

    `decided_by` is the text of the grant that must have decided, None where any may. `is_forbidden` when the rules forbid
    the role assignments, at least to somebody who is alone. `sent_at` says where the properties of the request are written.
    """

    person: str
    resource: str
    request: Request
    held: Held
    allowed: bool
    decided_by: str | None
    place: Place
    is_forbidden: bool = False
    sent_at: PlacesSent = field(default_factory=dict, compare=False, repr=False)

    @property
    def action(self) -> str:
        """The action asked about."""
        return self.request.action.name

    def place_of(self, root: str, name: str) -> Place:
        """Where a property of the request is written; the place of the expectation where that is not known."""
        return self.sent_at.get(root, {}).get(name, self.place)

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
