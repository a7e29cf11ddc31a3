"""Where the policies of a running service come from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from klausel.storage.policy_files.folder import PolicyFiles


class PolicySource(Protocol):
    """Gives the files of one policy set, again and again, and tells when they may have changed."""

    @property
    def shown_as(self) -> str:
        """The name of the source for people, such as the path of a folder."""

    def read(self) -> PolicyFiles:
        """What the files say now; raises `PolicyError` when there is nothing to read. May be called from several threads."""

    def changes(self, wake: threading.Event) -> Iterator[None]:
        """Yields whenever the files may differ from what `read` gave before; waits in between, never raises, never ends.

        It yields at once, when `wake` is set (whoever iterates clears it), and from time to time even when nothing is
        known to have changed. It is iterated by one thread.
        """
