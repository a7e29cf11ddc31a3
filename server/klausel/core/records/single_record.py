"""Decisions that were asked one at a time, several on a line: a table, as of a batch, with time and request in each row.

A line has what all have in common, `shared` with what many have (the decision and the grant behind it), and `decisions` with
`columns`. Its own `time` is when it was made: no decision on it is later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from klausel.core.policy.policy_set import Grant
from klausel.core.records.batch_record import Noted
from klausel.core.records.decision_record import Record, second_text
from klausel.core.records.shared_line import SharedLine

COLUMNS = (
    "shared",
    "time",
    "request_id",
    "subject_type",
    "subject_id",
    "subject_properties",
    "action",
    "type",
    "id",
    "properties",
    "domain",
    "roles",
    "duration_us",
    "more",
)
"""What stands in a row; `type`, `id` and `properties` are those of the resource, `more` are further members of the record."""

Single = tuple[Noted, int, str | None, str, str, bytes, str | None, Record | None]
"""The only decision of an HTTP request, and of that its time in nanoseconds, id, route, caller, policies, revision, and more."""

Row = tuple[object, ...]
Outcome = tuple[bool, Grant | None]

_SECOND = 1_000_000_000
_COLUMNS_IN_JSON = ",".join(f'"{name}"' for name in COLUMNS).encode()


class TableOfSingles(SharedLine):
    """A line with its newline; `sums` are the CRC-32 of its rows, by which a row that was changed is named."""

    sums: Sequence[int]


def rows_of(singles: Iterable[Single], process: str, ids: Iterator[int]) -> tuple[list[Row | None], list[Outcome]]:
    """What stands in the row of each, None for one that has what no column is for; and what `shared` stands for in them.

    Where no request id was sent, `process` and the next of `ids` make one.
    """
    rows: list[Row | None] = []
    outcomes: list[Outcome] = []
    # By the outcome and the identity of its grant, which `singles` keeps alive.
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})
    begins = ends = 0
    second = ""
    for (
        _,
        request,
        (allowed, grant, domain, failure),
        effective_roles,
        took,
    ), came, request_id, _, _, _, _, more in singles:
        if request is None or failure is not None or request[1][1]:
            rows.append(None)
            continue
        (type_, id_, of_subject, _), (name, _), (resource_type, resource_id, of_resource), context = request
        if context:
            more = {**more, "context": context} if more else {"context": context}
        number = numbers[allowed].get(id(grant))
        if number is None:
            number = numbers[allowed][id(grant)] = len(outcomes)
            outcomes.append((allowed, grant))
        if not begins <= came < ends:
            begins = came - came % _SECOND
            ends = begins + _SECOND
            second = f"{second_text(begins // _SECOND)}."
        # Ten digits always, of which the first is a 1: that takes less time than to fill up with zeros.
        time = f"{second}{str(came - begins + _SECOND)[1:7]}Z"
        row = (
            number,
            time,
            request_id or f"{process}-{next(ids)}",
            type_,
            id_,
            of_subject or None,
            name,
            resource_type,
            resource_id,
            of_resource or None,
            domain,
            None if effective_roles is None else effective_roles.stored_inside(domain),
            took // 100 / 10,
            more,
        )
        rows.append(row)
    return rows, outcomes


def table_of(time: str, head: bytes, shared: Iterable[bytes], rows: Sequence[bytes]) -> TableOfSingles:
    """The line of rows, at least one, as JSON; `head` are the members that all have, and `time` is as late as any of theirs."""
    parts = (time.encode(), head, b",".join(shared), _COLUMNS_IN_JSON, b",".join(rows))
    data = b'{"time":"%b",%b,"shared":[%b],"columns":[%b],"decisions":[%b]}\n' % parts
    line = TableOfSingles.of(data, len(rows))
    line.sums = list(map(crc32, rows))
    return line


def is_table_of_singles(line: Mapping[str, Any]) -> bool:
    """Whether the JSON object of a line is what `table_of` made."""
    return line.get("columns") == _COLUMNS_AS_LIST


_COLUMNS_AS_LIST = list(COLUMNS)


def each_single(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records in what `table_of` made, each in full, and with its number where the line has one; raises ValueError."""
    common, rows = line.get("shared"), line["decisions"]
    if type(common) is not list or type(rows) is not list or not all(type(one) is dict for one in common):
        raise ValueError
    head = {name: value for name, value in line.items() if name not in _NOT_OF_EACH}
    last = line.get("number")
    number = last - len(rows) if type(last) is int else None
    for row in rows:
        if type(row) is not list or len(row) != len(COLUMNS):
            raise ValueError
        which, time, request_id, who, whose, of_subject, name, type_, id_, of_resource, domain, roles, took, more = row
        if type(which) is not int or not 0 <= which < len(common):
            raise ValueError
        record = {
            "time": time,
            "request_id": request_id,
            **head,
            "subject": {"type": who, "id": whose}
            if of_subject is None
            else {"type": who, "id": whose, "properties": of_subject},
            "action": {"name": name},
            "resource": {"type": type_, "id": id_}
            if of_resource is None
            else {"type": type_, "id": id_, "properties": of_resource},
            "domain": domain,
            "roles": roles,
            **common[which],
            "duration_us": took,
        }
        if more is not None:
            if type(more) is not dict:
                raise ValueError
            record |= more
        if number is not None:
            record["number"] = number = number + 1
        yield record


_NOT_OF_EACH = frozenset(("time", "shared", "columns", "decisions", "number", "sealed"))
