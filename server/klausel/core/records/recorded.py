"""Reading records of decisions back: the question, who held what, and what was decided then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from klausel.core.terms.masking import pointer_parts
from klausel.core.terms.request import NO_PROPERTIES, Request, read_request

Pairs = tuple[tuple[str, str], ...]
Pointer = tuple[str, ...]


class BadRecord(Exception):
    """This is no record of a decision; the message is the end of a sentence."""


class Recorded(NamedTuple):
    """One record. `request` is None for an item of a batch that was no question, `held` where no role was asked for.

    `held` are the (role, domain) pairs stored inside the domain of the top level; `masked` the places whose values are not
    known; `grant` as `klausel.core.records.decision_record.describe_grant` writes it; `now` the time taken for the present.
    """

    time: str
    request_id: str
    route: str
    request: Request | None
    domain: str | None
    held: Pairs | None
    allowed: bool
    grant: Mapping[str, str] | None
    failure: str | None
    masked: tuple[Pointer, ...]
    sample_rate: float
    now: str


class Dropped(NamedTuple):
    """A line that says how many decisions were not recorded before it."""

    number: int


def read_recorded(record: Mapping[str, Any]) -> Recorded | Dropped:
    """What the JSON object of a line says; raises BadRecord. Members without a meaning are ignored.

    A line with several decisions is taken apart by `klausel.core.records.shared_values.each_record` first.
    """
    if "dropped" in record:
        number = record["dropped"]
        if type(number) is not int or number < 0:
            raise BadRecord('has a "dropped" that is no number')
        return Dropped(number)
    try:
        grant, held = record["grant"], record["roles"]
        request = None if record["subject"] is None else read_request(record)
        recorded = Recorded(
            record["time"],
            record["request_id"],
            record["route"],
            request,
            record["domain"],
            None if held is None else tuple([(role, domain) for role, domain in held]),
            record["decision"],
            grant,
            record.get("failure"),
            tuple(map(pointer_parts, record["masked"])) if "masked" in record else (),
            record.get("sample_rate", 1.0),
            record.get("now", record["time"]),
        )
    except KeyError as error:
        raise BadRecord(f"has no {error}") from None
    except (TypeError, ValueError, AttributeError):
        raise BadRecord("has a member of another form than a record of a decision") from None
    _check(recorded)
    return recorded


def _check(recorded: Recorded) -> None:
    time, request_id, route, request, domain, held, allowed, grant, failure, _, rate, now = recorded
    good = (
        type(time) is type(request_id) is type(route) is type(now) is str
        and type(allowed) is bool
        and (domain is None or type(domain) is str)
        and (failure is None or type(failure) is str)
        and (held is None or all(type(role) is type(where) is str for role, where in held))
        and (grant is None or (type(grant) is dict and all(type(grant.get(name)) is str for name in _OF_A_GRANT)))
        and isinstance(rate, float | int)
        and 0 < rate <= 1
    )
    if request is not None:
        (type_, id_, _, _), action, resource, context = request
        texts = (type_, id_, action.name, resource.type, resource.id)
        objects = (request.subject.properties, action.properties, resource.properties, context)
        good = good and all(type(text) is str for text in texts)
        good = good and all(value is NO_PROPERTIES or type(value) is dict for value in objects)
    if not good:
        raise BadRecord("has a member of another form than a record of a decision")


_OF_A_GRANT = ("id", "source", "text")
