"""The effective roless of the subjects that were asked about lately: bounded, and dropped exactly when a subject changes."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections import OrderedDict

from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.assignments.subject_reader import KnownState
from klausel.storage.sql.revisions import StoreChange

DEFAULT_ENTRIES = 100_000
DEFAULT_BYTES = 32 * 1024 * 1024
SECONDS_PER_REVISION = 1.0
_BYTES_PER_ENTRY = 500


class EffectiveRolesCache:
    """Effective roles by subject, one indexed query for each that is not held; safe for use by many threads.

    A subject without role assignments is never kept. On an SQLite file, writes of other processes are noticed by
    `refresh`. On other databases that several processes can write nothing is kept, unless `single_process` promises
    that only this process writes.
    """

    def __init__(
        self,
        store: AssignmentStore,
        roles: RoleModel,
        *,
        max_entries: int = DEFAULT_ENTRIES,
        max_bytes: int = DEFAULT_BYTES,
        single_process: bool = False,
    ) -> None:
        self._store = store
        self._reader = store.reader
        self._named_revision: tuple[KnownState, str] | None = None
        self._revision: tuple[float, str] | None = None
        self._roles = roles
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._watches_other_processes = self._reader.is_sqlite_file
        self._keeps = self._watches_other_processes or self._reader.shares_one_connection or single_process
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        # Each assignment brings a text, a pair and at most one set, which is never larger than one of all names.
        self._bytes_per_assignment = 150 + sys.getsizeof(frozenset(roles.inheritance))
        # Counts the times that something was dropped. What was read before a drop may be old, and is not kept.
        self._drops = 0
        self._known = self._reader.state() if self._watches_other_processes else None
        self._lock = threading.Lock()
        self._local = threading.local()
        _listen(store, self)

    def roles_in(self, subject_key: str, domain: str | None) -> frozenset[str]:
        """All names that a subject (`user:ann`) holds in a domain, `anyone` included. Raises StorageError."""
        entry = self._entries.get(subject_key)
        if entry is not None:
            entry.used = True
            return entry.effective_roles.roles_in(domain)
        return self._read(subject_key).roles_in(domain)

    def effective_roles_of(self, subject_key: str) -> EffectiveRoles:
        """A whole set of effective roles of a subject. Raises StorageError."""
        entry = self._entries.get(subject_key)
        if entry is not None:
            entry.used = True
            return entry.effective_roles
        return self._read(subject_key)

    def refresh(self) -> None:
        """Drops what other processes have changed in an SQLite file; to be called once a request. Raises StorageError."""
        if not self._watches_other_processes:
            return
        version = self._reader.data_version()
        if version == getattr(self._local, "version", None):
            return
        with self._lock:
            assert self._known is not None
            known, subjects = self._reader.changes_since(self._known)
            self._drop(subjects)
            self._known = known
        # Taken before the log was read: a write in between is seen by the next call.
        self._local.version = version

    def revision(self) -> str:
        """A state of the role assignments that the effective roless after this call have seen: this one, or a later one.

        After `refresh` it is the latest of an SQLite file; of other databases one at most a second old. Raises StorageError.
        """
        known = self._known
        if known is not None:
            named = self._named_revision
            if named is None or named[0] is not known:
                named = self._named_revision = (known, f"{known.lineage}-{known.counter}")
            return named[1]
        now = time.monotonic()
        if self._revision is None or now - self._revision[0] > SECONDS_PER_REVISION:
            self._revision = (now, self._store.revision())
        return self._revision[1]

    def forget(self, change: StoreChange) -> None:
        """Drops the subjects of a committed write of this process."""
        with self._lock:
            # What is known of the history stays as it is: the next `refresh` reads it whole.
            self._drop(change.subjects)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def approximate_bytes(self) -> int:
        """About how much memory the kept effective roles take."""
        return self._bytes

    def _read(self, subject_key: str) -> EffectiveRoles:
        drops = self._drops
        held = self._reader.held_by(subject_key)
        if not held:
            return NOBODY
        effective_roles = EffectiveRoles.of(self._roles, held)
        if self._keeps:
            self._keep(subject_key, effective_roles, drops)
        return effective_roles

    def _keep(self, subject_key: str, effective_roles: EffectiveRoles, drops: int) -> None:
        size = _BYTES_PER_ENTRY + len(subject_key)
        for _, domain in effective_roles.held:
            size += self._bytes_per_assignment + len(domain)
        entry = _Entry(effective_roles, size)
        if entry.bytes > self._max_bytes // 2:
            return
        with self._lock:
            if drops != self._drops or subject_key in self._entries:
                return
            self._entries[subject_key] = entry
            self._bytes += entry.bytes
            while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
                self._evict_one()

    def _evict_one(self) -> None:
        """Drops the oldest entry that was not used since it was last looked at; gives used ones a second chance."""
        for _ in range(len(self._entries)):
            key, entry = self._entries.popitem(last=False)
            if not entry.used:
                self._bytes -= entry.bytes
                return
            entry.used = False
            self._entries[key] = entry
        _, entry = self._entries.popitem(last=False)
        self._bytes -= entry.bytes

    def _drop(self, subjects: frozenset[str] | None) -> None:
        if subjects is None:
            self._drops += 1
            self._entries.clear()
            self._bytes = 0
        elif subjects:
            self._drops += 1
            for subject in subjects:
                entry = self._entries.pop(subject, None)
                if entry is not None:
                    self._bytes -= entry.bytes


class _Entry:
    __slots__ = ("bytes", "effective_roles", "used")

    def __init__(self, effective_roles: EffectiveRoles, size: int) -> None:
        self.effective_roles = effective_roles
        self.bytes = size
        self.used = False


def _listen(store: AssignmentStore, cache: EffectiveRolesCache) -> None:
    """Tells the cache of each write for as long as somebody else holds the cache."""
    reference = weakref.ref(cache)

    def on_change(change: StoreChange) -> None:
        living = reference()
        if living is None:
            store.remove_listener(on_change)
        else:
            living.forget(change)

    store.add_listener(on_change)
