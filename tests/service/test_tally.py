"""What many threads count is counted, also by threads that ended."""

from __future__ import annotations

from threading import Barrier, Thread

from klausel.service.tally import Tally


def test_nothing_that_threads_add_is_lost_while_they_live_or_afterwards() -> None:
    tally: Tally[int | str] = Tally()
    together, told = Barrier(5), Barrier(5)

    def add() -> None:
        for number in range(2000):
            tally.add(number % 3)
        tally.add("seconds", 0.5)
        together.wait(10)
        told.wait(10)

    for done in (1, 2):
        threads = [Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        together.wait(10)
        living = tally.totals()
        told.wait(10)
        for thread in threads:
            thread.join()
        assert living == tally.totals() == {0: done * 2668, 1: done * 2668, 2: done * 2664, "seconds": done * 2.0}
        # Threads come and go for as long as the service lives: what they counted is kept, they are not.
        assert not tally._living
