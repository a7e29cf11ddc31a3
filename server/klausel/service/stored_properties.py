"""The stored properties of subjects and resources, joined to questions: remembered, and dropped when they change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Protocol, TypeVar

from klausel.core.policy.entity import Entity, EntityKey, joined
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import top_domain
from klausel.core.terms.identifiers import SUBJECT_CHARACTERS, fault_in_subject, split_subject_key
from klausel.core.terms.request import Request
from klausel.service.role_assignments import SubjectRows

if TYPE_CHECKING:
    from klausel.storage.entities.store import EntityStore
    from klausel.storage.sql.change_feed import ChangeFeed

_Held = TypeVar("_Held")

MOST_BYTES = 32 * 1024 * 1024
_FIRST_READ, _MOST_READ = 20, 500
_BYTES_PER_ENTITY = 1000
_BYTES_PER_CHARACTER = 4


class StoredProperties:
    """Stored entities by kind, type and id, with one indexed query for those that are not held; safe for many threads.

    What is not stored is never kept. Whoever made it tells it, by `drop`, what changes; `keeps` says whether that is certain,
    and with a `feed` it is so while that is trusted.
    """

    depends_on = ("stored entities", "other processes", "whether other processes are heard")

    def __init__(
        self, reader: SubjectRows, *, keeps: bool, feed: ChangeFeed | None = None, max_bytes: int = MOST_BYTES
    ) -> None:
        self._reader = reader
        self._keeps = keeps
        self._feed = feed
        self._max_bytes = max_bytes
        self._entities: OrderedDict[EntityKey, tuple[Entity, int]] = OrderedDict()
        self._bytes = 0
        # What was read before a drop may be old, and is not kept.
        self._drops = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entities)

    def of(self, keys: Iterable[EntityKey]) -> dict[EntityKey, Entity]:
        """Those of them that are stored. Raises StorageError."""
        found: dict[EntityKey, Entity] = {}
        missing = []
        feed = self._feed
        # Read first: an entity that was found when nothing was trusted is not right because it is trusted again.
        until = inf if feed is None else feed.trusted_until
        for key in keys:
            known = self._entities.get(key)
            if known is None or (feed is not None and feed.clock() >= until):
                missing.append(key)
            else:
                found[key] = known[0]
        if missing:
            drops = self._drops
            for entity, characters in self._reader.entities(missing):
                found[entity.key] = entity
                if self._keeps:
                    self._keep(entity, _BYTES_PER_ENTITY + _BYTES_PER_CHARACTER * characters, drops)
        return found

    def drop(self, names: frozenset[str] | None) -> None:
        """Forgets what is stored under these names, such as `user:ann`; everything for None."""
        with self._lock:
            self._drops += 1
            if names is None:
                self._entities.clear()
                self._bytes = 0
                return
            for name in names:
                type_, id_ = split_subject_key(name) or ("", name)
                self._forget(("subject", type_, id_))
                self._forget(("resource", type_, id_))

    def _keep(self, entity: Entity, size: int, drops: int) -> None:
        with self._lock:
            if drops != self._drops:
                return
            self._forget(entity.key)
            self._entities[entity.key] = (entity, size)
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._entities)))

    def _forget(self, key: EntityKey) -> None:
        known = self._entities.pop(key, None)
        if known is not None:
            self._bytes -= known[1]


class Finds(Protocol):
    """Finds stored entities."""

    def of(self, keys: Iterable[EntityKey]) -> dict[EntityKey, Entity]:
        """Those of them that are stored. Raises StorageError."""


class NothingStored:
    """Finds nothing."""

    def of(self, keys: Iterable[EntityKey]) -> dict[EntityKey, Entity]:
        """See `Finds`."""
        return {}


class StoredThen:
    """Finds entities as they were after a record of the change log."""

    def __init__(self, store: EntityStore, number: int) -> None:
        self._store = store
        self._number = number

    def of(self, keys: Iterable[EntityKey]) -> dict[EntityKey, Entity]:
        """See `Finds`."""
        found = ((key, self._store.read_at(key, self._number)) for key in keys)
        return {key: entity for key, entity in found if entity is not None}


class Reach:
    """The accounts that somebody who asks is limited to. To them, what lies elsewhere is not there.

    Which resources were met that do is remembered, for nobody is to be allowed anything with one.
    """

    def __init__(self, accounts: frozenset[str]) -> None:
        self._accounts = accounts
        self._elsewhere: set[EntityKey] = set()

    def only(self, found: Mapping[EntityKey, Entity]) -> dict[EntityKey, Entity]:
        """Those of the found that lie in these accounts, or in none."""
        inside = {key: one for key, one in found.items() if not one.domain or top_domain(one.domain) in self._accounts}
        self._elsewhere |= found.keys() - inside.keys()
        return inside

    def excludes(self, policy: PolicySet, request: Request) -> bool:
        """Whether the resource of a request was met elsewhere."""
        return bool(self._elsewhere) and resource_key_of(policy, request) in self._elsewhere


def reach_of(accounts: frozenset[str] | None) -> Reach | None:
    """The reach of one question to these accounts; None for all."""
    return None if accounts is None else Reach(accounts)


def looked_up(
    policy: PolicySet, stored: Finds, keys: Collection[EntityKey], reach: Reach | None = None
) -> dict[EntityKey, Entity]:
    """What decisions look up under these keys: what the files of the policies say, else what is stored. Raises StorageError."""
    written = policy.entities
    found = {key: written[key].entity for key in keys if key in written} if written else {}
    if len(found) < len(keys):
        found = {**stored.of([key for key in keys if key not in found] if found else keys), **found}
    return found if reach is None else reach.only(found)


class StoredOfSubjects:
    """What is stored of the subjects that a search goes through, read for many of them at once."""

    def __init__(self, policy: PolicySet, stored: Finds) -> None:
        self._policy = policy
        self._stored = stored
        self._known: dict[str, Mapping[str, object]] = {}

    def of(self, key: str) -> Mapping[str, object]:
        """The stored properties of a subject that `ahead` has just given, or of any one; none for unknown ones."""
        known = self._known.get(key)
        return self._read([key]).get(key, {}) if known is None else known

    def ahead(self, people: Iterable[tuple[str, _Held]]) -> Iterator[tuple[str, _Held]]:
        """The same people, with what is stored of them read before they are given. Raises StorageError."""
        if not self._policy.stored_subjects:
            yield from people
            return
        waiting, size = iter(people), _FIRST_READ
        while some := list(islice(waiting, size)):
            found = self._read([key for key, _ in some])
            self._known = {key: found.get(key, {}) for key, _ in some}
            yield from some
            size = min(2 * size, _MOST_READ)

    def _read(self, subjects: Sequence[str]) -> dict[str, Mapping[str, object]]:
        named = {key: split_subject_key(key) for key in subjects}
        keys: list[EntityKey] = [
            ("subject", *parts) for parts in named.values() if parts and parts[0] in self._policy.stored_subjects
        ]
        return {one.name: one.properties for one in looked_up(self._policy, self._stored, keys).values()} if keys else {}


def subject_key_of(policy: PolicySet, request: Request) -> EntityKey | None:
    """Under which key properties of the subject may be stored that have a say in the answer; None for none."""
    type_, id_ = request.subject.type, request.subject.id
    if type(type_) is not str or type_ not in policy.stored_subjects or not _is_key(type_, id_):
        return None
    return ("subject", type_, id_)


def resource_key_of(policy: PolicySet, request: Request) -> EntityKey | None:
    """Under which key the resource may be stored; None where its type is not."""
    type_, id_ = request.resource.type, request.resource.id
    if type(type_) is not str or type_ not in policy.stored_resources or not _is_key(type_, id_):
        return None
    return ("resource", type_, id_)


def _is_key(type_: str, id_: object) -> bool:
    # Most ids are plain words, which need no further look.
    if type(id_) is str and id_.isalnum() and type_.isidentifier() and len(id_) + len(type_) < SUBJECT_CHARACTERS:
        return True
    return fault_in_subject(type_, id_) is None


def join_one(
    policy: PolicySet,
    stored: Finds,
    request: Request,
    subject: EntityKey | None,
    resource: EntityKey | None,
    reach: Reach | None = None,
) -> Request:
    """The request with what is stored under the keys of its subject and its resource. Raises StorageError."""
    found = looked_up(policy, stored, [key for key in (subject, resource) if key is not None], reach)
    if not found:
        return request
    return joined(policy.roles, request, found.get(subject) if subject else None, found.get(resource) if resource else None)


def join_all(policy: PolicySet, stored: Finds, requests: Sequence[Request], reach: Reach | None = None) -> list[Request]:
    """The requests with what is stored of their subjects and resources, all read at once. Raises StorageError."""
    keys = [(subject_key_of(policy, request), resource_key_of(policy, request)) for request in requests]
    wanted = dict.fromkeys(key for pair in keys for key in pair if key is not None)
    found = looked_up(policy, stored, wanted.keys(), reach)
    return [
        joined(policy.roles, request, found.get(subject) if subject else None, found.get(resource) if resource else None)
        for request, (subject, resource) in zip(requests, keys, strict=True)
    ]


def with_stored_subject(policy: PolicySet, stored: Finds, key: str, given: Request) -> Request:
    """What is known of a question with what is stored of its subject, `type:id`. Raises StorageError."""
    properties = {**given.subject.properties, **StoredOfSubjects(policy, stored).of(key)}
    return given._replace(subject=given.subject._replace(properties=properties))


def names_from_store(policy: PolicySet, stored: Finds, request: Request, reach: Reach | None = None) -> tuple[str, ...]:
    """What a joined request has from the database, such as `subject.email`; sorted. Raises StorageError."""
    keys = (subject_key_of(policy, request), resource_key_of(policy, request))
    found = stored.of([key for key in keys if key is not None and key not in policy.entities])
    found = found if reach is None else reach.only(found)
    bare = request._replace(
        subject=request.subject._replace(properties={}), resource=request.resource._replace(properties={})
    )
    subject, resource = (None if key is None else found.get(key) for key in keys)
    alone = joined(policy.roles, bare, subject, resource)
    return tuple(
        sorted(
            f"{root}.{name}"
            for root, properties in (("subject", alone.subject.properties), ("resource", alone.resource.properties))
            for name in properties
        )
    )
