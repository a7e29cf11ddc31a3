"""What can be asked, each method once: its arguments, its documentation, and the call that it makes.

`Klausel` and `AsyncKlausel` have them all, the one to wait for and the other to await.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from klausel.client.answers import CallFailed, Decision, FilterAnswer, Menu, read_decision
from klausel.client.calls import (
    EVALUATION,
    EVALUATIONS,
    SEARCH_ACTION,
    SEARCH_RESOURCE,
    SEARCH_SUBJECT,
    Call,
    Pages,
    read_list,
    read_object,
)
from klausel.client.questions import (
    Action,
    Properties,
    Question,
    Resource,
    Subject,
    action_as_json,
    resource_as_json,
    subject_as_json,
    with_context,
)

Row = Mapping[str, str]
Found = TypeVar("Found")


class Client(Protocol):
    """What the methods need to know of their client."""

    denies: bool


def evaluate(
    client: Client,
    subject: Subject | str,
    action: Action | str,
    resource: Resource | str,
    context: Properties | None = None,
    *,
    denies: bool | None = None,
    reasons: bool = False,
) -> Call[Decision]:
    """The decision on one question; `denies` as for the client, for this call alone. A deny says why with `reasons`."""
    body = Question(subject, action, resource, context or {}).as_json()
    instead = _failed if (client.denies if denies is None else denies) else None
    return Call("POST", EVALUATION, read_decision, _with_reasons(body, reasons), instead=instead, is_kept=True)


def is_allowed(decision: Decision) -> bool:
    """Whether a subject may do something; False where no answer comes. The arguments are those of `evaluate`."""
    return decision.allowed


def evaluations(
    client: Client, questions: Sequence[Question], *, denies: bool | None = None, reasons: bool = False
) -> Call[list[Decision]]:
    """The decisions on many questions, in one call, each in its place."""

    def read(body: Any) -> list[Decision]:
        found = body.get("evaluations") if isinstance(body, dict) else None
        if not isinstance(found, list) or len(found) != len(questions):
            raise CallFailed(f"the service did not answer each of {len(questions)} questions")
        return [read_decision(one) for one in found]

    def all_failed(error: CallFailed) -> list[Decision]:
        return [_failed(error)] * len(questions)

    body = _with_reasons({"evaluations": [question.as_json() for question in questions]}, reasons)
    instead = all_failed if (client.denies if denies is None else denies) else None
    return Call("POST", EVALUATIONS, read, body, instead=instead, known=None if questions else list)


def explain(
    client: Client,
    subject: Subject | str,
    action: Action | str,
    resource: Resource | str,
    context: Properties | None = None,
) -> Call[dict[str, Any]]:
    """Why a decision is as it is, also of what a search found; the members are those of docs/http.md."""
    return Call("POST", "/v1/explain", read_object, Question(subject, action, resource, context or {}).as_json())


def search_subjects(
    client: Client,
    subject_type: str,
    action: Action | str,
    resource: Resource | str,
    context: Properties | None = None,
    *,
    limit: int | None = None,
) -> Pages[Subject]:
    """The subjects of a type that may do something, page after page; `limit` is the length of a page."""
    body = {"subject": {"type": subject_type}, "action": action_as_json(action), "resource": resource_as_json(resource)}
    return _search(SEARCH_SUBJECT, body, context, limit, lambda found: Subject(found["type"], found["id"]))


def search_resources(
    client: Client,
    subject: Subject | str,
    action: Action | str,
    resource: Resource,
    context: Properties | None = None,
    *,
    limit: int | None = None,
) -> Pages[Resource]:
    """The resources of a type, as `Resource(type)`, to which a subject may do something, page after page."""
    body = {"subject": subject_as_json(subject), "action": action_as_json(action), "resource": resource_as_json(resource)}
    return _search(SEARCH_RESOURCE, body, context, limit, lambda found: Resource(found["type"], found["id"]))


def search_actions(
    client: Client,
    subject: Subject | str,
    resource: Resource | str,
    context: Properties | None = None,
    *,
    limit: int | None = None,
) -> Pages[str]:
    """The actions that a subject may do to a resource, page after page."""
    body = {"subject": subject_as_json(subject), "resource": resource_as_json(resource)}
    return _search(SEARCH_ACTION, body, context, limit, lambda found: str(found["name"]))


def filter_(
    client: Client,
    subject: Subject | str,
    action: Action | str,
    resource: Resource,
    *,
    domain: str | None = None,
    context: Properties | None = None,
) -> Call[FilterAnswer]:
    """Which resources of a type, as `Resource(type)`, a subject may act on."""

    def read(body: Any) -> FilterAnswer:
        whole = read_object(body)
        kind, condition = whole.get("filter"), whole.get("condition")
        if kind not in ("always", "never", "when") or (kind == "when") != isinstance(condition, dict):
            raise CallFailed("the service gave no filter")
        return FilterAnswer(kind, condition, whole)

    question = Question(subject, action, resource, context or {}).as_json()
    return Call("POST", "/v1/filter", read, question if domain is None else {**question, "domain": domain})


def permissions(
    client: Client,
    subject: Subject | str,
    resources: Sequence[Resource | str],
    context: Properties | None = None,
    *,
    conditions: bool = False,
) -> Call[list[Menu]]:
    """All that a subject may do to each of some resources; with `conditions` also what depends on what was not said."""

    def read(body: Any) -> list[Menu]:
        found = read_list(body, "permissions")
        if len(found) != len(resources):
            raise CallFailed(f"the service did not answer for each of {len(resources)} resources")
        return [
            Menu(tuple(one["actions"]), {each["action"]: each["condition"] for each in one.get("conditional", ())})
            for one in found
        ]

    body = {"subject": subject_as_json(subject), "resources": [resource_as_json(one) for one in resources]}
    asked = {**with_context(body, context), **({"conditions": True} if conditions else {})}
    return Call("POST", "/v1/permissions", read, asked, known=None if resources else list)


def assign(
    client: Client,
    grant: Sequence[Row] = (),
    revoke: Sequence[Row] = (),
    *,
    by: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
    on_behalf_of: str | None = None,
) -> Call[str]:
    """Changes role assignments at once, all or none, and gives the revision. Never sent twice by itself.

    With `on_behalf_of`, such as `user:ann`, only as far as the policies let that person.
    """
    rows = {"grant": [dict(row) for row in grant], "revoke": [dict(row) for row in revoke]}
    body = {**rows, **claims(by, reason, ticket, on_behalf_of)}
    return Call("POST", "/v1/assignments", _revision, body, is_safe=False, forgets=True)


def remove_subject(
    client: Client,
    subject: str,
    account: str,
    *,
    by: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
    on_behalf_of: str | None = None,
) -> Call[int]:
    """Takes all away that a leaver has in an account and gives how many rows went. Never sent twice by itself.

    With `on_behalf_of` only as far as the policies let that person.
    """
    parameters = {"subject": subject, "account": account, **claims(by, reason, ticket, on_behalf_of)}
    return Call("DELETE", "/v1/assignments", _removed, parameters=parameters, is_safe=False, forgets=True)


def assignments(
    client: Client,
    subject: str | None = None,
    role: str | None = None,
    domain: str | None = None,
    *,
    group: str | None = None,
) -> Pages[dict[str, str]]:
    """All role assignments that match, or the members of a group, page after page."""
    filters = {"subject": subject, "role": role, "domain": domain, "group": group}

    def page(cursor: str | None) -> Call[tuple[list[dict[str, str]], str | None]]:
        parameters = {name: value for name, value in (*filters.items(), ("cursor", cursor)) if value is not None}
        return Call("GET", "/v1/assignments", _rows, parameters=parameters)

    return Pages(page)


def _search(
    endpoint: str, body: dict[str, Any], context: Properties | None, limit: int | None, read_one: Callable[[Any], Found]
) -> Pages[Found]:
    def read(answer: Any) -> tuple[list[Found], str | None]:
        page = answer.get("page") if isinstance(answer, dict) else None
        token = page.get("next_token") if isinstance(page, dict) else None
        try:
            return [read_one(one) for one in read_list(answer, "results")], token or None
        except KeyError:
            raise CallFailed("the service gave a result without its type, id or name") from None

    def call(token: str | None) -> Call[tuple[list[Found], str | None]]:
        page = {name: value for name, value in (("limit", limit), ("token", token)) if value is not None}
        # Even an empty page says that tokens are followed, so that a page may come before it is full.
        return Call("POST", endpoint, read, {**with_context(body, context), "page": page})

    return Pages(call)


def _with_reasons(body: dict[str, Any], reasons: bool) -> dict[str, Any]:
    return {**body, "options": {"reasons": True}} if reasons else body


def _failed(error: CallFailed) -> Decision:
    return Decision(False, str(error), True)


def claims(by: str | None, reason: str | None, ticket: str | None, on_behalf_of: str | None = None) -> dict[str, str]:
    """What a caller says of a change, where it says something."""
    said = {"by": by, "reason": reason, "ticket": ticket, "on_behalf_of": on_behalf_of}
    return {name: text for name, text in said.items() if text is not None}


def _revision(answer: Any) -> str:
    return str(read_object(answer)["revision"])


def _removed(answer: Any) -> int:
    return int(read_object(answer)["removed"])


def _rows(answer: Any) -> tuple[list[dict[str, str]], str | None]:
    return read_list(answer, "assignments"), read_object(answer).get("next_cursor")
