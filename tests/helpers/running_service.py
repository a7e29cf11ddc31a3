"""`klausel serve` as operators run it: a process that listens, started with any settings and stopped at the end."""

from __future__ import annotations

import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from command_line import INSTALLED, LONGEST_SECONDS, ROOT
from ports import free_port

QUESTION = {
    "subject": {"type": "user", "id": "max"},
    "action": {"name": "create"},
    "resource": {"type": "quiz", "id": "q1", "properties": {"account": "acme"}},
}
"""Is allowed to the demo people."""


@contextmanager
def running(
    folder: Path,
    *options: str,
    command: Sequence[str] = (INSTALLED, "serve"),
    environment: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port, once it is ready; it works in `folder`, with the shipped policies where none are named."""
    port = free_port()
    named = () if any(one.startswith("--policies") for one in options) else ("--policies", str(ROOT / "policies"))
    log = folder / f"service-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), *named, *options], cwd=folder, env=environment, stdout=out, stderr=out
        )
    try:
        give_up_at = time.monotonic() + LONGEST_SECONDS
        address = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/readyz"
        while not _answers(address, tls):
            assert process.poll() is None and time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _answers(address: str, tls: ssl.SSLContext | None) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5, context=tls).close()
    except OSError:
        return False
    return True
