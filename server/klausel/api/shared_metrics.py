"""The metrics of all workers of one service in one answer, whichever of them is asked."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.samples import Sample

from klausel.api.request_metrics import gauge

SECONDS_BETWEEN_WRITINGS = 1.0
SECONDS_FOR_OTHERS = 0.3
_ENDED = "ended.json"
_SUMMED = ("counter", "histogram")
_log = logging.getLogger(__name__)

_Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, meaning and type of a metric, and its samples: as Prometheus has them, and as a file holds them."""


class SharedMetrics:
    """Keeps the metrics of this process, `own`, in a file of a folder that all workers have, and reads those of the others.

    What is counted is summed over all workers, those that ended included, so no number that was told is ever told lower.
    A worker that hangs is told as it was: `klausel_metrics_timestamp_seconds` says when.
    """

    def __init__(self, folder: Path, own: Callable[[], Iterable[Metric]]) -> None:
        self._folder = folder
        self._own = own
        self._file = folder / f"{os.getpid()}.json"
        self._writing = threading.Lock()

    def start(self) -> None:
        """Begins to write, in a daemon thread, which ends with the process."""
        with suppress(OSError), _alone_in(self._folder) as is_alone:
            if is_alone:
                self._keep_what_ended(is_new=True)
        threading.Thread(target=self._write_again_and_again, name="metrics", daemon=True).start()

    def write(self) -> list[_Family]:
        """Puts the metrics of this process where the others find them, whole or not at all; what it put there."""
        with self._writing:  # what was taken later is written later
            families = [_family_of(one) for one in self._of_this()]
            _put(self._file, families)
        return families

    def of_all(self) -> Iterator[Metric]:
        """The metrics of all workers, those of this one as they are now."""
        try:
            families = self.write()  # also what is told now is counted when this process is killed
        except OSError:
            families = [_family_of(one) for one in self._of_this()]
        with suppress(OSError), _alone_in(self._folder) as is_alone:
            families += self._keep_what_ended() if is_alone else _read(self._folder / _ENDED)[1:]
            for file in self._files_of_others():
                families += _read(file)
        return _joined(families)

    def _files_of_others(self) -> list[Path]:
        files = sorted(self._folder.glob("*.json"))
        return [file for file in files if file != self._file and file.stem.isdecimal()]

    def _keep_what_ended(self, is_new: bool = False) -> list[_Family]:
        """What processes counted that are gone, taken together from now on; `is_new` before this one writes at all."""
        kept = self._folder / _ENDED
        last, *families = _read(kept) or [("", "", "", [])]
        gone = [file for file in self._files_of_others() if not _is_alive(int(file.stem))]
        if is_new and self._file.exists():
            gone.append(self._file)  # of one before, which had the same id
        for file in gone:
            name = f"{file.name} {file.stat().st_mtime_ns}"
            # Who is killed between the two has added it already.
            if last[0] != name:
                families += [family for family in _read(file) if family[2] in _SUMMED]
                families = [_family_of(one) for one in _joined(families)]
                last = (name, "", "", [])
                _put(kept, [last, *families])
            file.unlink()
        return families

    def _of_this(self) -> Iterator[Metric]:
        yield from self._own()
        yield gauge("klausel_metrics_timestamp_seconds", "When the numbers of a process were taken", time.time())

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


def _family_of(metric: Metric) -> _Family:
    samples = [(sample.name, sample.labels, sample.value) for sample in metric.samples]
    return metric.name, metric.documentation, metric.type, samples


def _joined(families: Iterable[_Family]) -> Iterator[Metric]:
    """Each metric once, with samples of the same labels added up: those of a gauge have the process among them."""
    found: dict[str, tuple[Metric, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}
    for name, what, kind, samples in families:
        _, totals = found.setdefault(name, (Metric(name, what, kind), defaultdict(float)))
        for sample, labels, value in samples:
            totals[sample, tuple(sorted(labels.items()))] += value
    for metric, totals in found.values():
        metric.samples = [Sample(sample, dict(labels), value) for (sample, labels), value in totals.items()]
        yield metric


def _put(file: Path, families: list[_Family]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(families), encoding="utf-8")
    new.replace(file)


def _read(file: Path) -> list[_Family]:
    """What a file holds; nothing where it is gone or broken."""
    with suppress(OSError, ValueError):
        return [(name, what, kind, samples) for name, what, kind, samples in json.loads(file.read_text(encoding="utf-8"))]
    return []


@contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Whether no other worker or thread adds up what ended meanwhile; False where one does for long, as when it was paused."""
    import fcntl  # not there on Windows

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until, is_alone = time.monotonic() + SECONDS_FOR_OTHERS, False
        while not is_alone:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone = True
            except BlockingIOError:
                if time.monotonic() > until:
                    break
                time.sleep(SECONDS_FOR_OTHERS / 30)
        yield is_alone
    finally:
        os.close(descriptor)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
