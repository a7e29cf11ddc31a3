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
        subject = record["subject"]
        if subject is None or record["route"] == EXPLAIN:
            return _NO_USE
        domain, key = record["domain"], f"{subject['type']}:{subject['id']}"
        if record["decision"] is not True or domain is None:
            return Use(key, "", "", "")
        use = Use(key, domain, record["resource"]["type"], record["action"]["name"])
    except KeyError as error:
        raise BadRecord(f"has no {error}") from None
    except (TypeError, ValueError, AttributeError):
        raise BadRecord("has a member of another form than a record of a decision") from None
    if not type(use.domain) is type(use.resource_type) is type(use.action) is str:
        raise BadRecord("has a member of another form than a record of a decision")
    return use
