"""The server whose workers are started again, however often they die."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, NoReturn

from granian import _signals
from granian.server.mp import MPServer

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""A worker that lived so long did start, and the next one in its place is started at once again."""
STARTS_IN_VAIN = 3
"""How often a worker may end itself while none has ever answered; what it lacks then will not come by waiting."""
SECONDS_BEFORE_TOLD_AGAIN = 2.0
SECONDS_BETWEEN_LOOKS = 0.05
LONGEST_SLEEP_SECONDS = 1.0
"""A signal that another thread takes, or that comes just before the main one waits, is handled when that one wakes."""
_log = logging.getLogger("_granian")


@contextmanager
def _stops_wait() -> Iterator[None]:
    """A process that is started meanwhile gets a SIGTERM when it unblocks that, not by the handler that came from its parent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_once(exit_code: int = 0) -> NoReturn:
    """Ends this process without taking the interpreter down, after what it printed is written.

    That takes half a second of the processor, and so half a minute where a hundred others want it.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM and Ctrl-C end this process at once, and SIGHUP pass by, until a server takes them or the block ends.

    As an exception Ctrl-C gets lost where it comes while Python calls back from a place that must not fail. The first process of
    a container does not hear SIGTERM without a handler. SIGHUP would end the process, and the policies are still to be read.
    """
    handlers: dict[str, Callable[..., None]] = {"SIGTERM": _end, "SIGINT": _end, "SIGHUP": _pass_by}
    before = {}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def _end(*_: object) -> None:
    end_at_once()


def _pass_by(*_: object) -> None:
    """Does nothing; unlike `SIG_IGN` it is not handed on to programs that this one starts."""


def hear_the_first_stop() -> None:
    """Lets the server in this worker be told once that it ends, however many signals say so.

    While it answers what it has begun, Granian takes two more; the next one would wait for its end, and all threads for that one.
    """
    set_signals = _signals.set_main_signals

    def set_signals_once(handler: Callable[..., None], reload_handler: Callable[..., None] | None = None) -> None:
        times = count()
        set_signals(lambda *told: None if next(times) else handler(*told), reload_handler)  # type: ignore[no-untyped-call]

    _signals.set_main_signals = set_signals_once


class WorkerServer(MPServer):
    """Starts a new worker for each that died, and waits longer each time that one dies soon after its start.

    Granian's own loop ends the service when a worker dies twice within seconds. Then one request that kills its worker, or a
    set that broke on disk while a worker died, would end the workers that answer, too. A service of which no worker has ever
    answered ends, with exit code 1, when one of them could not start several times.
    """

    _has_answered = False

    def tell_when_it_answers(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once, from a thread of its own, when a worker accepts connections; never where none comes to that."""
        self._tell = tell

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """As Granian does, and begins to look whether a worker accepts connections."""
        super().startup(spawn_target, target_loader)  # type: ignore[no-untyped-call]
        threading.Thread(target=self._tell_when_it_answers, name="answers", daemon=True).start()

    def _tell_when_it_answers(self) -> None:
        # Who listens everywhere is reached here.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind_addr, self.bind_addr)
        while not self.interrupt_signal:
            try:
                socket.create_connection((host, self.bind_port), LONGEST_WAIT_SECONDS).close()
            except OSError:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                self._has_answered = True
                self._tell()
                return

    def shutdown(self, exit_code: int = 0) -> NoReturn:
        """As Granian does, and ends this process."""
        try:
            super().shutdown(exit_code)  # type: ignore[no-untyped-call]
        except SystemExit as ended:
            end_at_once(int(ended.code or 0))
        end_at_once()

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        with _stops_wait():
            super()._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        with _stops_wait():
            super()._respawn_workers(workers, spawn_target, target_loader, delay)

    def _stop_workers(self) -> None:
        """Ends all workers, and kills those that do not end in time.

        Granian takes a worker for one that refuses to end where its end is known, but not yet to this thread.
        """
        began = told = time.monotonic()
        seconds = self.workers_kill_timeout or float("inf")
        left: list[Any] = list(self.wrks)
        for worker in left:
            worker.terminate()
        while left and time.monotonic() - began < seconds:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            left = [worker for worker in left if worker.is_alive()]
            # A signal that comes just before the main thread of a worker waits wakes nobody there; the next one does.
            if time.monotonic() - told >= SECONDS_BEFORE_TOLD_AGAIN:
                told = time.monotonic()
                for worker in left:
                    worker.terminate()
        for worker in left:
            _log.warning(f"worker-{worker.idx + 1} did not end within {seconds:g} seconds, so it is killed")
            worker.kill()
            worker.join()
        self.wrks.clear()

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        waits, due = [FIRST_WAIT_SECONDS] * self.workers, dict[int, float]()
        starts_in_vain = [0] * self.workers
        while not self.interrupt_signal:
            seconds = min(due.values()) - time.monotonic() if due else LONGEST_SLEEP_SECONDS
            self.main_loop_interrupt.wait(max(0.0, min(seconds, LONGEST_SLEEP_SECONDS)))
            # Cleared before anything is looked at: what comes from now on wakes the loop again.
            self.main_loop_interrupt.clear()
            while self.interrupt_children:
                place, now = self.interrupt_children.pop(), time.monotonic()
                # What is killed from outside, for want of memory, say, has a negative code.
                starts_in_vain[place] += self.wrks[place].inner.exitcode > 0
                if starts_in_vain[place] >= STARTS_IN_VAIN and not self._has_answered:
                    _log.error("no worker can start, so the service ends; the lines before this one say why")
                    self.interrupt_children.append(place)  # by which Granian exits with 1
                    return
                if now - self.wrks[place].birth >= STEADY_SECONDS:
                    waits[place] = FIRST_WAIT_SECONDS
                due[place] = now + waits[place]
                _log.error(f"worker-{place + 1} is started again in {waits[place]:.1f} seconds")
                waits[place] = min(2 * waits[place], LONGEST_WAIT_SECONDS)
            for place in [one for one, when in due.items() if when <= time.monotonic()]:
                del due[place]
                self._respawn_workers([place], spawn_target, target_loader)
