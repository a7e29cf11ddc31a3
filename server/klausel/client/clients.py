"""The clients: one that waits, one to await. Both keep connections, bound every wait, and deny where no answer comes."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, closing
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import httpx

from klausel.client import calls, entities, heads, methods
from klausel.client.answers import CallFailed, Decision
from klausel.client.calls import Answer, Call, Item, Pages

SECONDS = 2.0
MOST_REMEMBERED = 10_000
Arguments = ParamSpec("Arguments")
Finished = TypeVar("Finished")

AT_LEAST = "X-Klausel-At-Least"


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that HTTPS is believed by; read once for all clients, as reading them takes tens of milliseconds."""
    return httpx.create_ssl_context()


_ON_THIS_MACHINE = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))
"""What is asked past the proxies that the environment names: they would read the key, and could answer as they like."""


class _Memory:
    """Decisions that were asked for within the last seconds, and since the client last changed role assignments."""

    depends_on = ("what this client changed", "the moment")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.changes = 0
        self._found: dict[bytes, tuple[float, Decision]] = {}

    def get(self, content: bytes) -> Decision | None:
        known = self._found.get(content)
        return known[1] if known is not None and time.monotonic() < known[0] else None

    def keep(self, content: bytes, decision: Decision, asked_at: float, changes: int) -> None:
        """Keeps a decision, unless roles were changed while it was on its way."""
        if decision.failed or changes != self.changes:
            return
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[content] = (asked_at + self.seconds, decision)

    def forget(self) -> None:
        self.changes += 1
        self._found.clear()


