"""Servers of issuers that are slow, lead elsewhere, or send too much: asking them ends in time, with nothing of theirs."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from certificates import certificate

from klausel.service.openid import MOST_AT_ONCE, OpenIdFault, OpenIdProvider, OpenIdRules
from klausel.storage.callers import bounded_http
from klausel.storage.callers.bounded_http import MOST_BYTES, NotAnswered, ask
from klausel.storage.callers.key_sets import KeySetUnreadable, read_key_set

WIDE_SECONDS = 60.0
GOOD = b'{"keys": []}'


class Wire:
    """A server of bare bytes: `say` gives, for the path asked for, the pieces that it sends."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.say: Callable[[str], Iterator[bytes]] = lambda _: iter([answer(GOOD)])
        self.asked: list[str] = []
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            suppress(OSError, IndexError),
            closing(plain if self._tls is None else self._tls.wrap_socket(plain, True)) as one,
        ):
            path = one.recv(65536).split()[1].decode()
            self.asked.append(path)
            for piece in self.say(path):
                one.sendall(piece)

    def close(self) -> None:
        self._socket.close()


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drops(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(0.05)


def slow_head(_: str) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Odd: "
    yield from drops(b"a")


def slow_body(_: str) -> Iterator[bytes]:
    yield answer(GOOD).replace(b"12", b"9999", 1)
    yield from drops(b" ")


def no_byte(_: str) -> Iterator[bytes]:
    time.sleep(WIDE_SECONDS)
    yield b""


@pytest.fixture(params=["http", "https"])
def wire(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    tls = None
    if request.param == "https":
        certificate(tmp_path, "authority")
        certificate(tmp_path, "issuer", "authority")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "issuer.pem", tmp_path / "issuer.key")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    wire = Wire(tls)
    yield wire
    wire.close()


def test_what_is_on_this_machine_is_asked_past_the_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    wire = Wire()
    assert ask(f"{wire.url}/keys").content == GOOD
    assert wire.asked == ["/keys"]
    wire.close()


@pytest.mark.parametrize("say", [slow_head, slow_body, no_byte])
def test_what_comes_slowly_is_given_up_in_time(
    wire: Wire, say: Callable[[str], Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_key_set(wire.url) == GOOD
    monkeypatch.setattr(bounded_http, "MOST_SECONDS", 1.0)
    wire.say = say
    began = time.monotonic()
    with pytest.raises(KeySetUnreadable, match="took more than 1 s"):
        read_key_set(wire.url)
    assert time.monotonic() - began < WIDE_SECONDS / 2


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed_though_good_keys_are_there(wire: Wire, status: str) -> None:
    wire.say = lambda path: iter([answer(GOOD) if path == "/good" else answer(GOOD, status, Location="/good")])
    assert read_key_set(f"{wire.url}/good") == GOOD
    wire.asked.clear()
    with pytest.raises(KeySetUnreadable, match=f"answered with {status[:3]}"):
        read_key_set(f"{wire.url}/moved")
    assert wire.asked == ["/moved"]


def test_what_is_too_large_or_packed_is_refused(wire: Wire) -> None:
    wire.say = lambda _: iter([answer(b" " * (MOST_BYTES + 1))])
    with pytest.raises(NotAnswered, match="sent more than"):
        ask(wire.url)
    packed = gzip.compress(b" " * 100_000_000)
    assert len(packed) < MOST_BYTES
    wire.say = lambda _: iter([answer(packed, **{"Content-Encoding": "gzip"})])
    with pytest.raises(NotAnswered, match="packed body"):
        ask(wire.url)


def test_a_slow_provider_holds_few_threads(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "MOST_SECONDS", 1.0)
    wire.say = slow_head
    provider = OpenIdProvider(OpenIdRules(wire.url, "klausel", None, (), f"{wire.url}/back", "sub", "user", ()))
    told: list[str] = []

    def begin() -> None:
        with pytest.raises(OpenIdFault) as fault:
            provider.begin()
        told.append(str(fault.value))

    threads = [threading.Thread(target=begin) for _ in range(MOST_AT_ONCE + 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WIDE_SECONDS)
    assert sum("many people wait" in fault for fault in told) == 5
    assert sum("took more than 1 s" in fault for fault in told) == MOST_AT_ONCE
    assert len(wire.asked) <= MOST_AT_ONCE
    begin()
    assert "took more than" in told[-1]  # the places are free again
