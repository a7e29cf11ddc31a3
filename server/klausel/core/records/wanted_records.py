"""Which records of decisions somebody looks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WantedRecords:
    """What the records looked for have in common; None asks for nothing."""

    person: str | None = None
    action: str | None = None
    resource: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    record_id: str | None = None
    since: str | None = None
    until: str | None = None

    def needles(self) -> list[bytes]:
        """Texts that stand in the bytes of every record looked for: what is written in one way only."""
        type_, _, id_ = (self.resource or "").partition(":")
        texts = (self.person and self.person.partition(":")[2], self.action, type_, id_, self.request_id, self.record_id)
        plain = (text for text in texts if text and text.isascii() and text.isprintable() and not {'"', "\\"} & set(text))
        return [f'"{text}"'.encode() for text in plain]

    def is_met_by(self, record: Mapping[str, object]) -> bool:
        """Whether a record is one of those."""
        subject, action, resource = (member_of(record, name) for name in ("subject", "action", "resource"))
        type_, _, id_ = (self.resource or "").partition(":")
        moment = record.get("time")
        return (
            type(moment) is str
            and "decision" in record
            and is_in_period(moment, self.since, self.until)
            and self.person in (None, f"{subject.get('type')}:{subject.get('id')}")
            and self.action in (None, action.get("name"))
            and (not type_ or type_ == resource.get("type"))
            and (not id_ or id_ == resource.get("id"))
            and self.outcome in (None, "allow" if record["decision"] is True else "deny")
            and self.request_id in (None, record.get("request_id"))
            and self.record_id in (None, record.get("id"))
        )


def member_of(record: Mapping[str, object], name: str) -> dict[str, object]:
    """An object in a record; an empty one where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def question_of(record: Mapping[str, object]) -> str:
    """What was asked, in a line."""
    subject, action, resource = (member_of(record, name) for name in ("subject", "action", "resource"))
    if not subject:
        return "no question"
    who, what = (f"{one.get('type')}:{one.get('id')}" for one in (subject, resource))
    return f"{who} {action.get('name')} {what}" + (f" in {record['domain']}" if record.get("domain") else "")


def is_in_period(time: str, since: str | None, until: str | None) -> bool:
    """Whether a record with this time belongs to a period; the end does not."""
    return (since is None or time >= since) and (until is None or time < until)
