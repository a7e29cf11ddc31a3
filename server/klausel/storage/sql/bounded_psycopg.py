"""Connections to PostgreSQL that stop waiting when the time of their thread is over, wherever the answer is lost.

The limits that the server keeps are of no use where the server is frozen, or where what lies between passes nothing on.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import psycopg

from klausel.storage.sql.access import Limits, deadline


class _TimeIsOver(Exception):
    """Nothing came before the deadline."""


# What newer versions of psycopg bound themselves costs less than looking at each step.
_WAITS_FOR_SO_LONG = "timeout" in inspect.signature(psycopg.Connection.wait).parameters
_WAIT_TIMEOUT: type[Exception] = getattr(psycopg.errors, "_WaitTimeout", _TimeIsOver)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that keeps to the deadline of its thread; one that missed it is closed."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """As psycopg does, up to the deadline."""
        at = deadline()
        if at is None:
            return super().wait(gen, *arguments, **options)
        try:
            if _WAITS_FOR_SO_LONG:
                return super().wait(gen, *arguments, **{"timeout": max(at - monotonic(), 0.0), **options})
            return super().wait(_until(at, gen), *arguments, **options)
        except (_TimeIsOver, _WAIT_TIMEOUT):
            # What comes now would be the answer to another question.
            self.close()
            raise psycopg.OperationalError("it did not answer in time") from None

    def in_one_round_trip(self) -> AbstractContextManager[Any]:
        """Within it several questions are sent at once; with an older library of PostgreSQL one after the other."""
        return self.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()


def _until(at: float, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if monotonic() >= at:
                raise _TimeIsOver
            wanted = steps.send(ready)
    except StopIteration as end:
        return end.value


def connect(arguments: tuple[Any, ...], parameters: dict[str, Any], limits: Limits) -> BoundedConnection:
    """A connection, made within `connect_seconds` and before the deadline of this thread. Raises `psycopg.OperationalError`.

    It is made by a thread of its own, because nothing bounds how long the system looks for the address of a host.
    """
    seconds, at = limits.connect_seconds, deadline()
    if at is not None:
        seconds = min(seconds, at - monotonic())
        if seconds <= 0:
            raise psycopg.OperationalError("it did not answer in time")
    parameters = _with_defaults(parameters, limits)
    made: SimpleQueue[BoundedConnection | BaseException] = SimpleQueue()
    still_wanted = threading.Lock()

    def make() -> None:
        try:
            found: BoundedConnection | BaseException = BoundedConnection.connect(*arguments, **parameters)
        except BaseException as error:
            found = error
        if still_wanted.acquire(blocking=False):
            made.put(found)
        elif isinstance(found, BoundedConnection):
            found.close()

    threading.Thread(target=make, name="database-connect", daemon=True).start()
    try:
        found = made.get(timeout=seconds)
    except Empty:
        if still_wanted.acquire(blocking=False):
            raise psycopg.OperationalError("no connection in time") from None
        found = made.get()
    if isinstance(found, BaseException):
        raise found
    return found


def _with_defaults(parameters: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The parameters, with limits where the URL of the database sets none: a peer that is gone is noticed, too."""
    defaults: dict[str, Any] = {
        "connect_timeout": math.ceil(limits.connect_seconds),
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    if limits.read_seconds is not None:
        # A standby may be late for as long as it likes, so no service decides by what it reads there.
        defaults["target_session_attrs"] = "read-write"
    threshold = parameters.get("prepare_threshold")
    if isinstance(threshold, str):
        # From the URL; poolers that give each transaction another connection lose what was prepared on one.
        parameters = {**parameters, "prepare_threshold": int(threshold) if threshold.isdecimal() else None}
    options = str(parameters.get("options") or "")
    if limits.write_seconds is not None:
        # What nobody waits for any more shall end on the server, too. What the URL says comes later and so wins.
        milliseconds = math.ceil(limits.write_seconds * 1000)
        options = f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds} {options}"
    return {**defaults, **parameters, **({"options": options.strip()} if options else {})}
