"""The metrics of all workers of one service in one answer, whichever of them is asked."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.samples import Sample

SECONDS_BETWEEN_WRITINGS = 1.0
_log = logging.getLogger(__name__)


class SharedMetrics:
    """Keeps the metrics of this process, `own`, in a file of a folder that all workers have, and reads those of the others.

    A worker that hangs is still told, as it was: `klausel_metrics_timestamp_seconds` says when. One that is gone is not.
    """

    def __init__(self, folder: Path, own: Callable[[], Iterable[Metric]]) -> None:
        self._folder = folder
        self._own = own
        self._file = folder / f"{os.getpid()}.json"

    def start(self) -> None:
        """Begins to write, in a daemon thread, which ends with the process."""
        threading.Thread(target=self._write_again_and_again, name="metrics", daemon=True).start()

    def write(self) -> None:
        """Puts the metrics of this process where the others find them, whole or not at all."""
        families = [[family.name, family.documentation, family.type, _samples_of(family)] for family in self._of_this()]
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(families), encoding="utf-8")
        new.replace(self._file)

    def of_all(self) -> Iterator[Metric]:
        """The metrics of all workers that live, those of this one as they are now."""
        found = {family.name: family for family in self._of_this()}
        for file in sorted(self._folder.glob("*.json")):
            if file == self._file:
                continue
            if not _is_alive(int(file.stem)):
                with suppress(OSError):
                    file.unlink()
                continue
            with suppress(OSError, ValueError):
                for name, what, kind, samples in json.loads(file.read_text(encoding="utf-8")):
                    family = found.setdefault(name, Metric(name, what, kind))
                    family.samples += [Sample(*sample) for sample in samples]
        yield from found.values()

    def _of_this(self) -> Iterator[Metric]:
        yield from self._own()
        taken = GaugeMetricFamily(
            "klausel_metrics_timestamp_seconds", "When the numbers of a process were taken", labels=("process",)
        )
        taken.add_metric((str(os.getpid()),), time.time())
        yield taken

    def _write_again_and_again(self) -> None:
        pause = threading.Event()
        is_told = False
        while True:
            try:
                self.write()
            except OSError as error:
                if not self._folder.exists():
                    return  # the service ends, and takes the folder along
                if not is_told:
                    _log.error("metrics of this process cannot be shared, so only it tells them: %s", error)
                is_told = True
            pause.wait(SECONDS_BETWEEN_WRITINGS)


def _samples_of(family: Metric) -> list[tuple[str, dict[str, str], float]]:
    return [(sample.name, sample.labels, sample.value) for sample in family.samples]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
