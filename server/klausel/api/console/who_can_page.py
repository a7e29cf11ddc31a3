"""The page that lists everyone who may do something in a domain, with reasons; page by page, or all as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from flask import Response

from klausel.api.access import check_reach
from klausel.api.console.fields import empty_field, read_domain
from klausel.api.console.pages import Page, csv_answer
from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.shapes import Json
from klausel.core.analysis.permission import Question, given_values, question_in
from klausel.core.analysis.search import Found, holders_that_matter, who_can
from klausel.core.analysis.search_format import found_as_json, reasons_text, verdict_text
from klausel.core.analysis.table import Sheet
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.caller import Caller
from klausel.core.terms.problem import did_you_mean
from klausel.core.terms.request import asked_at
from klausel.service.decision_service import Service
from klausel.service.stored_properties import StoredOfSubjects
from klausel.storage.assignments.holders import people_who_hold

FIELDS = ("action", "type", "domain")
PEOPLE_ON_A_PAGE = 100
_TITLE = "Who can"


def who_can_page(service: Service, given: dict[str, str], caller: Caller | None, is_twin: bool) -> Page:
    """The form, and those who may, from behind the subject in `after`, or what keeps it from being a question.

    The twin raises `ApiError` (400) where the page shows a fault. Both raise `ApiError` (403, 501), `PoliciesTooOld` and
    `StorageError`.
    """
    check_model(service)
    policy = service.in_force_now().policy.compiled.policy
    shown: Json = {
        "given": {name: given.get(name, "") for name in FIELDS},
        "types": list(policy.resource_types),
        "actions": sorted({action for declared in policy.resource_types.values() for action in declared.actions}),
        "fault": None,
        "found": None,
    }
    if not given and not is_twin:
        return Page("who_can.html", _TITLE, shown)
    try:
        moment = service.clock()
        question = _question(policy, given, caller, moment)
    except ApiError as error:
        if is_twin or error.status not in (400, 404):
            raise
        return Page("who_can.html", _TITLE, {**shown, "fault": error.message}, status=error.status)
    answers = _answers(service, policy, question, moment, given.get("after", ""))
    found = list(islice(answers, PEOPLE_ON_A_PAGE))
    following = found[-1].subject if next(answers, None) is not None else None
    asked = {name: given[name] for name in FIELDS if given.get(name)}
    shown |= {
        "found": [(one.subject, verdict_text(one), reasons_text(one)) for one in found],
        "question": question,
        "is_later": bool(given.get("after")),
        "first": urlencode(asked),
        "following": None if following is None else urlencode({**asked, "after": following}),
    }
    twin = {"domain": question.domain, "found": [found_as_json(one) for one in found], "next": following}
    return Page("who_can.html", _TITLE, shown, twin)


def who_can_csv(service: Service, given: dict[str, str], caller: Caller | None) -> Response:
    """Everyone who may, as CSV; raises as the twin does."""
    check_model(service)
    loaded = service.in_force_now().policy
    policy = loaded.compiled.policy
    moment = service.clock()
    question = _question(policy, given, caller, moment)
    # Written as a whole, so that a database that fails midway gives an error and not a list that looks complete.
    sheet = Sheet(
        f"who can {question.action} {question.resource_type}",
        (("domain", question.domain or ""), ("files", loaded.files_digest)),
        (),
        ("subject", "verdict", "reasons"),
        [
            (
                "",
                (
                    (one.subject, verdict_text(one), reasons_text(one))
                    for one in _answers(service, policy, question, moment, "")
                ),
            )
        ],
        lambda _: (),
    )
    return csv_answer(sheet, "who-can.csv")


def _question(policy: PolicySet, given: dict[str, str], caller: Caller | None, moment: datetime) -> Question:
    for name in ("action", "type"):
        if not given.get(name):
            raise empty_field(name)
    type_, action = given["type"], given["action"]
    declared = policy.resource_types.get(type_)
    if declared is None:
        raise ApiError(400, f'no policy file declares "{type_}"; {did_you_mean(type_, policy.resource_types)}'.rstrip("; "))
    if action not in declared.actions:
        raise ApiError(400, f'{type_} has no action "{action}"; {did_you_mean(action, declared.actions)}'.rstrip("; "))
    domain = read_domain(policy.roles, given.get("domain", ""))
    check_reach(caller, [domain])
    question = question_in(policy, type_, action, domain, asked_at(given_values("", {}), moment))
    if isinstance(question, BadDomain):
        raise ApiError(400, question.reason)
    check_reach(caller, [question.domain])
    return question


def _answers(service: Service, policy: PolicySet, question: Question, moment: datetime, after: str) -> Iterator[Found]:
    holders = holders_that_matter(policy.roles, question)
    held_by = people_who_hold(service.store.engine, holders, after, moment.timestamp())
    people = ((key, EffectiveRoles.of_held(policy.roles, held)) for key, held in held_by)
    resolved = service.in_force_now().resolved_roles
    resolved.refresh()
    stored = StoredOfSubjects(policy, resolved.stored)
    return who_can(policy.roles, question, stored.ahead(people), not after, stored.of)
