"""`klausel playground` serves one folder to one person, until Ctrl-C."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from command_line import Klausel

ROOT = Path(__file__).parents[2]


def test_it_prints_an_address_that_leads_in_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "playground", "policies"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # As behind `&` in a script, where Ctrl-C is ignored unless the program asks for it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout is not None
            address = urlsplit(process.stdout.readline().decode().split()[-1])
            assert address.hostname == "127.0.0.1"
            connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=20)
            connection.request("GET", f"{address.path}?{address.query}")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 303
            connection.request("GET", address.path)
            assert connection.getresponse().status == 403
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=20)
            assert process.returncode == 0
            assert told == b"klausel: Ctrl-C ends it\n"
        finally:
            process.kill()


def test_what_cannot_be_edited_is_refused(klausel: Klausel, tmp_path: Path) -> None:
    result = klausel("playground", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert "there is no such folder" in result.output
    result = klausel("playground", f"{ROOT}@main:policies")
    assert result.exit_code == 2
    assert "name one with --policies" in result.output
