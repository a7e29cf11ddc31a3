"""A folder of policies as the source of a running service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from klausel.storage.policy_files import PolicyFiles, read_folder, shown

RECHECK_SECONDS = 10.0


class PolicyFolder:
    """The policy set in a folder, and its model; a `PolicySource`."""

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
        while True:
            yield
            wake.wait(self._recheck_seconds)
