"""Work that is shared out to several processes, block by block."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, ClassVar, TypeVar

BLOCKS_AHEAD = 2
"""For each process so many blocks wait, so that none is idle, and memory does not grow with the work."""

Work = TypeVar("Work")
Part = TypeVar("Part")


def work_on(
    blocks: Iterable[Work],
    begin: Callable[..., Callable[[Work], Part]],
    arguments: tuple[object, ...],
    processes: int,
) -> Iterator[Part]:
    """What is made of each block, in their order, by what `begin` gives for the arguments; it is called once in each process.

    Whoever closes the iterator waits for what is being worked on alone.
    """
    if processes == 1:
        yield from map(begin(*arguments), blocks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_Worker.start, initargs=(begin, arguments)) as pool:
        waiting: deque[Future[Part]] = deque()
        try:
            for block in blocks:
                waiting.append(pool.submit(_Worker.work, block))
                if len(waiting) > processes * BLOCKS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """What a process holds."""

    work_on_one: ClassVar[Callable[[Any], Any]]

    @classmethod
    def start(cls, begin: Callable[..., Callable[[Any], Any]], arguments: tuple[object, ...]) -> None:
        cls.work_on_one = begin(*arguments)

    @classmethod
    def work(cls, block: Any) -> Any:
        return cls.work_on_one(block)
