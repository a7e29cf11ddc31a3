"""The tables of API keys and sign-ins, on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import inspect

from klausel.storage.callers.keys import KEYS, KeyStore
from klausel.storage.callers.sessions import SESSIONS, SessionStore
from klausel.storage.schema import open_database


def test_processes_that_start_at_once_make_the_tables_of_callers_once(database_url: str) -> None:
    def prepare(together: threading.Barrier) -> None:
        engine = open_database(database_url)
        try:
            together.wait()
            KeyStore(engine).prepare()
            SessionStore(engine).prepare()
        finally:
            engine.dispose()

    for _ in range(5):
        together = threading.Barrier(6)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(prepare, [together] * 6))
        engine = open_database(database_url)
        with engine.begin() as connection:
            assert inspect(connection).has_table(KEYS.name)
            SESSIONS.drop(connection)
            KEYS.drop(connection)
        engine.dispose()
