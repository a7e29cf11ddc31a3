"""Micro-benchmarks of the hot functions: `scripts/bench --micro`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from time import time_ns
from typing import Any

import pytest

from benchmarks.contestants import compiled, whole_decision
from benchmarks.organisation import holdings, people
from benchmarks.workload import Question, make_questions, model_text, shipped_policy
from klausel.api.json_body import BodyLimits, read_json_object
from klausel.casbin_policies.engine import compile_policy
from klausel.core.decisions.decide import decide
from klausel.core.decisions.domain import domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import explain
from klausel.core.policy.policy_set import PolicySet
from klausel.core.records.recorded import Recorded
from klausel.core.replay.replay import Replay
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.decision_log.files import Block, records_in
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.decision_log.sinks import StdoutSink
from klausel.storage.schema import open_database

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def policy() -> PolicySet:
    """The shipped policies."""
    return shipped_policy()


@pytest.fixture(scope="module")
def questions(policy: PolicySet) -> list[Question]:
    """Questions of 200 people."""
    return make_questions(policy, holdings(policy.roles, 200), 200, 500)


@pytest.fixture(scope="module")
def store(policy: PolicySet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssignmentStore]:
    """The same people in an SQLite file."""
    folder: Path = tmp_path_factory.mktemp("people")
    opened = AssignmentStore(open_database(f"sqlite:///{folder}/people.db"))
    opened.import_rows(policy.roles, people(policy.roles, 200))
    yield opened
    opened.close()


def over(function: Run, calls: list[tuple[Any, ...]]) -> Callable[[], Any]:
    """The function called with the next values each time."""
    following = cycle(calls)
    return lambda: function(*next(following))


def test_enforce(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """`CompiledEnforcer.enforce`."""
    benchmark(over(compiled(policy).function, [question.casbin_values() for question in questions]))


def test_decide_with_domain_and_effective_roles(
    benchmark: Run, policy: PolicySet, questions: list[Question], store: AssignmentStore
) -> None:
    """The whole decision, effective roles in the cache."""
    cache = EffectiveRolesCache(store, policy.roles)
    decision = whole_decision(policy, cache.roles_in).function
    benchmark(over(decision, [(question.request,) for question in questions]))


def test_read_the_domain_off_a_resource(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """`domain_of`."""
    calls = [
        (policy.roles, policy.resource_types[request.resource.type], request.action.name, request.resource)
        for request in (question.request for question in questions)
    ]
    benchmark(over(domain_of, calls))


def test_resolve_a_effective_roles(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """`EffectiveRoles.of`, as after a change of a subject."""
    benchmark(over(EffectiveRoles.of, [(policy.roles, question.held) for question in questions]))


def test_look_up_a_cached_effective_roles(
    benchmark: Run, policy: PolicySet, questions: list[Question], store: AssignmentStore
) -> None:
    """`EffectiveRolesCache.roles_in` of a known subject."""
    cache = EffectiveRolesCache(store, policy.roles)
    benchmark(over(cache.roles_in, [(f"user:{one.request.subject.id}", one.domain) for one in questions]))


def test_read_a_subject_from_sqlite(benchmark: Run, questions: list[Question], store: AssignmentStore) -> None:
    """The one indexed query."""
    benchmark(over(store.held_by, [(f"user:{question.request.subject.id}",) for question in questions]))


def test_explain(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """An explanation, effective roles at hand."""
    plan = compile_policy(policy, model_text())
    resolved_roles = {
        f"user:{question.request.subject.id}": EffectiveRoles.of(policy.roles, question.held) for question in questions
    }
    calls = [(policy, plan, resolved_roles.__getitem__, question.request) for question in questions]
    benchmark(over(explain, calls))


def test_read_a_body(benchmark: Run, questions: list[Question]) -> None:
    """A JSON body with its checks for repeated names, depth and size."""
    import orjson

    limits = BodyLimits(1_048_576, 32, 1024)
    benchmark(over(read_json_object, [(orjson.dumps(question.as_authzen()), limits) for question in questions]))


def test_put_a_decision_into_a_line_of_the_log(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """`DecisionLog.line`."""
    log, calls = _log_and_lines(policy, questions)
    benchmark(over(log.line, calls))


def test_replay_a_line_of_the_log(benchmark: Run, policy: PolicySet, questions: list[Question]) -> None:
    """From a line to the decision under a policy, effective roles at hand."""
    log, calls = _log_and_lines(policy, questions)
    replay = Replay(policy, compile_policy(policy, model_text()))

    def replay_line(line: bytes) -> None:
        for _, record in records_in(Block("log", 1, line)):
            assert isinstance(record, Recorded)
            replay.decide(record)

    benchmark(over(replay_line, [(log.line(*call),) for call in calls]))


def _log_and_lines(policy: PolicySet, questions: list[Question]) -> tuple[DecisionLog, list[tuple[Any, ...]]]:
    log = DecisionLog(StdoutSink(), strict=True)
    plan = compile_policy(policy, model_text())
    version = json.dumps({"digest": policy.files_digest}).encode()
    head = log.head(time_ns(), "r1", "evaluation", "127.0.0.1", version, "a-1")
    calls = []
    for question in questions:
        effective_roles = EffectiveRoles.of(policy.roles, question.held)
        decision = decide(policy, plan, lambda _, domain, held=effective_roles: held.roles_in(domain), question.request)
        calls.append((head, (None, question.request, decision, effective_roles, 12_345)))
    return log, calls


def test_compile_the_shipped_policies(benchmark: Run, policy: PolicySet) -> None:
    """From a policy set to a plan that decides."""
    benchmark(compile_policy, policy, model_text())
