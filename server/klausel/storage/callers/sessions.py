"""Sign-ins of people to the console: begun by a proof, ended by signing out, by time, or with the API key behind them."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, String, Table, delete, inspect, select

from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KEYS, caller_of, columns_of, key_of_row
from klausel.storage.sql.database import reading, writing

MOST_OF_ONE = 1_000
"""How many sign-ins of one key, or of one person, are kept: with one more, the one that ends first has ended."""
# A table of its own, like that of the keys: databases without sign-ins stay as they are.
SESSIONS = Table(
    "klausel_session",
    MetaData(),
    Column("hash", String(64), primary_key=True),
    Column("key_id", String(12), nullable=True),
    Column("person", String(255), nullable=True),
    Column("name", String(255), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("accounts", String(4000), nullable=True),
    Column("expires", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody who signed in: what they may do, and which subject they are, None where a key says nothing of that."""

    caller: Caller
    person: str | None = None


class SessionStore:
    """The sign-ins in one database; safe to share between threads. Everything raises StorageError.

    Nothing is kept in memory: a sign-in that was ended, or whose key was revoked, counts in no process from then on.
    One by a key counts only where a process `takes_keys`, and one by a provider where the `provider` is what it was then:
    the text that says which one it is, and whom it lets do what.
    """

    def __init__(self, engine: Engine, takes_keys: bool = True, provider: str = "") -> None:
        self._engine, self._takes_keys, self._provider = engine, takes_keys, provider

    def prepare(self) -> None:
        """Makes the table of sign-ins where there is none."""
        with reading(self._engine) as connection:
            if inspect(connection).has_table(SESSIONS.name):
                return
        with writing(self._engine, None) as connection:  # processes that start at once wait for each other
            SESSIONS.create(connection, checkfirst=True)

    def begin(self, who: SignIn, expires: int, key_id: str | None = None) -> str:
        """Notes a sign-in until a moment in seconds since 1970, and gives the secret that its browser keeps.

        With `key_id` it is worth what that key is worth then.
        """
        token = secrets.token_urlsafe(32)
        row = {
            "hash": _hash(token) if key_id else self._hash_of_person(token),
            "key_id": key_id,
            "person": who.person,
            **columns_of(who.caller),
            "expires": expires,
        }
        with writing(self._engine, ()) as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires <= int(time.time())))
            _make_room(connection, who.caller.name, key_id)
            connection.execute(SESSIONS.insert().values(row))
        return token

    def find(self, token: str, now: float) -> SignIn | None:
        """Who signed in with this secret; None where nobody did, and where it has ended or its key no longer counts."""
        with reading(self._engine) as connection:
            places = (_hash(token), self._hash_of_person(token))
            row = connection.execute(select(SESSIONS).where(SESSIONS.c.hash.in_(places))).one_or_none()
            if row is None or row.expires <= now or row.hash != places[row.key_id is None]:
                return None
            if row.key_id is not None:
                if not self._takes_keys:
                    return None
                found = connection.execute(select(KEYS).where(KEYS.c.id == row.key_id)).one_or_none()
                key = None if found is None else key_of_row(found)
                return SignIn(key.caller) if key is not None and key.state(now) == "good" else None
        return SignIn(caller_of(row), row.person)

    def end(self, token: str) -> None:
        """Ends a sign-in; does nothing for one that is not there."""
        with writing(self._engine, ()) as connection:
            places = (_hash(token), self._hash_of_person(token))
            connection.execute(delete(SESSIONS).where(SESSIONS.c.hash.in_(places)))

    def _hash_of_person(self, token: str) -> str:
        # Found no more where the provider, or what it counts for, is another one.
        return _hash(f"{token}\n{self._provider}")


def _make_room(connection: Connection, name: str, key_id: str | None) -> None:
    """Takes away what one has too many of, so that nobody fills the table."""
    of_one = (SESSIONS.c.key_id == key_id) if key_id else (SESSIONS.c.key_id.is_(None) & (SESSIONS.c.name == name))
    last = select(SESSIONS.c.hash).where(of_one).order_by(SESSIONS.c.expires.desc()).offset(MOST_OF_ONE - 1)
    too_many = connection.scalars(last).all()
    if too_many:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.hash.in_(too_many)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
