"""Made-up requests to every route, those of identity providers among them, end in no failure of the service.

`scripts/nightly` sends twenty thousand others.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from faults.fuzz import Maker, Service, fuzz, plain_environ
from faults.scim_requests import ScimRequests

REQUESTS = 250


def test_made_up_requests_to_every_route_fail_nowhere(tmp_path: Path, database_url: str) -> None:
    assert fuzz(tmp_path, database_url, range(REQUESTS)) == []


def test_made_up_requests_of_identity_providers_fail_nowhere(tmp_path: Path, database_url: str) -> None:
    assert fuzz(tmp_path, database_url, range(REQUESTS), under="/scim/v2") == []


def test_an_answer_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.api.console.routes.answer_of_error", lambda error: ("{}", error.status))
    service = Service(tmp_path, "sqlite://")
    environ = plain_environ("GET", "/scim/v2/Users/", "application/json", b"")
    assert service.ask(environ)[2] == "no error as SCIM has them: {}"
    assert service.close() == []


def test_the_same_number_makes_the_same_request() -> None:
    one, again = (Maker(7, ["key"], "a=b", "/scim/v2", ["1" * 32]).request() for _ in range(2))
    assert {name: one[name] for name in one if "wsgi." not in name} == {
        name: again[name] for name in again if "wsgi." not in name
    }
    assert one["wsgi.input"].getvalue() == again["wsgi.input"].getvalue()


def test_filters_of_many_kinds_are_made() -> None:
    requests = ScimRequests(random.Random(1), lambda: "odd", ["1" * 32])
    filters = [requests.filter() for _ in range(300)]
    for part in (" and ", "not (", "[", " eq ", " pr ", "odd"):
        assert any(part in one for one in filters)
