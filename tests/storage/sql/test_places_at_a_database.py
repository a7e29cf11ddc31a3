"""How many threads may wait for a database at once, and that those who read and those who write do so apart."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from klausel.storage.sql.access import (
    IN_LINE,
    READS_AT_ONCE,
    READS_IN_LINE,
    SECONDS_FOR_A_PLACE,
    WRITES_AT_ONCE,
    Access,
    Crowded,
    Limits,
    OutOfReach,
    Question,
    StorageError,
)

LIMITS = Limits(read_seconds=5.0, write_seconds=5.0)


def wait_for_line(access: Access, number: int) -> None:
    give_up_at = time.monotonic() + 10
    while access.in_line < number:
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


def crowd_with_writes(access: Access, stack: ExitStack) -> None:
    """Takes all places of writes and all in line, and lets one more wait in vain."""

    def write() -> None:
        with access.writing():
            pass

    line = [threading.Thread(target=write) for _ in range(IN_LINE)]
    for thread in line:
        stack.callback(thread.join)
    for _ in range(WRITES_AT_ONCE):
        stack.enter_context(access.writing())
    for thread in line:
        thread.start()
    wait_for_line(access, IN_LINE)
    with pytest.raises(Crowded, match="as many writes as may wait"), access.writing():
        pass


def test_writes_are_served_in_turn() -> None:
    access, served = Access("the database", LIMITS), []

    def write(number: int) -> None:
        with access.writing():
            served.append(number)
            time.sleep(0.1)

    with ExitStack() as places:
        for _ in range(WRITES_AT_ONCE):
            places.enter_context(access.writing())
        line = [threading.Thread(target=write, args=(number,)) for number in range(4 * WRITES_AT_ONCE)]
        for number, thread in enumerate(line):
            thread.start()
            wait_for_line(access, number + 1)
    for thread in line:
        thread.join()
    # Those that have places at the same time may note it in any order.
    rounds = [sorted(served[at : at + WRITES_AT_ONCE]) for at in range(0, len(served), WRITES_AT_ONCE)]
    assert [number for one in rounds for number in one] == list(range(len(line)))


def test_a_write_waits_in_line_no_longer_than_it_may() -> None:
    access = Access("the database", Limits(read_seconds=0.5, write_seconds=0.5))
    with ExitStack() as places:
        for _ in range(WRITES_AT_ONCE):
            places.enter_context(access.writing())
        began = time.monotonic()
        with pytest.raises(Crowded), access.writing():
            pass
        assert 0.4 < time.monotonic() - began < 5


def test_nobody_waits_in_line_for_a_silent_database() -> None:
    access = Access("the database", Limits(connect_seconds=0.01, read_seconds=0.01, write_seconds=60.0))
    with ExitStack() as places:
        for _ in range(WRITES_AT_ONCE):
            places.enter_context(access.writing())
        refused: list[Exception] = []

        def write() -> None:
            try:
                with access.writing():
                    pass
            except StorageError as error:
                refused.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        wait_for_line(access, 1)
        with pytest.raises(StorageError), access.reading():
            time.sleep(0.02)
            raise StorageError("no answer in time")
        writer.join(10)
        assert refused


def test_writes_that_fail_for_those_of_others_do_not_make_the_database_silent() -> None:
    access = Access("the database", Limits(connect_seconds=0.01, read_seconds=0.01, write_seconds=0.01))
    with pytest.raises(StorageError, match="locked"), access.writing():
        time.sleep(0.02)
        raise StorageError("it was locked by another writer")
    assert not access.is_silent
    with pytest.raises(StorageError, match="no answer"), access.reading():
        time.sleep(0.02)
        raise StorageError("no answer in time")
    assert access.is_silent


def test_too_many_writes_do_not_let_questions_be_refused() -> None:
    access = Access("the database", LIMITS)
    with ExitStack() as writes, ExitStack() as reads:
        crowd_with_writes(access, writes)
        for _ in range(READS_AT_ONCE):
            reads.enter_context(access.reading())
        # A place comes free soon: that is waited for, however many write.
        frees = threading.Timer(0.05, reads.pop_all().close)
        frees.start()
        with access.reading():
            pass
        frees.join()


def test_a_question_that_ends_does_not_let_writes_wait_in_vain_again() -> None:
    access = Access("the database", LIMITS)
    with ExitStack() as writes:
        crowd_with_writes(access, writes)
        with access.reading():
            pass
        began = time.monotonic()
        with pytest.raises(StorageError), access.writing():
            pass
        assert time.monotonic() - began < 0.1


def test_a_burst_of_questions_is_answered_in_turn_as_long_as_the_database_is_not_silent() -> None:
    access, answered = Access("the database", Limits(read_seconds=60.0)), []

    def ask(number: int) -> None:
        with access.reading():
            answered.append(number)

    line = [threading.Thread(target=ask, args=(number,)) for number in range(READS_IN_LINE)]
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        for number, thread in enumerate(line):
            thread.start()
            wait_for_line(access, number + 1)
        # One more waits in vain, so all in line have waited for longer.
        with pytest.raises(Crowded, match="as many questions as may wait"), access.reading():
            pass
        assert not answered
    for thread in line:
        thread.join()
    assert sorted(answered) == list(range(READS_IN_LINE))


def test_nobody_asks_in_line_of_a_silent_database() -> None:
    access = Access("the database", Limits(connect_seconds=0.01, read_seconds=60.0))
    refused: list[Exception] = []

    def ask() -> None:
        try:
            with access.reading():
                pass
        except StorageError as error:
            refused.append(error)

    asks = threading.Thread(target=ask)
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE - 1):
            places.enter_context(access.reading())
        with pytest.raises(StorageError, match="no answer"), access.reading():
            asks.start()
            wait_for_line(access, 1)
            # Another finds meanwhile that nothing answers.
            access._silent_since = time.monotonic()
            asks.join(10)
            raise StorageError("no answer in time")
    assert refused


def test_what_is_spent_in_line_is_not_taken_for_silence() -> None:
    access = Access("the database", Limits(connect_seconds=SECONDS_FOR_A_PLACE, read_seconds=60.0))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            with access.reading():
                raise StorageError("refused at once")
        except StorageError as error:
            failed.append(error)

    asks = threading.Thread(target=ask)
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        asks.start()
        wait_for_line(access, 1)
        time.sleep(2 * SECONDS_FOR_A_PLACE)
    asks.join()
    assert failed
    assert not access.is_silent


def test_questions_in_line_leave_room_there_for_writes() -> None:
    access = Access("the database", LIMITS)

    def use(turn: object) -> threading.Thread:
        def take() -> None:
            with turn:  # type: ignore[attr-defined]
                pass

        thread = threading.Thread(target=take)
        thread.start()
        return thread

    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        for _ in range(WRITES_AT_ONCE):
            places.enter_context(access.writing())
        line = [use(access.reading()) for _ in range(READS_IN_LINE)]
        wait_for_line(access, READS_IN_LINE)
        with pytest.raises(Crowded), access.reading():
            pass
        line += [use(access.writing()) for _ in range(IN_LINE - READS_IN_LINE)]
        wait_for_line(access, IN_LINE)
        assert access.in_line == IN_LINE
    for thread in line:
        thread.join()


# --- Questions that go along ----------------------------------------------------------------------------------------


class Asking:
    """Threads that ask a number each, and answer with it; which numbers were asked together, and what each was told."""

    def __init__(self, access: Access, failure: Exception | None = None) -> None:
        self.together: list[list[object]] = []
        self.told: dict[int, object] = {}
        self._access, self._failure = access, failure
        self._threads: list[threading.Thread] = []

    def begin(self, number: int) -> None:
        """Starts one more, which finds no place, and waits in line."""
        before = len(self._access._reads.line)
        self._threads.append(threading.Thread(target=self._ask, args=(number,)))
        self._threads[-1].start()
        give_up_at = time.monotonic() + 10
        while len(self._access._reads.line) == before:
            assert time.monotonic() < give_up_at
            time.sleep(0.001)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        question = Question("", (number,))
        try:
            with self._access.reading(question) as questions:
                if questions:
                    self.together.append([one.parameters[0] for one in questions])
                    if self._failure is not None:
                        raise self._failure
                for one in questions:
                    one.answer([one.parameters])
            self.told[number] = question.rows
        except StorageError as error:
            self.told[number] = str(error)


def test_whoever_gets_a_place_asks_for_those_in_line_too() -> None:
    access = Access("the database", LIMITS)
    asking = Asking(access)
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE - 1):
            places.enter_context(access.reading())
        with access.reading():
            for number in range(5):
                asking.begin(number)
        # One place is free now. The others wait for that one, and for no place.
        asking.join()
    assert asking.together == [[0, 1, 2, 3, 4]]
    assert asking.told == {number: [(number,)] for number in range(5)}
    assert access.in_line == 0


def test_a_failure_is_told_to_all_for_whom_was_asked() -> None:
    access = Access("the database", LIMITS)
    asking = Asking(access, OutOfReach("it broke"))
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE - 1):
            places.enter_context(access.reading())
        with access.reading():
            for number in range(5):
                asking.begin(number)
        asking.join()
    assert len(asking.together) == 1
    assert asking.told == dict.fromkeys(range(5), "it broke")
    assert access.in_line == 0


def test_no_more_go_along_than_may_wait_in_line() -> None:
    access = Access("the database", Limits(read_seconds=60.0))
    # Answers come, so nobody is refused for want of room.
    access.answered_at = float("inf")
    asking = Asking(access)
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE - 1):
            places.enter_context(access.reading())
        with access.reading():
            for number in range(READS_IN_LINE + 3):
                asking.begin(number)
        asking.join()
    assert asking.together[0] == list(range(READS_IN_LINE + 1))
    assert asking.told == {number: [(number,)] for number in range(READS_IN_LINE + 3)}


def test_who_goes_along_waits_no_longer_than_it_may() -> None:
    access = Access("the database", Limits(read_seconds=0.5))
    gave_up, late = threading.Event(), Question("", ())

    def ask() -> None:
        with pytest.raises(StorageError, match="did not answer in time"), access.reading(late):
            pass
        gave_up.set()

    thread = threading.Thread(target=ask)
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        thread.start()
        wait_for_line(access, 1)
        assert access._reads.take_along() == [late]
        assert gave_up.wait(10)
        # The answer that comes after that wakes nobody, and harms nobody.
        access._reads.let_go([late], None)
    thread.join()
    assert access.in_line == 0


def test_as_long_as_answers_come_nobody_is_refused_for_want_of_room() -> None:
    access, answered = Access("the database", Limits(read_seconds=60.0)), []

    def ask(number: int) -> None:
        with access.reading():
            answered.append(number)

    line = [threading.Thread(target=ask, args=(number,)) for number in range(READS_IN_LINE + 5)]
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        access.answered_at = time.monotonic() + 60
        for number, thread in enumerate(line):
            thread.start()
            wait_for_line(access, min(number + 1, READS_IN_LINE))
        time.sleep(2 * SECONDS_FOR_A_PLACE)
        assert not access._reads.is_crowded
    for thread in line:
        thread.join()
    assert sorted(answered) == list(range(len(line)))
