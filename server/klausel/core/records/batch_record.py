"""The decisions of one batch as one record: a table with a row for each, and what many have in common written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant
from klausel.core.records.decision_record import Record
from klausel.core.terms.request import Request

Noted = tuple[int | None, Request | None, Decision, EffectiveRoles | None, int]
"""One decision: its place in the batch, the question (None for what was none), the answer, the roles, the nanoseconds."""

COLUMNS = ["shared", "index", "action", "type", "id", "properties", "duration_us"]
"""What stands in a row; `type`, `id` and `properties` are those of the resource, and `shared` is which of the common parts."""


def batch_of(noted: Sequence[Noted], describe: Callable[[Grant], object]) -> Record | None:
    """The members of a line that are not those of the whole request; None where an item has what no column is for."""
    common: list[Record] = []
    numbers: dict[object, int] = {}
    rows: list[object] = []
    for index, request, decision, effective_roles, nanoseconds in noted:
        allowed, grant, domain, failure = decision
        if request is None or failure is not None or request[1][1]:
            return None
        subject, (name, _), (type_, id_, properties), context = request
        # All these stay alive by `noted`, so no other object can take over an identity; to compare values would take longer.
        key = (id(subject), id(effective_roles), domain, id(grant), id(context), allowed)
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(common)
            who, whose, of_subject, _ = subject
            record: Record = {
                "subject": {"type": who, "id": whose, "properties": of_subject}
                if of_subject
                else {"type": who, "id": whose},
                "domain": domain,
                "roles": None if effective_roles is None else effective_roles.stored_inside(domain),
                "decision": allowed,
                "grant": None if grant is None else describe(grant),
            }
            if context:
                record["context"] = context
            common.append(record)
        rows.append((number, index, name, type_, id_, properties or None, nanoseconds // 100 / 10))
    return {"shared": common, "columns": COLUMNS, "decisions": rows}


def each_of_batch(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records in what `batch_of` made, each in full; raises ValueError for another form."""
    common, rows = line.get("shared"), line["decisions"]
    if line.get("columns") != COLUMNS or type(common) is not list or type(rows) is not list:
        raise ValueError
    head = {name: value for name, value in line.items() if name not in ("shared", "columns", "decisions")}
    for row in rows:
        if type(row) is not list or len(row) != len(COLUMNS):
            raise ValueError
        number, index, name, type_, id_, properties, duration = row
        if type(number) is not int or not 0 <= number < len(common) or type(common[number]) is not dict:
            raise ValueError
        resource = {"type": type_, "id": id_}
        if properties is not None:
            resource["properties"] = properties
        own = {"action": {"name": name}, "resource": resource, "duration_us": duration, "index": index}
        yield {**head, **common[number], **own}
