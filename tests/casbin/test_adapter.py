"""The adapter under a real pycasbin enforcer: what stock's adapter gets wrong, ours does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import casbin
import pytest
from sqlalchemy_adapter.adapter import Adapter, Filter
from storage_people import row

from klausel.casbin.adapter import KlauselAdapter
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.sql.database import StorageError

MODEL = """
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.obj == p.obj && r.act == p.act
"""
ADMIN = ["user:ann", "admin", "acme"]
USER = ["user:bo", "user", "acme"]
OTHER = ["user:cy", "user", "acme"]


@pytest.fixture
def enforcer(store: AssignmentStore, roles: RoleModel, tmp_path: Path) -> casbin.Enforcer:
    (tmp_path / "model.conf").write_text(MODEL)
    return casbin.Enforcer(str(tmp_path / "model.conf"), KlauselAdapter(store, roles))


def stored(store: AssignmentStore) -> list[list[str]]:
    return [list(one.key) for one in store.export_rows()]


def test_an_enforcer_decides_by_what_it_loads_and_adds(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    store.write(roles, [Assignment(*ADMIN)], [])
    enforcer.load_policy()
    enforcer.enable_auto_save(False)
    enforcer.add_policy("admin", "*", "account", "delete")
    enforcer.enable_auto_save(True)
    assert enforcer.enforce("user:ann", "acme", "account", "delete")
    assert not enforcer.enforce("user:ann", "beta", "account", "delete")
    assert enforcer.add_grouping_policy("user:cy", "admin", "acme")
    assert enforcer.enforce("user:cy", "acme", "account", "delete")
    assert stored(store) == [ADMIN, ["user:cy", "admin", "acme"]]


def test_fields_with_commas_quotes_brackets_and_remarks_are_loaded_as_they_are(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    strange = ["user:eve, admin, acme", 'user:"q"', "user:# x", "user:a]b(", "user: led ", "user:trail ", "user:[[["]
    wanted = sorted([subject, "admin", "acme, beta"] for subject in strange)
    store.write(roles, [Assignment(*one) for one in wanted], [])
    enforcer.load_policy()
    assert sorted(enforcer.get_grouping_policy()) == wanted


def test_a_subject_that_starts_with_a_remark_sign_does_not_vanish(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    enforcer.add_grouping_policies([["#kind:x", "admin", "acme"]])
    enforcer.load_policy()
    assert enforcer.get_grouping_policy() == [["#kind:x", "admin", "acme"]]


def test_several_rows_are_added_all_or_none(store: AssignmentStore, enforcer: casbin.Enforcer) -> None:
    with pytest.raises(InvalidAssignments):
        enforcer.add_grouping_policies([ADMIN, USER, ["user:cy", "no_such_role", "acme"]])
    assert store.is_empty()
    revision = store.revision()
    assert enforcer.add_grouping_policies([ADMIN, USER])
    assert int(store.revision().split("-")[1]) == int(revision.split("-")[1]) + 1


def test_a_row_that_another_process_added_meanwhile_is_no_error(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    store.write(roles, [Assignment(*ADMIN)], [])
    enforcer.add_grouping_policies([ADMIN, USER])
    assert enforcer.add_named_grouping_policy("g", *OTHER)
    assert stored(store) == [ADMIN, USER, OTHER]


def test_add_grouping_policies_ex_adds_what_is_missing(store: AssignmentStore, enforcer: casbin.Enforcer) -> None:
    enforcer.add_grouping_policy(*ADMIN)
    assert enforcer.add_named_grouping_policies_ex("g", [ADMIN, USER])
    assert stored(store) == [ADMIN, USER]


def test_removing_rows_takes_those_rows_and_not_their_cross_product(
    store: AssignmentStore, enforcer: casbin.Enforcer
) -> None:
    rows = [
        [subject, role, domain] for subject in ("user:ann", "user:bo") for role in ("admin", "user") for domain in ("a", "b")
    ]
    enforcer.add_grouping_policies(rows)
    assert enforcer.remove_grouping_policies([["user:ann", "admin", "a"], ["user:bo", "user", "b"]])
    assert len(stored(store)) == 6


def test_removing_says_whether_the_row_was_there(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    enforcer.add_grouping_policies([ADMIN, USER])
    assert enforcer.remove_grouping_policy(*USER)
    assert not enforcer.remove_grouping_policy(*USER)
    adapter = KlauselAdapter(store, roles)
    assert not adapter.remove_policy("g", "g", USER)
    assert stored(store) == [ADMIN]


def test_removing_by_a_filter_takes_only_what_fits(store: AssignmentStore, enforcer: casbin.Enforcer) -> None:
    enforcer.add_grouping_policies([ADMIN, USER, OTHER, ["user:bo", "admin", "beta"]])
    assert enforcer.remove_filtered_grouping_policy(0, "user:bo", "", "acme")
    assert stored(store) == [ADMIN, ["user:bo", "admin", "beta"], OTHER]
    assert enforcer.remove_filtered_grouping_policy(2, "beta")
    assert stored(store) == [ADMIN, OTHER]


def test_a_filter_without_values_removes_nobody(store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer) -> None:
    enforcer.add_grouping_policies([ADMIN, USER])
    for values in ((), ("",), ("", "", "")):
        with pytest.raises(StorageError, match="every role assignment"):
            KlauselAdapter(store, roles).remove_filtered_policy("g", "g", 0, *values)
    assert not KlauselAdapter(store, roles).remove_filtered_policy("g", "g", 3, "x")
    assert stored(store) == [ADMIN, USER]


def test_saving_wipes_nothing(store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer) -> None:
    store.write(roles, [Assignment(*ADMIN)], [])
    with pytest.raises(StorageError, match="would replace all"):
        enforcer.save_policy()
    assert stored(store) == [ADMIN]


def test_rows_are_changed_in_one_write_under_the_rules(store: AssignmentStore, roles: RoleModel) -> None:
    adapter = KlauselAdapter(store, roles)
    adapter.add_policies("g", "g", [ADMIN, USER])
    adapter.update_policy("g", "g", USER, OTHER)
    assert stored(store) == [ADMIN, OTHER]
    adapter.update_policies("g", "g", [ADMIN, OTHER], [["user:dee", "admin", "acme"], USER])
    assert stored(store) == [USER, ["user:dee", "admin", "acme"]]
    with pytest.raises(ForbiddenState):
        adapter.update_policy("g", "g", ["user:dee", "admin", "acme"], ["user:dee", "user", "acme"])
    assert stored(store) == [USER, ["user:dee", "admin", "acme"]]


def test_a_row_that_is_not_stored_cannot_be_changed(store: AssignmentStore, roles: RoleModel) -> None:
    with pytest.raises(StorageError, match="not stored"):
        KlauselAdapter(store, roles).update_policy("g", "g", USER, ADMIN)
    assert store.is_empty()


def test_a_filter_replaces_rows_in_one_write(store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer) -> None:
    enforcer.add_grouping_policies([ADMIN, USER, OTHER])
    old = KlauselAdapter(store, roles).update_filtered_policies("g", "g", [["user:dee", "user", "acme"]], 1, "user")
    assert sorted(old) == [USER, OTHER]
    assert stored(store) == [ADMIN, ["user:dee", "user", "acme"]]


def test_the_rules_hold_for_changes_through_an_enforcer(store: AssignmentStore, enforcer: casbin.Enforcer) -> None:
    enforcer.add_grouping_policies([ADMIN, USER])
    with pytest.raises(ForbiddenState):
        enforcer.add_grouping_policy("user:cy", "lead", "acme/support")
    with pytest.raises(ForbiddenState):
        enforcer.remove_grouping_policy(*ADMIN)
    assert stored(store) == [ADMIN, USER]


def test_policies_are_files_and_not_stored(store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer) -> None:
    with pytest.raises(StorageError, match="policies are files"):
        enforcer.add_policy("admin", "*", "account", "delete")
    adapter = KlauselAdapter(store, roles)
    with pytest.raises(StorageError, match="3 fields"):
        adapter.add_policy("g", "g", ["user:ann", "admin"])
    with pytest.raises(StorageError, match="policies are files"):
        adapter.remove_filtered_policy("p", "p", 0, "admin")
    assert store.is_empty()


def test_a_filtered_load_loads_what_fits(
    store: AssignmentStore, enforcer: casbin.Enforcer, put_behind_the_back: Callable[..., None]
) -> None:
    put_behind_the_back(row("ann, x", "admin", "acme"), row("bo", "user", "acme"), row("bo", "user", "beta"))
    wanted = Filter()
    wanted.ptype = ["g"]
    wanted.v2 = ["acme"]
    enforcer.load_filtered_policy(wanted)
    assert sorted(enforcer.get_grouping_policy()) == [["user:ann, x", "admin", "acme"], ["user:bo", "user", "acme"]]
    assert enforcer.is_filtered()


def test_every_call_of_stocks_adapter_is_looked_at() -> None:
    from sqlalchemy_adapter import Adapter

    inherited = {"is_filtered", "filter_query"}
    for name in dir(Adapter):
        if not name.startswith("_") and callable(getattr(Adapter, name)) and name not in inherited:
            assert name in vars(KlauselAdapter), f"stock's {name} would be used as it is"


def test_a_casbin_enforcer_sees_no_role_that_ends_or_begins_and_no_member_of_a_group(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer, tmp_path: Path
) -> None:
    ends = Assignment("user:bo", "user", "acme", None, "2999-01-01T00:00:00Z")
    begins = Assignment("user:cy", "user", "acme", "2999-01-01T00:00:00Z")
    of_a_group = [Assignment("group:users", "user", "acme"), Assignment("user:dan", "group:users", "")]
    store.write(roles, [Assignment(*ADMIN), ends, begins, *of_a_group], [])
    seen = [ADMIN, ["group:users", "user", "acme"]]
    enforcer.load_policy()
    assert sorted(enforcer.get_grouping_policy()) == sorted(seen)
    # Stock's own adapter passes over rows of kinds that the model does not declare.
    stock = casbin.Enforcer(str(tmp_path / "model.conf"), Adapter(store.engine, create_table=False))
    assert sorted(stock.get_grouping_policy()) == sorted(seen)
    enforcer.load_filtered_policy(Filter())
    assert sorted(enforcer.get_grouping_policy()) == sorted(seen)


def test_to_add_a_role_through_casbin_that_has_an_end_makes_it_last(
    store: AssignmentStore, roles: RoleModel, enforcer: casbin.Enforcer
) -> None:
    store.write(roles, [Assignment(*ADMIN), Assignment(*USER, None, "2999-01-01T00:00:00Z")], [])
    enforcer.load_policy()
    assert not enforcer.has_grouping_policy(*USER)
    enforcer.add_grouping_policy(*USER)
    assert list(store.export_rows()) == [Assignment(*ADMIN), Assignment(*USER)]
