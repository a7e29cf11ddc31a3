"""Answers, and what keeps one from coming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class CallFailed(Exception):
    """The service gave no answer: it was not reached, not in time, or failed itself. `status` is None where nothing came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Refused(CallFailed):
    """The service refused the call (4xx): it is wrong, or this caller may not make it. Sending it again does not help."""

    def __init__(self, message: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(message, status)
        self.body = body


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes or a no. `reason` says why, where that was asked for or the question could not be judged.

    `failed` is a deny for want of an answer. `reason` names files and conditions, for those who look after the policies;
    `reason_user` is what the person may read.
    """

    allowed: bool
    reason: str | None = None
    failed: bool = False
    reason_user: str | None = None

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class FilterAnswer:
    """Which resources of a type are allowed: `always`, `never`, or those for which a `condition` holds, as a JSON tree.

    `as_json` is the whole answer, as `klausel.sqlalchemy.where` and its siblings take it.
    """

    filter: str
    condition: Mapping[str, Any] | None
    as_json: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Menu:
    """What a subject may do to one resource: `actions`, and those that depend on what was not said, with their condition."""

    actions: tuple[str, ...]
    conditional: Mapping[str, Mapping[str, Any]]


def read_decision(body: Any) -> Decision:
    """One decision of an answer; what is none is a deny that failed."""
    if not isinstance(body, dict) or type(body.get("decision")) is not bool:
        return Decision(False, "the service gave no decision", True)
    context = body.get("context")
    context = context if isinstance(context, dict) else {}
    error = context.get("error")
    if isinstance(error, dict):
        # Only a deny may come with an error; whatever else is sent is no yes.
        status = error.get("status")
        failed = not isinstance(status, int) or status >= 500
        return Decision(False, str(error.get("message", "the question is faulty")), failed)
    reason, reasons = context.get("reason"), context.get("reasons")
    if reason is None and isinstance(reasons, list) and reasons:
        reason = reasons[0]
    told = context.get("reason_user")
    told = told.get("en") if isinstance(told, dict) else None
    told = told if isinstance(told, str) else None
    # A caller who may not explain is told what the person is told, and no more.
    return Decision(body["decision"], reason if isinstance(reason, str) else told, reason_user=told)
