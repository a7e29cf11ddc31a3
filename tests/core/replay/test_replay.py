"""Replay gives what deciding gives, over generated policies, and never guesses at what is masked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random

import pytest
from decision_logs import recorded_lines
from generated_policies import Generated, generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_sets import Asked

from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.policy.roles import top_domain
from klausel.core.records.recorded import Recorded
from klausel.core.replay.flips import FlipCounter
from klausel.core.replay.replay import NotKnown, Replay
from klausel.core.terms.request import Request
from klausel.storage.decision_log.files import Block, records_in

SEEDS = st.integers(0, 2**32 - 1)
few_examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MASKS = (
    "/subject/id",
    "/subject/properties/*",
    "/subject/properties/team",
    "/resource/id",
    "/resource/properties/owner",
    "/resource/properties/deep/er",
    "/resource/properties/site",
    "/resource/properties/*",
    "/action/properties/channel",
    "/context/*",
)


def read_back(lines: list[bytes]) -> Iterator[Recorded]:
    for _, record in records_in(Block("log", 1, b"".join(lines))):
        assert isinstance(record, Recorded)
        yield record


def replay_of(asked: Asked) -> Replay:
    return Replay(asked.policy, asked.compiled)


def same_top_domain(request: Request, first: Asked, second: Asked) -> bool:
    """Whether both policies ask it under the same domain of the top level, so that the record holds what the second needs."""
    domains = []
    for asked in (first, second):
        declared = asked.policy.resource_types.get(request.resource.type)
        domain = domain_of(asked.policy.roles, declared, request.action.name, request.resource)
        domains.append(top_domain(domain) if isinstance(domain, str) else None)
        if isinstance(domain, BadDomain) and asked is second:
            return True
    return domains[1] is None or domains[0] == domains[1]


@few_examples
@given(SEEDS)
def test_under_the_policy_of_then_nothing_flips(seed: int) -> None:
    generated = generate(seed, requests=25)
    asked = asked_of(generated)
    if asked is None:
        return
    counter = FlipCounter(asked.policy, replay_of(asked))
    for record in read_back(recorded_lines(asked, generated.requests)):
        counter.count(record, "log", 1)
    assert (counter.tally.same, counter.tally.flipped, counter.tally.not_known.total()) == (25, 0, 0)


def changed(generated: Generated, seed: int) -> Asked | None:
    """Another policy set over the same levels: the same files, with the grants of other roles or effects."""
    random = Random(seed)
    texts = dict(generated.texts)
    roles = sorted({role for _, role, _ in generated.assignments if role != "retired"})
    for name in texts:
        if name.startswith("features/one"):
            lines = texts[name].split("\n")
            for place, line in enumerate(lines):
                if line.startswith(("  - allow:", "  - deny:")) and random.random() < 0.5:
                    effect = random.choice(("allow", "allow", "deny"))
                    lines[place] = f'  - {effect}: "{random.choice([*roles, "anyone"])}"'
            texts[name] = "\n".join(lines)
    return asked_of(Generated(texts, generated.assignments, generated.requests))


@few_examples
@given(SEEDS)
def test_under_another_policy_exactly_that_flips_which_it_decides_otherwise(seed: int) -> None:
    generated = generate(seed, requests=25)
    before, after = asked_of(generated), changed(generated, seed)
    if before is None or after is None:
        return
    replay = replay_of(after)
    for request, record in zip(generated.requests, read_back(recorded_lines(before, generated.requests)), strict=True):
        assert replay.decide(record).allowed == after.allows(request)
        assert record.allowed == before.allows(request)


@few_examples
@given(SEEDS, SEEDS)
def test_under_a_policy_of_other_levels_a_decision_is_right_or_not_known(seed: int, other: int) -> None:
    generated = generate(seed, requests=25)
    before, after = asked_of(generated), asked_of(generate(other))
    if before is None or after is None:
        return
    after.held = generated.held
    after.__post_init__()
    replay = replay_of(after)
    for request, record in zip(generated.requests, read_back(recorded_lines(before, generated.requests)), strict=True):
        try:
            allowed = replay.decide(record).allowed
        except NotKnown:
            assert not same_top_domain(request, before, after) or record.held is None
        else:
            assert allowed == after.allows(request)


@few_examples
@given(SEEDS, st.lists(st.sampled_from(MASKS), min_size=1, max_size=3, unique=True))
def test_what_is_masked_is_never_guessed(seed: int, masks: list[str]) -> None:
    generated = generate(seed, requests=25)
    before, after = asked_of(generated), changed(generated, seed)
    if before is None or after is None:
        return
    replay = replay_of(after)
    lines = recorded_lines(before, generated.requests, masks)
    for request, record in zip(generated.requests, read_back(lines), strict=True):
        try:
            allowed = replay.decide(record).allowed
        except NotKnown:
            assert record.masked or record.held is None
        else:
            assert allowed == after.allows(request)


def test_a_masked_value_matters_only_where_a_condition_that_could_decide_reads_it() -> None:
    answers = known = 0
    for seed in range(40):
        generated = generate(seed, requests=25)
        asked = asked_of(generated)
        if asked is None:
            continue
        for record in read_back(recorded_lines(asked, generated.requests, ["/resource/properties/owner"])):
            answers += bool(record.masked)
            try:
                replay_of(asked).decide(record)
            except NotKnown:
                continue
            known += bool(record.masked)
    assert answers * 0.5 < known < answers


@pytest.mark.parametrize(
    "line",
    [
        b"", b"   ", b"{}", b"[]", b"1", b"null", b'{"time": 1}', b'{"a": ', b"\xff\xfe", b'{"dropped": "x"}', b'{"dropped": -1}',
        b"[" * 5000, b'{"n": 1234567890123456789012345678901234567890}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_record_is_named_and_nothing_else(line: bytes) -> None:
    found = [record for _, record in records_in(Block("log", 7, line + b"\n"))]
    assert all(not isinstance(record, Recorded) for record in found)
    assert len(found) == (1 if line.strip() else 0)


@few_examples
@given(SEEDS, st.randoms(use_true_random=False))
def test_a_record_with_a_member_of_another_kind_is_refused_or_decided_but_never_a_crash(seed: int, random: Random) -> None:
    import json

    generated = generate(seed, requests=5)
    asked = asked_of(generated)
    if asked is None:
        return
    replay = replay_of(asked)
    for line in recorded_lines(asked, generated.requests):
        record = json.loads(line)
        holder = random.choice([record, *(value for value in record.values() if isinstance(value, dict))])
        name = random.choice(sorted(holder))
        holder[name] = random.choice([None, 1, "x", [], {}, [[1, 2]], [["a"]], True, {"id": 1}])
        for _, read in records_in(Block("log", 1, json.dumps(record).encode())):
            if isinstance(read, Recorded) and read.request is not None:
                with contextlib.suppress(NotKnown):
                    replay.decide(read)
