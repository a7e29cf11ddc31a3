"""The page on which people sign in by an API key, and signing out."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response, request

from klausel.api.access import SCOPES_OF_ROUTES
from klausel.api.console.cookies import MOST_FORM_BYTES, Cookies
from klausel.api.console.pages import HEADERS, PAGES, Page, html_answer, way_up
from klausel.api.errors import ApiError
from klausel.core.terms.caller import Caller
from klausel.service.authentication import Unauthenticated
from klausel.service.sign_in import SignIns

SIGN_IN = "console/sign-in"
_TITLE = "Sign in"
_FORM = "application/x-www-form-urlencoded"
_NOT_IN_AN_ADDRESS = re.compile(r"[\\\s\x00-\x20]")


class SignInPages:
    """Signing in and out, of one service that asks who calls."""

    def __init__(self, sign_ins: SignIns, cookies: Cookies, seconds: int, is_loopback: bool) -> None:
        self._sign_ins, self._cookies, self._seconds = sign_ins, cookies, seconds
        self._is_open_wire = not cookies.are_secure and not is_loopback

    def show(self, given: dict[str, str], fault: str | None = None, status: int = 200) -> Response:
        """The form, with what was wrong with the last try."""
        if fault is None and self._cookies.session is not None:
            fault = "Your sign-in has ended; sign in again."
        if self._is_open_wire:
            fault = (
                "A key must not be sent over a connection that others can read. Whoever runs this service gives it "
                "--tls-certificate, or --public-url with the https address of the proxy in front of it."
            )
        next_ = page_to_go_on(given.get("next", ""))
        shown = {"fault": fault, "next": next_, "takes_keys": not self._is_open_wire}
        return html_answer(Page("sign_in.html", _TITLE, shown, status=status))

    def sign_in(self) -> Response:
        """Signs in by the key in the form and goes on to the page that was wanted; else shows the form again."""
        fields = read_form("key", "next", "token")
        self._cookies.check_form(fields["token"])
        if self._is_open_wire:
            return self.show(fields, status=403)
        try:
            token, who = self._sign_ins.with_key(fields["key"].strip())
        except Unauthenticated as error:
            reason = str(error)
            return self.show(fields, f"{reason[:1].upper()}{reason[1:]}.", 403)
        return self.go_on(token, who.caller, fields["next"])

    def go_on(self, token: str, caller: Caller, wanted: str) -> Response:
        """Has the browser keep a new sign-in in place of the one before, and leads to a page that this person may see."""
        if self._cookies.session is not None:
            self._sign_ins.end(self._cookies.session)
        next_ = page_to_go_on(wanted) or _first_page(caller)
        response = _to(next_)
        self._cookies.keep_session(response, token, self._seconds)
        return response

    def sign_out(self) -> Response:
        """Ends the sign-in and leads to the form."""
        fields = read_form("token")
        self._cookies.check_form(fields["token"])
        if self._cookies.session is not None:
            self._sign_ins.end(self._cookies.session)
        response = _to(SIGN_IN)
        self._cookies.forget_session(response)
        return response


def read_form(*known: str) -> dict[str, str]:
    """The fields of the form that the current request sends, empty where one was not sent; raises `ApiError` (400, 413, 415)."""
    if request.mimetype != _FORM:
        raise ApiError(415, f"the body is no form; send it as {_FORM}")
    if (request.content_length or 0) > MOST_FORM_BYTES:
        raise ApiError(413, f"the form is larger than {MOST_FORM_BYTES} bytes")
    body = request.stream.read(MOST_FORM_BYTES + 1)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=len(known))
    except ValueError:
        raise ApiError(400, f"the form cannot be read; it has the fields {', '.join(known)} in UTF-8, each once") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in found:
            raise ApiError(400, f'the form has an unknown or repeated field "{name}"; it has {", ".join(known)}, each once')
        found[name] = value
    return {name: found.get(name, "") for name in known}


def page_to_go_on(address: str) -> str:
    """The page of the console that an address names, as its path and query from the root; empty for any other address."""
    parts = urlsplit(address) if not _NOT_IN_AN_ADDRESS.search(address) else None
    if parts is None or parts.scheme or parts.netloc or not address.isascii():
        return ""
    is_page = ("GET", f"/{parts.path}") in SCOPES_OF_ROUTES and parts.path.partition("/")[0] == "console"
    return address if is_page and parts.path != SIGN_IN else ""


def page_asked() -> str:
    """The address of the current request, as `page_to_go_on` reads it."""
    query = request.query_string.decode("ascii", "replace")
    return page_to_go_on(request.path.lstrip("/") + (f"?{query}" if query else ""))


def to_sign_in() -> Response:
    """Leads to the form, and from there on to the page that was asked for."""
    wanted = page_asked()
    return _to(SIGN_IN, wanted)


def _to(page: str, wanted: str = "") -> Response:
    address = way_up() + page + (f"?{urlencode({'next': wanted})}" if wanted and wanted != "console" else "")
    return Response(b"", 303, {**HEADERS, "Location": address})


def _first_page(caller: Caller) -> str:
    """The first page that a caller may see; the matrix where there is none, which says what it needs."""
    for page in PAGES:
        if not caller.scopes.isdisjoint(SCOPES_OF_ROUTES["GET", page.route]):
            return page.route.lstrip("/")
    return "console"
