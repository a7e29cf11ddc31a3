"""The tables: role assignments in Casbin's shape, one row of state, and a log of changed subjects."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, String
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = 1


def _exact_text() -> TypeEngine[str]:
    """Text that is compared and sorted by code point: accents, case and trailing spaces count, on every database."""
    return (
        String(255)
        .with_variant(postgresql.VARCHAR(255, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


def _counter() -> TypeEngine[int]:
    """A 64-bit number; SQLite numbers its rows only in a column of type INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """The tables of this module, and no others."""


class CasbinRule(Base):
    """One role assignment in the shape of Casbin's SQLAlchemy adapter: v0 subject, v1 role, v2 domain.

    The database itself refuses rows that are not role assignments (policies are files) and repeated ones.
    """

    __tablename__ = "casbin_rule"
    id: Mapped[int] = mapped_column(_counter(), primary_key=True)
    ptype: Mapped[str] = mapped_column(_exact_text())
    v0: Mapped[str] = mapped_column(_exact_text())
    v1: Mapped[str] = mapped_column(_exact_text())
    v2: Mapped[str] = mapped_column(_exact_text())
    v3: Mapped[str | None] = mapped_column(_exact_text())
    v4: Mapped[str | None] = mapped_column(_exact_text())
    v5: Mapped[str | None] = mapped_column(_exact_text())
    __table_args__ = (
        CheckConstraint("ptype = 'g'", name="casbin_rule_holds_role_assignments"),
        Index("casbin_rule_once", "v0", "v1", "v2", unique=True),
        Index("casbin_rule_by_role", "v1", "v0", "v2"),
        Index("casbin_rule_by_domain", "v2", "v1", "v0"),
    )


class State(Base):
    """One row: the schema's version, a random name of this database, and the counter behind its revisions.

    `klausel_change` is complete for the revisions after `log_starts_after`.
    """

    __tablename__ = "klausel_state"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    schema_version: Mapped[int] = mapped_column(Integer)
    lineage: Mapped[str] = mapped_column(String(32))
    revision: Mapped[int] = mapped_column(_counter())
    log_starts_after: Mapped[int] = mapped_column(_counter())
    __table_args__ = (CheckConstraint("id = 1", name="klausel_state_is_one_row"),)


class Change(Base):
    """A subject whose role assignments changed with a revision; other processes drop it from their caches."""

    __tablename__ = "klausel_change"
    revision: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    subject: Mapped[str] = mapped_column(_exact_text(), primary_key=True)
