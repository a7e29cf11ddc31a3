"""A folder of policies as the source of a running service: read it, and notice when it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from watchfiles import watch

from klausel.storage.policy_files.folder import PolicyFiles, folders_of, read_folder, shown

RECHECK_SECONDS = 10.0
_QUIET_MILLISECONDS = 25
"""A change is read when nothing else happened for so long: an editor may write a file in steps, or several files."""
_LONGEST_WAIT_MILLISECONDS = 500
_TICK_MILLISECONDS = 100
_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class PolicyFolder:
    """The policy set in a folder, or in several that are joined, and its model; a `PolicySource`.

    Changes come from the system. Where it tells nothing (some network drives; a link that leads elsewhere now) they are
    found by looking again every `recheck_seconds`.
    """

    def __init__(self, folder: Path, model: Path, recheck_seconds: float = RECHECK_SECONDS) -> None:
        self._folder = folder
        self._model = model
        self._recheck_seconds = recheck_seconds

    @property
    def shown_as(self) -> str:
        """The path of the folder."""
        return shown(self._folder)

    def read(self) -> PolicyFiles:
        """What stands in the folder and in the model now; raises `PolicyError` when there is no such folder."""
        return read_folder(self._folder, self._model)

    def changes(self, wake: threading.Event) -> Iterator[None]:
        """See `PolicySource`."""
        is_told = False
        while True:
            try:
                yield from self._watched(wake)
                is_told = False
            except (OSError, RuntimeError) as error:  # the folder or the model is not there, or there are too many watches
                if not is_told:
                    _log.warning("policies cannot be watched, so they are read every second: %s", error)
                    is_told = True
                wake.wait(_RETRY_SECONDS)
            yield

    def _watched(self, wake: threading.Event) -> Iterator[None]:
        """Yields at changes and from time to time; ends when `wake` is set, or when what is watched was replaced."""
        watched = {str(path.resolve()) for path in (*folders_of(self._folder), self._model)}
        due_at = 0.0
        for changed in watch(
            *watched,
            watch_filter=None,
            debounce=_LONGEST_WAIT_MILLISECONDS,
            step=_QUIET_MILLISECONDS,
            rust_timeout=_TICK_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=wake,
            raise_interrupt=False,
        ):
            # The first time, the watch stands and nothing was read since: changes before it are found now.
            if changed or time.monotonic() >= due_at:
                yield
                due_at = time.monotonic() + self._recheck_seconds
            if any(path in watched for _, path in changed):
                return
