"""Every key that a grant may have changes all that it should change, from decisions to what is said of the grant.

A new key needs an entry in `EXAMPLES` here: two grants that differ in this key alone, of which one allows `QUESTION`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from key_witnesses import DECIDES, HOLDS, IS_TOLD, Sides

from klausel.casbin_policies import rows
from klausel.core.analysis import decision_table
from klausel.core.decisions import explain
from klausel.core.loading import features, file_schema
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import GRANT, Key, OneText
from klausel.core.policy.policy_set import Grant
from klausel.core.terms.problem import PolicyError
from klausel.core.testing import mutants
from klausel.core.text.yaml_nodes import Fields

MAY_VIEW = {"allow": "lead", "to": "view", "resource": "page"}
DENIED = {"deny": "lead", "to": "view", "resource": "page"}
EXAMPLES = {
    "allow": Sides({**MAY_VIEW, "allow": "agent"}, MAY_VIEW),
    "deny": Sides({**DENIED, "deny": "agent"}, DENIED, ({**MAY_VIEW, "allow": "anyone"},)),
    "to": Sides({**MAY_VIEW, "to": "edit"}, MAY_VIEW),
    "resource": Sides({**MAY_VIEW, "resource": "note"}, MAY_VIEW),
    "when": Sides(MAY_VIEW, {**MAY_VIEW, "when": "resource.is_open == true"}),
    "from": Sides(MAY_VIEW, {**MAY_VIEW, "from": "2026-07-01T00:00:00Z"}),
    "until": Sides(MAY_VIEW, {**MAY_VIEW, "until": "2026-05-01T00:00:00Z"}),
    "in": Sides(MAY_VIEW, {**MAY_VIEW, "in": "acme/blue"}),
    "at_level": Sides(MAY_VIEW, {**MAY_VIEW, "at_level": "account"}),
}
PLACES = {"in", "at_level"}
REMARKS = {"because"}
"""Keys that are for people alone, and must change nothing."""
OF_EVERY_GRANT = {"allow", "deny", "to", "resource"}
"""Keys that no grant is without, so that none can be dropped; `HOLDS` ends with what is true of the others alone."""


def faults(keys: tuple[Key, ...], examples: Mapping[str, Sides]) -> Iterator[str]:
    """A sentence for whatever lacks: a key without an example, and all that does not follow one with an example."""
    for key in keys:
        is_remark = key.name in REMARKS
        if is_remark:
            sides = Sides(MAY_VIEW, {**MAY_VIEW, key.name: "somebody said so"})
        elif key.name in examples:
            sides = dataclasses.replace(examples[key.name])
        else:
            yield f'the grant key "{key.name}" has no example; add two grants that differ in it to EXAMPLES in {__file__}'
            continue
        for what, differs in {**DECIDES, **IS_TOLD}.items():
            if differs(sides) is (is_remark and what in DECIDES):
                says = "changes with it, and it is a remark" if is_remark else "stays the same with it and without"
                yield f'the grant key "{key.name}" is half made: {what} {says}'
        for what, is_so in HOLDS.items():
            if not (is_remark or (key.name in OF_EVERY_GRANT and what.startswith("dropping"))) and not is_true(is_so, sides):
                yield f'the grant key "{key.name}" is half made: it is not so that {what}'


def is_true(is_so: Callable[[Sides], bool], sides: Sides) -> bool:
    try:
        return is_so(sides)
    except PolicyError:
        return False


def test_every_key_of_a_grant_changes_all_that_it_should() -> None:
    found = list(faults(GRANT.keys, EXAMPLES))
    assert not found, "\n".join(found)


@pytest.fixture
def with_key_that_is_read(monkeypatch: pytest.MonkeyPatch) -> tuple[Key, ...]:
    """Declares a further key of a grant and reads it, and nothing else: the half-made change."""
    keys = (*GRANT.keys, Key("unless", OneText(), "Not when this holds."))
    monkeypatch.setattr(features, "GRANT", dataclasses.replace(GRANT, keys=keys))
    read_times = features.read_times

    def reading_more(fields: Fields, problems: ProblemList) -> Any:
        problems.text(fields.get("unless"), "unless")
        return read_times(fields, problems)

    monkeypatch.setattr(features, "read_times", reading_more)
    return keys


def test_a_key_that_is_read_and_has_no_example_is_found(with_key_that_is_read: tuple[Key, ...]) -> None:
    (fault,) = faults(with_key_that_is_read[-1:], EXAMPLES)
    assert fault.startswith('the grant key "unless" has no example; add two grants that differ in it to EXAMPLES')


def test_a_key_that_is_read_and_not_obeyed_is_found(with_key_that_is_read: tuple[Key, ...]) -> None:
    examples = {**EXAMPLES, "unless": Sides(MAY_VIEW, {**MAY_VIEW, "unless": "resource.is_open == false"})}
    found = "\n".join(faults(with_key_that_is_read[-1:], examples))
    for what in (*DECIDES, *IS_TOLD):
        assert f'the grant key "unless" is half made: {what} stays the same with it and without' in found


def left_out(monkeypatch: pytest.MonkeyPatch, where: object, name: str, instead: object) -> set[tuple[str, str]]:
    """The keys of places that are found to be half made, each with the file, when this stands for what obeys them there."""
    keys = tuple(key for key in GRANT.keys if key.name in PLACES)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, instead)
        return {(fault.split('"')[1], fault.split("(")[1].split(")")[0]) for fault in faults(keys, EXAMPLES)}


def test_a_key_that_one_room_leaves_out_is_found_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of = rows._rows_of

    def rows_without_scopes(grants: Iterable[Grant]) -> list[rows.Row]:
        return [row._replace(fields=(row.fields[0], "*", *row.fields[2:])) for row in rows_of(grants)]

    def every(file: str) -> set[tuple[str, str]]:
        return {(key, file) for key in PLACES}

    assert left_out(monkeypatch, rows, "_rows_of", rows_without_scopes) >= every("casbin_policies/rows.py")
    found = left_out(monkeypatch, decision_table, "covering_grants", lambda grants, asked, roles: tuple(grants))
    assert found >= every("core/analysis/decision_table.py")
    found = left_out(monkeypatch, Grant, "reach", property(lambda grant: grant.grantee))
    for file in (
        "core/testing/gate.py",
        "core/analysis/proved.py",
        "core/analysis/alike.py",
        "core/loading/feature_files.py",
    ):
        assert found >= every(file)
    found = left_out(monkeypatch, mutants, "_other_scopes", lambda scope, roles: iter(()))
    assert found == every("core/testing/mutants.py")
    found = left_out(monkeypatch, explain, "_lacks", lambda *_: iter(()))
    assert {file for _, file in found} == {"core/decisions/explain.py"}


def test_the_keys_here_are_those_of_the_file_schema() -> None:
    """An example of a key that is no more says nothing."""
    odd = sorted({*EXAMPLES, *REMARKS} ^ set(file_schema.GRANT.names))
    assert not odd, (
        f"EXAMPLES, or REMARKS for what decides nothing, has the keys of GRANT and no others: see {', '.join(odd)}"
    )
