"""A key that the file schema declares and no reader reads would be accepted and mean nothing; it is found here."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from policy_sets import ROOT

from klausel.core.loading import file_schema, test_people
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import GRANT, OneText, Table
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.text.yaml_nodes import Fields, Node
from klausel.storage.policy_files.folder import read_files

TABLES = {name: value for name, value in vars(file_schema).items() if isinstance(value, Table)}
FOR_READERS_ALONE = {"description"}
THINGS = b"invariants:\n  - separate: [{to: edit, resource: billing}, {to: delete, resource: account}]\n"
IN_A_PLACE = (
    b"levels: {a: {constant: x}, b: {named_by: b}}\nroles: {r: {level: a, contains: {q: {in: x/y}}}, q: {level: b}}\n"
)
TOGETHER = b"grants:\n  - {allow: {all: [lead, any agent]}, to: take, resource: quiz}\n"


def unread_keys() -> dict[str, set[str]]:
    """By table: the keys that no reader asked for while the shipped policies and their tests were loaded.

    The keys of which one must be there are told by going through the entries, and count as read.
    """
    seen: list[tuple[Fields, tuple[str, ...]]] = []
    asked: dict[int, set[str]] = defaultdict(set)
    get, check_keys, read_properties = Fields.get, ProblemList.check_keys, test_people.read_properties

    def noting_get(self: Fields, key: str) -> Node | None:
        asked[id(self)].add(key)
        return get(self, key)

    def noting_check(self: ProblemList, fields: Fields, known: Collection[str], what: str) -> set[str]:
        seen.append((fields, tuple(known)))
        return check_keys(self, fields, known, what)

    def noting_properties(fields: Fields, problems: ProblemList, known: Collection[str]) -> Any:
        seen.append((fields, tuple(known)))
        return read_properties(fields, problems, known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fields, "get", noting_get)
        patch.setattr(ProblemList, "check_keys", noting_check)
        patch.setattr(test_people, "read_properties", noting_properties)
        files, problems = read_files(ROOT / "policies", ROOT / "model.conf")
        assert not problems
        load_policy(file for file in files if file.name != "model.conf")
        kept = [file for file in files if file.name not in ("model.conf", "invariants.yaml")]
        load_policy([SourceFile("roles.yaml", "roles.yaml", IN_A_PLACE)])
        further = {"invariants.yaml": THINGS, "features/together.yaml": TOGETHER}
        load_policy([*kept, *(SourceFile(name, name, content) for name, content in further.items())])
    read: dict[str, set[str]] = defaultdict(set)
    for fields, known in seen:
        for name, table in TABLES.items():
            if set(known) <= set(table.names):
                read[name] |= asked[id(fields)]
    return {
        name: set(table.names) - read[name] - set(table.one_of) - FOR_READERS_ALONE
        for name, table in TABLES.items()
        if set(table.names) - read[name] - set(table.one_of) - FOR_READERS_ALONE
    }


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Declares one more key of a grant, and nothing else: the half-made change."""

    def declare(name: str) -> None:
        keys = (*GRANT.keys, file_schema.Key(name, OneText(), "Only until then."))
        grown = dataclasses.replace(GRANT, keys=keys)
        monkeypatch.setitem(TABLES, "GRANT", grown)
        monkeypatch.setattr("klausel.core.loading.features.GRANT", grown)

    yield declare


def test_every_key_of_every_file_is_read() -> None:
    assert unread_keys() == {}


def test_a_key_of_a_grant_that_is_declared_and_not_read_is_found(with_key: Callable[[str], None]) -> None:
    with_key("expires")
    assert unread_keys() == {"GRANT": {"expires"}}
