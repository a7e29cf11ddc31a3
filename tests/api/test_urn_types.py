"""Types that are URNs or URLs, and actions of several words: declared, decided, searched, filtered and written as any other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from doors import ASSIGNMENTS, FILTER, PERMISSIONS, ROOT, SEARCHES, Door, Doors, Json

URN, URL, ACTION = "urn:example:ns:record", "https://example.com/types/file?v=1#x", "send by post"
ROBOT = "urn:example:robot"
FEATURES = f"""\
resource_types:
  {URN}: {{actions: [{ACTION}, tools/call]}}
  {URL}: {{actions: ["{ACTION}"]}}

grants:
  - {{allow: admin, to: {ACTION}, resource: {URN}}}
  - {{allow: admin, to: {ACTION}, resource: "{URL}"}}
  - {{allow: admin, to: tools/call, resource: {URN}, when: subject.type == "{ROBOT}" and resource.owner == subject.id}}
"""


@pytest.fixture
def door(opened: Callable[..., Doors], door_name: str, tmp_path: Path) -> Door:
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies, ignore=shutil.ignore_patterns("tests", "demo"))
    (policies / "features" / "urns.yaml").write_text(FEATURES)
    door = opened(policies=str(policies), model=str(ROOT / "model.conf")).named(door_name)
    assert door.post(ASSIGNMENTS, {"grant": [{"subject": KEY, "role": "admin", "domain": "acme"}]}).status == 200
    return door


KEY = "urn%3Aexample%3Arobot:r:1"


def asking(type_: str, action: str = ACTION, **properties: object) -> Json:
    return {
        "subject": {"type": ROBOT, "id": "r:1"},
        "action": {"name": action},
        "resource": {"type": type_, "id": "1", "properties": {"account": "acme", **properties}},
    }


def test_a_subject_whose_type_is_a_urn_has_its_roles(door: Door) -> None:
    for type_ in (URN, URL):
        assert door.allows(asking(type_))
        assert not door.allows({**asking(type_), "subject": {"type": "urn", "id": "example:robot:r:1"}})
    why = door.explain(asking(URN))
    assert why["decided_by"]["role_assignment"]["subject"] == KEY
    assert door.allows(asking(URN, "tools/call", owner="r:1"))
    assert not door.allows(asking(URN, "tools/call", owner="r:2"))


def test_it_is_found_and_its_lists_and_menus_are_told(door: Door) -> None:
    question = asking(URN)
    told = door.post(SEARCHES["subject"], {**question, "subject": {"type": ROBOT}}).json
    assert told["results"] == [{"type": ROBOT, "id": "r:1"}]
    assert door.post(SEARCHES["subject"], {**question, "subject": {"type": "urn"}}).json["results"] == []
    actions = door.post(SEARCHES["action"], {"subject": question["subject"], "resource": question["resource"]}).json
    assert actions["results"] == [{"name": ACTION}]
    menus = door.post(PERMISSIONS, {"subject": question["subject"], "resources": [question["resource"]]}).json
    assert menus["permissions"] == [{"actions": [ACTION]}]
    assert door.post(FILTER, {**question, "resource": {"type": URN}}).json["filter"] == "when"


@pytest.mark.parametrize("subject", ["urn/x:r", "a%3Ab%:r"])
def test_a_role_assignment_names_its_subject_in_one_way(door: Door, subject: str) -> None:
    answer = door.post(ASSIGNMENTS, {"grant": [{"subject": subject, "role": "admin", "domain": "acme"}]})
    assert (answer.status, "%3A and %2F" in answer.message) == (400, True)
