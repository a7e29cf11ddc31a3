"""How the service's own log is written: one line a record, as text or as JSON, with the id of the request that it is about."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import Any

import orjson

from klausel.core.terms.escaping import shown

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
MOST_CHARACTERS_OF_ID = 255


class _Current(threading.local):
    request_id: str | None = None
    trace_id: str | None = None


current = _Current()
"""Of this thread: the X-Request-ID of the request that it answers, as it was sent, and its trace, where there is one."""


class TextLines(logging.Formatter):
    """Texts from requests and databases can forge no line, and nothing that a terminal obeys."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(process)d] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, set in, so that no line of it passes for a record."""
        return "\n".join(f"  {shown(line)}" for line in super().formatException(ei).split("\n"))


class JsonLines(logging.Formatter):
    """An object a record: `time`, `level`, `process`, `message`; where there is one `request_id`, `trace_id`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; signs that do not show are escaped in it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "process": record.process,
            "message": shown(record.getMessage()),
        }
        if current.request_id:
            line["request_id"] = shown(current.request_id[:MOST_CHARACTERS_OF_ID])
        if current.trace_id:
            line["trace_id"] = current.trace_id
        if record.exc_info:
            line["exception"] = [shown(text) for text in self.formatException(record.exc_info).split("\n")]
        return orjson.dumps(line).decode()


def show_log(format_: str) -> None:
    """Writes what the service says to standard error, in one of `FORMATS`; once a process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if format_ == JSON else TextLines())
    # What the driver of PostgreSQL warns of follows from an error that is told already, with its cause.
    levels = {"klausel": logging.INFO, "opentelemetry": logging.WARNING, "psycopg": logging.ERROR}
    for name, level in levels.items():
        log = logging.getLogger(name)
        if not log.handlers:
            log.addHandler(handler)
            log.setLevel(level)
            log.propagate = False
