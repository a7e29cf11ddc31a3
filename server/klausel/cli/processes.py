"""Work that is shared out to several processes, block by block."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

BLOCKS_AHEAD = 2
"""For each process so many blocks wait, so that none is idle, and memory does not grow with the work."""

Work = TypeVar("Work")
Part = TypeVar("Part")


def work_on(
    blocks: Iterable[Work],
    work: Callable[[Work], Part],
    start: Callable[..., None],
    arguments: tuple[object, ...],
    processes: int,
) -> Iterator[Part]:
    """What `work` makes of each block, in their order; `start` is called with the arguments once in each process.

    Whoever closes the iterator waits for what is being worked on alone.
    """
    if processes == 1:
        start(*arguments)
        yield from map(work, blocks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=start, initargs=arguments) as pool:
        waiting: deque[Future[Part]] = deque()
        try:
            for block in blocks:
                waiting.append(pool.submit(work, block))
                if len(waiting) > processes * BLOCKS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
