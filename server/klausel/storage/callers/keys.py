"""API keys: made once, kept as hashes, listed, revoked. The secret itself is nowhere but with its caller."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Engine, MetaData, Row, String, Table, inspect, select, update

from klausel.core.terms.caller import Caller
from klausel.storage.sql.database import reading, writing
from klausel.storage.sql.revisions import notify

PREFIX = "klausel_"
"""What every key begins with, so that scanners find one that was published by mistake."""
_KEY = re.compile(r"klausel_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)

# A table of its own that is made with the first key: databases without keys stay as they are.
KEYS = Table(
    "klausel_api_key",
    MetaData(),
    Column("id", String(12), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("accounts", String(4000), nullable=True),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=True),
    Column("revoked", BigInteger, nullable=True),
    Column("last_used", BigInteger, nullable=True),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; times are seconds since 1970 in UTC, None where that has not been or never comes."""

    id: str
    caller: Caller
    created: int
    expires: int | None
    revoked: int | None
    last_used: int | None

    def state(self, now: float) -> str:
        """`revoked`, `expired` or `good`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "good"


class KeyStore:
    """The keys in one database; safe to share between threads. Everything raises StorageError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self) -> None:
        """Makes the table of keys where there is none."""
        if not self._is_there():
            with writing(self._engine, None) as connection:  # processes that start at once wait for each other
                KEYS.create(connection, checkfirst=True)

    def _is_there(self) -> bool:
        with reading(self._engine) as connection:
            return inspect(connection).has_table(KEYS.name)

    def new(self, caller: Caller, expires: int | None) -> tuple[str, str]:
        """Makes a key, and gives its id and the key itself, which cannot be had again."""
        self.prepare()
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {
            "id": id_,
            **columns_of(caller),
            "hash": _hash(secret),
            "created": int(time.time()),
            "expires": expires,
        }
        with writing(self._engine, ()) as connection:
            connection.execute(KEYS.insert().values(row))
        return id_, f"{PREFIX}{id_}_{secret}"

    def find(self, key: str) -> ApiKey | None:
        """The key with this id and secret, whatever its state; None when there is none."""
        parts = _KEY.fullmatch(key)
        if parts is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == parts["id"])).one_or_none()
        # A secret of 256 random bits needs no slow hash; comparing takes as long for a wrong one.
        if row is None or not hmac.compare_digest(row.hash.encode(), _hash(parts["secret"]).encode()):
            return None
        return key_of_row(row)

    def all(self) -> Iterator[ApiKey]:
        """Every key, the oldest first."""
        if not self._is_there():
            return
        with reading(self._engine) as connection:
            rows = connection.execute(select(KEYS).order_by(KEYS.c.created, KEYS.c.id)).all()
        yield from map(key_of_row, rows)

    def revoke(self, id_: str) -> bool:
        """Revokes the key with an id from now on, and tells all processes; whether there was one that was not revoked."""
        if not self._is_there():
            return False
        with writing(self._engine, ()) as connection:
            statement = update(KEYS).where(KEYS.c.id == id_, KEYS.c.revoked.is_(None))
            is_done = connection.execute(statement.values(revoked=int(time.time()))).rowcount > 0
            if is_done:
                notify(connection)
        return is_done

    def note_use(self, ids: Collection[str], when: int) -> None:
        """Notes when keys were used last."""
        with writing(self._engine, ()) as connection:
            connection.execute(update(KEYS).where(KEYS.c.id.in_(ids)).values(last_used=when))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def columns_of(caller: Caller) -> dict[str, str | None]:
    """The columns in which a caller is kept."""
    accounts = None if caller.accounts is None else "/".join(sorted(caller.accounts))
    return {"name": caller.name, "scopes": " ".join(sorted(caller.scopes)), "accounts": accounts}


def caller_of(row: Row[tuple[object, ...]]) -> Caller:
    """The caller that a row with `columns_of` keeps."""
    accounts = None if row.accounts is None else frozenset(row.accounts.split("/"))
    return Caller(row.name, frozenset(row.scopes.split()), accounts)


def key_of_row(row: Row[tuple[object, ...]]) -> ApiKey:
    """The key that a row of the table is."""
    return ApiKey(row.id, caller_of(row), row.created, row.expires, row.revoked, row.last_used)


def key_as_json(key: ApiKey, now: float) -> dict[str, object]:
    """A key as programs read it, without what proves it; `now` in seconds since 1970."""
    caller = key.caller
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked, "last_used": key.last_used}
    return {
        "id": key.id,
        "name": caller.name,
        "state": key.state(now),
        "scopes": sorted(caller.scopes),
        "accounts": None if caller.accounts is None else sorted(caller.accounts),
        **{name: None if at is None else datetime.fromtimestamp(at, UTC).isoformat() for name, at in times.items()},
    }
