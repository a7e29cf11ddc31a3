"""The page of one subject: the roles and groups it holds, through which and until when, and all it can do in a domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from flask import Response

from klausel.api.access import check_reach
from klausel.api.console.fields import empty_field, read_domain, read_page_number, read_subject
from klausel.api.console.pages import Page, csv_answer
from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.shapes import Json
from klausel.core.analysis.permission import given_values
from klausel.core.analysis.search import Found, what_can
from klausel.core.analysis.search_format import found_as_json, reasons_text, verdict_text
from klausel.core.analysis.table import Sheet
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explanation_format import way_as_json
from klausel.core.policy.assignment import row_as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request, asked_at
from klausel.service.decision_service import Service
from klausel.service.stored_properties import with_stored_subject

FIELDS = ("subject", "domain")
ACTIONS_ON_A_PAGE = 100
_TITLE = "What can"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is asked about, where (None: everywhere, for the roles alone), when, and what it holds then."""

    subject: str
    domain: str | None
    moment: datetime
    effective_roles: EffectiveRoles
    given: Request


def what_can_page(service: Service, given: dict[str, str], caller: Caller | None, is_twin: bool) -> Page:
    """The form, what the subject holds, and where a domain is named a page of what it can do there.

    The twin raises `ApiError` (400) where the page shows a fault. Both raise `ApiError` (403, 501), `PoliciesTooOld` and
    `StorageError`.
    """
    check_model(service)
    policy = service.in_force_now().policy.compiled.policy
    shown: Json = {"given": {name: given.get(name, "") for name in FIELDS}, "fault": None, "told": None}
    if not given and not is_twin:
        return Page("what_can.html", _TITLE, shown)
    try:
        number = read_page_number(given.get("page", ""))
        asked = _asked(service, policy, given, caller)
    except ApiError as error:
        if is_twin or error.status not in (400, 404):
            raise
        return Page("what_can.html", _TITLE, {**shown, "fault": error.message}, status=error.status)
    found: list[Found] = []
    following = None
    if asked.domain is not None:
        answers = islice(_answers(policy, asked), (number - 1) * ACTIONS_ON_A_PAGE, None)
        found = list(islice(answers, ACTIONS_ON_A_PAGE))
        following = number + 1 if next(answers, None) is not None else None
    holds = asked.effective_roles if asked.domain is None else asked.effective_roles.inside(asked.domain)
    twin = {
        "subject": asked.subject,
        "domain": asked.domain,
        "roles_held": [
            {"role": role, "domain": domain, **way_as_json(holds.way_to(role, domain))}
            for role, domain in sorted(holds.held, key=lambda pair: pair[::-1])
        ],
        "untimely": [
            {**row_as_json(one.row), "message": one.text(asked.moment.timestamp())}
            for one in holds.untimely
            # What groups there are says something of other accounts, too.
            if caller is None or caller.accounts is None or not one.row.is_membership
        ],
        "found": [found_as_json(one) for one in found],
        "next": following,
    }
    query = {name: given[name] for name in FIELDS if given.get(name)}
    shown |= {
        "told": twin,
        "rows": [(one.resource_type, one.action, one.domain, verdict_text(one), reasons_text(one)) for one in found],
        "first": urlencode(query),
        "before": urlencode({**query, "page": number - 1}) if number > 1 else None,
        "behind": None if following is None else urlencode({**query, "page": following}),
        "places": {
            domain: urlencode({"subject": asked.subject, "domain": domain})
            for domain in sorted({domain for _, domain in holds.held})
        },
    }
    return Page("what_can.html", _TITLE, shown, twin)


def what_can_csv(service: Service, given: dict[str, str], caller: Caller | None) -> Response:
    """All that the subject can do in the domain, as CSV; raises as the twin does, and where no domain is named."""
    check_model(service)
    loaded = service.in_force_now().policy
    asked = _asked(service, loaded.compiled.policy, given, caller)
    if asked.domain is None:
        raise empty_field("domain")
    rows = (
        (one.resource_type, one.action, one.domain or "", verdict_text(one), reasons_text(one))
        for one in _answers(loaded.compiled.policy, asked)
    )
    sheet = Sheet(
        f"what can {asked.subject}",
        (("domain", asked.domain), ("files", loaded.files_digest)),
        (),
        ("type", "action", "domain", "verdict", "reasons"),
        [("", rows)],
        lambda _: (),
    )
    return csv_answer(sheet, "what-can.csv")


def _asked(service: Service, policy: PolicySet, given: dict[str, str], caller: Caller | None) -> _Asked:
    read_subject(given.get("subject", ""))
    domain = read_domain(policy.roles, given.get("domain", ""))
    check_reach(caller, [domain])
    moment = service.clock()
    effective_roles = service.in_force_now().effective_roles_of(given["subject"], moment)
    stored = service.in_force_now().resolved_roles.stored
    known = with_stored_subject(policy, stored, given["subject"], asked_at(given_values("", {}), moment))
    return _Asked(given["subject"], domain, moment, effective_roles, known)


def _answers(policy: PolicySet, asked: _Asked) -> Iterator[Found]:
    return what_can(policy, asked.subject, asked.effective_roles, asked.domain, asked.given)
