"""A key that the file schema declares and no reader reads is refused where a policy uses it, and found here where none does."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import get_args

import pytest
from policy_sets import ROOT

from klausel.core.loading import features, file_schema
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import GRANT, INVARIANT, OneText, Table
from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.policy.invariant import Kind
from klausel.core.policy.policy_set import Effect
from klausel.core.text.yaml_nodes import Fields
from klausel.storage.policy_files.folder import read_files

TABLES = {name: value for name, value in vars(file_schema).items() if isinstance(value, Table)}
THINGS = b"invariants:\n  - separate: [{to: edit, resource: billing}, {to: delete, resource: account}]\n"
IN_A_PLACE = (
    b"levels: {a: {constant: x}, b: {named_by: b}}\nroles: {r: {level: a, contains: {q: {in: x/y}}}, q: {level: b}}\n"
)
TOGETHER = b"grants:\n  - {allow: {all: [lead, any agent]}, to: edit, resource: quiz, in: acme}\n"
PROVISIONING = b"subject_from: email\nsubject_type: user\nleavers_lose: everything\ngroups: {A: {acme: user}}\n"
NO_PROPERTIES = b"subject:\nstored: {subjects: user, resources: quiz}\n"
FEW = b"""
description: Always there.
subjects: [{type: user, id: ann, properties: {}}]
resources: [{type: quiz, id: one, in: acme, properties: {}}]
"""
KINDS = b"""
people: {ann: {roles: {acme: user}}}
resources: {own: {type: billing, in: acme}}
tests:
  - {name: who, who_can: view, resource: own, answer: []}
  - {name: what, what_can: ann, resource: own, answer: []}
"""


def load(**further: bytes) -> LoadResult:
    """The shipped policies with these files instead of, or beside, their own."""
    files, problems = read_files(ROOT / "policies", ROOT / "model.conf")
    assert not problems
    named = {name.replace("__", "/") + ".yaml": text for name, text in further.items()}
    kept = [file for file in files if file.name not in ("model.conf", *named)]
    return load_policy([*kept, *(SourceFile(name, name, text) for name, text in named.items())])


def unread_keys() -> dict[str, set[str]]:
    """By table: the keys that no reader asked for while the shipped policies, and files with what they lack, were loaded."""
    claimed: list[tuple[Fields, tuple[str, ...]]] = []
    claim = ProblemList.claim

    def noting_claim(self: ProblemList, fields: Fields, known: Collection[str]) -> None:
        claimed.append((fields, tuple(known)))
        claim(self, fields, known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProblemList, "claim", noting_claim)
        load()
        load_policy([SourceFile("roles.yaml", "roles.yaml", IN_A_PLACE)])
        load(invariants=THINGS, features__together=TOGETHER, tests__kinds_test=KINDS, properties=NO_PROPERTIES, entities=FEW)
        load(provisioning=PROVISIONING)
    read: dict[str, set[str]] = defaultdict(set)
    for fields, known in claimed:
        for name, table in TABLES.items():
            if set(known) <= set(table.names):
                read[name] |= fields.asked
    missing = {name: set(table.names) - read[name] for name, table in TABLES.items()}
    return {name: keys for name, keys in missing.items() if keys}


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Declares one more key of a grant, and nothing else: the half-made change."""

    def declare(name: str, one_of: tuple[str, ...] = ()) -> None:
        keys = (*GRANT.keys, file_schema.Key(name, OneText(), "Only until then."))
        grown = dataclasses.replace(GRANT, keys=keys, one_of=(*GRANT.one_of, *one_of))
        monkeypatch.setitem(TABLES, "GRANT", grown)
        monkeypatch.setattr(features, "GRANT", grown)

    yield declare


def test_every_key_of_every_file_is_read() -> None:
    unread = unread_keys()
    assert not unread, f"declared in core/loading/file_schema.py and read by no module of core/loading: {unread}"


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_every_file_is_documented(table: str) -> None:
    manual = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    missing = [key for key in TABLES[table].names if not re.search(rf"\b{key}:|`{key}[:`]", manual)]
    assert not missing, f"docs/policies.md says nothing of the keys {missing} of {TABLES[table].what}"


def test_a_key_of_a_grant_that_is_declared_and_not_read_is_found(with_key: Callable[..., None]) -> None:
    with_key("expires")
    assert "expires" in unread_keys()["GRANT"]


def test_a_further_effect_that_nothing_reads_is_found_and_refused(with_key: Callable[..., None]) -> None:
    with_key("permit", one_of=("permit",))
    assert "permit" in unread_keys()["GRANT"]
    assert load(features__x=b"grants:\n  - {permit: lead, to: edit, resource: quiz}\n").policy is None


@pytest.mark.parametrize("group", [{"one_of": ("permit",)}, {"some_of": ("permit",)}])
def test_a_name_in_a_group_that_is_no_key_ends_the_import(group: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match='a grant: "permit" is asked for and no key; declare it among the keys'):
        Table("a grant", (file_schema.Key("allow", OneText(), "Who may."),), **group)


def test_a_name_that_a_key_needs_or_excludes_and_that_is_no_key_ends_the_import() -> None:
    for limits in ({"needs": ("permit",)}, {"excludes": ("permit",)}):
        with pytest.raises(ValueError, match='"permit" is asked for and no key'):
            Table("a grant", (file_schema.Key("allow", OneText(), "Who may.", **limits),))


def test_the_keys_of_which_there_is_one_are_those_that_readers_tell_apart() -> None:
    """A further effect, or kind of invariant, is in all three places: the group, the type, and the keys."""
    assert set(GRANT.one_of) == set(get_args(Effect)), "GRANT.one_of in file_schema.py, Effect in policy_set.py"
    assert set(INVARIANT.one_of) == set(get_args(Kind)), "INVARIANT.one_of in file_schema.py, Kind in policy/invariant.py"


def test_a_policy_that_uses_such_a_key_is_refused(with_key: Callable[..., None]) -> None:
    grant = b"grants:\n  - {allow: lead, to: edit, resource: quiz, expires: 2030-01-01}\n"
    assert [problem.id for problem in load(features__x=grant).problems] == ["unknown-key"]
    with_key("expires")
    result = load(features__x=grant)
    assert result.policy is None
    assert [(problem.id, problem.place.line, problem.place.column) for problem in result.problems] == [("unread-key", 2, 45)]


def test_beside_an_error_in_another_file_no_key_is_told_to_be_unread() -> None:
    broken = b"resource_types: {memo: {actions: [view]}}\ngrants:\n    to: view\n  - {allow: lead}\n"
    asked = KINDS.replace(b"type: billing", b"type: memo, undeclared: true")
    found = {problem.id for problem in load(features__memo=broken, tests__kinds_test=asked).problems}
    assert found == {"yaml-syntax"}


def test_what_is_read_refuses_nothing() -> None:
    assert load(invariants=THINGS, features__together=TOGETHER, tests__kinds_test=KINDS).policy is not None
