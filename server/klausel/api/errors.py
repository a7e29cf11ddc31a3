"""The one shape of every error: `{"error": {"status": 400, "message": "…"}}`."""

from __future__ import annotations

import logging

from klausel.service.decision_service import PoliciesTooOld
from klausel.service.recording import Recording
from klausel.storage.decision_log.queue import NotRecorded
from klausel.storage.sql.access import Crowded, StorageError

_log = logging.getLogger(__name__)
SCIM_TYPE = "application/scim+json"
_SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


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


def unavailable(error: StorageError | PoliciesTooOld) -> ApiError:
    """The answer where nothing can be told because the database fails, or the policies are too old; the log says why."""
    if isinstance(error, PoliciesTooOld):
        return ApiError(503, f"{error}, so everything is denied")
    _log.error("a request failed: %s", error)
    fails = "cannot keep up with what is asked" if isinstance(error, Crowded) else "fails; the log says why"
    message = f"the database of role assignments {fails}. A change may be sent again, it is made once"
    return ApiError(503, message, {"Retry-After": "1"})


def scim_body(error: ApiError) -> dict[str, object]:
    """The JSON object of the answer as identity providers read it."""
    return {"schemas": [_SCIM_ERROR], "status": str(error.status), "detail": error.message}


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
