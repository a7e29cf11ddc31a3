"""The one error of all that asks a database."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot do what was asked; the message is one sentence that says how to fix it."""
