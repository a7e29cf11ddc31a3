"""Trying changes of role assignments without making them, and finding subjects, on every database."""

from __future__ import annotations

import time

from small_policies import load

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.storage.assignments.people_of_roles import groups_there_are, subjects_beginning
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore, SignIn

MODEL = load("").or_raise().roles
MEMBER = Assignment("user:ann", "member", "acme")
HEAD = Assignment("user:ann", "head", "acme/sales")


def test_what_is_tried_is_told_as_a_write_would_and_is_not_made(store: AssignmentStore) -> None:
    store.write(MODEL, [MEMBER], [])
    before = store.revision()
    told: list[object] = []
    store.add_listener(told.append)
    group = Assignment("user:ann", "group:desk", "")
    changes = [
        ([HEAD], []),
        ([HEAD._replace(subject="user:new")], []),
        ([Assignment("user:ann", "chief", "acme")], []),
        ([], [MEMBER]),
        ([group], []),
        ([HEAD], [MEMBER]),
    ]
    found = store.rehearse(MODEL, changes)
    assert [bool(why) for why in found] == [False, True, True, False, False, True]
    assert "without a role of level company in acme" in found[1]
    assert (store.revision(), store.page().assignments, told) == (before, (MEMBER,), [])
    # The locks are let go, and a write goes on as if nothing had been.
    store.write(MODEL, [HEAD], [])
    assert store.rehearse(MODEL, [([], [MEMBER])]) == [
        "user:ann would be head in acme/sales without a role of level company in acme"
    ]


def test_subjects_are_found_by_the_order_of_code_points(store: AssignmentStore) -> None:
    names = ["bot:zoe", "group:Z", "group:zoe", "user:Zoe", "user:zoe", "user:zoé", "user:zoe%", "user:zo_", "x y:zoe"]
    store.write(MODEL, [Assignment(name, "member", "acme" if name != "user:zoe%" else "other") for name in names], [])
    engine = store.engine
    assert subjects_beginning(engine, "", "", 99) == sorted(names)
    assert subjects_beginning(engine, "zoe", "", 99) == ["bot:zoe", "group:zoe", "user:zoe", "user:zoe%", "x y:zoe"]
    assert subjects_beginning(engine, "zoe", "group:zoe", 2) == ["user:zoe", "user:zoe%"]
    assert subjects_beginning(engine, "user:zo_", "", 99) == ["user:zo_"]
    assert subjects_beginning(engine, "zoe", "", 99, {"other"}) == ["user:zoe%"]
    assert (subjects_beginning(engine, "\0", "", 9), subjects_beginning(engine, "a", "\ud800", 9)) == ([], [])
    assert groups_there_are(engine, 9) == ["group:Z", "group:zoe"]


def test_sign_ins_are_kept_as_hashes_and_end(store: AssignmentStore) -> None:
    sessions, keys, now = SessionStore(store.engine), KeyStore(store.engine), time.time()
    keys.prepare()
    sessions.prepare()
    sessions.prepare()
    who = SignIn(Caller("oidc:ann", frozenset({"assign", "audit"}), frozenset({"acme", "b"})), "user:ann")
    token = sessions.begin(who, int(now) + 100)
    assert (sessions.find(token, now), sessions.find(token, now + 101), sessions.find("x", now)) == (who, None, None)
    id_, _ = keys.new(Caller("shop", frozenset({"audit"})), None)
    other = sessions.begin(SignIn(Caller("shop", frozenset({"assign"}))), int(now) + 100, id_)
    # What a key may do is what it may do now.
    assert sessions.find(other, now) == SignIn(Caller("shop", frozenset({"audit"})))
    keys.revoke(id_)
    assert sessions.find(other, now) is None
    sessions.end(token)
    sessions.end(token)
    assert sessions.find(token, now) is None
