"""How tests ask for role assignments over HTTP."""

from __future__ import annotations

from urllib.parse import urlencode

from doors import ASSIGNMENTS, Answer, Door, Json


def row(subject: str, role: str, domain: str) -> Json:
    return {"subject": f"user:{subject}", "role": role, "domain": domain}


def show(service: Door, **parameters: object) -> Json:
    answer = service.get(f"{ASSIGNMENTS}?{urlencode(parameters)}")
    assert answer.status == 200, answer.body
    told: Json = answer.json
    return told


def rows_of(service: Door, **parameters: object) -> list[Json]:
    """All rows that fit, over all pages."""
    told = show(service, **parameters)
    rows: list[Json] = told["assignments"]
    while "next_cursor" in told:
        told = show(service, **parameters, cursor=told["next_cursor"])
        rows += told["assignments"]
    return rows


def remove(service: Door, subject: str, account: str) -> Answer:
    return service.ask("DELETE", f"{ASSIGNMENTS}?{urlencode({'subject': subject, 'account': account})}")
