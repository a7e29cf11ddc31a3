"""The style sheet and the scripts of the console."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response

from klausel.api.console.pages import HEADERS
from klausel.core.analysis.page_style import TOKENS
from klausel.core.pictures.svg import STYLE

CACHING = {"Cache-Control": "public, max-age=300"}
_SCRIPTS = {"console.js": "console.js", "playground.js": "playground.js", "editor.js": "vendor/editor.js"}


def asset_routes(blueprint: Blueprint) -> None:
    """Adds the routes of what every page fetches, and of what the playground alone does."""
    folder = files("klausel.api.console")
    style = TOKENS.encode() + folder.joinpath("style.css").read_bytes() + STYLE.encode()

    @blueprint.get("/console/style.css", provide_automatic_options=False)
    def show_style() -> Response:
        return Response(style, 200, {**HEADERS, **CACHING}, content_type="text/css; charset=utf-8")

    for name, path in _SCRIPTS.items():
        _script_route(blueprint, name, folder.joinpath(path).read_bytes())


def _script_route(blueprint: Blueprint, name: str, script: bytes) -> None:
    @blueprint.get(f"/console/{name}", endpoint=f"show_{name.replace('.', '_')}", provide_automatic_options=False)
    def show_script() -> Response:
        return Response(script, 200, {**HEADERS, **CACHING}, content_type="text/javascript; charset=utf-8")
