"""Which commit changed each grant last, worked out beside the requests and kept for one edition of the policies."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType

from klausel.service.pipeline import LoadedPolicy
from klausel.service.policy_history import open_history
from klausel.settings import Settings
from klausel.storage.git.line_history import LineHistory
from klausel.storage.git.objects import GitCommit, GitError

SECONDS_TO_WAIT = 1.0
_NONE: Mapping[str, GitCommit] = MappingProxyType({})

_log = logging.getLogger(__name__)


class GrantCommits:
    """The commits of the grants in force, by where each grant stands; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._digest: str | None = None
        self._done = threading.Event()
        self._known: Mapping[str, GitCommit] = _NONE

    def of(self, loaded: LoadedPolicy) -> Mapping[str, GitCommit]:
        """The last commit of each grant that has one, by its `source`.

        Nothing outside a repository, and nothing yet where finding out takes longer than `SECONDS_TO_WAIT`: then it goes on in
        a thread of its own, and is there the next time.
        """
        if loaded.commit is None:
            return _NONE
        with self._lock:
            if self._digest != loaded.files_digest:
                self._digest, self._known, self._done = loaded.files_digest, _NONE, threading.Event()
                arguments = (loaded, self._done)
                threading.Thread(target=self._find, args=arguments, name="klausel-blame", daemon=True).start()
            done = self._done
        done.wait(SECONDS_TO_WAIT)
        return self._known if self._digest == loaded.files_digest else _NONE

    def _find(self, loaded: LoadedPolicy, done: threading.Event) -> None:
        try:
            found = self._found(loaded)
        except GitError as error:
            found = {}
            _log.warning("which commits changed the grants is not told: %s", error)
        except Exception:
            found = {}
            _log.exception("which commits changed the grants is not told")
        with self._lock:
            if self._done is done:
                self._known = MappingProxyType(found)
        done.set()

    def _found(self, loaded: LoadedPolicy) -> dict[str, GitCommit]:
        repository, _, _ = open_history(self._settings.policies)
        with closing(repository):
            commit = loaded.commit
            assert commit is not None
            # Files that differ from the commit are those of the work tree.
            side = None if commit.dirty else repository.commit(commit.id)
            lines = LineHistory(repository, side)
            found = {}
            for grant in loaded.compiled.policy.grants:
                writer = lines.writer_of(grant.place.file, grant.place.line)
                if writer is not None:
                    found[grant.source] = writer
        return found
