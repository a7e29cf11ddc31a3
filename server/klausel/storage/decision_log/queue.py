"""The decision log: records wait in a queue for their sink, or, when it is strict, are there before anything is answered."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, starmap
from random import random
from secrets import token_hex
from time import time_ns
from typing import Protocol

import orjson

from klausel.core.decisions.decide import Decision
from klausel.core.policy.policy_set import Grant
from klausel.core.records.batch_record import Noted, batch_of
from klausel.core.records.decision_record import Record, describe_grant, record_of, second_text
from klausel.core.records.shared_line import SharedLine, count_decisions
from klausel.core.records.shared_values import LARGE_BYTES, SharedValues
from klausel.core.records.single_record import Single, rows_of, table_of
from klausel.core.terms.masking import Masks
from klausel.core.terms.moment import moment_text
from klausel.storage.sql.steps import in_steps

MOST_WAITING_BYTES = 64 * 1024 * 1024
SHARE_OF_A_CALLER = 20
"""A caller has a 20th of the queue for itself where others have filled it."""

SECONDS_BETWEEN_TRIES = 0.5
SECONDS_BETWEEN_LOOKS = 0.1
LINES_PER_WRITE = 1000
MOST_KEPT = 10_000
MOST_HEADS_KEPT = 500
"""Each change of role assignments makes new ones, and none is of use for long."""

FEWEST_IN_A_TABLE = 8
"""Fewer decisions that were asked one at a time have a line each, which people and their tools read with more ease."""
SINGLES_AT_ONCE = 64
"""So many decisions that were asked one at a time are put into JSON together, at most."""

MOST_BYTES_OF_A_ROW = 8 * 1024
MOST_BYTES_OF_A_TRY = 64 * 1024
BYTES_BETWEEN_SEALS = 64
"""By less do the numbers and sums differ in length that are written behind two lines."""

_NEWLINE = orjson.OPT_APPEND_NEWLINE
_log = logging.getLogger(__name__)


class SinkError(Exception):
    """The sink cannot take records now; the message is a sentence. `taken` lines were written before it failed."""

    def __init__(self, message: str, taken: int = 0) -> None:
        super().__init__(message)
        self.taken = taken


class NotRecorded(Exception):
    """The log is strict and a record could not be written, so nothing may be answered."""


class Sink(Protocol):
    """Where records end up."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Writes lines, each with its newline, whole and in this order. Raises SinkError."""

    def close(self) -> None:
        """Lets go of what it holds."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of this process since its start: handed to the sink, lost, and waiting now."""

    written: int
    dropped: int
    waiting: int


