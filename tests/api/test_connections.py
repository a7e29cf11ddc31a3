"""Slow, half and endless bodies, and very many connections: none of them keeps others from their answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from doors import ALLOWED, EVALUATION, ROOT, HttpDoor
from ports import can_connect, free_port, wait_until

from klausel.api.connections import ConnectionWatch, RequestsInProgress, _first_to_close
from klausel.settings import SLOW_BODIES_AT_ONCE

SECONDS = 30
MOST = 40
BODY = json.dumps(ALLOWED).encode()
HEAD = f"POST {EVALUATION} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a connection waits for")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[HttpDoor]:
    """One worker, for at most 40 connections, whose bodies must be there within a second."""
    with serving(tmp_path, "--max-connections", str(MOST), "--body-seconds", "1") as door:
        yield door


@contextmanager
def serving(tmp_path: Path, *limits: str) -> Iterator[HttpDoor]:
    """One worker with these limits."""
    port = free_port()
    paths = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf"), "--port", str(port)]
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", "--demo", *paths, *limits]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: can_connect(port), "the service does not start")
            yield HttpDoor(port)
        finally:
            process.terminate()
            process.wait(20)


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(SECONDS)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def metric(door: HttpDoor, name: str) -> float:
    text = door._send("GET", "/metrics", b"", {"Host": "localhost"}).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_looking_at_connections_opens_nothing() -> None:
    """Files, pipes, a listening socket and another's connection are passed over, again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Path(os.devnull).open() as file, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        watch = ConnectionWatch(listener.getsockname()[1], 10, 1.0, RequestsInProgress())
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            watch.look()
        assert len(os.listdir("/proc/self/fd")) == before
        assert not file.closed


def test_an_answer_that_took_longer_than_a_body_may_is_not_cut_before_it_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        caller = stack.enter_context(socket.create_connection(listener.getsockname()))
        here = stack.enter_context(listener.accept()[0])
        requests = RequestsInProgress()
        watch = ConnectionWatch(listener.getsockname()[1], 10, 0.2, requests)
        caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
        requests.begin()
        began = time.monotonic()
        while time.monotonic() < began + 0.6:
            watch.look()
        requests.end()
        watch.look()
        assert watch.closed["unfinished"] == 0
        here.sendall(b"an answer")
        assert caller.recv(100) == b"an answer"
        # Linux tells by milliseconds which of the two was last.
        time.sleep(0.1)
        caller.sendall(b"half a request")

        def is_cut() -> bool:
            watch.look()
            return watch.closed["unfinished"] == 1

        wait_until(is_cut, "what is half there stays for ever")


def test_a_process_that_stood_still_cuts_nobody_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        caller = stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])
        watch = ConnectionWatch(listener.getsockname()[1], 10, 1.0, RequestsInProgress())
        caller.sendall(b"a request that came while nothing ran")
        # Nothing looks meanwhile, as in a process that is paused.
        time.sleep(2)
        watch.look()
        assert watch.closed["unfinished"] == 0

        def is_cut() -> bool:
            watch.look()
            return watch.closed["unfinished"] == 1

        wait_until(is_cut, "what is half there stays for ever")


def test_of_addresses_of_one_network_of_version_6_idle_ones_make_room_first() -> None:
    one = [(60.0, number, (number, ("2001:db8:1::7", 1, 0, 0))) for number in range(3)]
    many = [(1.0, number, (number, (f"2001:db8:2::{number}", 1, 0, 0))) for number in range(10, 15)]
    mapped = [(1.0, number, (number, (f"::ffff:192.0.2.{number}", 1, 0, 0))) for number in range(20, 25)]
    first = [descriptor for descriptor, _ in _first_to_close([*mapped, *one, *many])]
    assert set(first[:2]) < set(range(10, 15))
    assert set(first[-7:]) >= set(range(20, 25))


def test_half_bodies_hold_no_decision_up_and_are_cut(served: HttpDoor) -> None:
    with ExitStack() as stack:
        half = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(16)]
        for connection in half:
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + BODY)
        assert served.get("/healthz").status == 200
        assert all(served.allows(ALLOWED) for _ in range(20))
        assert all(map(is_closed, half))
    assert metric(served, "klausel_connections_closed_total{") >= 16


def test_a_burst_of_half_bodies_takes_no_more_threads_than_it_may(tmp_path: Path) -> None:
    with serving(tmp_path, "--body-seconds", str(10 * SECONDS)) as door, ExitStack() as stack:
        began = time.monotonic()
        for _ in range(120):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            half.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + BODY)
        assert door.get("/healthz").status == 200
        wait_until(lambda: door.post(EVALUATION, ALLOWED).status == 200, "half bodies keep decisions out")
        assert time.monotonic() - began < 2 * SECONDS
        assert metric(door, "klausel_connections_closed_total{") >= SLOW_BODIES_AT_ONCE


def test_a_body_that_comes_byte_by_byte_is_cut(served: HttpDoor) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        slow.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")

        def is_refused() -> bool:
            assert served.allows(ALLOWED)
            try:
                slow.sendall(b" ")
            except OSError:
                return True
            return False

        wait_until(is_refused, "a slow body is read for ever")


@pytest.mark.parametrize("length", [b"Content-Length: 999999999999\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_endless_body_is_refused(served: HttpDoor, length: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as endless:
        endless.settimeout(SECONDS)
        endless.sendall(HEAD + length + b"\r\n")
        try:
            for _ in range(400):
                endless.sendall((b"10000\r\n" if b"chunked" in length else b"") + b" " * 65536 + b"\r\n")
        except OSError:
            return
        assert b" 413 " in endless.recv(100)
    assert served.allows(ALLOWED)


def test_more_connections_than_may_be_are_answered_for_those_that_idle(served: HttpDoor) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with ExitStack() as stack:
        kept = []
        for _ in range(3 * MOST):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.settimeout(SECONDS)
            connection.sendall(request)
            assert b"200 OK" in connection.recv(1000)
            kept.append(connection)
        assert served.get("/healthz").status == 200
        wait_until(lambda: metric(served, "klausel_connections_closed_total{") >= 2 * MOST, "too many connections stay open")
        wait_until(lambda: metric(served, "klausel_connections{") <= MOST, "they are not counted")
        # What was just used goes on.
        kept[-1].sendall(request)
        assert b"200 OK" in kept[-1].recv(1000)


def test_an_address_with_very_many_connections_makes_room_first(served: HttpDoor) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with ExitStack() as stack:

        def opened(address: str) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", served.port), source_address=(address, 0))
            connection.settimeout(SECONDS)
            connection.sendall(request)
            assert b"200 OK" in connection.recv(1000)
            return stack.enter_context(connection)

        of_pool = [opened("127.0.0.2") for _ in range(5)]
        for _ in range(3 * MOST):
            opened("127.0.0.3")
        wait_until(lambda: metric(served, "klausel_connections_closed_total{") >= 2 * MOST, "too many connections stay open")
        wait_until(lambda: metric(served, "klausel_connections{") <= MOST, "they are not counted")
        # The others idle longer, and go on all the same.
        for connection in of_pool:
            connection.sendall(request)
            assert b"200 OK" in connection.recv(1000)
