"""A clock that a test moves while a service runs, by libfaketime; the steady clocks of the machine go on as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


class MovedClock:
    """The clock of processes that are started with `environment`; skips the test where there is no libfaketime."""

    def __init__(self, file: Path) -> None:
        library = next((found for place in _PLACES for found in Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1")), None)
        if library is None or shutil.which("faketime") is None:
            pytest.skip("libfaketime is not installed, so no clock can be moved (apt-get install faketime)")
        self._file = file
        self.move(0)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
        self.environment: Mapping[str, str] = {
            **kept,
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The times of files: to fake them, each look at a file would read the clock's own.
            "NO_FAKE_STAT": "1",
        }

    def move(self, seconds: float) -> None:
        """Sets it so far ahead of the clock of the machine, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.replace(self._file)
