"""Every way of changing an enforcer reaches the next decision, as in stock."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import casbin
import pytest
from casbin.effect import DenyOverrideEffector, Effector
from casbin.persist.adapters import StringAdapter
from casbin.rbac import RoleManager
from casbin_models import ALLOW, EXAMPLES, Example

from klausel.casbin import CompiledEnforcer

Edit = Callable[[Any], Any]


def set_item(rows: list[Any], place: int, row: list[str]) -> None:
    rows[place] = row


def rows_of(enforcer: Any, kind: str = "p") -> Any:
    return enforcer.model["p" if kind.startswith("p") else "g"][kind].policy


def reload_other_rows(enforcer: Any) -> None:
    enforcer.set_adapter(StringAdapter("p, carol, data1, read\ng, bob, admin"))
    enforcer.load_policy()


def use_another_model(enforcer: Any) -> None:
    model = EXAMPLES["basic"].model()
    model.add_policy("p", "p", ["carol", "other", "write"])
    enforcer.set_model(model)


def change_the_matcher(enforcer: Any) -> None:
    enforcer.model["m"]["m"].value = "r_sub == p_sub"


def replace_a_definition(enforcer: Any) -> None:
    enforcer.model.add_def("m", "m", "r.act == p.act")


def use_functions(enforcer: Any) -> None:
    enforcer.model.add_def("m", "m", "isSame(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")
    enforcer.add_function("isSame", lambda left, right: left == right)


def replace_a_function(enforcer: Any) -> None:
    use_functions(enforcer)
    enforcer.enforce("alice", "data1", "read")
    enforcer.fm.add_function("isSame", lambda left, right: left != right)


EDITS: dict[str, Edit] = {
    "add_policy": lambda e: e.add_policy("carol", "data1", "read"),
    "add_policy of a row that is there": lambda e: e.add_policy("alice", "data1", "read"),
    "add_policies": lambda e: e.add_policies([["carol", "data1", "read"], ["carol", "data2", "write"]]),
    "add_policies_ex": lambda e: e.add_policies_ex([["alice", "data1", "read"], ["carol", "data2", "write"]]),
    "add_named_policy": lambda e: e.add_named_policy("p", "carol", "data1", "read"),
    "remove_policy": lambda e: e.remove_policy("alice", "data1", "read"),
    "remove_policies": lambda e: e.remove_policies([["alice", "data1", "read"], ["bob", "data2", "write"]]),
    "remove_filtered_policy": lambda e: e.remove_filtered_policy(1, "data2"),
    "update_policy": lambda e: e.update_policy(["alice", "data1", "read"], ["carol", "data1", "read"]),
    "update_policies": lambda e: e.update_policies([["alice", "data1", "read"]], [["carol", "data1", "write"]]),
    "update_filtered_policies": lambda e: e.update_filtered_policies([["carol", "data1", "write"]], 0, "alice"),
    "add_grouping_policy": lambda e: e.add_grouping_policy("bob", "admin"),
    "add_grouping_policies": lambda e: e.add_grouping_policies([["bob", "admin"], ["carol", "bob"]]),
    "add_grouping_policies_ex": lambda e: e.add_grouping_policies_ex([["alice", "admin"], ["carol", "bob"]]),
    "remove_grouping_policy": lambda e: e.remove_grouping_policy("alice", "admin"),
    "remove_grouping_policies": lambda e: e.remove_grouping_policies([["alice", "admin"]]),
    "remove_filtered_grouping_policy": lambda e: e.remove_filtered_grouping_policy(1, "admin"),
    "add_role_for_user": lambda e: e.add_role_for_user("carol", "admin"),
    "delete_role_for_user": lambda e: e.delete_role_for_user("alice", "admin"),
    "delete_roles_for_user": lambda e: e.delete_roles_for_user("alice"),
    "delete_user": lambda e: e.delete_user("alice"),
    "delete_role": lambda e: e.delete_role("admin"),
    "delete_permission": lambda e: e.delete_permission("data2", "write"),
    "add_permission_for_user": lambda e: e.add_permission_for_user("carol", "data1", "read"),
    "delete_permissions_for_user": lambda e: e.delete_permissions_for_user("admin"),
    "clear_policy": lambda e: e.clear_policy(),
    "load_policy": reload_other_rows,
    "build_role_links": lambda e: e.build_role_links(),
    "switching enforcement off": lambda e: e.enable_enforce(False),
    "switching enforcement off and on": lambda e: (e.enable_enforce(False), e.enforce("x"), e.enable_enforce(True)),
    "set_effector": lambda e: e.set_effector(DenyOverrideEffector()),
    "set_model": use_another_model,
    "a matching function": lambda e: e.add_named_matching_func("g", lambda one, two: one[:1] == two[:1]),
    "links by hand": lambda e: e.get_role_manager().add_link("carol", "admin"),
    "links away by hand": lambda e: e.get_role_manager().delete_link("alice", "admin"),
    "no links built": lambda e: (e.enable_auto_build_role_links(False), e.add_grouping_policy("bob", "admin")),
    "cleared links": lambda e: e.get_role_manager().clear(),
    "a shorter reach": lambda e: setattr(e.get_role_manager(), "max_hierarchy_level", 1),
    "model.add_policy": lambda e: e.model.add_policy("p", "p", ["carol", "data1", "read"]),
    "model.remove_policy": lambda e: e.model.remove_policy("p", "p", ["alice", "data1", "read"]),
    "model.clear_policy": lambda e: e.model.clear_policy(),
    "append to the rows": lambda e: rows_of(e).append(["carol", "data1", "read"]),
    "extend the rows": lambda e: rows_of(e).extend([["carol", "data1", "read"]]),
    "insert into the rows": lambda e: rows_of(e).insert(0, ["carol", "data1", "read"]),
    "replace a row": lambda e: set_item(rows_of(e), 0, ["carol", "data1", "read"]),
    "delete a row": lambda e: rows_of(e).pop(0),
    "sort the rows": lambda e: rows_of(e).sort(reverse=True),
    "assign rows": lambda e: setattr(e.model["p"]["p"], "policy", [["carol", "data1", "read"]]),
    "append to assigned rows": lambda e: (
        setattr(e.model["p"]["p"], "policy", []),
        rows_of(e).append(["carol", "data1", "read"]),
    ),
    "a matcher by hand": change_the_matcher,
    "a definition by hand": replace_a_definition,
    "a function": use_functions,
    "another function": replace_a_function,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edit_changes_the_next_decision_as_in_stock(edit: Edit) -> None:
    example = EXAMPLES["rbac"]
    stock, compiled = example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)
    for enforcer in (stock, compiled):
        enforcer.enable_auto_save(False)
    requests = example.requests()
    assert [compiled.enforce_ex(*request) for request in requests] == [stock.enforce_ex(*request) for request in requests]
    returned = [edit(enforcer) for enforcer in (stock, compiled)]
    assert returned[0] == returned[1]
    assert [compiled.enforce_ex(*request) for request in requests] == [stock.enforce_ex(*request) for request in requests]
    assert [compiled.enforce(*request) for request in requests] == [stock.enforce(*request) for request in requests]
    assert compiled.get_policy() == stock.get_policy()


def test_every_edit_but_the_harmless_ones_changes_some_answer() -> None:
    example = EXAMPLES["rbac"]
    harmless = {"add_policy of a row that is there", "build_role_links", "switching enforcement off and on", "sort the rows"}
    harmless |= {"no links built"}
    for name, edit in EDITS.items():
        compiled = example.enforcer(CompiledEnforcer)
        compiled.enable_auto_save(False)
        before = [compiled.enforce(*request) for request in example.requests()]
        edit(compiled)
        after = [compiled.enforce(*request) for request in example.requests()]
        assert (before == after) is (name in harmless), name


def test_domains_and_their_matching_functions_change_the_next_decision() -> None:
    example = EXAMPLES["rbac with domains"]
    stock, compiled = example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)
    edits: list[Edit] = [
        lambda e: e.add_role_for_user_in_domain("carol", "admin", "domain*"),
        lambda e: e.add_named_domain_matching_func("g", casbin.util.key_match),
        lambda e: e.delete_roles_for_user_in_domain("alice", "admin", "domain1"),
        lambda e: e.add_named_matching_func("g", casbin.util.key_match),
        lambda e: e.add_grouping_policy("a*", "admin", "domain2"),
    ]
    seen = []
    for edit in edits:
        for enforcer in (stock, compiled):
            enforcer.enable_auto_save(False)
            edit(enforcer)
        answers = [compiled.enforce_ex(*request) for request in example.requests()]
        assert answers == [stock.enforce_ex(*request) for request in example.requests()]
        seen.append(str(answers))
    assert len(set(seen)) == 4, "only the first edit changes nothing"


def test_a_role_manager_of_ones_own_is_asked() -> None:
    class Initials(RoleManager):
        def clear(self) -> None:
            pass

        def add_link(self, name1: str, name2: str, *domain: str) -> None:
            pass

        def has_link(self, name1: str, name2: str, *domain: str) -> bool:
            return name1[:1] == name2[:1]

        def print_roles(self) -> None:
            pass

    example = EXAMPLES["rbac"]
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = example.enforcer(kind)
        enforcer.set_role_manager(Initials())
        assert not enforcer.enforce("amy", "data1", "read"), "as in stock, the links must be built first"
        enforcer.build_role_links()
        assert enforcer.enforce("amy", "data1", "read")
        assert not enforcer.enforce("zoe", "data1", "read")
    assert [(role.function, role.way) for role in enforcer.plan().roles] == [("g", "live")]


def test_a_role_manager_may_say_that_the_subject_is_a_set_of_roles() -> None:
    class EffectiveRoles(RoleManager):
        has_link_is_membership = True

        def clear(self) -> None:
            pass

        def add_link(self, name1: str, name2: str, *domain: str) -> None:
            pass

        def has_link(self, name1: Any, name2: str, *domain: str) -> bool:
            return name2 in name1

        def print_roles(self) -> None:
            pass

    example = EXAMPLES["rbac"]
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = example.enforcer(kind)
        enforcer.set_role_manager(EffectiveRoles())
        enforcer.build_role_links()
        for roles in (frozenset({"alice", "x"}), {"alice"}, ["alice"], ("bob", "alice")):
            assert enforcer.enforce_ex(roles, "data1", "read") == (True, ["alice", "data1", "read"])
        assert not enforcer.enforce(frozenset({"bob"}), "data1", "read")
        with pytest.raises(TypeError):
            enforcer.enforce(7, "data1", "read")
    assert [(role.function, role.way) for role in enforcer.plan().roles] == [("g", "membership")]


def test_conditional_links_are_asked_at_each_decision() -> None:
    example = Example(
        "sub, obj",
        "sub, obj",
        "g(r.sub, p.sub) && r.obj == p.obj",
        "admin, data1",
        (("alice",), ("data1",)),
        roles={"g = _, _, (_, _)": "alice, admin, _, _"},
    )
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = example.enforcer(kind)
        open_now: list[bool] = []
        enforcer.add_named_link_condition_func("g", "alice", "admin", lambda *_, open_now=open_now: bool(open_now))
        assert not enforcer.enforce("alice", "data1")
        open_now.append(True)
        assert enforcer.enforce("alice", "data1")
    assert enforcer.plan().is_compiled
    assert "by one thread at a time" in str(enforcer.plan())


def test_an_effector_of_ones_own_goes_to_stock() -> None:
    class Always(Effector):
        def intermediate_effect(self, effects: Any) -> int:
            return int(Effector.INDETERMINATE)

        def final_effect(self, effects: Any) -> int:
            return int(Effector.ALLOW)

    example = EXAMPLES["rbac"]
    stock, compiled = example.enforcer(casbin.Enforcer), example.enforcer(CompiledEnforcer)
    for enforcer in (stock, compiled):
        enforcer.set_effector(Always())
    answers = [compiled.enforce_ex(*request) for request in example.requests()]
    assert answers == [stock.enforce_ex(*request) for request in example.requests()]
    assert not compiled.plan().is_compiled
    assert compiled.plan().why_stock == "has an effector that is not Casbin's own"


def test_a_model_of_another_class_goes_to_stock_itself() -> None:
    model = casbin.FastModel([2, 1])
    for section, key, value in (
        ("r", "r", "sub, obj, act"),
        ("p", "p", "sub, obj, act"),
        ("e", "e", ALLOW),
        ("m", "m", "r.sub == p.sub && r.obj == p.obj && r.act == p.act"),
    ):
        model.add_def(section, key, value)
    enforcer = CompiledEnforcer(model)
    enforcer.add_policy("alice", "data1", "read")
    assert enforcer.enforce_ex("alice", "data1", "read") == (True, ["alice", "data1", "read"])
    plan = enforcer.current_plan()
    enforcer.model.add_policy("p", "p", ["bob", "data1", "read"])
    assert enforcer.enforce("bob", "data1", "read") and not enforcer.enforce("bob", "data1", "write")
    assert enforcer.plan().why_stock == "the rows are in no list"
    assert enforcer.current_plan() is plan


def test_a_subclass_may_have_its_own_enforce_ex() -> None:
    class Counting(CompiledEnforcer):
        asked = 0

        def enforce_ex(self, *rvals: Any) -> Any:
            self.asked += 1
            return super().enforce_ex(*rvals)

    enforcer = EXAMPLES["basic"].enforcer(Counting)
    assert enforcer.enforce("alice", "data1", "read")
    assert enforcer.asked == 1


def test_a_watcher_is_told_and_may_reload() -> None:
    told = []

    class Watcher:
        def update(self) -> None:
            told.append("changed")

        def set_update_callback(self, callback: Any) -> None:
            pass

    class Store(StringAdapter):
        def add_policy(self, sec: str, ptype: str, rule: list[str]) -> None:
            self.line += "\n" + ", ".join([ptype, *rule])

        def remove_policy(self, sec: str, ptype: str, rule: list[str]) -> None:
            self.line = self.line.replace("\n" + ", ".join([ptype, *rule]), "")

    example = EXAMPLES["rbac"]
    store = Store(example.lines())
    one, other = CompiledEnforcer(example.model(), store), CompiledEnforcer(example.model(), store)
    one.set_watcher(Watcher())
    one.add_policy("carol", "data1", "read")
    assert told == ["changed"]
    assert one.enforce("carol", "data1", "read") and not other.enforce("carol", "data1", "read")
    other.load_policy()
    assert other.enforce("carol", "data1", "read")


def test_two_enforcers_of_one_model_both_see_its_changes() -> None:
    model = EXAMPLES["rbac"].model()
    enforcers = [CompiledEnforcer(model), CompiledEnforcer(model)]
    assert not any(enforcer.enforce("alice", "data1", "read") for enforcer in enforcers)
    model.add_policy("p", "p", ["alice", "data1", "read"])
    assert all(enforcer.enforce("alice", "data1", "read") for enforcer in enforcers)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda enforcer: pickle.loads(pickle.dumps(enforcer))])
def test_a_copy_goes_its_own_way(copied: Callable[[Any], Any]) -> None:
    enforcer = EXAMPLES["rbac"].enforcer(CompiledEnforcer)
    enforcer.enable_auto_save(False)
    assert enforcer.enforce("alice", "data2", "write")
    other = copied(enforcer)
    assert other.enforce("alice", "data2", "write")
    other.remove_grouping_policy("alice", "admin")
    enforcer.add_policy("carol", "data1", "read")
    assert [one.enforce("alice", "data2", "write") for one in (enforcer, other)] == [True, False]
    assert [one.enforce("carol", "data1", "read") for one in (enforcer, other)] == [True, False]


def test_a_plan_that_is_held_goes_on_giving_the_answers_of_its_moment() -> None:
    enforcer = EXAMPLES["rbac"].enforcer(CompiledEnforcer)
    enforcer.enable_auto_save(False)
    plan = enforcer.current_plan()
    enforcer.clear_policy()
    enforcer.get_role_manager().clear()
    assert plan.decide("alice", "data2", "write") == (True, 3)
    assert enforcer.decide_row("alice", "data2", "write") == (False, None)


def test_several_edits_can_be_made_one() -> None:
    enforcer = EXAMPLES["rbac"].enforcer(CompiledEnforcer)
    enforcer.enable_auto_save(False)
    assert enforcer.enforce("alice", "data1", "read")
    plan = enforcer.current_plan()
    with enforcer.editing():
        enforcer.remove_policy("alice", "data1", "read")
        enforcer.add_policy("alice", "data1", "write")
        assert enforcer.current_plan() is plan
    assert enforcer.current_plan() is not plan
    assert not enforcer.enforce("alice", "data1", "read")


def test_what_an_edit_leaves_alone_is_not_compiled_again() -> None:
    enforcer = EXAMPLES["attribute rule"].enforcer(CompiledEnforcer)
    enforcer.enable_auto_save(False)
    tests = enforcer.current_plan()._decider(("r", "p", "m")).matcher.tests
    asked = EXAMPLES["attribute rule"].requests()
    [enforcer.enforce(*request) for request in asked]
    before = dict(tests._quick)
    enforcer.add_policy("r.sub.age == 5", "data9", "read")
    [enforcer.enforce(*request) for request in asked]
    assert enforcer.current_plan()._decider(("r", "p", "m")).matcher.tests is tests
    assert tests._quick == before


def test_filtered_adapters_load_some_of_the_rows(tmp_path: Path) -> None:
    example = EXAMPLES["rbac"]
    rows = tmp_path / "rows.csv"
    rows.write_text(example.lines())
    for kind in (casbin.Enforcer, CompiledEnforcer):
        enforcer = kind(example.model(), casbin.persist.adapters.FilteredFileAdapter(str(rows)))
        assert not enforcer.enforce("alice", "data1", "read")
        wanted = casbin.persist.adapters.filtered_file_adapter.Filter()
        wanted.P, wanted.G = ["alice"], []
        enforcer.load_filtered_policy(wanted)
        assert enforcer.enforce("alice", "data1", "read") and not enforcer.enforce("bob", "data2", "write")
        wanted.P = ["bob"]
        enforcer.load_increment_filtered_policy(wanted)
        assert enforcer.enforce("bob", "data2", "write")


def test_requests_are_logged_as_stock_logs_them(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    def lines(kind: type[Any]) -> list[tuple[int, str]]:
        caplog.clear()
        enforcer = EXAMPLES["rbac"].enforcer(kind)
        logger = logging.getLogger("casbin.enforcer")
        logger.disabled = False
        try:
            with caplog.at_level(logging.INFO, "casbin.enforcer"):
                enforcer.enforce("alice", "data1", "read")
                enforcer.enforce_ex("100%s", "data1", "read")
        finally:
            logger.disabled = True
        return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "casbin.enforcer"]

    assert lines(CompiledEnforcer) == lines(casbin.Enforcer) != []
