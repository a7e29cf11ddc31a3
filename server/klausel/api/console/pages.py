"""What every page of the console shares: templates that escape, headers that keep foreign code out, and its JSON twin."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Response, current_app, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from werkzeug.datastructures import Accept

from klausel.api.access import SCOPES_OF_ROUTES, caller_in
from klausel.api.console.cookies import Cookies, form_token
from klausel.api.errors import ApiError
from klausel.api.http import json_answer
from klausel.api.page_shapes import VERSION
from klausel.api.shapes import Json
from klausel.core.analysis.table import Sheet, as_csv
from klausel.core.terms.caller import Caller

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every page: nothing runs and nothing is fetched but what this service has, and no other page may frame it."""
FORMATS = ("html", "json")
COOKIES = "klausel.console.cookies"
"""Under which name the application keeps the cookies of its console."""
HAS_ONE_PAGE = "klausel.console.has_one_page"
"""Under which name it says that its console is one page alone, which leads to no others."""
LEAST_COMPRESSED = 1_000
"""The bytes from which on an answer is compressed."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z", re.ASCII)
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Link:
    """A page that all pages lead to: its template, its route, and the words of the link."""

    template: str
    route: str
    words: str


PAGES = (
    Link("matrix.html", "/console", "Matrix"),
    Link("roles.html", "/console/roles", "Roles"),
    Link("try.html", "/console/try", "Try it"),
    Link("who_can.html", "/console/who-can", "Who can"),
    Link("what_can.html", "/console/what-can", "What can"),
    Link("changes.html", "/console/changes", "Changes"),
    Link("playground.html", "/console/playground", "Playground"),
    Link("people.html", "/console/people", "People"),
    Link("decisions.html", "/console/decisions", "Decisions"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page to be written: its template and what that shows, the JSON twin, and the HTTP status."""

    template: str
    title: str
    shown: Mapping[str, object]
    twin: Json = field(default_factory=dict)
    status: int = 200


def visible(value: object) -> object:
    """A text with what does not show, or turns the text around it, written as ⟨U+202E⟩; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(_written(character) if unicodedata.category(character) in _HIDDEN else character for character in value)


def typed(value: str) -> Markup:
    """A text as the value of a field: as it was typed, apart from control characters, which no field can send."""
    return Markup.escape(
        "".join(
            _written(character) if unicodedata.category(character) == "Cc" and character not in "\n\r\t" else character
            for character in value
        )
    )


def _written(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def json_text(value: object) -> str:
    """A value that a condition read, as JSON; `nothing` where the request has none."""
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def short_time(value: object) -> object:
    """A time of a record to the second, as people read it; anything else as it is."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else f"{found[1]} {found[2]} UTC"


_templates = Environment(
    loader=PackageLoader("klausel.api.console"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=visible,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["typed"] = typed
_templates.filters["json_text"] = json_text
_templates.filters["short_time"] = short_time
_templates.filters["query"] = urlencode


def format_asked(*known: str) -> str:
    """The format that the current request asks for, the first one where it asks for none; raises `ApiError` (400)."""
    asked = request.args.get("format", known[0])
    if asked not in known:
        raise ApiError(400, f'there is no format "{asked}" here; there are {", ".join(known)}')
    return asked


def answer(page: Page) -> Response:
    """The page as HTML, or its twin where `?format=json` is asked for."""
    if request.args.get("format") == "json":
        return twin_answer(page.twin, page.status)
    return html_answer(page)


def twin_answer(twin: Json, status: int = 200) -> Response:
    """The JSON twin of a page, with the version of its form."""
    return json_answer({"version": VERSION, **twin}, status, dict(HEADERS))


def html_answer(page: Page, headers: Mapping[str, str] | None = None) -> Response:
    """The page as HTML."""
    cookies: Cookies = current_app.extensions[COOKIES]
    secret = cookies.form_secret()
    has_form = False

    def token() -> str:
        nonlocal has_form
        has_form = True
        return form_token(secret)

    caller = caller_in(request.environ)
    is_asked = "HTTP_AUTHORIZATION" not in request.environ
    html = _templates.get_template(page.template).render(
        page.shown,
        title=page.title,
        root=f"{way_up()}console",
        template=page.template,
        form_token=token,
        links=_links(caller, cookies.asks_who),
        signed_in=caller.name if caller is not None and is_asked else None,
    )
    response = Response(html, page.status, {**(headers or {}), **HEADERS}, mimetype="text/html")
    if has_form:
        cookies.keep_form_secret(response, secret)
    return response


def _links(caller: Caller | None, asks_who: bool) -> list[Link]:
    """The pages that a caller may see; all where nobody is asked who they are."""
    if caller is None:
        return [] if asks_who or HAS_ONE_PAGE in current_app.extensions else list(PAGES)
    return [one for one in PAGES if not caller.scopes.isdisjoint(SCOPES_OF_ROUTES["GET", one.route])]


def way_up() -> str:
    """The way from the address of the current request to the root: relative, so that it holds behind a proxy that adds a path."""
    return "../" * (request.path.count("/") - 1)


def pages_around(asked: Mapping[str, str], number: int, following: int | None) -> dict[str, str | None]:
    """The queries of the page before and the one behind, None where there is none."""
    before = urlencode({**asked, "page": number - 1}) if number > 1 else None
    return {"before": before, "behind": None if following is None else urlencode({**asked, "page": following})}


def csv_answer(sheet: Sheet, name: str) -> Response:
    """A table as a CSV file to keep, under a name of ours."""
    text = "".join(f"{line}\n" for line in as_csv(sheet))
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, 200, {**HEADERS, **disposition}, content_type="text/csv; charset=utf-8")


def compressed(response: Response, accepted: Accept) -> Response:
    """The answer as gzip where that is accepted and worth it. The tokens of forms are masked, so that lengths tell nothing."""
    response.headers["Vary"] = "Accept-Encoding"
    content = response.get_data()
    if accepted.quality("gzip") > 0 and len(content) >= LEAST_COMPRESSED:
        response.set_data(gzip.compress(content, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def error_answer(error: ApiError) -> Response:
    """An error as a page, or in the shape that all errors have where `?format=json` is asked for."""
    if request.args.get("format") == "json":
        return json_answer(error.body(), error.status, {**error.headers, **HEADERS})
    shown = {"status": error.status, "message": error.message}
    return html_answer(Page("error.html", f"Error {error.status}", shown, status=error.status), error.headers)
