"""Calls as data: what is sent and how its answer is read, the same for clients that wait and for those that await."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from klausel.client.answers import CallFailed, Decision, FilterAnswer, Refused, read_decision
from klausel.client.questions import Action, Properties, Question, Resource, Subject

Answer = TypeVar("Answer")

EVALUATION = "access_evaluation_endpoint"
EVALUATIONS = "access_evaluations_endpoint"
PATHS = {
    EVALUATION: "/access/v1/evaluation",
    EVALUATIONS: "/access/v1/evaluations",
    **{f"search_{part}_endpoint": f"/access/v1/search/{part}" for part in ("subject", "resource", "action")},
}
"""Where the endpoints of AuthZEN are, where nothing else was discovered."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call. `is_safe` when it may be sent twice; `instead` gives the answer where none came, None where that is raised."""

    method: str
    path: str
    read: Callable[[Any], Answer]
    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] | None = None
    is_safe: bool = True
    instead: Callable[[CallFailed], Answer] | None = None

    @property
    def content(self) -> bytes | None:
        """The body as bytes."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


def evaluation(question: Question, denies: bool) -> Call[Decision]:
    """One decision."""
    return Call("POST", EVALUATION, read_decision, question.as_json(), instead=_failed if denies else None)


def evaluations(questions: Sequence[Question], denies: bool) -> Call[list[Decision]]:
    """A decision for each question, in their order."""

    def read(body: Any) -> list[Decision]:
        found = body.get("evaluations") if isinstance(body, dict) else None
        if not isinstance(found, list) or len(found) != len(questions):
            raise CallFailed(f"the service did not answer each of {len(questions)} questions")
        return [read_decision(one) for one in found]

    def all_failed(error: CallFailed) -> list[Decision]:
        return [_failed(error)] * len(questions)

    body = {"evaluations": [question.as_json() for question in questions]}
    return Call("POST", EVALUATIONS, read, body, instead=all_failed if denies else None)


def _failed(error: CallFailed) -> Decision:
    return Decision(False, str(error), True)


def explanation(question: Question) -> Call[dict[str, Any]]:
    """Why a decision is as it is, as docs/http.md says."""
    return Call("POST", "/v1/explain", _object, question.as_json())


def list_filter(
    subject: Subject | str, action: Action | str, resource: Resource, domain: str | None, context: Properties
) -> Call[FilterAnswer]:
    """Which resources of a type a subject may act on."""

    def read(body: Any) -> FilterAnswer:
        whole = _object(body)
        kind, condition = whole.get("filter"), whole.get("condition")
        if kind not in ("always", "never", "when") or (kind == "when") != isinstance(condition, dict):
            raise CallFailed("the service gave no filter")
        return FilterAnswer(kind, condition, whole)

    question = Question(subject, action, resource, context).as_json()
    return Call("POST", "/v1/filter", read, question if domain is None else {**question, "domain": domain})


def permissions(
    subject: Subject | str, resources: Sequence[Resource | str], context: Properties
) -> Call[list[tuple[str, ...]]]:
    """All actions that are allowed, for each resource in its place."""
    questions = [Question(subject, "any", resource, context).as_json() for resource in resources]
    body = {
        "subject": questions[0]["subject"],
        "resources": [question["resource"] for question in questions],
        **({"context": dict(context)} if context else {}),
    }

    def read(answer: Any) -> list[tuple[str, ...]]:
        found = _object(answer).get("permissions")
        if not isinstance(found, list) or len(found) != len(resources):
            raise CallFailed(f"the service did not answer for each of {len(resources)} resources")
        return [tuple(map(str, _object(one).get("actions", ()))) for one in found]

    return Call("POST", "/v1/permissions", read, body)


def search(part: str, question: Mapping[str, Any], token: str) -> Call[tuple[list[str], str]]:
    """A page of the ids (of actions: the names) that are allowed, and the token of the next one."""
    sent = dict(question)
    if part == "action":
        del sent["action"]
    else:
        sent[part] = {name: value for name, value in sent[part].items() if name != "id"}

    def read(answer: Any) -> tuple[list[str], str]:
        found, page = _object(answer).get("results"), answer.get("page") or {}
        if not isinstance(found, list):
            raise CallFailed("the service gave no results")
        key = "name" if part == "action" else "id"
        return [str(_object(one)[key]) for one in found], str(_object(page).get("next_token") or "")

    return Call("POST", f"search_{part}_endpoint", read, {**sent, "page": {"token": token}} if token else sent)


def change(
    grant: Sequence[Mapping[str, str]], revoke: Sequence[Mapping[str, str]], claims: Mapping[str, str | None]
) -> Call[str]:
    """One atomic write of role assignments, and its revision. It is idempotent, but nobody's to send twice unasked."""
    said = {name: text for name, text in claims.items() if text is not None}
    body = {"grant": [dict(row) for row in grant], "revoke": [dict(row) for row in revoke], **said}
    return Call("POST", "/v1/assignments", lambda answer: str(_object(answer)["revision"]), body, is_safe=False)


def page_of_assignments(
    filters: Mapping[str, str | None], cursor: str | None
) -> Call[tuple[list[dict[str, str]], str | None]]:
    """A page of role assignments, and the cursor of the next one."""

    def read(body: Any) -> tuple[list[dict[str, str]], str | None]:
        whole = _object(body)
        return whole["assignments"], whole.get("next_cursor")

    parameters = {name: value for name, value in (*filters.items(), ("cursor", cursor)) if value is not None}
    return Call("GET", "/v1/assignments", read, parameters=parameters)


def endpoints() -> Call[dict[str, str]]:
    """Where a decision point says that its endpoints are."""

    def read(body: Any) -> dict[str, str]:
        whole = _object(body)
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


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise CallFailed("the service gave no JSON object")
    return body
