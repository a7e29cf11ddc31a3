"""The queue in front of a sink: bounded, told when it overflows, emptied at the end, and absent when the log is strict."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from decision_logs import KeptLines, head_of

from klausel.core.decisions.decide import Decision
from klausel.core.records.shared_line import SharedLine
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.storage.decision_log.queue import DecisionLog, NotRecorded

REQUEST = Request(Subject("user", "ann"), Action("view"), Resource("doc", "d1", {"size": 1}))
ALLOW, DENY = Decision(True, None, "acme"), Decision(False, None, "acme")


@pytest.fixture
def sink() -> KeptLines:
    return KeptLines()


@pytest.fixture
def opened(sink: KeptLines) -> Iterator[Callable[..., DecisionLog]]:
    logs = []

    def open_one(**options: object) -> DecisionLog:
        logs.append(DecisionLog(sink, **options))  # type: ignore[arg-type]
        return logs[-1]

    yield open_one
    for log in logs:
        log.close()


def note(log: DecisionLog, decision: Decision = ALLOW, request: Request = REQUEST, number: int = 1) -> None:
    noted = (None, request, decision, None, 1000)
    log.record([log.line(head_of(log), noted) for _ in range(number)])


def test_what_was_recorded_before_the_end_is_written(opened: Callable[..., DecisionLog], sink: KeptLines) -> None:
    log = opened()
    for _ in range(500):
        note(log)
    log.close()
    assert len(sink.lines) == 500
    assert (log.counts().written, log.counts().dropped, log.counts().waiting) == (500, 0, 0)


def test_a_sink_that_fails_for_a_while_loses_nothing_that_the_queue_holds(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened()
    sink.failing = True
    for _ in range(50):
        note(log)
    time.sleep(0.05)
    sink.failing = False
    for _ in range(50):
        note(log)
    give_up_at = time.monotonic() + 10
    while len(sink.lines) < 100 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert len(sink.lines) == 100
    assert not any("dropped" in record for record in sink.records)


def test_what_does_not_fit_is_dropped_counted_and_told_in_the_log(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened(most_waiting=10)
    sink.failing = True
    for _ in range(200):
        note(log)
    sink.failing = False
    log.close()
    told = sum(record.get("dropped", 0) for record in sink.records)
    kept = sum("dropped" not in record for record in sink.records)
    assert told == log.counts().dropped > 0
    assert told + kept == 200


def test_more_bytes_than_may_wait_are_dropped_also_by_an_empty_queue(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened()
    log.record([b"x" * (1 << 20)] * 65)
    assert (log.counts().dropped, log.counts().waiting) == (65, 0)
    note(log)
    log.close()
    assert log.counts().written == 1


def test_of_a_caller_that_floods_only_its_own_records_are_dropped(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened(most_waiting=100)
    sink.failing = True
    for caller, number in (("flood", 95), ("flood", 50), ("quiet", 3), ("flood", 50), ("quiet", 2), ("other", 5)):
        head = head_of(log, caller=caller)
        log.record([log.line(head, (None, REQUEST, ALLOW, None, 1000)) for _ in range(number)], caller)
    assert log.counts().dropped == 100
    sink.failing = False
    log.close()
    kept = [record["caller"] for record in sink.records if "caller" in record]
    assert {caller: kept.count(caller) for caller in kept} == {"flood": 95, "quiet": 5, "other": 5}


def test_names_of_callers_are_no_way_around_the_bound(opened: Callable[..., DecisionLog], sink: KeptLines) -> None:
    log = opened(most_waiting=100)
    sink.failing = True
    for number in range(200):
        log.record([b"{}\n"] * 5, f"caller {number}")
    assert log.counts().waiting <= 200


def test_a_line_of_several_decisions_counts_as_so_many(opened: Callable[..., DecisionLog], sink: KeptLines) -> None:
    log = opened()
    log.record([SharedLine.of(b"{}\n", 7), b"{}\n"])
    log.close()
    assert (log.counts().written, len(sink.lines)) == (8, 2)


def test_what_never_can_be_written_is_counted_as_dropped_at_the_end(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened()
    sink.failing = True
    note(log, number=7)
    log.close()
    assert (log.counts().dropped, log.counts().written) == (7, 0)


def test_a_strict_log_raises_when_the_sink_fails_and_writes_at_once_otherwise(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    log = opened(strict=True)
    note(log)
    assert len(sink.lines) == 1
    sink.failing = True
    with pytest.raises(NotRecorded):
        note(log)
    sink.failing = False
    note(log)
    assert (len(sink.lines), log.counts().dropped) == (2, 1)


def test_who_waits_behind_a_silent_sink_of_a_strict_log_does_not_wait_for_it_in_turn(
    opened: Callable[..., DecisionLog], sink: KeptLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(strict=True)
    asked = 6
    tries, started = [], threading.Barrier(asked)

    def time_out(lines: Sequence[bytes]) -> None:
        tries.append(len(lines))
        time.sleep(0.5)
        raise OSError("no answer in time")

    def ask(_: int) -> None:
        started.wait(10)
        with pytest.raises(NotRecorded):
            note(log)

    with monkeypatch.context() as patch, ThreadPoolExecutor(asked) as pool:
        patch.setattr(sink, "write", time_out)
        list(pool.map(ask, range(asked)))
    # One tries; who came a moment late, on a busy machine, may try too.
    assert 1 <= len(tries) <= 2
    assert log.counts().dropped == asked
    note(log)
    assert len(sink.lines) == 1


def test_sampling_keeps_every_deny_and_about_the_share_of_the_allows(opened: Callable[..., DecisionLog]) -> None:
    log = opened(sample_rate=0.25)
    assert log.keeps is not None
    assert all(log.keeps(DENY) for _ in range(1000))
    assert 300 < sum(log.keeps(ALLOW) for _ in range(2000)) < 700


def test_a_sampled_allow_says_its_rate_and_a_deny_does_not(opened: Callable[..., DecisionLog], sink: KeptLines) -> None:
    log = opened(sample_rate=0.25, strict=True)
    note(log, ALLOW)
    note(log, DENY)
    assert [record.get("sample_rate") for record in sink.records] == [0.25, None]


def test_numbers_and_nesting_beyond_the_quick_encoder_are_recorded_exactly(
    opened: Callable[..., DecisionLog], sink: KeptLines
) -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    log = opened(strict=True, masks=["/context/secret"])
    for value in (10**40, -(2**80), deep):
        resource = Resource("doc", "d1", {"size": value})
        note(log, request=Request(REQUEST.subject, REQUEST.action, resource, {"secret": "x"}))
        assert sink.records[-1]["resource"]["properties"]["size"] == value
        assert sink.records[-1]["masked"] == ["/context/secret"]
