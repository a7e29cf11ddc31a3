"""The tables of people and groups that identity providers sent, and reading and writing them in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    delete,
    exists,
    func,
    inspect,
    or_,
    select,
    update,
)

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.identifiers import is_printable
from klausel.storage.sql.database import reading, writing
from klausel.storage.sql.indexes import add_missing_indexes
from klausel.storage.sql.rows import COLUMNS
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import CasbinRule

Kind = Literal["User", "Group"]
KEYS_PER_STATEMENT = 500
TEXT_CHARACTERS = 255

_METADATA = MetaData()
# Tables of their own that are made when they are needed: databases without them stay as they are.
PROVISIONED = Table(
    "klausel_provisioned",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("account", String(TEXT_CHARACTERS), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("name", String(TEXT_CHARACTERS), nullable=False),
    Column("external_id", String(TEXT_CHARACTERS), nullable=True),
    Column("subject", String(TEXT_CHARACTERS), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("attributes", Text, nullable=False),
    Column("given", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("account", "kind", "name", name="klausel_provisioned_once"),
    UniqueConstraint("account", "kind", "subject", name="klausel_provisioned_subject_once"),
    Index("klausel_provisioned_by_external_id", "account", "kind", "external_id"),
    Index("klausel_provisioned_by_subject", "subject"),
)
MEMBERS = Table(
    "klausel_provisioned_member",
    _METADATA,
    Column("group_id", String(32), primary_key=True),
    Column("person_id", String(32), primary_key=True),
    Index("klausel_provisioned_member_by_person", "person_id"),
)
Found = Literal["id", "name", "external_id", "subject"]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A person or a group that a provider sent.

    `account` is that of a caller of one account, which has people and groups of its own; empty for callers of all. `name` is
    what is unique among them, in the form that is compared. `subject` is what it is in role assignments, `attributes` a JSON
    object with what the provider gets back. `given` is by which rule of the mapping a person became that subject, or, of a
    group, the roles that the mapping gave it, as JSON. Times are in microseconds since 1970; `version` counts changes.
    """

    id: str
    account: str
    kind: Kind
    name: str
    external_id: str | None
    subject: str
    is_active: bool
    attributes: str
    given: str
    created: int
    modified: int
    version: int


_NAMES = tuple(field.name for field in fields(Provisioned))
_COLUMNS = tuple(PROVISIONED.c[name] for name in _NAMES)


def is_there(engine: Engine) -> bool:
    """Whether the tables were made."""
    with reading(engine) as connection:
        return inspect(connection).has_table(MEMBERS.name)


def prepare(engine: Engine) -> None:
    """Makes the tables where there are none."""
    if not is_there(engine):
        with writing(engine, None) as connection:
            _METADATA.create_all(connection)


def add_indexes_of_provisioned(engine: Engine) -> None:
    """Makes the indexes that tables of provisioned people and groups of an earlier version lack, where there are any."""
    if not is_there(engine):
        return
    with writing(engine, None) as connection:
        add_missing_indexes(connection, _METADATA.sorted_tables)


def find(connection: Connection, account: str, kind: Kind, by: Found, value: str) -> Provisioned | None:
    """The one with this id, name or subject, or the first with this external id; None where there is none."""
    return next(iter(_some(connection, _of(account, kind), PROVISIONED.c[by] == value, limit=1)), None)


def group_elsewhere(connection: Connection, account: str, subject: str) -> bool:
    """Whether callers of other accounts sent a group that is this subject."""
    table = PROVISIONED.c
    query = select(table.id).where(table.kind == "Group", table.subject == subject, table.account != account).limit(1)
    return connection.execute(query).first() is not None


def page(
    connection: Connection,
    account: str,
    kind: Kind,
    offset: int = 0,
    limit: int | None = None,
    by: Found | None = None,
    value: str = "",
) -> tuple[int, list[Provisioned]]:
    """How many there are, and some of them, by their names; `by` and `value` narrow them."""
    which = _of(account, kind) if by is None else and_(_of(account, kind), PROVISIONED.c[by] == value)
    total = connection.execute(select(func.count()).select_from(PROVISIONED).where(which)).scalar_one()
    return total, list(_some(connection, which, limit=limit, offset=offset)) if limit != 0 else []


def all_of(connection: Connection, kind: Kind) -> list[Provisioned]:
    """All people, or all groups, of all accounts."""
    return list(_some(connection, PROVISIONED.c.kind == kind))


def those_who_are(connection: Connection, subjects: Collection[str]) -> list[Provisioned]:
    """The people and groups of all accounts that are one of these subjects."""
    found: list[Provisioned] = []
    for step in in_steps(sorted(subjects), KEYS_PER_STATEMENT):
        found += _some(connection, PROVISIONED.c.subject.in_(step))
    return found


def people_by_other_rules(connection: Connection, rule: str) -> list[Provisioned]:
    """The people who became their subjects by another rule of the mapping."""
    return list(_some(connection, PROVISIONED.c.kind == "User", PROVISIONED.c.given != rule))


