"""Decision logs for tests: records as the service writes them, and what stands in a log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from time import time_ns
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
        return [record for line in self.lines for record in one_by_one(json.loads(line))]


def one_by_one(line: Json) -> list[Json]:
    """The decisions in a line, each as a record of its own; the forms of a line are those that docs/audit.md describes."""
    rows, columns, shared = line.get("decisions"), line.get("columns"), line.get("shared")
    if rows is None:
        return [line]
    head = {name: value for name, value in line.items() if name not in ("decisions", "columns", "shared")}
    found = []
    for row in rows:
        if columns is None:
            values = {member: shared[number] for member, number in row["shared"].items()}
            found.append({**head, **{name: value for name, value in row.items() if name != "shared"}, **values})
            continue
        told = dict(zip(columns, row, strict=True))
        resource = {"type": told["type"], "id": told["id"], "properties": told["properties"]}
        if resource["properties"] is None:
            del resource["properties"]
        own = {"action": {"name": told["action"]}, "resource": resource}
        own["duration_us"] = told["duration_us"]
        if "index" in told:
            own["index"] = told["index"]
        else:
            own |= {"time": told["time"], "request_id": told["request_id"], "domain": told["domain"], "roles": told["roles"]}
            subject = {"type": told["subject_type"], "id": told["subject_id"], "properties": told["subject_properties"]}
            own["subject"] = {name: value for name, value in subject.items() if value is not None}
            own |= told["more"] or {}
        found.append({**head, **shared[told["shared"]], **own})
    return found


def records_in_file(*files: Path) -> list[Json]:
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [record for line in lines for record in one_by_one(line)]


def head_of(
    log: DecisionLog,
    route: str = "evaluation",
    request_id: str = "r1",
    caller: str = "127.0.0.1",
    policy: Json | None = None,
    **more: object,
) -> bytes:
    """What a record starts with, of a request that comes now."""
    version = json.dumps(policy or {"digest": "sha256:0"}, separators=(",", ":")).encode()
    return log.head(time_ns(), request_id, route, caller, version, "a-1", more)


def recorded_lines(asked: Asked, requests: Iterable[Request], masks: Iterable[str] = ()) -> list[bytes]:
    """The records of these questions, decided now."""
    sink = KeptLines()
    log = DecisionLog(sink, strict=True, masks=masks)
    for request in requests:
        log.record([line_of(log, asked, request)])
    return sink.lines


def line_of(log: DecisionLog, asked: Asked, request: Request, head: bytes | None = None) -> bytes:
    resolved_roles = []

    def roles_held(key: str, domain: str | None) -> frozenset[str]:
        resolved_roles.append(EffectiveRoles.of(asked.policy.roles, asked.held.get(key, ())))
        return resolved_roles[0].roles_in(domain)

    decision = decide(asked.policy, asked.compiled, roles_held, request)
    now = request.context.get(NOW)
    if isinstance(now, datetime):  # the service takes it from its clock, not from the context
        head = head_of(log, now=time_text(now))
        request = request._replace(context={name: value for name, value in request.context.items() if name != NOW})
    return log.line(head or head_of(log), (None, request, decision, resolved_roles[0] if resolved_roles else None, 12_345))
