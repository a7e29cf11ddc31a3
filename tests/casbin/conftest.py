"""Stores on SQLite and on PostgreSQL; see `storage_fixtures`."""

from storage_fixtures import (
    any_store,
    database_url,
    postgresql_schema_url,
    put_behind_the_back,
    roles,
    sqlite_url,
    store,
)

__all__ = [
    "any_store",
    "database_url",
    "postgresql_schema_url",
    "put_behind_the_back",
    "roles",
    "sqlite_url",
    "store",
]
