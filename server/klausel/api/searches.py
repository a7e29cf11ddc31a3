"""Answering the searches of AuthZEN: which subjects, which resources, which actions; page by page.

A token names the last answer of its page, signed together with the question, so that it fits no other one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import NamedTuple

from sqlalchemy import Engine

from klausel.api.access import check_reach, check_reach_of_stored
from klausel.api.authzen_requests import request_of
from klausel.api.errors import ApiError
from klausel.api.questions import Open, check_model
from klausel.api.request_shapes import SEARCHES
from klausel.api.shapes import Json
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.service.decision_service import Service
from klausel.service.searches import Search, page_of
from klausel.storage.sql.page_key import page_key

LARGEST_PAGE = 1000
"""How many answers a page has at most, and where none says how many it shall have."""
SEARCH_PATHS: dict[Open, str] = {
    "subject": "/access/v1/search/subject",
    "resource": "/access/v1/search/resource",
    "action": "/access/v1/search/action",
}
MOST_AT_FIRST = 200
"""Subjects that are read at once before the first of them is judged."""
_TOKEN_FAULT = "page.token is not one that was given for this question; start again without it"
_MAC_BYTES = 16


class _Page(NamedTuple):
    limit: int
    token: str


class Searches:
    """The three searches of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tokens = _Tokens(service.store.engine)

    def answer(self, open_: Open, body: Json, caller: Caller | None = None) -> Json:
        """The answer to a search for this part; raises `ApiError` (400, 403, 501), `PoliciesTooOld` and `StorageError`."""
        check_model(self._service)
        read = SEARCHES[open_].read(body, "")
        question, page = request_of(read), _page_of(read.get("page", {}))
        after = self._tokens.read(open_, question, page.token) if page.token else ""
        search = Search(self._service, question, None if caller is None else caller.accounts)
        domains = search.domains(open_)
        check_reach_of_stored(caller, domains)
        check_reach(caller, domains)
        if open_ == "action":
            names = list(search.actions())
            start = names.index(after) + 1 if after in names else 0
            found, has_more = names[start : start + page.limit], len(names) > start + page.limit
        else:
            some = min(page.limit + 1, MOST_AT_FIRST)
            answers = search.subjects(after, some) if open_ == "subject" else search.resources(after, some)
            found, has_more = page_of(answers, page.limit)
        told: Json = {"next_token": "", "count": len(found)}
        if has_more:
            told["next_token"] = self._tokens.write(open_, question, found[-1] if found else after)
        elif not page.token:
            told["total"] = len(found)
        type_ = question.subject.type if open_ == "subject" else question.resource.type
        results = [{"name": one} if open_ == "action" else {"type": type_, "id": one} for one in found]
        return {"page": told, "results": results}


def _page_of(page: Json) -> _Page:
    return _Page(min(page.get("limit", LARGEST_PAGE), LARGEST_PAGE), page.get("token", ""))


class _Tokens:
    """Writes and reads tokens, with the key of the database, which is read when it is first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._key: bytes | None = None

    def write(self, open_: Open, question: Request, last: str) -> str:
        """The token of the page behind an answer."""
        position = last.encode()
        return base64.urlsafe_b64encode(self._mac(open_, question, position) + position).decode()

    def read(self, open_: Open, question: Request, token: str) -> str:
        """The answer that the page begins behind; raises `ApiError` (400) for what was not written for this question."""
        try:
            found = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
            position = found[_MAC_BYTES:]
            if hmac.compare_digest(found[:_MAC_BYTES], self._mac(open_, question, position)):
                return position.decode()
        except ValueError:
            pass
        raise ApiError(400, _TOKEN_FAULT)

    def _mac(self, open_: Open, question: Request, position: bytes) -> bytes:
        if self._key is None:
            self._key = page_key(self._engine)
        asked = json.dumps([open_, *question], sort_keys=True, separators=(",", ":"), default=_sorted_set).encode()
        return hmac.digest(self._key, hashlib.sha256(asked).digest() + position, "sha256")[:_MAC_BYTES]


def _sorted_set(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else dict(value)  # type: ignore[call-overload]
