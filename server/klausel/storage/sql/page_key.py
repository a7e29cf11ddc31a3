"""The key that the tokens of pages are signed with: one a database, for all processes that share it."""

from __future__ import annotations

import secrets

from sqlalchemy import CheckConstraint, Engine, Integer, String, insert, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from klausel.storage.sql.database import lock_in_schema, reading, writing


class _Base(DeclarativeBase):
    """The table of this module alone: it is made when it is first needed, in databases of all versions."""


class _PageKey(_Base):
    __tablename__ = "klausel_page_key"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(64))
    __table_args__ = (CheckConstraint("id = 1", name="klausel_page_key_is_one_row"),)


PAGE_KEY = _Base.metadata.tables[_PageKey.__tablename__]


def page_key(engine: Engine) -> bytes:
    """The key, made where there is none yet. Raises StorageError."""
    with reading(engine) as connection:
        if inspect(connection).has_table(_PageKey.__tablename__):
            found = connection.execute(select(_PageKey.key)).scalar()
            if found is not None:
                return bytes.fromhex(found)
    with writing(engine, ()) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({lock_in_schema('page key')})"))
        PAGE_KEY.create(connection, checkfirst=True)
        found = connection.execute(select(_PageKey.key)).scalar()
        if found is None:
            found = secrets.token_hex(32)
            connection.execute(insert(_PageKey).values(id=1, key=found))
    return bytes.fromhex(found)
