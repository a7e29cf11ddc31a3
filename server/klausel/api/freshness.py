"""Answers at least as fresh as the caller asks: the header that names a revision, which every write returned."""

from __future__ import annotations

import re

from flask import Flask, request

from klausel.api.access import scopes_of_request
from klausel.api.errors import ApiError
from klausel.service.decision_service import Service

AT_LEAST = "X-Klausel-At-Least"
AT_LEAST_IN_ENVIRONMENT = "HTTP_X_KLAUSEL_AT_LEAST"
_REVISION = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})", re.ASCII)


def check_freshness(service: Service, revision: str) -> None:
    """Returns once everything told from now on has seen a revision; raises `ApiError` (400, 503) and `StorageError`."""
    found = _REVISION.fullmatch(revision)
    if found is None:
        raise ApiError(400, f"{AT_LEAST} is no revision; send one that a change of role assignments returned")
    if not service.live.in_force.resolved_roles.has_seen(found[1], int(found[2])):
        raise ApiError(
            503,
            f"the database has not reached the revision in {AT_LEAST}, or is another one; try again, or ask without the header",
            {"Retry-After": "1"},
        )


def share_freshness(app: Flask, service: Service) -> None:
    """Makes every route of an app heed the header, but those that everybody may ask; to be called after what lets callers in."""

    @app.before_request
    def check_request() -> None:
        revision = request.headers.get(AT_LEAST)
        # Whoever may ask without a proof does not make the service ask its database.
        if revision is not None and scopes_of_request(request):
            check_freshness(service, revision)
