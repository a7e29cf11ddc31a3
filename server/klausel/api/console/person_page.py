"""The pages of people: finding them, and one person or group, with what it holds, what is wrong, what changed, and its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlencode

from flask import request

from klausel.api.access import person_in
from klausel.api.assignment_log import list_changes
from klausel.api.console.fields import read_domain, read_subject
from klausel.api.console.pages import Page
from klausel.api.shapes import Json
from klausel.core.analysis.findings import ENDING
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment, row_as_json
from klausel.core.policy.holding import Rows, gather_rows, held_at, rows_by_subject
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel, depth_of, rules_in_words
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_subject_key, split_subject_key
from klausel.service.decision_service import Service
from klausel.service.person_findings import findings_about
from klausel.service.role_giving import MayNotGive, OnBehalf
from klausel.service.sent_by_provider import sent_by_provider
from klausel.storage.assignments.people_of_roles import groups_there_are, subjects_beginning

VIEW = ("subject", "domain", "cursor", "done")
CHANGES_ON_A_PAGE = 20
SOON_SECONDS = 30 * 86_400
MOST_GROUPS_OFFERED = 100
MOST_ROWS = 200
"""The rows shown of one subject; more are listed by `GET /v1/assignments`."""
MOST_MEMBERS = 1_000
"""In a larger group it is not tried beforehand what a change would mean for its members; the write itself tells."""
OWN_ROLES = "Nobody gives themselves a role that they do not hold."
_Change = tuple[Sequence[Assignment], Sequence[Assignment]]
_NO_ENTRY = {"role": "", "group": "", "from": "", "until": "", "reason": "", "ticket": ""}
FIELDS = ("name", "after")
ON_A_PAGE = 50


def person_page(
    service: Service,
    given: dict[str, str],
    caller: Caller | None,
    faults: tuple[str, ...] = (),
    entered: dict[str, str] | None = None,
    status: int = 200,
) -> Page:
    """What is stored about one subject, as far as the caller reaches; raises `ApiError` (400) and `StorageError`.

    With the scope `assign` come the roles that can be given in a domain and the rows that can be taken away; of each that cannot,
    why. `faults` and what was `entered` are those of a form that was refused.
    """
    subject = given.get("subject", "")
    read_subject(subject)
    policy = service.policy.compiled.policy
    roles = policy.roles
    domain = read_domain(roles, given.get("domain", ""))
    now = service.store.clock()
    found = rows_by_subject(service.store.rows_with_groups(subject))
    own = sorted(found.get(subject, ()))
    told_rows = [row for row in own if is_told(row, caller)]
    rows = told_rows[:MOST_ROWS]
    gathered = gather_rows(subject, own, found)
    person = person_in(request.environ)
    may_write = caller is not None and ("assign" in caller.scopes or (person and "assign_on_behalf" in caller.scopes))
    tries = _tries(service, subject, person)
    offers = _offers(roles, subject, domain, caller, tries) if may_write else []
    held = held_at(subject, gathered, now)
    ways = {pair: held.ways[pair].groups for pair in held.pairs if pair in held.ways and held.ways[pair].groups}
    offered = groups_there_are(service.store.engine, MOST_GROUPS_OFFERED) if may_write else []
    groups = {row.role for row in rows if not row.domain}.union(offered, *ways.values())
    provided = sent_by_provider(service.store.engine, {subject, *groups}, subject)
    kept = [""] * len(rows)
    if may_write:
        tried = tries([((), [row]) for row in rows])
        kept = [provided.why_not_taken(row) or why for row, why in zip(rows, tried, strict=True)]
    findings = list(_findings(service, policy, now, own, gathered, caller)) if own else []
    changes = _changes(service, subject, given.get("cursor"), caller)
    twin: Json = {
        "subject": subject,
        "from_provider": bool(provided.are([subject], None if caller is None else caller.accounts)),
        "rows": [
            {
                **row_as_json(row),
                **({"from_provider": True} if provided.decides(row) else {}),
                **({"taken_away": not why, **({"why": why} if why else {})} if may_write else {}),
            }
            for row, why in zip(rows, kept, strict=True)
        ],
        "through_groups": [
            {"role": role, "domain": where, "through": list(way), **_provided(provided.are(way))}
            for (role, where), way in ways.items()
            if caller is None or caller.reaches(where)
        ],
        "findings": findings,
        "changes": changes.get("changes"),
        "next_cursor": changes.get("next_cursor"),
        "domain": domain,
        "offers": offers,
        "rules": [*rules_in_words(roles), *([OWN_ROLES] if person else [])],
    }
    query = {"subject": subject, **({"domain": domain} if domain else {})}
    shown = {
        "told": twin,
        "provided": provided,
        "rows": list(zip(rows, kept, strict=True)),
        "more": len(told_rows) - len(rows),
        "ending": [one for one in findings if one["kind"] == ENDING],
        "others": [one for one in findings if one["kind"] != ENDING],
        "may_write": may_write,
        "is_asked": caller is not None,
        "is_limited": caller is not None and caller.accounts is not None,
        "knows_log": caller is None or "audit" in caller.scopes,
        "groups": [one for one in offered if not provided.are([one])],
        "provided_groups": provided.are(offered),
        "places": sorted({row.domain for row in rows if row.domain}),
        "entered": {**_NO_ENTRY, **(entered or {})},
        "given": {"domain": given.get("domain", "")},
        "done": given.get("done") if given.get("done") in ("granted", "revoked") else None,
        "faults": faults,
        "older": urlencode({**query, "cursor": twin["next_cursor"]}) if twin["next_cursor"] else None,
        "forms": [level.name for level in roles.levels if level.constant is None],
        "matrix": urlencode(query) if domain else None,
    }
    return Page("person.html", subject, shown, twin, status)


def _provided(groups: list[str]) -> dict[str, list[str]]:
    return {"from_provider": groups} if groups else {}


def is_told(row: Assignment, caller: Caller | None) -> bool:
    """Whether a caller is told of a row: who is limited to accounts learns of no group, which may reach beyond them."""
    return caller is None or caller.accounts is None or (bool(row.domain) and caller.reaches(row.domain))


def _tries(service: Service, subject: str, person: str | None) -> Callable[[Sequence[_Change]], list[str]]:
    """What tells why changes of a subject would be refused, on behalf of the person who looks, where that is known."""
    compiled = service.policy.compiled
    guard = None if person is None else OnBehalf(compiled, person)
    is_large = subject.startswith(GROUP_PREFIX) and (
        len(service.store.page(role=subject, domain="", limit=MOST_MEMBERS + 1).assignments) > MOST_MEMBERS
    )

    def tries(changes: Sequence[_Change]) -> list[str]:
        if is_large or not changes:
            return [""] * len(changes)
        return service.store.rehearse(compiled.policy.roles, changes, guard, MayNotGive)

    return tries


def _offers(
    roles: RoleModel,
    subject: str,
    domain: str | None,
    caller: Caller | None,
    tries: Callable[[Sequence[_Change]], list[str]],
) -> list[dict[str, object]]:
    """Every role, in the order of the file, and why it cannot be given to a subject in a domain, empty where it can."""
    if domain is None:
        return []
    names = list(roles.roles)
    if caller is not None and not caller.reaches(domain):
        told = [f"you may change roles in {', '.join(sorted(caller.accounts or ()))} alone"] * len(names)
    else:
        level = roles.level_at(depth_of(domain))
        fitting = [name for name in names if level is not None and roles.roles[name].level == level.name]
        refused = tries([([Assignment(subject, name, domain)], ()) for name in fitting])
        by_name = dict(zip(fitting, refused, strict=True))
        told = [by_name.get(name, f"it is of level {roles.roles[name].level}") for name in names]
    return [
        {"role": name, "level": roles.roles[name].level, "given": not why, **({"why": why} if why else {})}
        for name, why in zip(names, told, strict=True)
    ]


def _findings(
    service: Service, policy: PolicySet, now: float, own: list[Assignment], rows: Rows, caller: Caller | None
) -> Iterator[dict[str, object]]:
    accounts = [None] if caller is None or caller.accounts is None else sorted(caller.accounts)
    for account in accounts:
        for finding in findings_about(policy, service.store.engine, own, rows, now, SOON_SECONDS, account):
            if account is None or finding.domain is not None:
                yield finding._asdict()


def _changes(service: Service, subject: str, cursor: str | None, caller: Caller | None) -> Json:
    """The newest changes about a subject, as far as the caller may read the log of changes and reaches."""
    if caller is not None and "audit" not in caller.scopes:
        return {}
    asked = {"subject": subject, "limit": str(CHANGES_ON_A_PAGE), **({"cursor": cursor} if cursor else {})}
    answer = list_changes(service, asked, None)  # what the caller does not reach is left out below
    if caller is not None and caller.accounts is not None:
        told = [one for one in answer["changes"] if one.get("domain") and caller.reaches(one["domain"])]
        answer = {**answer, "changes": told}
    return answer


def people_page(service: Service, given: dict[str, str], caller: Caller | None) -> Page:
    """The subjects that hold something and whose name, or id, begins with `name`; raises `StorageError`.

    A caller that is limited to accounts finds those who have a role in them.
    """
    name, after = given.get("name", "").strip(), given.get("after", "")
    accounts = None if caller is None else caller.accounts
    found = subjects_beginning(service.store.engine, name, after, ON_A_PAGE + 1, accounts)
    people = found[:ON_A_PAGE]
    following = people[-1] if len(found) > ON_A_PAGE else None
    provided = sent_by_provider(service.store.engine, people).are(people, accounts)
    twin: Json = {"people": people, "from_provider": provided, "next": following}
    is_subject = split_subject_key(name) is not None and fault_in_subject_key(name) is None
    shown = {
        "given": {"name": name},
        "people": [(one, urlencode({"subject": one}), one in provided) for one in people],
        "first": urlencode({"name": name}) if after else None,
        "behind": None if following is None else urlencode({"name": name, "after": following}),
        "new": urlencode({"subject": name}) if is_subject and name not in people and not after else None,
    }
    return Page("people.html", "People", shown, twin)
