"""The one shape of every error: `{"error": {"status": 400, "message": "…"}}`."""

from __future__ import annotations

from klausel.service.recording import Recording
from klausel.storage.decision_log.queue import NotRecorded


class ApiError(Exception):
    """An answer that is an error: HTTP status, message for the person, further members of the body, headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, **further: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.further = further

    def body(self) -> dict[str, object]:
        """The JSON object of the answer."""
        return {"error": error_object(self.status, self.message), **self.further}


def error_object(status: int, message: str) -> dict[str, object]:
    """The object under `error`, also in the item of a batch."""
    return {"status": status, "message": message}


def hand_over(recording: Recording | None) -> None:
    """Hands what was noted to the decision log; raises `ApiError` (503) where the log is strict and cannot be written."""
    if recording is None:
        return
    try:
        recording.end()
    except NotRecorded:
        message = "the decision cannot be recorded, so it is not told; the service's own log says why"
        raise ApiError(503, message) from None
