"""How many threads may wait for a database at once, and that those who read and those who write do so apart."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from klausel.storage.sql.access import READS_AT_ONCE, WRITES_AT_ONCE, Access, Limits, StorageError

LIMITS = Limits(read_seconds=5.0, write_seconds=5.0)


def crowd_with_writes(access: Access, stack: ExitStack) -> None:
    """Takes all places of writes, and lets one more wait in vain."""
    for _ in range(WRITES_AT_ONCE):
        stack.enter_context(access.writing())
    with pytest.raises(StorageError, match="as many writes as may wait"), access.writing():
        pass


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
