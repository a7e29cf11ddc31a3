"""The first page of a large policy set is small, and compressed for those who take that."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from console_pages import Browser
from doors import Doors
from small_policies import MODEL

FIRST_LOAD = ("/console", "/console/style.css", "/console/console.js")
MOST_BYTES = 100_000
ROLES = [f"role{number:02}" for number in range(30)]
TYPES = [f"type{number:02}" for number in range(50)]
ACTIONS = [f"action{number:02}" for number in range(20)]


@pytest.fixture
def large(tmp_path: Path, opened: Callable[..., Doors]) -> Browser:
    """1,000 actions by 30 roles, every second cell with a condition."""
    folder = tmp_path / "policies"
    (folder / "features").mkdir(parents=True)
    roles = "".join(f"  {name}: {{level: company}}\n" for name in ROLES)
    (folder / "roles.yaml").write_text(f"levels:\n  company: {{named_by: company}}\nroles:\n{roles}", encoding="utf-8")
    for place, type_ in enumerate(TYPES):
        lines = [f"resource_types:\n  {type_}: {{actions: [{', '.join(ACTIONS)}]}}\ngrants:\n"]
        lines += [
            f"  - {{allow: {role}, to: [{', '.join(ACTIONS[number % 2 :: 2])}], resource: {type_}, "
            f'when: resource.status == "open" and resource.amount < {place * 100 + number}}}\n'
            for number, role in enumerate(ROLES)
        ]
        (folder / "features" / f"{type_}.yaml").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "model.conf").write_text(MODEL, encoding="utf-8")
    return Browser(opened(policies=str(folder), model=str(tmp_path / "model.conf")).service)


def test_the_first_load_of_a_thousand_actions_by_thirty_roles_is_small(large: Browser) -> None:
    assert large.twin("/console")["count"] == 1000
    plain = [large.get(path) for path in FIRST_LOAD]
    packed = [large.get(path, headers={"Accept-Encoding": "gzip, br"}) for path in FIRST_LOAD]
    assert [gzip.decompress(one.body) for one in packed] == [one.body for one in plain]
    assert {one.headers["Content-Encoding"] for one in packed} == {"gzip"}
    assert sum(len(one.body) for one in packed) < MOST_BYTES
    assert all(int(one.headers["Content-Length"]) == len(one.body) for one in packed)


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "identity"])
def test_who_takes_no_gzip_gets_none(browser: Browser, accepted: str) -> None:
    answer = browser.get("/console", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert b"<!doctype html>" in answer.body
