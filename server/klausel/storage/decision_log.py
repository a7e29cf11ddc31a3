"""The decision log: records go to their sink off the hot path, or, when it is strict, before anything is answered."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from random import random
from secrets import token_hex
from typing import Protocol

import orjson

from klausel.core.decision import Decision
from klausel.core.decision_record import Asked, Call, describe_grant, record_of, time_text
from klausel.core.masking import Masks
from klausel.core.policy import Grant

MOST_WAITING_BYTES = 64 * 1024 * 1024
SECONDS_TO_GATHER = 0.01
SECONDS_BETWEEN_TRIES = 0.5
SECONDS_BETWEEN_LOOKS = 0.1
LINES_PER_WRITE = 1000
MOST_GRANTS_KEPT = 10_000

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
    ) -> None:
        self.sample_rate = sample_rate
        self.is_strict = strict
        self._sink = sink
        self._masks = Masks(masks)
        self._most_waiting = most_waiting
        self._grants: dict[int, tuple[Grant, orjson.Fragment]] = {}
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Call, int]] = deque()
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._written = 0
        self._dropped = 0
        self._untold = 0
        self._is_failing = False
        self._process = token_hex(4)
        self._numbers = count(1)
        self._is_closing = threading.Event()
        self._something_came = threading.Event()
        self._writer: threading.Thread | None = None
        if not strict:
            # No daemon: the interpreter waits at its end until everything is written.
            self._writer = threading.Thread(target=self._write_all, name="decision-log", daemon=False)
            self._writer.start()

    def keeps(self, decision: Decision) -> bool:
        """Whether a decision is recorded: every deny, and the share of the allows that is asked for."""
        return not decision.allowed or self.sample_rate >= 1 or random() < self.sample_rate

    def record(self, call: Call, body_bytes: int) -> None:
        """Records the decisions of a call; `body_bytes` is how large the request was. Raises NotRecorded when strict."""
        number = len(call.asked)
        if number == 0:
            return
        if self.is_strict:
            self._record_strictly(call)
            return
        with self._lock:
            if (
                self._waiting_records + number > self._most_waiting or self._waiting_bytes + body_bytes > MOST_WAITING_BYTES
            ) and self._waiting:
                self._dropped += number
                self._untold += number
                return
            self._waiting.append((call, body_bytes))
            self._waiting_records += number
            self._waiting_bytes += body_bytes
        if not self._something_came.is_set():
            self._something_came.set()

    def new_request_id(self) -> str:
        """A name for a request that came without one, so that the records of a batch can be found together."""
        return f"{self._process}-{next(self._numbers)}"

    def counts(self) -> Counts:
        """How many records went where."""
        with self._lock:
            return Counts(self._written, self._dropped, self._waiting_records)

    def close(self) -> None:
        """Writes what waits, as far as the sink takes it, and ends."""
        self._is_closing.set()
        self._something_came.set()
        if self._writer is not None:
            self._writer.join()
        self._sink.close()

    def _record_strictly(self, call: Call) -> None:
        try:
            lines = [self._line(call, index, asked) for index, asked in call.asked]
            with self._lock:
                self._sink.write(lines)
                self._written += len(lines)
                self._is_failing = False
        except Exception as error:
            with self._lock:
                is_news, self._is_failing = not self._is_failing, True
                self._dropped += len(call.asked)
            if is_news:
                _log.error("nothing is answered, because the decision log cannot be written: %s", error)
            raise NotRecorded from error

    # --- The thread of the writer ---------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            taken = self._take()
            if taken:
                self._write_calls(taken)
            elif self._is_ending():
                break
            else:
                self._something_came.wait(SECONDS_BETWEEN_LOOKS)
                self._something_came.clear()
            # Some more come meanwhile, and are written together.
            self._is_closing.wait(SECONDS_TO_GATHER)
        if self._untold:
            self._write([])

    def _is_ending(self) -> bool:
        return self._is_closing.is_set() or not threading.main_thread().is_alive()

    def _take(self) -> list[Call]:
        """Up to `LINES_PER_WRITE` waiting records, and the rest of the last call; they no longer count as waiting."""
        taken: list[Call] = []
        with self._lock:
            records = 0
            while self._waiting and records < LINES_PER_WRITE:
                call, body_bytes = self._waiting.popleft()
                taken.append(call)
                records += len(call.asked)
                self._waiting_bytes -= body_bytes
            self._waiting_records -= records
        return taken

    def _write_calls(self, calls: Iterable[Call]) -> None:
        lines = []
        for call in calls:
            for index, asked in call.asked:
                try:
                    lines.append(self._line(call, index, asked))
                except Exception:
                    _log.exception("a decision could not be put into words for the decision log")
                    self._count_lost(1)
        self._write(lines)

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
                del lines[:taken]
                with self._lock:
                    self._written += taken
                if not self._is_failing:
                    _log.error("the decision log cannot be written, its records wait: %s", error)
                self._is_failing = True
                if self._is_ending():
                    self._count_lost(len(lines))
                    _log.error("%d records of the decision log were lost: %s", self._untold, error)
                    return
                self._is_closing.wait(SECONDS_BETWEEN_TRIES)
                continue
            if self._is_failing:
                _log.error("the decision log can be written again; %d records were dropped meanwhile", untold)
            self._is_failing = False
            with self._lock:
                self._written += len(lines)
                self._untold -= untold
            return

    def _count_lost(self, number: int) -> None:
        with self._lock:
            self._dropped += number
            self._untold += number

    def _line_of_dropped(self, number: int) -> bytes:
        return orjson.dumps({"time": time_text(time.time_ns()), "dropped": number}) + b"\n"

    def _line(self, call: Call, index: int, asked: Asked) -> bytes:
        grant = asked.decision.grant
        record = record_of(call, index, asked, None if grant is None else self._fragment(grant), self._masks)
        try:
            return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            # A number beyond 64 bits, or more nesting than orjson writes.
            record["grant"] = None if grant is None else describe_grant(grant)
            return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    def _fragment(self, grant: Grant) -> orjson.Fragment:
        known = self._grants.get(id(grant))
        if known is None:
            if len(self._grants) >= MOST_GRANTS_KEPT:
                self._grants.clear()
            # The grant is kept with it, so that no other can take over its identity.
            known = self._grants[id(grant)] = (grant, orjson.Fragment(orjson.dumps(describe_grant(grant))))
        return known[1]
