"""Nobody raises themselves by a change that they ask for, whatever it is; on each database, judged by what is read afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_policies import compiled, load
from sqlalchemy import text

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.role_giving import RoleGiven, resource_of
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import held_at
from klausel.core.records.change_record import Origin
from klausel.service.role_giving import MayNotGive, OnBehalf, on_behalf_origin
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.schema import open_database

FEATURE = """
resource_types: {role_assignment: {actions: [grant, revoke]}}
grants: [{allow: anyone, to: [grant, revoke], resource: role_assignment}]
"""
COMPILED = compiled(load("", FEATURE).or_raise())
NOW = 1_800_000_000.0
TIMES = (None, "2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z")
MOMENTS = (NOW, 1_893_456_000.0, 1_893_456_001.0, 1_925_000_000.0, 4_000_000_000.0)

who = st.sampled_from(["user:max", "user:max", "user:eve", "group:a", "group:b", "group:c"])
roles_somewhere = st.one_of(
    st.sampled_from(
        [("owner", "acme"), ("member", "acme"), ("head", "acme/red"), ("worker", "acme/red"), ("worker", "acme/x")]
    ),
    st.sampled_from([("group:a", ""), ("group:b", ""), ("group:c", "")]),
)
rows = st.builds(
    lambda subject, pair, starts, ends: Assignment(subject, *pair, starts, ends),
    who,
    roles_somewhere,
    st.sampled_from((None, None, None, *TIMES[1:3])),
    st.sampled_from((None, None, None, *TIMES[2:])),
)
some = st.lists(rows, max_size=4, unique_by=lambda row: row.key)
few = st.lists(rows, min_size=1, max_size=2, unique_by=lambda row: row.key)
BASE = (Assignment("user:max", "member", "acme"), Assignment("user:eve", "owner", "acme"))


def names_of_max(store: AssignmentStore) -> list[dict[str, frozenset[str]]]:
    """All names that max holds in each domain, at some moments, by what is stored now."""
    found = store.reader.held_by("user:max")
    told = []
    for moment in MOMENTS:
        effective = EffectiveRoles.of_held(COMPILED.policy.roles, held_at("user:max", found, moment))
        told.append({domain: effective.roles_in(domain) for domain in ("acme", "acme/red", "acme/x", "acme/y")})
    return told


@pytest.fixture(scope="module")
def in_memory() -> Iterator[AssignmentStore]:
    opened = AssignmentStore(open_database("sqlite://"), clock=lambda: NOW)
    yield opened
    opened.close()


@settings(max_examples=100, deadline=None)
@given(stored=some, grant=few, takes=st.booleans())
def test_no_accepted_change_gives_its_person_a_role(
    in_memory: AssignmentStore, stored: list[Assignment], grant: list[Assignment], takes: bool
) -> None:
    store = in_memory
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM casbin_rule"))
        for row in {row.key: row for row in (*stored, *BASE)}.values():
            kind = "gm" if row.is_membership else "g" if row.starts is row.ends is None else "gt"
            connection.execute(
                text("INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4) VALUES (:kind, :a, :b, :c, :d, :e)"),
                dict(zip(("kind", "a", "b", "c", "d", "e"), (kind, *row), strict=True)),
            )
    before = names_of_max(store)
    try:
        granted = {row.key for row in grant}
        revoke = [row for row in stored[:1] if takes and row.key not in granted]
        store.write(COMPILED.policy.roles, grant, revoke, guard=OnBehalf(COMPILED, "user:max"))
    except (MayNotGive, ForbiddenState, InvalidAssignments):
        assert names_of_max(store) == before
        return
    for had, has in zip(before, names_of_max(store), strict=True):
        assert all(has[domain] <= had[domain] for domain in has)


def test_the_check_sees_what_is_stored_inside_the_transaction(store: AssignmentStore) -> None:
    roles = COMPILED.policy.roles
    store.write(roles, [Assignment("user:max", "member", "acme"), Assignment("group:a", "owner", "acme")], [])
    with pytest.raises(MayNotGive, match="user:max would get owner in acme"):
        store.write(roles, [Assignment("user:max", "group:a", "")], [], guard=OnBehalf(COMPILED, "user:max"))
    assert store.held_by("user:max") == (("member", "acme"),)
    rows = [Assignment("user:eve", "group:a", ""), Assignment("user:eve", "member", "acme")]
    store.import_rows(roles, rows, guard=OnBehalf(COMPILED, "user:max"))
    assert ("owner", "acme") in store.held_by("user:eve")


def test_a_row_is_asked_about_where_its_role_is_held() -> None:
    policy = COMPILED.policy
    resource = resource_of(policy, RoleGiven("grant", "user:eve", "head", "acme/red"))
    assert not isinstance(resource, str)
    assert resource.properties == {
        "role": "head",
        "level": "team",
        "company": "acme",
        "team": "red",
        "grantee_type": "user",
        "grantee_id": "eve",
    }
    assert "named_by" in str(resource_of(policy, RoleGiven("grant", "user:eve", "head", "acme/red/deeper")))


def test_the_log_names_nobody_else_than_the_person() -> None:
    origin = Origin(channel="cli", caller="root")
    assert on_behalf_origin(origin, "user:max") == replace(origin, by="user:max", channel="cli_on_behalf")
    with pytest.raises(ValueError, match="different people"):
        on_behalf_origin(replace(origin, by="cara"), "user:max")
