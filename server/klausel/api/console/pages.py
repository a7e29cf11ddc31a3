"""What every page of the console shares: templates that escape, headers that keep foreign code out, and its JSON twin."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from werkzeug.datastructures import Accept

from klausel.api.errors import ApiError
from klausel.api.http import json_answer
from klausel.api.shapes import Json
from klausel.core.analysis.table import Sheet, as_csv

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
LEAST_COMPRESSED = 1_000
"""The bytes from which on an answer is compressed."""
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


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
        return json_answer(page.twin, page.status, dict(HEADERS))
    return html_answer(page)


def html_answer(page: Page, headers: Mapping[str, str] | None = None) -> Response:
    """The page as HTML."""
    # Links are relative, so that they hold behind a proxy that adds a path.
    root = "console" if request.path == "/console" else "../console"
    html = _templates.get_template(page.template).render(page.shown, title=page.title, root=root, template=page.template)
    return Response(html, page.status, {**(headers or {}), **HEADERS}, mimetype="text/html")


def csv_answer(sheet: Sheet, name: str) -> Response:
    """A table as a CSV file to keep, under a name of ours."""
    text = "".join(f"{line}\n" for line in as_csv(sheet))
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, 200, {**HEADERS, **disposition}, content_type="text/csv; charset=utf-8")


def compressed(response: Response, accepted: Accept) -> Response:
    """The answer as gzip where that is accepted and worth it. No page holds a secret beside what its reader sent."""
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
