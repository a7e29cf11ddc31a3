"""The guards for Django, put on wrongly, overridden and awaited: nothing passes or stays changed that nobody decided about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from doors import ROOT

PROJECT = ROOT / "tests" / "helpers" / "wrongly_guarded_django.py"
MINE, THEIRS = 1, 2
TAKEN = {"title": "taken", "workspace": "sales", "creator": "leo"}
UNDECIDED = "no decision was asked for here"
CASES: list[tuple[str, str, str | None, dict[str, str], int, str | None, int, str | None]] = [
    # (method, address, who, what is sent, status and text with the middleware, status and text without)
    ("GET", "/Methods/1", "leo", {}, 403, UNDECIDED, 500, None),
    ("GET", "/ByDispatch/1", "leo", {}, 200, "mine", 200, "mine"),
    ("GET", "/ByDispatch/2", "leo", {}, 403, None, 403, None),
    # A `get_object` of its own is asked about as well.
    ("GET", "/OwnDetail/1", "leo", {}, 200, "mine", 200, "mine"),
    ("GET", "/OwnDetail/2", "leo", {}, 403, None, 403, None),
    ("GET", "/OwnUpdate/2", "leo", {}, 403, None, 403, None),
    ("POST", "/OwnUpdate/2", "leo", TAKEN, 403, None, 403, None),
    ("POST", "/OwnDelete/2", "leo", {}, 403, None, 403, None),
    ("DELETE", "/OwnDelete/2", "leo", {}, 403, None, 403, None),
    ("POST", "/Update/2", "leo", TAKEN, 403, None, 403, None),
    ("POST", "/Update/1", "leo", {}, 200, None, 200, None),
    ("GET", "/OwnList/1", "leo", {}, 403, None, 403, None),
    ("GET", "/AsksByItself/1", "leo", {}, 200, None, 200, None),
    # View sets.
    ("GET", "/api/Plain/", "leo", {}, 200, '"mine"', 200, '"mine"'),
    ("GET", "/api/Plain/1/siblings/", "leo", {}, 200, '["mine"]', 200, '["mine"]'),
    ("GET", "/api/Plain/2/siblings/", "leo", {}, 403, None, 403, None),
    ("POST", "/api/Plain/2/rename/", "leo", {}, 403, None, 403, None),
    ("GET", "/api/Plain/all/", "leo", {}, 403, None, 403, None),
    ("GET", "/api/Plain/1/unnamed/", "leo", {}, 403, None, 403, None),
    ("GET", "/api/OtherPermissions/2/", "leo", {}, 403, None, 403, None),
    ("PATCH", "/api/OtherPermissions/2/", "leo", TAKEN, 403, None, 403, None),
    ("DELETE", "/api/OtherPermissions/2/", "leo", {}, 403, None, 403, None),
    ("GET", "/api/OtherPermissions/1/", None, {}, 403, None, 403, None),
    ("GET", "/api/OtherFinder/1/", "leo", {}, 200, '"mine"', 200, '"mine"'),
    ("GET", "/api/OtherFinder/2/", "leo", {}, 403, None, 403, None),
    ("PATCH", "/api/OtherFinder/2/", "leo", TAKEN, 403, None, 403, None),
    ("DELETE", "/api/OtherFinder/2/", "leo", {}, 403, None, 403, None),
    ("DELETE", "/api/OtherDestroyer/2/", "leo", {}, 403, None, 403, None),
    ("PATCH", "/api/OtherUpdater/2/", "leo", TAKEN, 403, None, 403, None),
    # The parts of the mixin alone ask where the middleware sees to it, and are refused elsewhere.
    ("GET", "/PermissionAlone/1", "leo", {}, 403, UNDECIDED, 403, "RefuseUndecided in MIDDLEWARE"),
    ("GET", "/FilterAlone/1", "leo", {}, 403, UNDECIDED, 403, "RefuseUndecided in MIDDLEWARE"),
]
CHANGES = [
    # Those that save: the same, and what is stored afterwards.
    ("POST", "/Update/1", "leo", {**TAKEN, "workspace": "support"}, 302, [[1, "taken", "support", "leo"]]),
    ("POST", "/AsksByItself/1", "leo", TAKEN, 302, [[1, "taken", "sales", "leo"]]),
    ("POST", "/AsksByItself/1", "leo", {**TAKEN, "creator": "sam"}, 403, []),
    ("POST", "/api/Plain/1/rename/", "leo", {}, 200, [[1, "renamed", "support", "leo"]]),
    ("PATCH", "/api/OtherUpdater/1/", "leo", TAKEN, 200, [[1, "taken", "sales", "leo"]]),
    ("DELETE", "/api/OtherDestroyer/1/", "leo", {}, 204, [[1, "gone"]]),
    ("DELETE", "/OwnDelete/1", "leo", {}, 302, [[1, "gone"]]),
]
SAVED_UNASKED = [
    # What a `form_valid` of its own saves without a question is saved, but no answer says that it was right.
    ("POST", "/SavesByItself/1", "stranger", {"title": "new", "workspace": "sales"}),
    ("POST", "/UpdatesByItself/1", "leo", {**TAKEN, "creator": "sam"}),
]
AWAITED = [
    ("/async_requires/1", "leo", 200, "mine"),
    ("/async_requires/2", "leo", 403, None),
    ("/async_requires/9", "leo", 404, None),
    ("/async_requires/1", None, 401, None),
    ("/async_finds/1", "leo", 200, "mine"),
    ("/async_finds/2", "leo", 403, None),
    ("/async_decides/1", "leo", 200, "['mine'] True"),
    ("/async_decides/2", "leo", 403, None),
    ("/async_forgets/1", "leo", 403, None),
    ("/async_public/1", None, 200, "open 1"),
    ("/AsyncClass/1", "leo", 200, "mine"),
    ("/AsyncClass/2", "leo", 403, None),
    ("/AsyncClass/1", None, 401, None),
    ("/AsyncForgets/1", "leo", 403, None),
    ("/ByDispatch/1", "leo", 200, "mine"),
    ("/ByDispatch/2", "leo", 403, None),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    asked: list[list[Any]] = [list(case[:4]) for case in (*CASES, *CHANGES, *SAVED_UNASKED)]
    asked += [["GET", address, who, {}, "awaited"] for address, who, *_ in (*AWAITED, ("/async_unguarded/1", "leo"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "server")}
    answer = subprocess.run(
        [sys.executable, "-W", "error", str(PROJECT), str(tmp_path_factory.mktemp("views"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def of(found: Any, *case: Any) -> tuple[list[Any], list[Any]]:
    both = found[json.dumps(list(case))]
    return both["watched"], both["alone"]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]} {case[1]} {case[2]}" for case in CASES])
def test_nothing_passes_that_nobody_decided_about(found: Any, case: Any) -> None:
    *asked, status, text, status_alone, text_alone = case
    for (told, body, changed), expected, says in zip(
        of(found, *asked), (status, status_alone), (text, text_alone), strict=True
    ):
        assert told == expected, body
        assert says is None or says in body
        assert "theirs" not in body
        assert changed == []


@pytest.mark.parametrize("case", CHANGES, ids=[f"{case[0]} {case[1]} {case[4]}" for case in CHANGES])
def test_what_is_saved_was_asked_about_before_and_after(found: Any, case: Any) -> None:
    *asked, status, changed = case
    for told, body, stored in of(found, *asked):
        assert (told, stored) == (status, changed), body


@pytest.mark.parametrize("case", SAVED_UNASKED, ids=[case[1] for case in SAVED_UNASKED])
def test_what_is_saved_without_a_question_is_refused(found: Any, case: Any) -> None:
    assert [told for told, *_ in of(found, *case)] == [403, 403]


@pytest.mark.parametrize("case", AWAITED, ids=[f"{case[0]} {case[1]}" for case in AWAITED])
def test_async_views_ask(found: Any, case: Any) -> None:
    address, who, status, text = case
    for told, body, _stored in of(found, "GET", address, who, {}, "awaited"):
        assert told == status, body
        assert text is None or body == text


def test_an_async_view_without_a_guard_is_refused_by_the_middleware(found: Any) -> None:
    (status, body, _), (alone, *_) = of(found, "GET", "/async_unguarded/1", "leo", {}, "awaited")
    assert (status, body, alone) == (403, UNDECIDED, 200)


def test_answers_out_of_caches_are_refused(found: Any) -> None:
    assert found["cache of a view"] == [200, 403]
    assert found["cache of the site"] == [200, 403]


def test_a_mixin_right_of_the_view_is_an_error(found: Any) -> None:
    told = found["errors"]
    assert told["list"].endswith("where it asks nobody; write class X(PermissionMixin, ListView)")
    for name in ("list", "through another", "rest", "creates"):
        assert "to the right of" in told[name], name
    assert "instead of AsyncKlausel" in told["awaited"]
    assert found["right orders"] == "fine"


def test_a_text_where_names_belong_is_an_error(found: Any) -> None:
    assert found["a text for a list"] == 500