class DecisionLog:
    """Takes the decisions of every thread. What the sink does not take in time is dropped, counted and told in the log itself.

    A strict log has no queue: `record` returns when the sink has the records, and raises `NotRecorded` otherwise.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        strict: bool = False,
        sample_rate: float = 1.0,
        masks: Iterable[str] = (),
        most_waiting: int = 20_000,
        makes_tables: bool = False,
    ) -> None:
        """With `makes_tables` a line may hold decisions of many requests, which takes less time; never of a strict log."""
        self.sample_rate = sample_rate
        self.keeps: Callable[[Decision], bool] | None = None if sample_rate >= 1 else self._is_in_sample
        """Whether a decision is recorded; None where each is."""
        self.is_strict = strict
        self._sink = sink
        self._masks = Masks(masks)
        self._finishes = bool(self._masks) or sample_rate < 1
        self._makes_tables = makes_tables and not strict and not self._finishes
        self._most_waiting = most_waiting
        self._grants: dict[int, tuple[Grant, orjson.Fragment]] = {}
        self._lock = threading.Lock()
        self._outcomes: tuple[_Outcomes, _Outcomes] = ({}, {})
        """What a table shares among denies and allows, by the grant that decided."""
        self._unwritten: deque[Single] = deque()
        self._singles_at_once = max(min(SINGLES_AT_ONCE, most_waiting // SHARE_OF_A_CALLER), 1)
        self._waiting: list[bytes] = []
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._callers: dict[str, tuple[int, int]] = {}
        """Records and bytes of each caller in `_waiting`."""
        self._written = 0
        self._dropped = 0
        self._untold = 0
        self._told_strictly = 0
        self._is_failing = False
        self._failures = 0
        """How often a strict log could not be written."""
        self._missing_bytes = 0
        """The length of the record that found no room last."""
        self._process = token_hex(4)
        self._numbers = count(1)
        self._second = (0, "")
        self._common: dict[tuple[str, str, bytes, str | None], bytes] = {}
        """What the records of many requests have in common, as it is written."""
        self._is_closing = threading.Event()
        self._writer: threading.Thread | None = None
        if not strict:
            # No daemon: the interpreter waits at its end until everything is written.
            self._writer = threading.Thread(target=self._write_all, name="decision-log", daemon=False)
            self._writer.start()

    def _is_in_sample(self, decision: Decision) -> bool:
        """Whether it is a deny, or of the share of the allows that is asked for."""
        return not decision.allowed or random() < self.sample_rate

    def new_id(self) -> str:
        """A name for the records of one HTTP request that no other has."""
        return f"{self._process}-{next(self._numbers)}"

    def head(
        self,
        nanoseconds: int,
        request_id: str | None,
        route: str,
        caller: str,
        policy: bytes,
        revision: str | None,
        more: Record | None = None,
    ) -> bytes:
        """What all records of the HTTP request that came at a time start with, up to a comma."""
        id_ = orjson.dumps(request_id or self.new_id())
        parts = (self._time(nanoseconds).encode(), id_, self._common_of(route, caller, policy, revision))
        head = b'{"time":"%b","request_id":%b,%b,' % parts
        return head + _dumps(more)[1:-1] + b"," if more else head

    def _time(self, nanoseconds: int) -> str:
        """`moment_text`, with the second made once."""
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        second = self._second
        if second[0] != seconds:
            second = self._second = (seconds, second_text(seconds))
        return f"{second[1]}.{rest // 1000:06d}Z"

    def _common_of(self, route: str, caller: str, policy: bytes, revision: str | None) -> bytes:
        key = (route, caller, policy, revision)
        common = self._common.get(key)
        if common is None:
            if len(self._common) >= MOST_HEADS_KEPT:
                self._common.clear()
            named = {"route": route, "caller": caller, "policy": orjson.Fragment(policy), "assignments_revision": revision}
            common = self._common[key] = _dumps(named)[1:-1]
        return common

    def line(self, head: bytes, noted: Noted) -> bytes:
        """The record of one decision; see `klausel.core.records.decision_record.record_of`."""
        record = record_of(*noted, self._fragment)
        if self._finishes:
            self._finish(record, noted[2])
        try:
            return head + orjson.dumps(record, option=_NEWLINE)[1:]
        except TypeError:
            return head + _dump_all(record)[1:] + b"\n"

    def lines_of_batch(self, head: bytes, noted: Sequence[Noted]) -> list[bytes]:
        """The records of some items of a batch, on as few lines as they need."""
        if not self._finishes:
            batch = batch_of(noted, self._fragment)
            try:
                data = orjson.dumps(batch, option=_NEWLINE)
            except TypeError:
                batch = None
            if batch is not None and len(data) < LARGE_BYTES * len(noted):
                return [SharedLine.of(head + data[1:], len(noted))]
        # Each by itself, which takes longer: masked, or with members that are rare, or with large values, which equal others.
        shared = SharedValues(head)
        lines = []
        for one in noted:
            record = record_of(*one, self._fragment)
            self._finish(record, one[2])
            full = shared.take(record, _dumps)
            if full is not None:
                lines.append(full)
        return [*lines, shared.end()]

    def _finish(self, record: Record, decision: Decision) -> None:
        if self.sample_rate < 1 and decision.allowed:
            record["sample_rate"] = self.sample_rate
        if self._masks:
            self._masks.apply(record)

    def record_single(self, single: Single) -> None:
        """Records the only decision of an HTTP request; see `record`.

        Some wait as they are, and are put into JSON together: code that runs again and again takes far less time for each.
        """
        if self.is_strict:
            self.record([self._line_of(single)], single[4])
            return
        unwritten = self._unwritten
        unwritten.append(single)
        if len(unwritten) >= self._singles_at_once:
            self._write_down()

    def _write_down(self) -> None:
        """Puts into the queue, as JSON, what waited for company."""
        take = self._unwritten.popleft
        together: dict[tuple[str, str, bytes, str | None], list[Single]] = {}
        try:
            while True:
                single = take()
                of_all = single[3:7]
                some = together.get(of_all)
                if some is None:
                    some = together[of_all] = []
                some.append(single)
        except IndexError:
            pass  # all are taken, some perhaps by another thread
        for of_all, some in together.items():
            try:
                is_table = self._makes_tables and len(some) >= FEWEST_IN_A_TABLE
                lines = self._tables_of(of_all, some) if is_table else [self._line_of(single) for single in some]
                self._put(lines, len(some), of_all[1])
            except Exception:
                # Most are of other requests than the one that came here, and no request is to fail for another.
                _log.exception("%d decisions could not be recorded", len(some))
                with self._lock:
                    self._dropped += len(some)
                    self._untold += len(some)

    def _line_of(self, single: Single) -> bytes:
        noted, nanoseconds, request_id, route, caller, policy, revision, more = single
        return self.line(self.head(nanoseconds, request_id, route, caller, policy, revision, more), noted)

    def _tables_of(self, of_all: tuple[str, str, bytes, str | None], singles: Sequence[Single]) -> list[bytes]:
        """The lines of decisions that have so much in common: a table, and those beside it that fit into none."""
        made, outcomes = rows_of(singles, self._process, self._numbers)
        dumps, rows, lines = orjson.dumps, list[bytes](), list[bytes]()
        for place, row in enumerate(made):
            try:
                data = b"" if row is None else dumps(row)
            except TypeError:
                data = b""
            if 0 < len(data) <= MOST_BYTES_OF_A_ROW:
                rows.append(data)
            else:
                lines.append(self._line_of(singles[place]))
        if rows:
            lines.append(
                table_of(moment_text(time_ns() // 1000), self._common_of(*of_all), starmap(self._outcome, outcomes), rows)
            )
        return lines

    def _outcome(self, allowed: bool, grant: Grant | None) -> bytes:
        """What all decisions of one grant have in common."""
        outcomes = self._outcomes[allowed]
        known = outcomes.get(id(grant))
        if known is None:
            if len(outcomes) >= MOST_KEPT:
                outcomes.clear()
            told = {"decision": allowed, "grant": None if grant is None else self._fragment(grant)}
            # The grant is kept with it, as in `_fragment`.
            known = outcomes[id(grant)] = (grant, orjson.dumps(told))
        return known[1]

    def forget_grants(self) -> None:
        """Lets go of the grants that were described; to be called when others come into force."""
        for kept in (self._grants, *self._outcomes):
            kept.clear()

    def record(self, lines: list[bytes], caller: str = "") -> None:
        """Records the decisions of one HTTP request. Raises NotRecorded when strict, and nothing otherwise.

        Of a caller whose records fill the queue only its own are dropped: the others have a share of their own in reserve.
        """
        if not lines:
            return
        if self.is_strict:
            self._write_strictly(lines)
        else:
            self._put(lines, count_decisions(lines), caller)

    def _put(self, lines: list[bytes], number: int, caller: str) -> None:
        size = sum(map(len, lines))
        with self._lock:
            records, bytes_ = self._waiting_records + number, self._waiting_bytes + size
            own_records, own_bytes = self._callers.get(caller, (0, 0))
            own = (own_records + number, own_bytes + size)
            is_roomy = records <= self._most_waiting and bytes_ <= MOST_WAITING_BYTES
            if not is_roomy and not self._has_room(records, bytes_, *own):
                self._dropped += number
                self._untold += number
                return
            self._waiting += lines
            self._waiting_records, self._waiting_bytes = records, bytes_
            self._callers[caller] = own

    def _has_room(self, records: int, bytes_: int, own_records: int, own_bytes: int) -> bool:
        """Whether the queue may hold so many records and bytes, so many of them of the caller that brings some."""
        most, most_bytes = self._most_waiting, MOST_WAITING_BYTES
        # What one request brings may be more records than may wait, where none do; never more bytes.
        if bytes_ <= most_bytes and (not self._waiting_records or records <= most):
            return True
        is_within_share = own_records * SHARE_OF_A_CALLER <= most and own_bytes * SHARE_OF_A_CALLER <= most_bytes
        # As many callers as there are shares have theirs; names of callers are no way around the bound.
        return is_within_share and records <= 2 * most and bytes_ <= 2 * most_bytes

    def counts(self) -> Counts:
        """How many records went where."""
        with self._lock:
            return Counts(self._written, self._dropped, self._waiting_records + len(self._unwritten))

    def is_ready(self) -> bool:
        """Whether decisions can be answered as far as this log goes: False while it is strict and cannot be written.

        A log that failed is tried again here: who is told that nothing is answered asks nothing, which would never change it.
        """
        if not self.is_strict or not self._is_failing:
            return True
        with self._lock:
            told = self._line_of_dropped(self._dropped - self._told_strictly)
            try:
                # As long as what found no room: a short line may still find some, when no decision can be recorded.
                self._sink.write([told[:-2].ljust(self._missing_bytes) + b"}\n"])
            except Exception:
                return False
            self._told_strictly = self._dropped
            self._is_failing = False
        _log.error("the decision log can be written again, and decisions are answered")
        return True

    def close(self) -> None:
        """Writes what waits, as far as the sink takes it, and ends."""
        self._is_closing.set()
        if self._writer is not None:
            self._writer.join()
        self._sink.close()

    def _write_strictly(self, lines: list[bytes]) -> None:
        failures = self._failures
        with self._lock:
            if self._failures != failures:
                # Where one waited in vain for a silent sink, those behind it do not each wait as long in turn.
                self._dropped += count_decisions(lines)
                raise NotRecorded
            try:
                self._sink.write(lines)
            except Exception as error:
                self._failures += 1
                is_news, self._is_failing = not self._is_failing, True
                self._dropped += count_decisions(lines)
                self._missing_bytes = min(max(map(len, lines)), MOST_BYTES_OF_A_TRY) + BYTES_BETWEEN_SEALS
                if is_news:
                    _log.error("nothing is answered, because the decision log cannot be written: %s", error)
                raise NotRecorded from error
            self._written += count_decisions(lines)
            if self._is_failing:
                _log.error("the decision log can be written again, and decisions are answered")
            self._is_failing = False

    # --- The thread of the writer ---------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            taken = self._take()
            if taken:
                for some in in_steps(taken, LINES_PER_WRITE):
                    self._write(some)
            elif self._is_ending():
                break
            # Some more come meanwhile, and are written together. Nobody wakes this thread: that would cost each answer more.
            self._is_closing.wait(SECONDS_BETWEEN_LOOKS)
        if self._untold:
            self._write([])

    def _is_ending(self) -> bool:
        return self._is_closing.is_set() or not threading.main_thread().is_alive()

    def _take(self) -> list[bytes]:
        """All that waits; it counts as waiting until it is written or lost."""
        self._write_down()
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._callers = {}
        return taken

    def _write(self, lines: list[bytes]) -> None:
        """Writes lines, with a record of what was dropped before; tries again until the sink takes them or all ends."""
        while True:
            with self._lock:
                untold = self._untold
            told = [self._line_of_dropped(untold)] if untold else []
            try:
                self._sink.write([*told, *lines])
            except Exception as error:
                taken = max(getattr(error, "taken", 0) - len(told), 0)
                self._settle(lines[:taken])
                del lines[:taken]
                if not self._is_failing:
                    _log.error("the decision log cannot be written, its records wait: %s", error)
                self._is_failing = True
                if self._is_ending():
                    self._settle(lines, are_lost=True)
                    if lines:
                        _log.error("%d records of the decision log were lost: %s", count_decisions(lines), error)
                    return
                self._is_closing.wait(SECONDS_BETWEEN_TRIES)
                continue
            if self._is_failing:
                _log.error("the decision log can be written again; %d records were dropped meanwhile", untold)
            self._is_failing = False
            self._settle(lines)
            with self._lock:
                self._untold -= untold
            return

    def _settle(self, lines: list[bytes], are_lost: bool = False) -> None:
        """Counts lines that wait no longer."""
        number, size = count_decisions(lines), sum(map(len, lines))
        with self._lock:
            self._waiting_records -= number
            self._waiting_bytes -= size
            if are_lost:
                self._dropped += number
                self._untold += number
            else:
                self._written += number

    def _line_of_dropped(self, number: int) -> bytes:
        return orjson.dumps({"time": moment_text(time.time_ns() // 1000), "dropped": number}) + b"\n"

    def _fragment(self, grant: Grant) -> orjson.Fragment:
        known = self._grants.get(id(grant))
        if known is None:
            if len(self._grants) >= MOST_KEPT:
                self._grants.clear()
            # The grant is kept with it, so that no other can take over its identity.
            known = self._grants[id(grant)] = (grant, orjson.Fragment(orjson.dumps(describe_grant(grant))))
        return known[1]


_Outcomes = dict[int, tuple[Grant | None, bytes]]


def _dumps(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return _dump_all(value)


def _dump_all(value: object) -> bytes:
    """JSON also of numbers beyond 64 bits, and of more nesting than orjson writes."""
    return json.dumps(value, separators=(",", ":"), default=lambda fragment: json.loads(fragment.contents)).encode()
