"""Database servers that fall silent: a proxy that stops forwarding, and a PostgreSQL of the test's own that is frozen."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

SECONDS_TO_START = 60


class Proxy:
    """Passes on what comes to `port`, both ways, until `stop_forwarding`; what is held back comes after `go_on`.

    `hang_up` is how a server that was stopped looks.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._forwards = threading.Event()
        self._forwards.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_forwarding(self) -> None:
        self._forwards.clear()

    def go_on(self) -> None:
        self._forwards.set()

    def hang_up(self) -> None:
        """Refuses connections from now on, and ends those that there are."""
        self.close()
        self._sockets.clear()

    def answer_again(self) -> None:
        """Takes connections again, at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.go_on()
        for one in [self._listener, *self._sockets]:
            # Shut down first: closing alone wakes nobody who reads.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                self._sockets.append(here)
                try:
                    there = socket.create_connection(self._target)
                except OSError:
                    here.close()
                    continue
                self._sockets.append(there)
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._forwards.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


class OwnPostgres:
    """A PostgreSQL in a temporary folder; `freeze` stops every process of it, `thaw` lets them go on."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder, self._user = folder, user
        self.port = free_port()
        self._run(program_or_skip("initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync")
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
        log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [program_or_skip("postgres"), "-D", str(folder / "data"), *options],
            stdout=log,
            stderr=log,
            user=user,
            cwd=folder,
        )
        log.close()
        give_up_at = time.monotonic() + SECONDS_TO_START
        while subprocess.run([program_or_skip("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            assert time.monotonic() < give_up_at, (folder / "log").read_text()
            time.sleep(0.1)
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def _signal(self, number: signal.Signals) -> None:
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in [parent, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, user=self._user, cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def program_or_skip(name: str) -> str:
    """Where a program of PostgreSQL is; skips the test without it."""
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    if found is None:
        pytest.skip(f"PostgreSQL's own {name} is not installed, so nothing tells what its faults do")
    return found


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A server that the test may freeze; skipped where PostgreSQL's programs are missing."""
    for name in ("initdb", "postgres", "pg_isready"):
        program_or_skip(name)
    user = None
    if os.getuid() == 0:
        # It refuses to run as root.
        user = next((one.pw_name for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody")), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user to run it")
    folder = Path(tempfile.mkdtemp(prefix="klausel-postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    try:
        server = OwnPostgres(folder, user)
        yield server
        server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
