"""Who sends the current request, as the logs of changes name it."""

from __future__ import annotations

from flask import request

from klausel.api.access import caller_in
from klausel.api.assignments import Sender
from klausel.core.records.change_record import TEXT_CHARACTERS


def sender_of_request() -> Sender:
    """The proved caller of the current request, else its address, and its id."""
    request_id = request.headers.get("X-Request-ID")
    proved = caller_in(request.environ)
    name = request.remote_addr or None if proved is None else proved.logged_as
    return Sender(name, request_id[:TEXT_CHARACTERS] if request_id else None, proved)
