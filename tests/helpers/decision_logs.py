"""Decision logs for tests: records as the service writes them, and what stands in a log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from policy_sets import Asked

from klausel.core.conditions.values import time_text
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.terms.request import NOW, Request
from klausel.storage.decision_log.queue import DecisionLog

Json = dict[str, Any]


class KeptLines:
    """A sink in memory; fails while `failing`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.failing = False

    def write(self, lines: Sequence[bytes]) -> None:
        if self.failing:
            raise OSError("no space left on device")
        self.lines += lines

    def close(self) -> None:
        pass

    @property
    def records(self) -> list[Json]:
        return [json.loads(line) for line in self.lines]


def records_in_file(*files: Path) -> list[Json]:
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def recorded_lines(asked: Asked, requests: Iterable[Request], masks: Iterable[str] = ()) -> list[bytes]:
    """The records of these questions, decided now."""
    sink = KeptLines()
    log = DecisionLog(sink, strict=True, masks=masks)
    head = {**log.head("evaluation", "r1", "127.0.0.1"), "policy": {"digest": "sha256:0"}, "assignments_revision": "a-1"}
    for request in requests:
        log.record([line_of(log, head, asked, request)])
    return sink.lines


def line_of(log: DecisionLog, head: Json, asked: Asked, request: Request) -> bytes:
    resolved_roles = []

    def roles_held(key: str, domain: str | None) -> frozenset[str]:
        resolved_roles.append(EffectiveRoles.of(asked.policy.roles, asked.held.get(key, ())))
        return resolved_roles[0].roles_in(domain)

    decision = decide(asked.policy, asked.compiled, roles_held, request)
    now = request.context.get(NOW)
    if isinstance(now, datetime):  # the service takes it from its clock, not from the context
        head = {**head, "now": time_text(now)}
        request = request._replace(context={name: value for name, value in request.context.items() if name != NOW})
    return log.line(head, None, request, decision, resolved_roles[0] if resolved_roles else None, 12_345)
