"""Running `klausel`: in this process, and as people do."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

from click.testing import CliRunner, Result

from klausel.cli.main import main

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "policies" / "demo" / "assignments.csv"
INSTALLED = str(Path(sys.executable).with_name("klausel"))
LONGEST_SECONDS = 60

Klausel = Callable[..., Result]
Change = Callable[[str, str, str], None]


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    """Runs a command in this process; any end that is not one of its own is a failure of the test."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def run_installed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command that pip installed."""
    return subprocess.run([INSTALLED, *arguments], capture_output=True, text=True, timeout=LONGEST_SECONDS)


def on_a_terminal(*arguments: str) -> str:
    """What a command writes to a terminal as its standard error."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen([INSTALLED, *arguments], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        text = b"".join(_read(ours)).decode()
        os.close(ours)
        assert process.wait(LONGEST_SECONDS) == 0, text
    return text


def _read(terminal: int) -> Iterator[bytes]:
    try:
        while some := os.read(terminal, 65536):
            yield some
    except OSError:  # Linux ends a terminal so.
        return
