"""Recorded decisions of the running service: searched newest first, and explained by the policies and the roles of then."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from klausel.core.conditions.values import read_time
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation
from klausel.core.decisions.explain import explain as explain_request
from klausel.core.records.recorded import BadRecord, Dropped, Recorded, read_recorded
from klausel.core.records.wanted_records import WantedRecords
from klausel.core.terms.caller import Caller
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import asked_at
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.service.policy_history import open_history
from klausel.service.policy_in_force import LivePolicy
from klausel.settings import Settings
from klausel.storage.decision_log.files import good_values_of
from klausel.storage.decision_log.newest_first import LinePlace, NewestFirst, lines_of, read_place
from klausel.storage.git.moved_folder import folder_at
from klausel.storage.git.objects import GitError
from klausel.storage.policy_files.folder import read_at

SECONDS_OF_A_SEARCH = 2.0
MOST_EDITIONS = 4
Record = Mapping[str, Any]
_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


class RecordPlace(NamedTuple):
    """Where a record stands: its line, and its number among the decisions on it, from 1."""

    line: LinePlace
    number: int

    def __str__(self) -> str:
        return f"{self.line}.{self.number}"


def read_record_place(text: str) -> RecordPlace | None:
    """The place that a text names; None for any other text."""
    line, _, number = text.rpartition(".")
    place = read_place(line)
    if place is None or not (number.isascii() and number.isdigit() and 0 < len(number) < 10):
        return None
    return RecordPlace(place, int(number))


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """Some records, the newest first. Older ones stand before `rest`, None at the beginning of the log.

    `is_whole` where enough were found or all were looked at, and the search did not end for want of time; `back_to` is the
    time of the oldest that was looked at.
    """

    records: tuple[tuple[RecordPlace, Record], ...]
    rest: LinePlace | None
    is_whole: bool
    back_to: str | None


def search(
    log: NewestFirst, wanted: WantedRecords, limit: int, before: LinePlace | None = None, caller: Caller | None = None
) -> FoundRecords:
    """The newest records that are wanted, as a caller is told them; `limit` at most where lines hold one each.

    Ends after `SECONDS_OF_A_SEARCH`, and says how far it came. Raises `UnreadableLog` and `StorageError`.
    """
    ends = time.monotonic() + SECONDS_OF_A_SEARCH
    needles = wanted.needles()
    found: list[tuple[RecordPlace, Record]] = []
    back_to: str | None = None
    for block, place in log.blocks(before):
        back_to = _time_in(block) or back_to
        if all(needle in block for needle in needles):
            for line_place, line in lines_of(block, place):
                if not all(needle in line for needle in needles):
                    continue
                found += _met(line_place, line, wanted, caller)
                if len(found) >= limit:
                    return FoundRecords(tuple(found), line_place, True, back_to)
        if wanted.since is not None and back_to is not None and back_to < _day_before(wanted.since):
            break
        if time.monotonic() > ends:
            return FoundRecords(tuple(found), place, False, back_to)
    return FoundRecords(tuple(found), None, True, back_to)


def record_at(log: NewestFirst, place: RecordPlace) -> Record | None:
    """The record that stands at a place; None where none does. Raises as `search` does."""
    line = log.line_at(place.line)
    records = [] if line is None else good_values_of(line)
    return records[place.number - 1] if 1 <= place.number <= len(records) else None


def may_know(caller: Caller | None, record: Record) -> bool:
    """Whether a caller may read a record: who is limited to accounts, only those of decisions in them."""
    if caller is None or caller.accounts is None:
        return True
    domain = record.get("domain")
    return type(domain) is str and caller.reaches(domain)


def as_told(caller: Caller | None, record: Record) -> Record:
    """What a caller is told of a record that it may read: who is limited to accounts, nothing of the subject's properties.

    A record does not say which of them were sent and which are stored, and those that are stored belong to no account.
    """
    subject = record.get("subject")
    if caller is None or caller.accounts is None or not isinstance(subject, dict) or "properties" not in subject:
        return record
    return {**record, "subject": {name: value for name, value in subject.items() if name != "properties"}}


def _met(place: LinePlace, line: bytes, wanted: WantedRecords, caller: Caller | None) -> list[tuple[RecordPlace, Record]]:
    records = good_values_of(line)
    met = [
        (RecordPlace(place, number), as_told(caller, one))
        for number, one in enumerate(records, 1)
        if wanted.is_met_by(one) and may_know(caller, one)
    ]
    # Those of a batch have one time, and keep their order.
    return sorted(met, key=lambda one: str(one[1]["time"]), reverse=True)


def _time_in(block: bytes) -> str | None:
    """The time of the first record of a block: every record starts with it."""
    return block[9:36].decode("ascii", "replace") if block[:9] == b'{"time":"' else None


def _day_before(since: str) -> str:
    """A time a day earlier: what belongs to a period is written later than that, though workers write late and mixed."""
    moment = datetime.fromisoformat(since.replace("Z", "+00:00")) - timedelta(days=1)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


@dataclass(frozen=True, slots=True)
class ExplainedThen:
    """Why a recorded decision was as it was, and what keeps that from being the whole truth, as sentences."""

    explanation: Explanation | None
    remarks: tuple[str, ...]


class DecisionsThen:
    """Explains recorded decisions by the policies that decided then: those in force, or of the commit in the record.

    The last few policy sets are kept; one at a time is read.
    """

    def __init__(self, live: LivePolicy, settings: Settings) -> None:
        self._live, self._settings = live, settings
        self._kept: OrderedDict[str, LoadedPolicy] = OrderedDict()
        self._turn = Lock()

    def explained(self, record: Record) -> ExplainedThen:
        """The explanation of a record, without one where there was no question, or its policies are not to be had.

        Raises `BadRecord`.
        """
        recorded = read_recorded(record)
        if isinstance(recorded, Dropped):
            raise BadRecord("says that decisions were not recorded, and is none")
        if recorded.request is None:
            return ExplainedThen(None, ("There was no question in this record, so no policy decided.",))
        loaded = self._policies_of(record.get("policy"))
        if loaded is None:
            remark = (
                "The policies that decided then are not those in force, and the repository that the policies lie in has no "
                "commit with them, so the record stands without an explanation."
            )
            return ExplainedThen(None, (remark,))
        return explained_by(recorded, loaded)

    def _policies_of(self, version: object) -> LoadedPolicy | None:
        told = version if isinstance(version, dict) else {}
        digest, commit = told.get("digest"), told.get("commit")
        in_force = self._live.in_force.policy
        if digest == in_force.files_digest:
            return in_force
        if type(digest) is not str or type(commit) is not str or not _COMMIT.fullmatch(commit):
            return None
        with self._turn:
            if digest not in self._kept:
                with suppress(GitError, PolicyError):
                    loaded = self._read(commit)
                    if loaded.files_digest == digest:
                        self._kept[digest] = loaded
                        if len(self._kept) > MOST_EDITIONS:
                            self._kept.popitem(last=False)
            return self._kept.get(digest)

    def _read(self, commit: str) -> LoadedPolicy:
        settings = self._settings
        repository, _, folder = open_history(settings.policies)
        with closing(repository):
            model = Path(settings.model) if settings.model else None
            inside = None if model is None else repository.tree_path_or_none(model)
            folder = folder_at(repository, repository.commit(commit), folder)
            found = read_at(repository, commit, folder, inside or model)
        return load_files(found, accepted_models=settings.accept_model)


def explained_by(recorded: Recorded, loaded: LoadedPolicy) -> ExplainedThen:
    """The explanation of a recorded question by a policy set, with the roles and the time of then. Raises `BadRecord`."""
    policy, request, now = loaded.compiled.policy, recorded.request, read_time(recorded.now)
    if request is None or now is None:
        raise BadRecord("does not say what was asked, or at which time")
    held = recorded.held or ()
    explanation = explain_request(
        policy,
        loaded.compiled,
        lambda _: EffectiveRoles.of(policy.roles, held),
        asked_at(request, now) if policy.uses_now else request,
        now.timestamp(),
    )
    remarks = []
    if recorded.masked:
        remarks.append("The record has masked values; what conditions say of them is not known.")
    if explanation.decision.allowed != recorded.allowed:
        then = "allowed" if recorded.allowed else f"denied{f': {recorded.failure}' if recorded.failure else ''}"
        remarks.append(f"It was {then} then; this explanation is of another decision.")
    return ExplainedThen(explanation, tuple(remarks))
