"""Cursors of pages: what a page goes on from, as one word that only whoever wrote it need understand."""

from __future__ import annotations

import base64
import json
from typing import Any


def cursor_of(*parts: object) -> str:
    """The cursor that holds these parts, as JSON has them."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def parts_of_cursor(cursor: str) -> list[Any]:
    """The parts that a cursor was made of; raises ValueError for a text that is none."""
    try:
        found = json.loads(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, list):
        raise ValueError("it is no list")
    return found
