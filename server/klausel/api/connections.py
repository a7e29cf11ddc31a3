"""Connections to a worker: counted and bounded, and cut where they would hold a place for nothing.

The server under the application closes what idles between two requests. It waits for ever for the rest of a body that has begun,
and for the first byte of a connection; so the sockets of the process are looked at here, which only Linux can tell about.
Elsewhere nothing is cut.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from time import monotonic
from typing import Any

from klausel.api.json_body import BodyError
from klausel.settings import READING_AT_ONCE, SLOW_BODIES_AT_ONCE, WAITING_AT_ONCE

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_WITHOUT_A_BYTE = 60.0
SECONDS_PER_LINE = 60.0
SLOW_SECONDS = 0.25
SECONDS_TO_SEND = 5.0
"""How long an answer may take from a thread to its connection."""
SECONDS_WHEN_CROWDED = 1.0
"""In which a body must be there while others are refused for those that come slowly, if `body_seconds` is more."""
REASONS = ("unfinished", "idle", "too many")

_ESTABLISHED = 1
_LAST_SENT, _LAST_RECEIVED, _PIECES_RECEIVED, _PIECES_SENT = 44, 52, 152, 156
"""Where the struct `tcp_info` of Linux holds how many milliseconds ago data were sent and received, and in how many pieces."""
_INFO_BYTES = 160
_HALF_OF_AN_ADDRESS = len("2001:0db8:0000:0000")
_Idle = tuple[float, int, tuple[int, Any]]
"""For how many seconds a connection idles, its descriptor, and that with the address of its peer."""
_log = logging.getLogger(__name__)


class RequestsInProgress:
    """Knows what each thread that answers does now: waits for a body, or works; `in_line` tells how many wait for the database.

    A body is known to be slow only after `SLOW_SECONDS`, so `READING_AT_ONCE` bounds how many threads a burst of them can take.
    """

    def __init__(self, slow_at_once: int = SLOW_BODIES_AT_ONCE, in_line: Callable[[], int] = lambda: 0) -> None:
        self._slow_at_once = slow_at_once
        self._in_line = in_line
        self._places = threading.BoundedSemaphore(READING_AT_ONCE)
        self._reading: dict[int, float] = {}
        self._working: dict[int, float] = {}
        self._answered: dict[int, tuple[float, float]] = {}
        """When the last slow request of each thread began and ended."""

    def begin(self) -> None:
        """Notes that this thread begins to answer a request."""
        self._working[threading.get_ident()] = monotonic()

    def end(self) -> None:
        """Notes that it is answered, though the answer is still to be sent."""
        thread = threading.get_ident()
        began = self._working.pop(thread, None)
        if began is not None and (ended := monotonic()) - began > SLOW_SECONDS:
            self._answered[thread] = began, ended

    def read(self, read: Callable[[int], bytes], number: int) -> bytes:
        """What `read(number)` gives. Raises `BodyError` (503) where too many bodies come too slowly already."""
        reading = self._reading
        if (len(reading) >= self._room() and self.is_crowded()) or not self._places.acquire(timeout=SLOW_SECONDS):
            raise BodyError(503, "too many bodies arrive too slowly, so no other is read now; send it again")
        thread = threading.get_ident()
        self._working.pop(thread, None)
        reading[thread] = monotonic()
        try:
            return read(number)
        finally:
            del reading[thread]
            self._places.release()
            self._working[thread] = monotonic()

    def _room(self) -> int:
        return min(self._slow_at_once, WAITING_AT_ONCE - self._in_line())

    def is_crowded(self) -> bool:
        """Whether so many bodies come slowly that no other is read."""
        return self.slow_bodies() >= self._room()

    def slow_bodies(self) -> int:
        """How many threads wait for bodies that come slowly."""
        slow_since = monotonic() - SLOW_SECONDS
        return sum(began < slow_since for began in list(self._reading.values()))

    def longest_work(self) -> float:
        """For how many seconds the oldest request, whose body is there, is being answered, or was until just now."""
        now = monotonic()
        sent = [began for began, ended in list(self._answered.values()) if now - ended < SECONDS_TO_SEND]
        return now - min([*list(self._working.values()), *sent], default=now)


class BodyInput:
    """The `wsgi.input` of a request, read as `RequestsInProgress.read` says."""

    def __init__(self, requests: RequestsInProgress, body: object) -> None:
        self._requests = requests
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """As a file has it."""
        return self._requests.read(self._body.read, size)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(65536):
            yield block


@dataclass
class _Seen:
    """What is known of one connection since the last look."""

    sent_at: float
    pending_since: float | None


class ConnectionWatch:
    """Looks at the connections to one port of this process, in a thread of its own.

    A request that is not there as a whole `body_seconds` after it began is cut, sooner while slow ones keep others out. With
    more than `most` connections, idle ones are closed so that new ones are answered: of the address that has most of them first.
    """

    def __init__(self, port: int, most: int, body_seconds: float, requests: RequestsInProgress) -> None:
        self.most = most
        self.open = 0
        self.closed = dict.fromkeys(REASONS, 0)
        self._port = port
        self._body_seconds = body_seconds
        self._requests = requests
        self._seen: dict[tuple[int, Any], _Seen] = {}
        self._told_at = float("-inf")
        self._looked_at = monotonic()

    def start(self) -> None:
        """Begins to look, on Linux; a daemon thread, which ends with the process."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, name="connections", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(SECONDS_BETWEEN_LOOKS):
            try:
                self.look()
            except Exception:
                _log.exception("connections could not be looked at")

    def look(self) -> None:
        """Looks at every connection once."""
        now, seen = monotonic(), {}
        idle: list[_Idle] = []
        # While the whole process stood still, no caller was slow.
        stood = max(0.0, now - self._looked_at - SECONDS_BETWEEN_LOOKS)
        self._looked_at = now
        # Whoever works for a caller has its request; from outside it looks like one that is half there.
        patience = self._body_seconds
        if self._requests.is_crowded():
            patience = min(patience, SECONDS_WHEN_CROWDED)
        patience += self._requests.longest_work()
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError), _copy_of(descriptor) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
                    continue
                if connection.getsockname()[1] != self._port:
                    continue
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
                if info[0] != _ESTABLISHED:
                    continue
                key = (descriptor, connection.getpeername())
                sent, received = (_number(info, place) / 1000 for place in (_LAST_SENT, _LAST_RECEIVED))
                # The clock is too coarse to tell a first request from the connection that brings it.
                is_first = bool(_number(info, _PIECES_RECEIVED)) and not _number(info, _PIECES_SENT)
                known = seen[key] = self._state(key, now, stood, sent, received, received < sent or is_first)
                if known.pending_since is None:
                    idle.append((min(sent, received), descriptor, key))
                    if min(sent, received) > SECONDS_WITHOUT_A_BYTE:
                        self._cut(connection, "idle")
                elif now - known.pending_since > patience:
                    self._cut(connection, "unfinished")
        self._seen, self.open = seen, len(seen)
        if self.open > self.most:
            self._make_room(idle)

    def _state(
        self, key: tuple[int, Any], now: float, stood: float, sent: float, received: float, is_pending: bool
    ) -> _Seen:
        known = self._seen.get(key)
        if not is_pending:
            return _Seen(now - sent, None)
        if known is None or known.pending_since is None or now - sent > known.sent_at + SECONDS_BETWEEN_LOOKS / 10:
            return _Seen(now - sent, min(now, now - received + stood))
        return _Seen(known.sent_at, min(now, known.pending_since + stood))

    def _make_room(self, idle: list[_Idle]) -> None:
        surplus = self.open - self.most
        now = monotonic()
        if now - self._told_at > SECONDS_PER_LINE:
            self._told_at = now
            _log.warning(
                "%d connections are open, more than the %d of --max-connections; idle ones are closed, most of one address",
                self.open,
                self.most,
            )
        for descriptor, key in _first_to_close(idle)[:surplus]:
            with suppress(OSError), _copy_of(descriptor) as connection:
                if (descriptor, connection.getpeername()) == key:
                    self._cut(connection, "too many")

    def _cut(self, connection: socket.socket, reason: str) -> None:
        self.closed[reason] += 1
        connection.shutdown(socket.SHUT_RDWR)


