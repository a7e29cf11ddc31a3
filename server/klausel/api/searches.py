"""Answering the searches of AuthZEN: which subjects, which resources, which actions; page by page.

A token holds how far its page came, signed together with the question, so that it fits no other one. That may be the id of
something that is no answer, so nobody else can read it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import NamedTuple

from sqlalchemy import Engine

from klausel.api.access import check_reach, check_reach_of_stored
from klausel.api.authzen_requests import request_of
from klausel.api.errors import ApiError
from klausel.api.questions import Open, check_model
from klausel.api.request_shapes import CURSOR, SEARCHES
from klausel.api.shapes import Json
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.service.decision_service import Service
from klausel.service.search_pages import SECONDS_A_PAGE, SECONDS_AT_ONCE
from klausel.service.searches import Search
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
_TOO_LONG = (
    "what can be among the answers is too much to look at in {:g} seconds; send page, such as an empty object, and follow "
    "page.next_token until it is empty"
)
_TOKEN = re.compile(CURSOR.pattern)
_MAC_BYTES = 16
_BLOCK_BYTES = 32


class _Page(NamedTuple):
    """What is asked for; `is_whole` where nothing is said of pages, so that whoever asks may not know of them."""

    limit: int
    token: str
    is_whole: bool


class Searches:
    """The three searches of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tokens = _Tokens(service.store.engine)

    def answer(self, open_: Open, body: Json, caller: Caller | None = None) -> Json:
        """The answer to a search for this part; raises `ApiError` (400, 403, 409, 501), `PoliciesTooOld` and `StorageError`."""
        check_model(self._service)
        read = SEARCHES[open_].read(body, "")
        question, page = request_of(read), _page_of(read.get("page"))
        after = self._tokens.read(open_, question, page.token) if page.token else ""
        search = Search(self._service, question, None if caller is None else caller.accounts)
        domains = search.domains(open_)
        check_reach_of_stored(caller, domains)
        check_reach(caller, domains)
        seconds = SECONDS_AT_ONCE if page.is_whole else SECONDS_A_PAGE
        found, behind, is_cut = search.page(open_, page.limit, after, min(page.limit + 1, MOST_AT_FIRST), seconds)
        if is_cut and page.is_whole:
            raise ApiError(503, _TOO_LONG.format(SECONDS_AT_ONCE))
        told: Json = {"next_token": "", "count": len(found)}
        if behind is not None:
            told["next_token"] = self._tokens.write(open_, question, behind)
        elif not page.token:
            told["total"] = len(found)
        type_ = question.subject.type if open_ == "subject" else question.resource.type
        results = [{"name": one} if open_ == "action" else {"type": type_, "id": one} for one in found]
        return {"page": told, "results": results}


def _page_of(page: Json | None) -> _Page:
    said = page or {}
    return _Page(min(said.get("limit", LARGEST_PAGE), LARGEST_PAGE), said.get("token", ""), page is None)


class _Tokens:
    """Writes and reads tokens, with the key of the database, which is read when it is first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._key: bytes | None = None

    def write(self, open_: Open, question: Request, last: str) -> str:
        """The token of the page behind an id or a name."""
        position = last.encode()
        mac = self._mac(open_, question, position)
        return base64.urlsafe_b64encode(mac + self._hidden(mac, position)).decode()

    def read(self, open_: Open, question: Request, token: str) -> str:
        """The id or name that the page begins behind; raises `ApiError` for what was not written for this question:
        409, and 400 where it is written as no token is.
        """
        try:
            found = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
            mac = found[:_MAC_BYTES]
            position = self._hidden(mac, found[_MAC_BYTES:])
            if hmac.compare_digest(mac, self._mac(open_, question, position)):
                return position.decode()
        except ValueError:
            pass
        raise ApiError(409 if _TOKEN.fullmatch(token) else 400, _TOKEN_FAULT)

    def _hidden(self, mac: bytes, position: bytes) -> bytes:
        """What is to be read with the key alone, or, of what was hidden so, what it was: no two share a MAC."""
        key = hmac.digest(self._page_key(), b"what a token hides", "sha256")
        blocks = range(-(-len(position) // _BLOCK_BYTES))
        stream = b"".join(hmac.digest(key, mac + number.to_bytes(4, "big"), "sha256") for number in blocks)
        return bytes(one ^ other for one, other in zip(position, stream, strict=False))

    def _page_key(self) -> bytes:
        if self._key is None:
            self._key = page_key(self._engine)
        return self._key

    def _mac(self, open_: Open, question: Request, position: bytes) -> bytes:
        asked = json.dumps([open_, *question], sort_keys=True, separators=(",", ":"), default=_sorted_set).encode()
        return hmac.digest(self._page_key(), hashlib.sha256(asked).digest() + position, "sha256")[:_MAC_BYTES]


def _sorted_set(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else dict(value)  # type: ignore[call-overload]
