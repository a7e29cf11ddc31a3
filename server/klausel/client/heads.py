"""The head of an answer comes whole in time: what comes drop by drop is in time at each single read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import httpx

_CONNECTED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")
_ENDS: ContextVar[float] = ContextVar("klausel_head_ends", default=math.inf)


def bound(seconds: float, *, awaited: bool) -> Callable[[str, Mapping[str, Any]], Any]:
    """What httpx tells the steps of a request to (`trace`), so that waiting for the head ends after `seconds`."""

    def see(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_CONNECTED):
            # Requests that take the connection again hear of no stream, so it is bounded once and for all.
            stream = info["return_value"]
            stream.read = _in_time(stream.read)
        elif ".receive_response_headers." in event:
            _ENDS.set(time.monotonic() + seconds if event.endswith(".started") else math.inf)

    async def see_awaited(event: str, info: Mapping[str, Any]) -> None:
        see(event, info)

    return see_awaited if awaited else see


def _in_time(read: Callable[..., Any]) -> Callable[..., Any]:
    """The read of a stream, or what is awaited for it, within the time that is left."""

    def in_time(most_bytes: int, timeout: float | None = None) -> Any:
        left = _ENDS.get() - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the head of the answer was not whole in time")
        if left < math.inf:
            timeout = left if timeout is None else min(timeout, left)
        return read(most_bytes, timeout=timeout)

    return in_time
