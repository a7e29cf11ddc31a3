"""Asking the servers of issuers and providers: no redirect is followed, and an answer is bounded in size and time as a whole."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from klausel.core.terms.escaping import without_credentials

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 262_144
SECONDS_PER_STEP = 5.0
MOST_SECONDS = 10.0


class NotAnswered(Exception):
    """A server gave no whole answer; the text says why in one sentence."""


def ask(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, content: str | None = None
) -> httpx.Response:
    """The whole answer of a server, whatever its status; raises `NotAnswered`."""
    import httpx

    shown = without_credentials(url)
    # A small packed body may be a large one.
    sent = {"Accept": "application/json", **(headers or {}), "Accept-Encoding": "identity"}
    found = b""
    try:
        with (
            _Deadline() as deadline,
            # Without TLS it is on this machine: a proxy that the environment names would read it, and answer in its place.
            httpx.Client(timeout=SECONDS_PER_STEP, follow_redirects=False, trust_env=url.startswith("https:")) as client,
            client.stream(method, url, headers=sent, content=content, extensions={"trace": deadline.see}) as answer,
        ):
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise NotAnswered(f"{shown} answered with a packed body, which was not asked for")
            for part in answer.iter_raw():
                found += part
                if len(found) > MOST_BYTES:
                    raise NotAnswered(f"{shown} sent more than {MOST_BYTES} bytes")
            deadline.check()
            return httpx.Response(answer.status_code, headers=answer.headers, content=found, request=answer.request)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotAnswered(f"{shown} cannot be read: {str(error) or type(error).__name__}") from None
    except TimeoutError:
        raise NotAnswered(f"{shown} took more than {MOST_SECONDS:g} s") from None


class _Deadline:
    """Cuts the connections of one request when its time is over: what comes drop by drop is in time at each single step."""

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + MOST_SECONDS
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(MOST_SECONDS, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        if error[0] is not None and not isinstance(error[1], NotAnswered):
            self.check()

    def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Learns of each step of the connection, as httpx tells it."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if time.monotonic() > self._ends_at:
                self._cut()

    def check(self) -> None:
        """Raises TimeoutError when the time is over."""
        if time.monotonic() > self._ends_at:
            raise TimeoutError

    def _cut(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                # That of TLS would read on without it.
                socket.socket.shutdown(one, socket.SHUT_RDWR)
