"""Calls as data: what is sent and how its answer is read, the same for clients that wait and for those that await."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from klausel.client.answers import CallFailed, Refused

Answer = TypeVar("Answer")
Item = TypeVar("Item")

EVALUATION = "access_evaluation_endpoint"
EVALUATIONS = "access_evaluations_endpoint"
SEARCH_SUBJECT = "search_subject_endpoint"
SEARCH_RESOURCE = "search_resource_endpoint"
SEARCH_ACTION = "search_action_endpoint"
PATHS = {
    EVALUATION: "/access/v1/evaluation",
    EVALUATIONS: "/access/v1/evaluations",
    SEARCH_SUBJECT: "/access/v1/search/subject",
    SEARCH_RESOURCE: "/access/v1/search/resource",
    SEARCH_ACTION: "/access/v1/search/action",
}
"""Where the endpoints of AuthZEN are, where nothing else was discovered."""


class Call(NamedTuple, Generic[Answer]):
    """One call. `is_safe` when it may be sent twice; `instead` gives the answer where none came, None where that is raised.

    An answer that `is_kept` may be remembered, and a call that `forgets` ends all that was remembered. What is `known` is not
    asked at all.
    """

    method: str
    path: str
    read: Callable[[Any], Answer]
    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] | None = None
    is_safe: bool = True
    instead: Callable[[CallFailed], Answer] | None = None
    is_kept: bool = False
    forgets: bool = False
    known: Callable[[], Answer] | None = None

    @property
    def content(self) -> bytes | None:
        """The body as bytes."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Pages(Generic[Item]):
    """Answers that come in pages: the call for the first, or for the one behind a token, with the token of the next."""

    page: Callable[[str | None], Call[tuple[list[Item], str | None]]]


def endpoints() -> Call[dict[str, str]]:
    """Where a decision point says that its endpoints are."""

    def read(body: Any) -> dict[str, str]:
        whole = read_object(body)
        found = {name: whole[name] for name in PATHS if isinstance(whole.get(name), str)}
        if EVALUATION not in found:
            raise CallFailed("the metadata names no endpoint for evaluations; this is no AuthZEN decision point")
        return found

    return Call("GET", "/.well-known/authzen-configuration", read)


def answer_of(call: Call[Answer], status: int, content: bytes) -> Answer:
    """What an answer says; raises `Refused` for 4xx, `CallFailed` for all else that is no 200."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if status == 200:
        return call.read(body)
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    said = str(message or f"the service answered with status {status}")
    if 400 <= status < 500 and status != 429:
        raise Refused(said, status, body if isinstance(body, dict) else {})
    raise CallFailed(said, status)


def read_object(body: Any) -> dict[str, Any]:
    """The object that an answer is; raises `CallFailed`."""
    if not isinstance(body, dict):
        raise CallFailed("the service gave no JSON object")
    return body


def read_list(body: Any, name: str) -> list[dict[str, Any]]:
    """The list of objects that an answer has under this name; raises `CallFailed`."""
    found = read_object(body).get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise CallFailed(f"the service gave no {name}")
    return found
