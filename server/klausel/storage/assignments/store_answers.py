"""What the store of role assignments answers, and why it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from klausel.core.policy.assignment import Assignment, Violation


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why one row of a write is refused: which list (`grant` or `revoke`), its index there, the row, and the sentence."""

    list: Literal["grant", "revoke"]
    index: int
    assignment: Assignment
    message: str


class InvalidAssignments(Exception):
    """A write was refused for its rows alone; carries every fault found."""

    def __init__(self, faults: tuple[RowFault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{fault.list}[{fault.index}]: {fault.message}" for fault in faults))


class ForbiddenState(Exception):
    """A write was refused because the rules forbid the state after it; carries every violation found."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        self.violations = violations
        super().__init__("\n".join(violation.message for violation in violations))


class InvalidCursor(Exception):
    """A cursor that this store did not give for these filters."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some assignments in order, and the cursor of the next page; None after the last."""

    assignments: tuple[Assignment, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: rows added, rows that were there already (repetitions count here), revision afterwards.

    `changed` are those of the added that were there with other times.
    """

    added: int
    already_there: int
    revision: str
    changed: int = 0
