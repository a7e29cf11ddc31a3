"""A signal that the system hands to another thread than the main one ends the service all the same."""

import os
import signal
import subprocess
import sys

import pytest
from command_line import run

WAITS = """
import signal, threading
from klausel.cli.worker_server import WorkerServer

class Told(threading.Event):
    def wait(self, timeout=None):
        waits.set()
        return super().wait(timeout)

waits = threading.Event()
server = WorkerServer.__new__(WorkerServer)
server.main_loop_interrupt, server.interrupt_signal = Told(), False
server.interrupt_children, server.workers = [], 1
signal.signal(signal.SIGTERM, server.signal_handler_interrupt)

def take_the_signal():
    waits.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=take_the_signal, daemon=True).start()
server._serve_loop(None, None)
print("ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_sigterm_that_another_thread_takes_ends_the_service() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_sigterm_ends_each_command_that_is_the_first_process_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    try:
        assert run("--version").exit_code == 0
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
