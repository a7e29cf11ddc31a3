"""The decisions of one batch as one record: a table with a row for each, and what many have in common written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant
from klausel.core.records.decision_record import Record
from klausel.core.terms.request import Request, Subject

Noted = tuple[int | None, Request | None, Decision, EffectiveRoles | None, int]
"""One decision: its place in the batch, the question (None for what was none), the answer, the roles, the nanoseconds."""

COLUMNS = ["shared", "index", "action", "type", "id", "properties", "duration_us"]
"""What stands in a row; `type`, `id` and `properties` are those of the resource, and `shared` is which of the common parts.

Who asks, and where, stands in the line itself where that is the same of all.
"""


def batch_of(noted: Sequence[Noted], describe: Callable[[Grant], object]) -> Record | None:
    """The members of a line that are not those of the whole request; None where an item has what no column is for."""
    askers: list[Record] = []
    outcomes: list[tuple[int, bool, Grant | None]] = []
    rows: list[object] = []
    # All whose identity counts stay alive by `noted`, so no other object can take it over; to compare values would take longer.
    of_askers: dict[object, _Numbers] = {}
    last_subject = last_roles = last_context = last_domain = None
    numbers: _Numbers = (-1, {}, {})
    for index, request, (allowed, grant, domain, failure), effective_roles, nanoseconds in noted:
        if request is None or failure is not None:
            return None
        subject, (name, of_action), (type_, id_, properties), context = request
        if of_action:
            return None
        if not (
            subject is last_subject and effective_roles is last_roles and context is last_context and domain == last_domain
        ):
            last_subject, last_roles, last_context, last_domain = subject, effective_roles, context, domain
            key = (id(subject), id(effective_roles), id(context), domain)
            known = of_askers.get(key)
            if known is None:
                known = of_askers[key] = (len(askers), {}, {})
                askers.append(_asker(subject, domain, effective_roles, context))
            numbers = known
        of_grants = numbers[2] if allowed else numbers[1]
        number = of_grants.get(id(grant))
        if number is None:
            number = of_grants[id(grant)] = len(outcomes)
            outcomes.append((numbers[0], allowed, grant))
        rows.append((number, index, name, type_, id_, properties or None, nanoseconds // 100 / 10))
    told = [
        (n, {"decision": allowed, "grant": None if grant is None else describe(grant)}) for n, allowed, grant in outcomes
    ]
    if len(askers) == 1:
        return {**askers[0], "shared": [outcome for _, outcome in told], "columns": COLUMNS, "decisions": rows}
    return {"shared": [{**askers[n], **outcome} for n, outcome in told], "columns": COLUMNS, "decisions": rows}


_Numbers = tuple[int, dict[int, int], dict[int, int]]
"""The number of who asks and where, and places in `shared` by the identity of the grant, of denies and of allows."""


def _asker(
    subject: Subject, domain: str | None, effective_roles: EffectiveRoles | None, context: Mapping[str, object]
) -> Record:
    type_, id_, properties, _ = subject
    record: Record = {
        "subject": {"type": type_, "id": id_, "properties": properties} if properties else {"type": type_, "id": id_},
        "domain": domain,
        "roles": None if effective_roles is None else effective_roles.stored_inside(domain),
    }
    if context:
        record["context"] = context
    return record


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
