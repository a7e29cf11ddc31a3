"""What records of decisions say of who was allowed what: the few members that this needs, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from klausel.core.analysis.permission_use import Use
from klausel.core.records.recorded import BadRecord
from klausel.core.replay.unused import EXPLAIN


class NotCounted(NamedTuple):
    """How many decisions were not recorded before a line, as it says; 0 for a record that is no use, such as an explanation."""

    dropped: int


_NO_USE = NotCounted(0)


def read_use(record: Mapping[str, Any]) -> Use | NotCounted:
    """What one record says; raises BadRecord. A deny and an allow outside every domain only say that the subject asked."""
    try:
        if "dropped" in record:
            return NotCounted(int(record["dropped"]))
        subject, route = record["subject"], record["route"]
        if subject is None or route == EXPLAIN:
            return _NO_USE
        domain, key = record["domain"], f"{subject['type']}:{subject['id']}"
        if record["decision"] is not True or domain is None:
            return (key, "", "", "")
        resource_type, action = record["resource"]["type"], record["action"]["name"]
    except KeyError as error:
        raise BadRecord(f"has no {error}") from None
    except (TypeError, ValueError, AttributeError):
        raise BadRecord("has a member of another form than a record of a decision") from None
    if not type(domain) is type(resource_type) is type(action) is str:
        raise BadRecord("has a member of another form than a record of a decision")
    return (key, domain, resource_type, action)
