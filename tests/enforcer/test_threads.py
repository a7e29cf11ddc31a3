"""Eight threads ask while another edits: each answer is one that was right at some moment while it was asked for.

`KLAUSEL_TEST_THREAD_SECONDS=10` is the nightly run.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import casbin
import pytest
from casbin.effect import AllowAndDenyEffector
from casbin.persist.adapters import StringAdapter
from casbin_models import EXAMPLES, Example

from klausel.casbin import CompiledEnforcer

SECONDS = float(os.environ.get("KLAUSEL_TEST_THREAD_SECONDS", "2"))
READERS = 8

Edit = Callable[[Any], Any]


def move_a_permission(enforcer: Any) -> None:
    """Two edits as one; nobody may see the moment between."""
    with enforcer.editing() if isinstance(enforcer, CompiledEnforcer) else threading.Lock():
        enforcer.remove_policy("admin", "data2", "write", "allow")
        enforcer.add_policy("admin", "data1", "write", "allow")


def reload(*lines: str) -> Edit:
    def load(enforcer: Any) -> None:
        enforcer.set_adapter(StringAdapter("\n".join(lines)))
        enforcer.load_policy()

    return load


DENY = EXAMPLES["rbac with deny"]
EDITS: list[Edit] = [
    lambda e: e.add_policy("carol", "data1", "read", "allow"),
    lambda e: e.add_grouping_policy("carol", "admin"),
    move_a_permission,
    lambda e: e.add_policies([["bob", "other", "read", "allow"], ["bob", "other", "write", "deny"]]),
    lambda e: e.remove_grouping_policy("alice", "admin"),
    lambda e: e.update_policy(["bob", "data2", "write", "allow"], ["bob", "data1", "write", "allow"]),
    lambda e: e.add_grouping_policies([["bob", "carol"], ["carol", "chief"], ["chief", "admin"]]),
    lambda e: e.remove_filtered_policy(1, "data2"),
    lambda e: e.remove_filtered_grouping_policy(0, "bob"),
    lambda e: e.clear_policy(),
    reload(*DENY.lines().splitlines()),
]


@dataclass
class Watch:
    """The numbers of the edits that have begun and that are done, and what the readers found wrong."""

    begun: int = 0
    done: int = 0
    answers: int = 0
    wrong: list[str] = field(default_factory=list)


def run(
    example: Example,
    edits: list[Edit],
    seconds: float,
    prepare: Edit = lambda _: None,
    pause_seconds: float = 0.0,
) -> Watch:
    requests = example.requests()
    quiet = example.enforcer(casbin.Enforcer)
    quiet.enable_auto_save(False)
    prepare(quiet)
    states = [[quiet.enforce_ex(*request) for request in requests]]
    for edit in edits:
        edit(quiet)
        states.append([quiet.enforce_ex(*request) for request in requests])
    assert states[0] == states[-1], "the edits must lead back to where they began"
    assert len({str(state) for state in states}) > len(edits) // 2
    period = len(edits)

    compiled = example.enforcer(CompiledEnforcer)
    compiled.enable_auto_save(False)
    prepare(compiled)
    watch = Watch()
    stop = threading.Event()

    def read(start: int) -> None:
        place = start
        while not stop.is_set() and not watch.wrong:
            place = (place + 1) % len(requests)
            first = watch.done
            try:
                answer = compiled.enforce_ex(*requests[place])
            except Exception as error:
                watch.wrong.append(f"{requests[place]} raised {error!r}")
                return
            last = watch.begun
            right = [states[number % period][place] for number in range(first, last + 1)]
            if answer not in right:
                watch.wrong.append(f"{requests[place]} → {answer}, right between edits {first} and {last}: {right}")
            watch.answers += 1

    readers = [threading.Thread(target=read, args=(number * 3,)) for number in range(READERS)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + seconds
    number = 0
    while (time.monotonic() < end or number < period) and not watch.wrong:
        watch.begun = number + 1
        edits[number % period](compiled)
        watch.done = number = number + 1
        time.sleep(pause_seconds)
    stop.set()
    for reader in readers:
        reader.join()
    return watch


@pytest.mark.parametrize("pause_seconds", [0.0, 0.002])
def test_eight_readers_are_right_while_another_thread_edits(pause_seconds: float) -> None:
    watch = run(DENY, EDITS, SECONDS / 2, pause_seconds=pause_seconds)
    assert watch.wrong == []
    assert watch.answers > 100


def test_readers_are_right_while_roles_with_domains_and_patterns_change() -> None:
    def match(enforcer: Any) -> None:
        enforcer.add_named_domain_matching_func("g", casbin.util.key_match)

    edits: list[Edit] = [
        lambda e: e.add_grouping_policy("carol", "admin", "domain*"),
        lambda e: e.remove_grouping_policy("alice", "admin", "domain1"),
        lambda e: e.add_grouping_policy("alice", "carol", "domain2"),
        lambda e: e.remove_grouping_policy("carol", "admin", "domain*"),
        reload(*EXAMPLES["rbac with domains"].lines().splitlines()),
    ]
    watch = run(EXAMPLES["rbac with domains"], edits, SECONDS / 4, match)
    assert watch.wrong == []


def test_readers_are_right_where_stock_or_a_live_role_manager_decides() -> None:
    class OwnEffector(AllowAndDenyEffector):  # type: ignore[misc]
        pass

    watch = run(DENY, EDITS, SECONDS / 4, lambda e: e.set_effector(OwnEffector()))
    assert watch.wrong == []

    example = Example(
        "sub, obj, act",
        "sub, obj, act",
        "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
        """
        alice, data1, read
        admin, data2, read
        """,
        (("alice", "bob"), ("data1", "data2"), ("read", "write")),
        roles={"g = _, _, (_, _)": "alice, admin, _, _"},
    )
    edits: list[Edit] = [
        lambda e: e.add_policy("bob", "data1", "write"),
        lambda e: e.add_policy("admin", "data1", "write"),
        reload("p, admin, data1, read", "g, bob, admin, _, _"),
        reload(*example.lines().splitlines()),
    ]
    watch = run(example, edits, SECONDS / 4)
    assert watch.wrong == []