def people(connection: Connection, account: str, ids: Collection[str]) -> dict[str, Provisioned]:
    """The people with these ids, by id."""
    found: dict[str, Provisioned] = {}
    # No database compares with what is not printable.
    for step in in_steps(sorted(filter(is_printable, ids)), KEYS_PER_STATEMENT):
        some = PROVISIONED.c.id.in_(step)
        found |= {one.id: one for one in _some(connection, _of(account, "User"), some)}
    return found


def put(connection: Connection, one: Provisioned) -> None:
    """Stores one, in place of that with the same id."""
    values = {name: getattr(one, name) for name in _NAMES}
    if not connection.execute(update(PROVISIONED).where(PROVISIONED.c.id == one.id).values(values)).rowcount:
        connection.execute(PROVISIONED.insert().values(values))


def remove(connection: Connection, one: Provisioned) -> None:
    """Takes one away, and its members, or out of the groups that it is in."""
    column = MEMBERS.c.group_id if one.kind == "Group" else MEMBERS.c.person_id
    connection.execute(delete(MEMBERS).where(column == one.id))
    connection.execute(delete(PROVISIONED).where(PROVISIONED.c.id == one.id))


def members(connection: Connection, group_ids: Collection[str]) -> dict[str, list[Provisioned]]:
    """The members of each of these groups, by their names."""
    found: dict[str, list[Provisioned]] = {id_: [] for id_ in group_ids}
    for step in in_steps(sorted(found), KEYS_PER_STATEMENT):
        some = MEMBERS.c.group_id.in_(step)
        joined = PROVISIONED.join(MEMBERS, MEMBERS.c.person_id == PROVISIONED.c.id)
        query = select(MEMBERS.c.group_id, *_COLUMNS).select_from(joined).where(some).order_by(PROVISIONED.c.name)
        for group_id, *values in connection.execute(query):
            found[group_id].append(Provisioned(*values))
    return found


def groups_of(connection: Connection, person: Provisioned) -> list[Provisioned]:
    """The groups that a person is in."""
    inside = select(MEMBERS.c.group_id).where(MEMBERS.c.person_id == person.id)
    return list(_some(connection, PROVISIONED.c.id.in_(inside)))


def manned(connection: Connection, groups: Collection[Provisioned]) -> set[str]:
    """The ids of those of these groups that have a member who is active."""
    found: set[str] = set()
    waiting = sorted(group.id for group in groups)
    person = PROVISIONED.alias("person")
    inside = MEMBERS.join(person, MEMBERS.c.person_id == person.c.id)
    somebody = exists().select_from(inside).where(MEMBERS.c.group_id == PROVISIONED.c.id, person.c.is_active)
    for step in in_steps(waiting, KEYS_PER_STATEMENT):
        some = PROVISIONED.c.id.in_(step)
        found |= set(connection.execute(select(PROVISIONED.c.id).where(some, somebody)).scalars())
    return found


def inside(connection: Connection, group_id: str, ids: Collection[str]) -> set[str]:
    """The ids among these of members of a group."""
    found: set[str] = set()
    for step in in_steps(sorted(ids), KEYS_PER_STATEMENT):
        some = MEMBERS.c.person_id.in_(step)
        found |= set(connection.execute(select(MEMBERS.c.person_id).where(MEMBERS.c.group_id == group_id, some)).scalars())
    return found


def count_members(connection: Connection, group_ids: Collection[str]) -> int:
    """How many members these groups have together."""
    query = select(func.count()).select_from(MEMBERS).where(MEMBERS.c.group_id.in_(sorted(group_ids)))
    return connection.execute(query).scalar_one()


def change_members(connection: Connection, group_id: str, joining: Collection[str], leaving: Collection[str]) -> None:
    """Makes people members of a group, and others not."""
    if joining:
        connection.execute(MEMBERS.insert(), [{"group_id": group_id, "person_id": id_} for id_ in sorted(joining)])
    for step in in_steps(sorted(leaving), KEYS_PER_STATEMENT):
        some = MEMBERS.c.person_id.in_(step)
        connection.execute(delete(MEMBERS).where(MEMBERS.c.group_id == group_id, some))


def rows_about(connection: Connection, subject: str) -> list[Assignment]:
    """The role assignments and memberships of a subject, and those of its members."""
    query = select(*COLUMNS).where(or_(CasbinRule.v0 == subject, and_(CasbinRule.v1 == subject, CasbinRule.v2 == "")))
    return [Assignment(*row) for row in connection.execute(query)]


def _of(account: str, kind: Kind) -> ColumnElement[bool]:
    return and_(PROVISIONED.c.account == account, PROVISIONED.c.kind == kind)


def _some(
    connection: Connection, *which: ColumnElement[bool], limit: int | None = None, offset: int = 0
) -> Iterator[Provisioned]:
    query = select(*_COLUMNS).where(*which).order_by(PROVISIONED.c.name, PROVISIONED.c.id).limit(limit).offset(offset)
    for row in connection.execute(query):
        yield Provisioned(*row)