def _first_to_close(idle: list[_Idle]) -> list[tuple[int, tuple[int, Any]]]:
    """Connections in the order in which they make room: of the address that has most first, there the one that idles longest."""
    of_address: dict[str, int] = {}
    ranked = []
    for seconds, descriptor, key in sorted(idle):
        address = _host_of(key[1][0])
        of_address[address] = rank = of_address.get(address, 0) + 1
        ranked.append((rank, seconds, descriptor, key))
    return [(descriptor, key) for *_, descriptor, key in sorted(ranked, reverse=True)]


def _host_of(address: str) -> str:
    """What addresses of one host share: of version 6 the first half, for a host may have all that begin with it."""
    found = ip_address(address)
    if isinstance(found, IPv4Address) or found.ipv4_mapped:
        return address
    return found.exploded[:_HALF_OF_AN_ADDRESS]


@contextmanager
def _copy_of(descriptor: int) -> Iterator[socket.socket]:
    """A copy of a socket of this process, which stays the one that was looked at. Raises OSError for what is no socket."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        raise OSError(errno.ENOTSOCK, "this is no socket")
    copy = os.dup(descriptor)
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with connection:
        yield connection


def _number(info: bytes, place: int) -> int:
    """A number of `tcp_info`; 0 where the system's is shorter."""
    number: int = struct.unpack_from("I", info, place)[0] if len(info) >= place + 4 else 0
    return number
