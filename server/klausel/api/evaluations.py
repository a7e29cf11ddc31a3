"""Answering evaluations: one decision, or a batch of them."""

from __future__ import annotations

from collections.abc import Callable

from klausel.api.authzen_requests import (
    ENTITIES,
    read_batch_options,
    read_evaluation,
    read_items,
    read_merged_items,
    read_options,
)
from klausel.api.errors import ApiError, error_object, hand_over
from klausel.api.http import to_json
from klausel.api.request_shapes import SEMANTICS
from klausel.api.shapes import Json
from klausel.core.decisions.explanation_format import reason
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.service.decision_service import Service, status_of_failure
from klausel.service.recording import Decide, Recording
from klausel.storage.sql.database import StorageError


def answer_evaluation(service: Service, body: Json, recording: Recording | None, caller: Caller | None) -> Json:
    """The answer to `POST /access/v1/evaluation`; raises `ApiError`."""
    tell = _teller(service, read_options(body), caller)
    answer = _answer(service.decider(recording, caller), read_evaluation(body), tell)
    service.decisions.add(answer["decision"])
    hand_over(recording)
    return answer


def answer_evaluations(service: Service, body: Json, recording: Recording | None, caller: Caller | None) -> Json:
    """The answer to `POST /access/v1/evaluations`; raises `ApiError` when the whole body is at fault."""
    options = read_batch_options(body)
    semantic, tell = options.get("evaluations_semantic", SEMANTICS[0]), _teller(service, options, caller)
    items = read_items(body, service.settings.max_batch)
    if not items:
        return answer_evaluation(service, body, recording, caller)
    _check_expansion(body, items, service.settings.max_batch_bytes)
    decide = service.decider(recording, caller)
    answers = []
    for item in read_merged_items(body, items):
        answer = _answer(decide, item, tell) if isinstance(item, Request) else _answer_to_fault(item, recording)
        answers.append(answer)
        if answer["decision"] is (semantic == "permit_on_first_permit") and semantic != "execute_all":
            break
    allowed = sum(answer["decision"] for answer in answers)
    service.decisions.add(True, allowed)
    service.decisions.add(False, len(answers) - allowed)
    hand_over(recording)
    return {"evaluations": answers}


def _check_expansion(body: Json, items: list[object], most: int) -> None:
    """Raises `ApiError` (413) for a batch whose items come to more than so many bytes once the defaults are in them.

    Each item is recorded with all that it was decided by, so a short request could fill a disk.
    """
    defaults = {key: len(to_json(body[key])) for key in ENTITIES if key in body}
    if sum(defaults.values()) * len(items) <= most:
        return
    total = sum(size * sum(type(item) is dict and key not in item for item in items) for key, size in defaults.items())
    if total > most:
        raise ApiError(
            413,
            f"with its defaults in its {len(items)} items the batch comes to {total} bytes, more than {most}; send several",
        )


Tell = Callable[[Request, str | None], Json]
"""The reasons of a deny, as members of its context; the text is that of a failure, where it is one."""


def _teller(service: Service, options: Json, caller: Caller | None) -> Tell | None:
    """What tells the reasons of denies, None where they are not asked for.

    Who lacks the scope `explain` is told no more than a sentence for the person who is denied.
    """
    if not options.get("reasons", service.settings.reasons):
        return None
    is_told_all = caller is None or "explain" in caller.scopes

    def tell(request: Request, failure: str | None) -> Json:
        for_user = {"reason_user": {"en": f'You are not allowed to do this ("{request.action.name}").'}}
        if not is_told_all:
            return for_user
        why = failure
        if why is None:
            try:
                explanation = service.explain(request, caller=caller)
            except StorageError:
                return for_user
            if explanation.decision.allowed:
                return for_user  # by policies or roles that came into force meanwhile
            why = reason(explanation)
        return {"reasons": [why], "reason_admin": {"en": why}, **for_user}

    return tell


def _answer(decide: Decide, request: Request, tell: Tell | None) -> Json:
    decision = decide(request)
    if decision.failure is not None:
        status = status_of_failure(decision)
        # A deny that is no answer of the policies must not look like one.
        error = {} if status is None else {"error": error_object(status, decision.failure)}
        reasons = {} if tell is None else tell(request, decision.failure)
        return {"decision": False, "context": {**error, "reason": decision.failure, **reasons}}
    if tell is None or decision.allowed:
        return {"decision": decision.allowed}
    return {"decision": False, "context": tell(request, None)}


def _answer_to_fault(fault: ApiError, recording: Recording | None) -> Json:
    if recording is not None:
        recording.note_fault(fault.message)
    return {"decision": False, "context": {"error": error_object(fault.status, fault.message)}}
