"""Resources whose type or id has colons: asked on the command line, and as fresh as others where they are stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run
from policy_sets import MODEL

from klausel.app import create_service
from klausel.cli.decisions import resource_named
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.settings import Settings

RECORD = "urn:example:record"


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    folder = tmp_path / "own"
    (folder / "policies" / "features").mkdir(parents=True)
    (folder / "policies" / "roles.yaml").write_text("levels: {team: {named_by: team}}\nroles: {reader: {level: team}}\n")
    (folder / "policies" / "properties.yaml").write_text(f'stored: {{resources: "{RECORD}"}}\n')
    (folder / "policies" / "features" / "all.yaml").write_text(
        f'resource_types: {{"{RECORD}": {{actions: read}}}}\n'
        f'grants:\n  - {{allow: reader, to: read, resource: "{RECORD}", when: \'resource.id == "a:7" or resource.open\'}}\n'
    )
    (folder / "model.conf").write_text(MODEL)
    return ["--policies", str(folder / "policies"), "--model", str(folder / "model.conf")]


@pytest.mark.parametrize(("name", "code"), [(f"{RECORD}:a:7", 0), ("urn%3Aexample%3Arecord:a:7", 0), (f"{RECORD}:a", 3)])
def test_can_and_explain_ask_about_types_with_colons(paths: list[str], name: str, code: int) -> None:
    for command in ("can", "explain"):
        told = run(command, "--as", "reader@red", "read", name, *paths)
        assert told.exit_code == code, told.output


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("quiz", ("quiz", "")),
        ("quiz:a:b", ("quiz", "a:b")),
        ("urn:a", ("urn:a", "")),
        ("urn:a:1", ("urn:a", "1")),
        ("urn:a:b:1", ("urn:a:b", "1")),
        ("urn:ab:1", ("urn", "ab:1")),
        ("other%3Atype", ("other:type", "")),
        ("other%3Atype:1", ("other:type", "1")),
    ],
)
def test_the_longest_declared_type_is_meant(written: str, found: tuple[str, str]) -> None:
    assert resource_named(["quiz", "urn:a", "urn:a:b"], written) == found


def test_a_change_of_what_is_stored_under_such_a_type_counts_at_once(paths: list[str], tmp_path: Path) -> None:
    service = create_service(Settings(policies=paths[1], model=paths[3], database=f"sqlite:///{tmp_path}/some.db"))
    policy = service.policy.compiled.policy
    service.store.write(policy.roles, [Assignment("user:ann", "reader", "red")], [])
    question = Request(Subject("user", "ann", {}), Action("read"), Resource(RECORD, "1", {}))
    for is_open in (True, False, True):
        service.entities.write(policy, [Entity("resource", RECORD, "1", "red", {"open": is_open})])
        assert service.decider()(question).allowed is is_open
    service.store.close()
