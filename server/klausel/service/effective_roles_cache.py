"""The effective roles of the subjects that were asked about lately: bounded, and dropped exactly when a subject changes."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections import OrderedDict
from math import inf

from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.policy.holding import Held, Rows, held_at
from klausel.core.policy.roles import RoleModel
from klausel.service.role_assignments import RoleAssignments
from klausel.service.stored_properties import StoredProperties
from klausel.service.tally import Tally
from klausel.storage.sql.history import KnownState
from klausel.storage.sql.revisions import StoreChange

DEFAULT_ENTRIES = 100_000
DEFAULT_BYTES = 32 * 1024 * 1024
MOST_UNKNOWN = 10_000
"""How many subjects without role assignments are kept, so that made-up ones push nobody else out."""
SECONDS_PER_REVISION = 1.0
_BYTES_PER_ENTRY = 650
_BYTES_PER_ROW = 700


class EffectiveRolesCache:
    """Effective roles by subject, one indexed query for each that is not held; safe for use by many threads.

    What is asked about is the moment `now`, in seconds since 1970 (None: by the clock of the store). An entry knows from when
    until when it is right, and is read again outside of that, whichever way the clock went. It is dropped when its subject
    changes or a group above that. Of subjects without role assignments few are kept. On an SQLite file, writes of other
    processes are noticed by `refresh`. On PostgreSQL the feed of the store tells of them, and what is kept is told only while
    the feed is trusted. On other databases that several processes can write nothing is kept, unless `single_process` promises
    that only this process writes.

    Who holds what does not depend on the policies: `under` other ones a cache begins with all that this one keeps.
    """

    depends_on = (
        "role assignments",
        "members of groups",
        "roles of groups",
        "the moment",
        "the policies",
        "other processes",
        "whether other processes are heard",
        "which history the database has",
    )

    def __init__(
        self,
        store: RoleAssignments,
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
        self._watches_other_processes = self._reader.tells_changes
        self._feed = store.feed
        self._keeps = (
            self._watches_other_processes or self._reader.shares_one_connection or single_process or self._feed is not None
        )
        self.stored = StoredProperties(self._reader, keeps=self._keeps, feed=self._feed)
        """What is stored of subjects and resources, as fresh as effective roles are."""
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        # The subjects kept whose roles depend on each group.
        self._behind: dict[str, set[str]] = {}
        # Those of the subjects kept who hold nothing, the oldest first.
        self._unknown: dict[str, None] = {}
        self._bytes = 0
        # Each assignment brings a text, a pair and at most one set, which is never larger than one of all names.
        self._bytes_per_assignment = 150 + sys.getsizeof(frozenset(roles.inheritance))
        # Counts the times that something was dropped. What was read before a drop may be old, and is not kept.
        self._drops = 0
        self._single_process = single_process
        self._successor: EffectiveRolesCache | None = None
        self._reads: Tally[None] = Tally()
        self._history = self._reader.history
        self._known = self._history.state() if self._watches_other_processes and self._history is not None else None
        # Counts the states that any thread saw. A file that was put back has the version that a thread saw last, while what is
        # kept may be of the state between.
        self._states = 0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._listening = _Listening(store, self)

    def under(self, roles: RoleModel) -> EffectiveRolesCache:
        """A cache for this role model that keeps what this one keeps: each subject is resolved again when it is asked about.

        Nothing of it is older than it would be here, for until it hears of all changes itself, this one tells it.
        """
        other = EffectiveRolesCache(
            self._store,
            roles,
            max_entries=self._max_entries,
            max_bytes=self._max_bytes,
            single_process=self._single_process,
        )
        with self._lock, other._lock:
            # From now on it is told of all that is dropped here; what was dropped before is not among what is copied.
            self._successor = other
            self._listening.tell(other)
            other.stored, other._reads = self.stored, self._reads
            other._known, other._states = self._known, self._states
            for key, entry in self._entries.items():
                other._entries[key] = entry.unresolved()
            other._behind = {group: set(members) for group, members in self._behind.items()}
            other._unknown = dict(self._unknown)
            other._bytes = self._bytes
        return other

    def roles_in(self, subject_key: str, domain: str | None, now: float | None = None) -> frozenset[str]:
        """All names that a subject (`user:ann`) holds in a domain, `anyone` included. Raises StorageError."""
        feed = self._feed
        until = inf if feed is None else feed.trusted_until
        entry = self._entries.get(subject_key)
        if entry is not None and entry.always and (feed is None or feed.clock() < until):
            entry.used = True
            # What always counts is resolved.
            return entry.effective_roles.roles_in(domain)  # type: ignore[union-attr]
        return self.effective_roles_of(subject_key, now).roles_in(domain)

    def effective_roles_of(self, subject_key: str, now: float | None = None) -> EffectiveRoles:
        """A whole set of effective roles of a subject. Raises StorageError."""
        feed = self._feed
        # Read first: an entry that was found when nothing was trusted is not right because it is trusted again.
        until = inf if feed is None else feed.trusted_until
        entry = self._entries.get(subject_key)
        if entry is not None and (feed is None or feed.clock() < until):
            if entry.always:
                entry.used = True
                return entry.effective_roles  # type: ignore[return-value]
            if now is None:
                now = self._store.clock()
            if entry.since <= now < entry.until:
                entry.used = True
                return entry.resolved(self._roles)
        return self._read(subject_key, self._store.clock() if now is None else now)

    def refresh(self) -> None:
        """Drops what other processes have changed in an SQLite file; to be called once a request. Raises StorageError.

        It raises that, too, where the tables are of another version by now, so that nothing is answered from them.
        """
        if self._feed is not None:
            self._feed.refuse_other_schema()
        if not self._watches_other_processes:
            return
        version = self._reader.data_version()
        if getattr(self._local, "seen", None) == (version, self._states):
            return
        with self._lock:
            assert self._known is not None and self._history is not None
            known, subjects = self._history.changes_since(self._known)
            self._drop(subjects)
            if known != self._known:
                self._known = known
                self._states += 1
            states = self._states
        # Taken before the log was read: a write in between is seen by the next call.
        self._local.seen = version, states

    def revision(self) -> str:
        """A state of the role assignments that the effective roles after this call have seen: this one, or a later one.

        After `refresh` it is the latest of an SQLite file, and the one that the feed knows while that is trusted; of other
        databases one at most a second old. Raises StorageError.
        """
        feed = self._feed
        known = feed.known if feed is not None and feed.is_trusted else self._known
        if known is not None:
            named = self._named_revision
            if named is None or named[0] is not known:
                named = self._named_revision = (known, known.revision)
            return named[1]
        now = time.monotonic()
        if self._revision is None or now - self._revision[0] > SECONDS_PER_REVISION:
            self._revision = (now, self._store.revision())
        return self._revision[1]

    def has_seen(self, lineage: str, counter: int) -> bool:
        """Whether all that is told after this call is of the state after so many writes to this database, or of a later one.

        Asks the database where that is not known. Raises StorageError.
        """
        self.refresh()
        known = self._known
        if known is None and self._feed is not None and self._history is not None:
            known = self._feed.known
            if known is None or not known.is_at_least(lineage, counter):
                known = self._feed.catch_up(self._history)
        if known is not None:
            return known.is_at_least(lineage, counter)
        # Nothing of other processes is kept, so what is read after this is no older.
        now, _, reached = self._store.revision().rpartition("-")
        return now == lineage and int(reached) >= counter

    def forget_subjects(self, subjects: frozenset[str] | None) -> None:
        """Drops these subjects, all where None is given."""
        with self._lock:
            self._drop(subjects)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def reads(self) -> int:
        """How many times the roles of a subject were read from the database."""
        return int(self._reads.totals().get(None, 0))

    @property
    def approximate_bytes(self) -> int:
        """About how much memory the kept effective roles take."""
        return self._bytes

    def _read(self, subject_key: str, now: float) -> EffectiveRoles:
        drops = self._drops
        self._reads.add(None)
        rows = self._reader.held_by(subject_key)
        held = held_at(subject_key, rows, now)
        is_known = bool(rows.pairs or rows.others)
        effective_roles = EffectiveRoles.of_held(self._roles, held) if is_known else NOBODY
        if self._keeps:
            self._keep(subject_key, _Entry(effective_roles, held, self._size(subject_key, rows, held)), drops)
        return effective_roles

    def _size(self, subject_key: str, rows: Rows, held: Held) -> int:
        size = _BYTES_PER_ENTRY + len(subject_key) + _BYTES_PER_ROW * (len(rows.others) + len(held.groups))
        for _, domain in held.pairs:
            size += self._bytes_per_assignment + len(domain)
        return size

    def _keep(self, subject_key: str, entry: _Entry, drops: int) -> None:
        if entry.bytes > self._max_bytes // 2:
            return
        with self._lock:
            if drops != self._drops:
                return
            self._forget_entry(subject_key)
            self._entries[subject_key] = entry
            self._bytes += entry.bytes
            for group in entry.groups:
                self._behind.setdefault(group, set()).add(subject_key)
            if entry.effective_roles is NOBODY:
                self._unknown[subject_key] = None
                if len(self._unknown) > MOST_UNKNOWN:
                    self._forget_entry(next(iter(self._unknown)))
            while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
                self._evict_one()

    def _evict_one(self) -> None:
        """Drops the oldest entry that was not used since it was last looked at; gives used ones a second chance."""
        for _ in range(len(self._entries)):
            key = next(iter(self._entries))
            entry = self._entries[key]
            if not entry.used:
                self._forget_entry(key)
                return
            entry.used = False
            self._entries.move_to_end(key)
        self._forget_entry(next(iter(self._entries)))

    def _drop(self, subjects: frozenset[str] | None) -> None:
        if self._successor is not None:
            self._successor.forget_subjects(subjects)
        if subjects is None or subjects:
            self.stored.drop(subjects)
        if subjects is None:
            self._drops += 1
            self._entries.clear()
            self._behind.clear()
            self._unknown.clear()
            self._bytes = 0
        elif subjects:
            self._drops += 1
            for subject in subjects:
                self._forget_entry(subject)
                for member in tuple(self._behind.get(subject, ())):
                    self._forget_entry(member)

    def _forget_entry(self, subject_key: str) -> None:
        entry = self._entries.pop(subject_key, None)
        if entry is not None:
            self._bytes -= entry.bytes
            self._unknown.pop(subject_key, None)
            for group in entry.groups:
                behind = self._behind[group]
                behind.discard(subject_key)
                if not behind:
                    del self._behind[group]


class _Entry:
    """`always` says that no time has a say, which spares most questions a look at the clock, and that it is resolved."""

    __slots__ = ("_held", "always", "bytes", "effective_roles", "groups", "since", "until", "used")

    def __init__(self, effective_roles: EffectiveRoles | None, held: Held, size: int) -> None:
        self.effective_roles = effective_roles
        self.since, self.until = held.since, held.until
        self.always = effective_roles is not None and held.since == -inf and held.until == inf
        self.groups = held.groups
        self.bytes = size
        self.used = False
        self._held = held

    def unresolved(self) -> _Entry:
        """The same for another role model: what is held, and nothing that follows from it."""
        return _Entry(NOBODY if self.effective_roles is NOBODY else None, self._held, self.bytes)

    def resolved(self, roles: RoleModel) -> EffectiveRoles:
        """The effective roles, under the role model of the cache that has this."""
        found = self.effective_roles
        if found is None:
            found = self.effective_roles = EffectiveRoles.of_held(roles, self._held)
            # Set last: who finds it set takes what stands beside it.
            self.always = self.since == -inf and self.until == inf
        return found


class _Listening:
    """Tells a cache of each write, and of what the feed tells, for as long as somebody else holds the cache.

    Whoever tells listeners may do so from a list that was made before another cache was there; so it is told from here, too.
    """

    def __init__(self, store: RoleAssignments, cache: EffectiveRolesCache) -> None:
        self._store, self._feed = store, store.feed
        self._caches = [weakref.ref(cache)]
        store.add_listener(self._on_change)
        if self._feed is not None:
            self._feed.add_listener(self._on_step)

    def tell(self, other: EffectiveRolesCache) -> None:
        """Tells this cache, too."""
        self._caches = [*self._caches, weakref.ref(other)]

    def _on_change(self, change: StoreChange) -> None:
        # What is known of the history stays as it is: the next `refresh`, or step of the feed, reads it whole.
        self._on_step(change.subjects)

    def _on_step(self, subjects: frozenset[str] | None) -> None:
        first, *others = [reference() for reference in self._caches]
        if first is None:
            self._store.remove_listener(self._on_change)
            if self._feed is not None:
                self._feed.remove_listener(self._on_step)
        for cache in (first, *others):
            if cache is not None:
                cache.forget_subjects(subjects)