class _Base:
    """What both clients share: where calls go, and how they end."""

    def __init__(self, url: str, *, seconds: float, retries: int, denies: bool, remembers: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f'"{url}" is no address of a service; write https://host, or http://127.0.0.1:8080')
        self._base = url.rstrip("/")
        self._seconds = seconds
        self._retries = retries
        self.denies = denies
        self._memory = _Memory(remembers) if remembers > 0 else None
        self._endpoints = {name: self._base + path for name, path in calls.PATHS.items()}
        self._at_least: str | None = None

    @property
    def at_least(self) -> str | None:
        """A revision that every answer must have seen, as a change returned it; None asks for none.

        Where the service cannot answer so, that is no answer: decisions are denies, other calls raise `CallFailed`. To set it
        forgets the decisions that are remembered.
        """
        return self._at_least

    @at_least.setter
    def at_least(self, revision: str | None) -> None:
        self._at_least = revision
        if self._memory is not None:
            self._memory.forget()

    def _url(self, call: Call[Any]) -> str:
        return self._endpoints.get(call.path) or self._base + call.path

    def _found(self, endpoints: dict[str, str]) -> dict[str, str]:
        """The endpoints that metadata name; raises `CallFailed` where a key would leave https for one of them."""
        if self._base.startswith("https:"):
            for name, place in endpoints.items():
                if not place.startswith("https:"):
                    raise CallFailed(f"the metadata name {place} as {name}, which is not https; correct the metadata")
        return endpoints

    def _well_known(self) -> str:
        """The address of the metadata: the path of the service goes behind the well-known part."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}/.well-known/authzen-configuration{parts.path}"

    def _request(self, client: httpx.Client | httpx.AsyncClient, call: Call[Any], url: str | None = None) -> httpx.Request:
        headers = {"Content-Type": "application/json"} if call.body is not None else {}
        if self._at_least is not None:
            headers[AT_LEAST] = self._at_least
        _add_trace(headers)
        return client.build_request(
            call.method,
            url or self._url(call),
            content=call.content,
            params=call.parameters or None,
            headers=headers,
            extensions={"trace": heads.bound(self._seconds, awaited=isinstance(client, httpx.AsyncClient))},
        )

    def _tries(self, call: Call[Any]) -> int:
        return 1 + (self._retries if call.is_safe else 0)

    def _known(self, call: Call[Answer]) -> Answer | None:
        """The answer to a call that need not be sent."""
        if call.known is not None:
            return call.known()
        if self._memory is None or not call.is_kept:
            return None
        return self._memory.get(call.content or b"")  # type: ignore[return-value]

    def _begin(self) -> tuple[float, int]:
        """When a call is sent, and after how many changes."""
        return time.monotonic(), 0 if self._memory is None else self._memory.changes

    def _end(self, call: Call[Any], answer: object, began: tuple[float, int]) -> None:
        """Remembers what may be remembered."""
        if self._memory is not None and call.is_kept and isinstance(answer, Decision):
            self._memory.keep(call.content or b"", answer, *began)

    def _forget(self, call: Call[Any]) -> None:
        """Ends what is remembered, whether a change came through or not: where no answer comes, it may have."""
        if self._memory is not None and call.forgets:
            self._memory.forget()


def _add_trace(headers: dict[str, str]) -> None:
    """Passes the trace of the caller on, where OpenTelemetry is installed."""
    try:
        from opentelemetry.propagate import inject
    except ImportError:
        return
    inject(headers)


def _options(key: str | None, seconds: float) -> dict[str, Any]:
    """What both kinds of clients of httpx are made with."""
    return {
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": seconds,
        "verify": _trusted(),
        "mounts": _ON_THIS_MACHINE,
        "follow_redirects": False,
    }


def _check_in_time(ends: float) -> None:
    """Raises a timeout once an answer that still comes in pieces, each of them in time, takes too long as a whole."""
    if time.monotonic() > ends:
        raise httpx.ReadTimeout("the answer was not whole in time")


def _no_answer(error: httpx.HTTPError, seconds: float) -> CallFailed:
    if isinstance(error, httpx.TimeoutException):
        return CallFailed(f"the service did not answer within {seconds:g} s")
    return CallFailed(f"the service was not reached: {str(error) or type(error).__name__}")


def _is_worth_another_try(error: CallFailed) -> bool:
    return error.status is None or error.status == 503


def _waiting(build: Callable[Concatenate[Any, Arguments], Call[Answer]]) -> Callable[Concatenate[Any, Arguments], Answer]:
    """The method that makes the call and waits for its answer."""

    @wraps(build)
    def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> Answer:
        answer: Answer = client._run(build(client, *given, **named))
        return answer

    return method


def _waiting_then(
    build: Callable[Concatenate[Any, Arguments], Call[Answer]], finish: Callable[[Answer], Finished]
) -> Callable[Concatenate[Any, Arguments], Finished]:
    """The same, with something made of the answer."""

    @wraps(build)
    def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> Finished:
        return finish(client._run(build(client, *given, **named)))

    method.__doc__ = finish.__doc__
    return method


def _walking(
    build: Callable[Concatenate[Any, Arguments], Pages[Item]],
) -> Callable[Concatenate[Any, Arguments], Iterator[Item]]:
    """The method that gives all items, page after page."""

    @wraps(build)
    def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> Iterator[Item]:
        pages = build(client, *given, **named)
        token: str | None = None
        while True:
            items, token = client._run(pages.page(token))
            yield from items
            if token is None:
                return

    return method


class Klausel(_Base):
    """A client that waits for each answer; safe to share between threads.

    `key` is the API key of the application. No wait (for a connection, for the next bytes) is longer than `seconds`. Calls that
    change nothing are tried again `retries` times. Where no answer comes, `evaluate`, `evaluations` and `allows` deny, with the
    reason, unless `denies` is false: then they raise `CallFailed`, as all other calls do. With `remembers`, a decision is asked
    again only after so many seconds: a revoked role may count for so long.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        seconds: float = SECONDS,
        retries: int = 1,
        denies: bool = True,
        remembers: float = 0.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, seconds=seconds, retries=retries, denies=denies, remembers=remembers)
        self._client = httpx.Client(transport=transport, **_options(key, seconds))

    @classmethod
    def discover(cls, url: str, **options: Any) -> Self:
        """A client of any AuthZEN decision point, with the endpoints that its metadata name; raises `CallFailed`."""
        client = cls(url, **options)
        client._endpoints = client._endpoints | client._found(client._send(calls.endpoints(), client._well_known()))
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    allows = _waiting_then(methods.evaluate, methods.is_allowed)
    evaluate = _waiting(methods.evaluate)
    evaluations = _waiting(methods.evaluations)
    explain = _waiting(methods.explain)
    search_subjects = _walking(methods.search_subjects)
    search_resources = _walking(methods.search_resources)
    search_actions = _walking(methods.search_actions)
    filter = _waiting(methods.filter_)
    permissions = _waiting(methods.permissions)
    assign = _waiting(methods.assign)
    remove_subject = _waiting(methods.remove_subject)
    assignments = _walking(methods.assignments)
    write_entities = _waiting(entities.write_entities)
    delete_entity = _waiting(entities.delete_entity)
    entity = _waiting(entities.entity)
    entities = _walking(entities.entities)

    def _run(self, call: Call[Answer]) -> Answer:
        known = self._known(call)
        if known is not None:
            return known
        began = self._begin()
        try:
            answer = self._send(call)
        except CallFailed as error:
            if call.instead is None:
                raise
            return call.instead(error)
        finally:
            self._forget(call)
        self._end(call, answer, began)
        return answer

    def _send(self, call: Call[Answer], url: str | None = None) -> Answer:
        tries = self._tries(call)
        while True:
            tries -= 1
            try:
                answer = self._client.send(self._request(self._client, call, url), stream=True)
                body, ends = bytearray(), time.monotonic() + self._seconds
                with closing(answer):
                    for part in answer.iter_bytes():
                        body += part
                        _check_in_time(ends)
                return calls.answer_of(call, answer.status_code, bytes(body))
            except httpx.HTTPError as error:
                failed = _no_answer(error, self._seconds)
            except CallFailed as error:
                failed = error
            if tries <= 0 or not _is_worth_another_try(failed):
                raise failed


