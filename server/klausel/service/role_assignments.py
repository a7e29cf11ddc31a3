"""What the caches of the service need of a storage of role assignments, whoever implements it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

from klausel.core.policy.entity import Entity, EntityKey
from klausel.core.policy.holding import Rows

if TYPE_CHECKING:
    from klausel.storage.sql.change_feed import ChangeFeed
    from klausel.storage.sql.history import History
    from klausel.storage.sql.revisions import StoreChange


class SubjectRows(Protocol):
    """Reads what is stored of one subject, and tells what others wrote, where it can. All raise StorageError."""

    @property
    def shares_one_connection(self) -> bool:
        """Whether nobody but this process can write, as with a database in memory."""

    @property
    def tells_changes(self) -> bool:
        """Whether `data_version` may be called, and `history` is not None."""

    @property
    def history(self) -> History | None:
        """Whom the writes since a known state changed, where that can be told."""

    def held_by(self, subject: str) -> Rows:
        """All rows that say what a subject holds, those of its groups too; none for unknown ones."""

    def entities(self, keys: Sequence[EntityKey]) -> list[tuple[Entity, int]]:
        """The stored entities among some keys, each with how long its properties are as JSON."""

    def data_version(self) -> Hashable:
        """What changes when anyone else commits."""


class RoleAssignments(Protocol):
    """A storage of role assignments: `AssignmentStore` over SQL, or another one, such as one in memory.

    What others can write, unseen by `reader.tells_changes` and without a `feed`, is never kept.
    """

    @property
    def clock(self) -> Callable[[], float]:
        """The moment of now, in seconds since 1970."""

    @property
    def reader(self) -> SubjectRows:
        """The quick way to read one subject's rows."""

    @property
    def feed(self) -> ChangeFeed | None:
        """What tells the writes of others as they commit; None where nothing does."""

    def revision(self) -> str:
        """The name of the present state: opaque, other after every write that changes something."""

    def add_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Calls `listener` after each committed write, before that returns to its caller."""

    def remove_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Ends what `add_listener` began; does nothing for an unknown one."""


def marks_of_writes(store: RoleAssignments) -> Callable[[], Hashable | None]:
    """What gives a mark of the present state of the database: another one as soon as anybody's write is seen here.

    None while nobody can tell what others write. On PostgreSQL there is another one at each heartbeat, too; those of a file are
    of the thread that asks. Raises StorageError.
    """
    feed, reader = store.feed, store.reader
    if feed is not None:

        def mark() -> float | None:
            until = feed.trusted_until
            return until if feed.clock() < until else None

        return mark
    return reader.data_version if reader.tells_changes else lambda: ""
