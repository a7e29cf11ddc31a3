"""The pages of recorded decisions: searched, the newest first, and one explained as of then."""

from __future__ import annotations

from urllib.parse import urlencode

from klausel.api.console.pages import Page
from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.decisions.explanation_format import explanation_as_json
from klausel.core.records.recorded import BadRecord
from klausel.core.records.wanted_records import WantedRecords, member_of, question_of
from klausel.core.terms.caller import Caller
from klausel.core.terms.moment import moment_text, read_moment
from klausel.service.decision_service import Service
from klausel.service.recorded_decisions import (
    DecisionsThen,
    Record,
    as_told,
    may_know,
    read_record_place,
    record_at,
    search,
)
from klausel.storage.decision_log.files import UnreadableLog
from klausel.storage.decision_log.newest_first import LinePlace, NewestFirst, read_place

FIELDS = ("person", "action", "resource", "outcome", "since", "until", "request_id")
ON_A_PAGE = 50
OUTCOMES = ("allow", "deny")
_TITLE = "Decisions"


class DecisionPages:
    """The decision log of one service, as people read it."""

    def __init__(self, service: Service) -> None:
        target = service.settings.decision_log
        self._log = None if target is None else NewestFirst(target, service.store.engine)
        self._then = DecisionsThen(service.live, service.settings)

    def search(self, given: dict[str, str], caller: Caller | None, is_twin: bool) -> Page:
        """The newest records that meet every field, as far as the caller reaches.

        The twin raises `ApiError` (400, 404) where the page shows a fault, or that there is no log that can be read. Both raise
        `ApiError` (503) and `StorageError`.
        """
        shown: Json = {"given": {name: given.get(name, "") for name in FIELDS}, "fault": None, "rows": [], "found": None}
        shown |= {"unread": 0, "older": None, "no_log": None}
        try:
            log = self._readable()
        except ApiError as error:
            if is_twin:
                raise
            return Page("decisions.html", _TITLE, {**shown, "no_log": error.message})
        try:
            wanted = _wanted(given)
            before = _place(given.get("before", ""))
        except ApiError as error:
            if is_twin:
                raise
            return Page("decisions.html", _TITLE, {**shown, "fault": error.message}, status=400)
        try:
            found = search(log, wanted, ON_A_PAGE, before, caller)
        except UnreadableLog as error:
            raise ApiError(503, str(error)) from None
        rest = None if found.rest is None else str(found.rest)
        twin: Json = {
            "records": [{"at": str(place), **_told(record)} for place, record in found.records],
            "whole": found.is_whole,
            "back_to": found.back_to,
            "next": rest,
        }
        query = {name: given[name] for name in FIELDS if given.get(name)}
        shown |= {
            "found": twin,
            "rows": [(record, urlencode({"at": str(place)}), question_of(record)) for place, record in found.records],
            "older": None if rest is None else urlencode({**query, "before": rest}),
            "unread": log.unread(),
        }
        return Page("decisions.html", _TITLE, shown, twin)

    def one(self, given: dict[str, str], caller: Caller | None) -> Page:
        """One record, by the id that its caller was told or by its place, with the explanation as of then.

        Raises `ApiError` (400, 404, 503) and `StorageError`.
        """
        log = self._readable()
        record = self._found(log, given, caller)
        if record is None or not may_know(caller, record):
            # Of what a caller may not know it is not told whether it is there.
            raise ApiError(404, "there is no such record in the decision log, or it is not one of your accounts")
        try:
            told = self._then.explained(record)
        except BadRecord as error:
            raise ApiError(404, f"the record {error}") from None
        explanation = None if told.explanation is None else explanation_as_json(told.explanation)
        record = as_told(caller, record)
        twin: Json = {"record": _told(record), "explanation": explanation, "remarks": list(told.remarks)}
        question = {name: member_of(record, name) for name in ("subject", "action", "resource")}
        shown = {
            "record": record,
            "told": explanation,
            "question": question,
            "remarks": told.remarks,
            "properties": {
                **{name: one["properties"] for name, one in question.items() if one.get("properties")},
                **({"context": record["context"]} if record.get("context") else {}),
            },
            "link": urlencode({"id": record["id"]}) if type(record.get("id")) is str else None,
        }
        return Page("decision.html", "A decision, as of then", shown, twin)

    def _found(self, log: NewestFirst, given: dict[str, str], caller: Caller | None) -> Record | None:
        id_, at = given.get("id", ""), given.get("at", "")
        if bool(id_) == bool(at):
            raise ApiError(404, "name the record by its id, as X-Klausel-Record told it, or by at, its place in the log")
        try:
            if at:
                place = read_record_place(at)
                return None if place is None else record_at(log, place)
            found = search(log, WantedRecords(record_id=id_), 1, None, caller)
        except UnreadableLog as error:
            raise ApiError(503, str(error)) from None
        if not found.records and not found.is_whole:
            message = f"no such record since {found.back_to}; klausel decisions find --record-id looks at the whole log"
            raise ApiError(404, message)
        return found.records[0][1] if found.records else None

    def _readable(self) -> NewestFirst:
        if self._log is None:
            raise ApiError(404, "decisions are not recorded; start the service with --decision-log")
        if not self._log.is_readable:
            raise ApiError(404, "decisions are recorded to standard output, which the service cannot read back")
        return self._log


def _wanted(given: dict[str, str]) -> WantedRecords:
    texts = {name: given.get(name) or None for name in FIELDS}
    if texts["outcome"] not in (None, *OUTCOMES):
        raise ApiError(400, f"the field outcome is none of {', '.join(OUTCOMES)}")
    if texts["person"] is not None and ":" not in texts["person"]:
        raise ApiError(400, "the field person is not type:id; write a type, a colon and an id, such as user:ann")
    for name in ("since", "until"):
        text = texts[name]
        if text is not None:
            texts[name] = _moment(name, text)
    return WantedRecords(**texts)


def _moment(name: str, text: str) -> str:
    """A time as records have it."""
    has_zone = text.endswith("Z") or "+" in text or len(text) <= len("2026-03-01")
    try:
        return moment_text(read_moment(text if has_zone else f"{text}Z"))
    except (ValueError, OverflowError):
        raise ApiError(400, f"the field {name} is no time; write it as 2026-03-01 or 2026-03-01T12:00, in UTC") from None


def _place(text: str) -> LinePlace | None:
    place = read_place(text)
    if text and place is None:
        raise ApiError(400, "the field before is no place in the log; begin again without it")
    return place


def _told(record: Record) -> Json:
    return {name: value for name, value in record.items() if name not in ("sealed", "number")}