def _awaiting(
    build: Callable[Concatenate[Any, Arguments], Call[Answer]],
) -> Callable[Concatenate[Any, Arguments], Coroutine[Any, Any, Answer]]:
    """As `_waiting`, to await."""

    @wraps(build)
    async def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> Answer:
        answer: Answer = await client._run(build(client, *given, **named))
        return answer

    return method


def _awaiting_then(
    build: Callable[Concatenate[Any, Arguments], Call[Answer]], finish: Callable[[Answer], Finished]
) -> Callable[Concatenate[Any, Arguments], Coroutine[Any, Any, Finished]]:
    """As `_waiting_then`, to await."""

    @wraps(build)
    async def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> Finished:
        return finish(await client._run(build(client, *given, **named)))

    method.__doc__ = finish.__doc__
    return method


def _walking_along(
    build: Callable[Concatenate[Any, Arguments], Pages[Item]],
) -> Callable[Concatenate[Any, Arguments], AsyncIterator[Item]]:
    """As `_walking`, to await."""

    @wraps(build)
    async def method(client: Any, /, *given: Arguments.args, **named: Arguments.kwargs) -> AsyncIterator[Item]:
        pages = build(client, *given, **named)
        token: str | None = None
        while True:
            items, token = await client._run(pages.page(token))
            for item in items:
                yield item
            if token is None:
                return

    return method


class AsyncKlausel(_Base):
    """As `Klausel`, to await; one for each event loop."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        seconds: float = SECONDS,
        retries: int = 1,
        denies: bool = True,
        remembers: float = 0.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, seconds=seconds, retries=retries, denies=denies, remembers=remembers)
        self._client = httpx.AsyncClient(transport=transport, **_options(key, seconds))

    @classmethod
    async def discover(cls, url: str, **options: Any) -> Self:
        """As `Klausel.discover`."""
        client = cls(url, **options)
        client._endpoints = client._endpoints | client._found(await client._send(calls.endpoints(), client._well_known()))
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    allows = _awaiting_then(methods.evaluate, methods.is_allowed)
    evaluate = _awaiting(methods.evaluate)
    evaluations = _awaiting(methods.evaluations)
    explain = _awaiting(methods.explain)
    search_subjects = _walking_along(methods.search_subjects)
    search_resources = _walking_along(methods.search_resources)
    search_actions = _walking_along(methods.search_actions)
    filter = _awaiting(methods.filter_)
    permissions = _awaiting(methods.permissions)
    assign = _awaiting(methods.assign)
    remove_subject = _awaiting(methods.remove_subject)
    assignments = _walking_along(methods.assignments)
    write_entities = _awaiting(entities.write_entities)
    delete_entity = _awaiting(entities.delete_entity)
    entity = _awaiting(entities.entity)
    entities = _walking_along(entities.entities)

    async def _run(self, call: Call[Answer]) -> Answer:
        known = self._known(call)
        if known is not None:
            return known
        began = self._begin()
        try:
            answer = await self._send(call)
        except CallFailed as error:
            if call.instead is None:
                raise
            return call.instead(error)
        finally:
            self._forget(call)
        self._end(call, answer, began)
        return answer

    async def _send(self, call: Call[Answer], url: str | None = None) -> Answer:
        tries = self._tries(call)
        while True:
            tries -= 1
            try:
                answer = await self._client.send(self._request(self._client, call, url), stream=True)
                body, ends = bytearray(), time.monotonic() + self._seconds
                async with aclosing(answer):
                    async for part in answer.aiter_bytes():
                        body += part
                        _check_in_time(ends)
                return calls.answer_of(call, answer.status_code, bytes(body))
            except httpx.HTTPError as error:
                failed = _no_answer(error, self._seconds)
            except CallFailed as error:
                failed = error
            if tries <= 0 or not _is_worth_another_try(failed):
                raise failed
