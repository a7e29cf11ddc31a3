"""The clients: one that waits, one to await. Both keep connections, bound every wait, and deny where no answer comes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx

from klausel.client import calls
from klausel.client.answers import CallFailed, Decision, FilterAnswer
from klausel.client.calls import Answer, Call
from klausel.client.questions import Action, Properties, Question, Resource, Subject

SECONDS = 2.0
MOST_REMEMBERED = 10_000
Row = Mapping[str, str]
SearchPart = Literal["subject", "resource", "action"]


class _Memory:
    """Decisions that were given within the last seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._found: dict[bytes, tuple[float, Decision]] = {}

    def get(self, content: bytes) -> Decision | None:
        known = self._found.get(content)
        return known[1] if known is not None and time.monotonic() < known[0] else None

    def keep(self, content: bytes, decision: Decision) -> None:
        if decision.failed:
            return
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[content] = (time.monotonic() + self.seconds, decision)

    def forget(self) -> None:
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
        self._denies = denies
        self._memory = _Memory(remembers) if remembers > 0 else None
        self._endpoints = {name: self._base + path for name, path in calls.PATHS.items()}

    def _url(self, call: Call[Any]) -> str:
        return self._endpoints.get(call.path) or self._base + call.path

    def _well_known(self) -> str:
        """The address of the metadata: the path of the service goes behind the well-known part."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}/.well-known/authzen-configuration{parts.path}"

    def _request(self, client: httpx.Client | httpx.AsyncClient, call: Call[Any], url: str | None = None) -> httpx.Request:
        headers = {"Content-Type": "application/json"} if call.body is not None else {}
        _add_trace(headers)
        return client.build_request(
            call.method, url or self._url(call), content=call.content, params=call.parameters or None, headers=headers
        )

    def _tries(self, call: Call[Any]) -> int:
        return 1 + (self._retries if call.is_safe else 0)

    def _question(
        self, subject: Subject | str, action: Action | str, resource: Resource | str, context: Properties | None
    ) -> Question:
        return Question(subject, action, resource, context or {})


def _add_trace(headers: dict[str, str]) -> None:
    """Passes the trace of the caller on, where OpenTelemetry is installed."""
    try:
        from opentelemetry.propagate import inject
    except ImportError:
        return
    inject(headers)


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _no_answer(error: httpx.HTTPError, seconds: float) -> CallFailed:
    if isinstance(error, httpx.TimeoutException):
        return CallFailed(f"the service did not answer within {seconds:g} s")
    return CallFailed(f"the service was not reached: {str(error) or type(error).__name__}")


def _is_worth_another_try(error: CallFailed) -> bool:
    return error.status is None or error.status == 503


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
        self._client = httpx.Client(headers=_headers(key), timeout=seconds, transport=transport, follow_redirects=False)

    @classmethod
    def discover(cls, url: str, **options: Any) -> Self:
        """A client of any AuthZEN decision point, with the endpoints that its metadata name; raises `CallFailed`."""
        client = cls(url, **options)
        client._endpoints = client._endpoints | client._send(calls.endpoints(), client._well_known())
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def allows(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource | str,
        context: Properties | None = None,
    ) -> bool:
        """Whether a subject may do something; False where no answer comes."""
        return self.evaluate(subject, action, resource, context).allowed

    def evaluate(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource | str,
        context: Properties | None = None,
        *,
        denies: bool | None = None,
    ) -> Decision:
        """The decision on one question; `denies` as for the client, for this call alone."""
        question = self._question(subject, action, resource, context)
        call = calls.evaluation(question, self._denies if denies is None else denies)
        if self._memory is None:
            return self._run(call)
        content = call.content or b""
        known = self._memory.get(content)
        if known is None:
            known = self._run(call)
            self._memory.keep(content, known)
        return known

    def evaluations(self, questions: Sequence[Question], *, denies: bool | None = None) -> list[Decision]:
        """The decisions on many questions, in one call, each in its place."""
        return self._run(calls.evaluations(questions, self._denies if denies is None else denies)) if questions else []

    def explain(
        self, subject: Subject | str, action: Action | str, resource: Resource | str, context: Properties | None = None
    ) -> dict[str, Any]:
        """Why a decision is as it is; the members are those of docs/http.md."""
        return self._run(calls.explanation(self._question(subject, action, resource, context)))

    def filter(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource,
        *,
        domain: str | None = None,
        context: Properties | None = None,
    ) -> FilterAnswer:
        """Which resources of a type a subject may act on."""
        return self._run(calls.list_filter(subject, action, resource, domain, context or {}))

    def permissions(
        self, subject: Subject | str, resources: Sequence[Resource | str], context: Properties | None = None
    ) -> list[tuple[str, ...]]:
        """All that a subject may do to each of some resources, in their places."""
        return self._run(calls.permissions(subject, resources, context or {})) if resources else []

    def search(
        self, part: SearchPart, subject: Subject | str, action: Action | str, resource: Resource | str
    ) -> Iterator[str]:
        """Ids of all subjects or resources, or names of all actions, that a question could have in this part and be allowed.

        What the question has there gives the type (`Subject("user", "*")`); the rest of it does not count.
        """
        question, token = Question(subject, action, resource).as_json(), ""
        while True:
            found, token = self._run(calls.search(part, question, token))
            yield from found
            if not token:
                return

    def assign(
        self,
        grant: Sequence[Row] = (),
        revoke: Sequence[Row] = (),
        *,
        by: str | None = None,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> str:
        """Changes role assignments at once, all or none, and gives the revision. Never sent twice by itself."""
        revision = self._run(calls.change(grant, revoke, {"by": by, "reason": reason, "ticket": ticket}))
        if self._memory is not None:
            self._memory.forget()
        return revision

    def assignments(
        self, subject: str | None = None, role: str | None = None, domain: str | None = None
    ) -> Iterator[dict[str, str]]:
        """All role assignments that match, page after page."""
        cursor: str | None = None
        while True:
            filters = {"subject": subject, "role": role, "domain": domain}
            rows, cursor = self._run(calls.page_of_assignments(filters, cursor))
            yield from rows
            if cursor is None:
                return

    def _run(self, call: Call[Answer]) -> Answer:
        try:
            return self._send(call)
        except CallFailed as error:
            if call.instead is None:
                raise
            return call.instead(error)

    def _send(self, call: Call[Answer], url: str | None = None) -> Answer:
        tries = self._tries(call)
        while True:
            tries -= 1
            try:
                answer = self._client.send(self._request(self._client, call, url))
                return calls.answer_of(call, answer.status_code, answer.content)
            except httpx.HTTPError as error:
                failed = _no_answer(error, self._seconds)
            except CallFailed as error:
                failed = error
            if tries <= 0 or not _is_worth_another_try(failed):
                raise failed


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
        self._client = httpx.AsyncClient(headers=_headers(key), timeout=seconds, transport=transport, follow_redirects=False)

    @classmethod
    async def discover(cls, url: str, **options: Any) -> Self:
        """As `Klausel.discover`."""
        client = cls(url, **options)
        client._endpoints = client._endpoints | await client._send(calls.endpoints(), client._well_known())
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def allows(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource | str,
        context: Properties | None = None,
    ) -> bool:
        """As `Klausel.allows`."""
        return (await self.evaluate(subject, action, resource, context)).allowed

    async def evaluate(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource | str,
        context: Properties | None = None,
        *,
        denies: bool | None = None,
    ) -> Decision:
        """As `Klausel.evaluate`."""
        question = self._question(subject, action, resource, context)
        call = calls.evaluation(question, self._denies if denies is None else denies)
        if self._memory is None:
            return await self._run(call)
        content = call.content or b""
        known = self._memory.get(content)
        if known is None:
            known = await self._run(call)
            self._memory.keep(content, known)
        return known

    async def evaluations(self, questions: Sequence[Question], *, denies: bool | None = None) -> list[Decision]:
        """As `Klausel.evaluations`."""
        if not questions:
            return []
        return await self._run(calls.evaluations(questions, self._denies if denies is None else denies))

    async def explain(
        self, subject: Subject | str, action: Action | str, resource: Resource | str, context: Properties | None = None
    ) -> dict[str, Any]:
        """As `Klausel.explain`."""
        return await self._run(calls.explanation(self._question(subject, action, resource, context)))

    async def filter(
        self,
        subject: Subject | str,
        action: Action | str,
        resource: Resource,
        *,
        domain: str | None = None,
        context: Properties | None = None,
    ) -> FilterAnswer:
        """As `Klausel.filter`."""
        return await self._run(calls.list_filter(subject, action, resource, domain, context or {}))

    async def permissions(
        self, subject: Subject | str, resources: Sequence[Resource | str], context: Properties | None = None
    ) -> list[tuple[str, ...]]:
        """As `Klausel.permissions`."""
        return await self._run(calls.permissions(subject, resources, context or {})) if resources else []

    async def search(
        self, part: SearchPart, subject: Subject | str, action: Action | str, resource: Resource | str
    ) -> AsyncIterator[str]:
        """As `Klausel.search`."""
        question, token = Question(subject, action, resource).as_json(), ""
        while True:
            found, token = await self._run(calls.search(part, question, token))
            for one in found:
                yield one
            if not token:
                return

    async def assign(
        self,
        grant: Sequence[Row] = (),
        revoke: Sequence[Row] = (),
        *,
        by: str | None = None,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> str:
        """As `Klausel.assign`."""
        revision = await self._run(calls.change(grant, revoke, {"by": by, "reason": reason, "ticket": ticket}))
        if self._memory is not None:
            self._memory.forget()
        return revision

    async def assignments(
        self, subject: str | None = None, role: str | None = None, domain: str | None = None
    ) -> AsyncIterator[dict[str, str]]:
        """As `Klausel.assignments`."""
        cursor: str | None = None
        while True:
            filters = {"subject": subject, "role": role, "domain": domain}
            rows, cursor = await self._run(calls.page_of_assignments(filters, cursor))
            for row in rows:
                yield row
            if cursor is None:
                return

    async def _run(self, call: Call[Answer]) -> Answer:
        try:
            return await self._send(call)
        except CallFailed as error:
            if call.instead is None:
                raise
            return call.instead(error)

    async def _send(self, call: Call[Answer], url: str | None = None) -> Answer:
        tries = self._tries(call)
        while True:
            tries -= 1
            try:
                answer = await self._client.send(self._request(self._client, call, url))
                return calls.answer_of(call, answer.status_code, answer.content)
            except httpx.HTTPError as error:
                failed = _no_answer(error, self._seconds)
            except CallFailed as error:
                failed = error
            if tries <= 0 or not _is_worth_another_try(failed):
                raise failed
