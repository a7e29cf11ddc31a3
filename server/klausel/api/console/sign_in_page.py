"""The page on which people sign in, by an API key or by an OpenID provider, and signing out."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from flask import Response, request

from klausel.api.access import SCOPES_OF_ROUTES, too_many
from klausel.api.console.cookies import Cookies
from klausel.api.console.forms import read_form
from klausel.api.console.pages import HEADERS, PAGES, Page, html_answer, way_up
from klausel.api.errors import ApiError
from klausel.core.terms.caller import Caller
from klausel.service.authentication import TooManyRequests, Unauthenticated
from klausel.service.openid import OpenIdFault, OpenIdProvider, Pending
from klausel.service.sign_in import SignIns
from klausel.settings import Settings

SIGN_IN = "console/sign-in"
_TITLE = "Sign in"
_NOT_IN_AN_ADDRESS = re.compile(r"[\\\s\x00-\x20]")


class SignInPages:
    """Signing in and out, of one service that asks who calls."""

    def __init__(self, sign_ins: SignIns, provider: OpenIdProvider | None, cookies: Cookies, settings: Settings) -> None:
        self._sign_ins, self._provider, self._cookies = sign_ins, provider, cookies
        self._seconds = int(settings.session_hours * 3600)
        self._takes_keys = settings.takes_keys
        self._is_open_wire = not cookies.are_secure and not settings.is_loopback

    def show(self, given: dict[str, str], fault: str | None = None, status: int = 200) -> Response:
        """The form, with what was wrong with the last try."""
        if fault is None and self._cookies.session is not None and not self._is_in():
            fault = "Your sign-in has ended; sign in again."
        if self._is_open_wire:
            fault = (
                "A key must not be sent over a connection that others can read. Whoever runs this service gives it "
                "--tls-certificate, or --public-url with the https address of the proxy in front of it."
            )
        next_ = page_to_go_on(given.get("next", ""))
        shown = {
            "fault": fault,
            "next": next_,
            "takes_keys": self._takes_keys and not self._is_open_wire,
            "openid": urlencode({"next": next_}) if self._provider and not self._is_open_wire else None,
        }
        return html_answer(Page("sign_in.html", _TITLE, shown, status=status))

    def _is_in(self) -> bool:
        try:
            return bool(self._sign_ins.who(self._cookies.session or ""))
        except (Unauthenticated, TooManyRequests):
            return False

    def sign_in(self) -> Response:
        """Signs in by the key in the form and goes on to the page that was wanted; else shows the form again."""
        fields = read_form("key", "next", "token")
        self._cookies.check_form(fields["token"])
        if self._is_open_wire or not self._takes_keys:
            return self.show(fields, status=403)
        try:
            token, who = self._sign_ins.with_key(fields["key"].strip())
        except Unauthenticated as error:
            return self.show(fields, _sentence(error), 403)
        except TooManyRequests as error:
            raise too_many(error) from None
        return self.go_on(token, who.caller, fields["next"])

    def begin_openid(self, given: dict[str, str]) -> Response:
        """Leads to the provider, and has the browser keep what must come back from there."""
        if self._provider is None or self._is_open_wire:
            raise ApiError(404, "nobody signs in here by an OpenID provider")
        try:
            address, pending = self._provider.begin()
        except OpenIdFault as error:
            return self.show(given, _sentence(error), 503)
        response = Response(b"", 303, {**HEADERS, "Location": address})
        self._cookies.keep_pending(response, (*pending, page_to_go_on(given.get("next", ""))))
        return response

    def finish_openid(self) -> Response:
        """Signs in whom the provider sends back, and goes on; shows the form with the fault where it does not prove anybody."""
        kept = self._cookies.pending
        if self._provider is None or self._is_open_wire:
            raise ApiError(404, "nobody signs in here by an OpenID provider")
        if kept is None:
            fault = "This sign-in has taken too long, or began in another browser or at another address; sign in again."
            return self.show({}, fault, 403)
        *secrets, wanted = kept
        query = request.query_string.decode("ascii", "replace")
        try:
            who = self._provider.finish(Pending(*secrets), query)
        except OpenIdFault as error:
            response = self.show({"next": wanted}, _sentence(error), 403)
        else:
            response = self.go_on(self._sign_ins.with_proof(who), who.caller, wanted)
        self._cookies.forget_pending(response)
        return response

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


def _sentence(error: Exception) -> str:
    reason = str(error)
    return f"{reason[:1].upper()}{reason[1:]}."


def _first_page(caller: Caller) -> str:
    """The first page that a caller may see; the matrix where there is none, which says what it needs."""
    for page in PAGES:
        if not caller.scopes.isdisjoint(SCOPES_OF_ROUTES["GET", page.route]):
            return page.route.lstrip("/")
    return "console"
