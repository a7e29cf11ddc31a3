"""A path that is not written as a route is leads nowhere, so no other spelling passes a proxy in front that protects by path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from doors import ALLOWED, EVALUATION, Doors, HttpDoor
from werkzeug.test import EnvironBuilder, run_wsgi_app

from klausel.api.behind_proxy import BehindProxy
from klausel.app import create_flask_app

ODD_PATHS = [
    "//access/v1/evaluation",
    "///access/v1/evaluation",
    "/%2Faccess/v1/evaluation",
    "http://localhost//access/v1/evaluation",
    "/access//v1/evaluation",
    "/access/v1/evaluation/",
    "/access/v1/evaluation//",
    "/./access/v1/evaluation",
    "/access/./v1/evaluation",
    "/x/../access/v1/evaluation",
    "/%2e/access/v1/evaluation",
    "/x/%2e%2e/access/v1/evaluation",
    "/access/v1/evaluation;x",
    "/access;x/v1/evaluation",
    "/access\\v1\\evaluation",
    "/access%5Cv1%5Cevaluation",
    "/access/v1/evaluation%00",
    "/access/v1/evaluation%20",
    "/access/v1/evaluation%3F",
    "/access/v1/EVALUATION",
    "/Access/v1/evaluation",
    "/access%252Fv1%252Fevaluation",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_path_in_another_spelling_leads_nowhere(server: HttpDoor, path: str) -> None:
    assert server.ask("POST", path, json.dumps(ALLOWED).encode()).status == 404


@pytest.mark.parametrize(
    "path", ["//v1/policy", "///v1/policy", "//console", "//scim/v2/Users", "//healthz", "//openapi.json"]
)
def test_nor_does_it_for_any_other_route(server: HttpDoor, path: str) -> None:
    # Not as JSON everywhere: pages and provisioning have forms of their own.
    assert server._send("GET", path, b"", {"Host": "localhost"}).status == 404


def test_a_whole_address_as_target_is_the_path_in_it(server: HttpDoor) -> None:
    """As RFC 9112 asks; what is decoded in it is what is routed, as docs/operations.md tells those who filter by path."""
    for path in (f"http://localhost{EVALUATION}", "/access%2Fv1/evaluation", "/%61ccess/v1/evaluation"):
        assert server.ask("POST", path, json.dumps(ALLOWED).encode()).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/authz/v1/policy", 200),
        ("/authz//v1/policy", 404),
        ("//authz/v1/policy", 404),
        ("/authz/../v1/policy", 404),
        ("/authz/./v1/policy", 404),
        ("/authz/authz/v1/policy", 404),
    ],
)
def test_under_a_prefix_it_is_the_same(opened: Callable[..., Doors], path: str, status: int) -> None:
    doors = opened(path_prefix="/authz")
    environ: dict[str, Any] = EnvironBuilder("/", headers={"Host": "localhost"}).get_environ()
    environ["PATH_INFO"] = path
    told = run_wsgi_app(BehindProxy(create_flask_app(doors.service), "/authz", ()), environ, buffered=True)[1]
    assert told.startswith(str(status))
