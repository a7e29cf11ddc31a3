"""The page that finds people and groups by how their names begin."""

from __future__ import annotations

from urllib.parse import urlencode

from klausel.api.console.pages import Page
from klausel.api.shapes import Json
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_subject_key, split_subject_key
from klausel.service.decision_service import Service
from klausel.service.sent_by_provider import sent_by_provider
from klausel.storage.assignments.people_of_roles import subjects_beginning

FIELDS = ("name", "after")
ON_A_PAGE = 50


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
