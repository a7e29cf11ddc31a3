"""The door for identity providers: SCIM 2.0 (RFC 7643 and 7644), for people and groups."""

from __future__ import annotations

import json
import logging
from collections import Counter
from contextlib import suppress
from importlib import import_module

from flask import Blueprint, Response, request

from klausel.api.access import PROVISIONING
from klausel.api.assignments import sender_of_request
from klausel.api.errors import ApiError
from klausel.core.records.change_record import Origin
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service

MOST_OF_A_NAME = 64

_log = logging.getLogger(__name__)


def scim_routes(service: Service) -> Blueprint:
    """The routes under `/scim/v2`."""
    blueprint = Blueprint("scim", __name__)
    if service.live.in_force.policy.compiled.policy.provisioning is not None:
        # Some seconds of a busy machine, in which a worker that is asked already would answer nobody.
        with suppress(ImportError):
            import_module("klausel.api.scim_models")

    @blueprint.get(f"{PROVISIONING}/<resources>", provide_automatic_options=False)
    @blueprint.post(f"{PROVISIONING}/<resources>", provide_automatic_options=False)
    def many(resources: str) -> Response:
        return _answer(service, resources, "")

    @blueprint.get(f"{PROVISIONING}/<resources>/<path:id>", provide_automatic_options=False)
    @blueprint.put(f"{PROVISIONING}/<resources>/<path:id>", provide_automatic_options=False)
    @blueprint.patch(f"{PROVISIONING}/<resources>/<path:id>", provide_automatic_options=False)
    @blueprint.delete(f"{PROVISIONING}/<resources>/<path:id>", provide_automatic_options=False)
    def one(resources: str, id: str) -> Response:
        return _answer(service, resources, id)

    return blueprint


def _answer(service: Service, resources: str, id_: str) -> Response:
    policy = service.in_force_now().policy.compiled.policy
    if policy.provisioning is None:
        raise ApiError(404, "nobody is provisioned here: the policies have no provisioning.yaml")
    try:
        from scim2_models import SCIMException
        from scim2_server.handler import ScimHandler
        from scim2_server.requests import ScimRequest

        from klausel.api.scim_models import Handler, RequestStorage, in_words
    except ImportError:
        raise ApiError(501, "the package scim2-server is not installed; install Klausel with the extra scim") from None
    sender, limit = sender_of_request(), service.settings.max_body_bytes
    if request.content_length is not None and request.content_length > limit:
        raise ApiError(413, f"the body is larger than {limit} bytes")
    body = request.stream.read(limit + 1)
    if len(body) > limit:
        raise ApiError(413, f"the body is larger than {limit} bytes")
    if body and not request.headers.get("Content-Type"):
        # Without one, browsers would let a page of any site send it.
        raise ApiError(415, "the body has no Content-Type; send application/scim+json")
    with suppress(ValueError, RecursionError):  # what is no JSON is told below
        json.loads(body or b"{}", object_pairs_hook=_of_distinct_names)
    provisioner = service.provisioner
    provisioner.prepare()
    asked = ScimRequest(
        "GET" if request.method == "HEAD" else request.method,
        f"{service.settings.base_url}{PROVISIONING}",
        f"/{resources}/{id_}" if id_ else f"/{resources}",
        request.args.to_dict(),
        dict(request.headers),
        body,
    )
    origin = Origin(channel="scim", caller=sender.caller, request_id=sender.request_id)
    writes = request.method not in ("GET", "HEAD")
    storage = RequestStorage(provisioner, policy, account_of(sender.proved), origin, writes)
    handler: ScimHandler = Handler(storage)
    if request.args:
        # Whoever asks for attributes gets the members, too.
        handler = ScimHandler(handler.service, storage)
    try:
        answer = handler.handle(asked)
    except SCIMException as error:
        if writes and error.status in (403, 409):
            _log.warning("%s %s was refused: %s", request.method, request.path, error.detail)
        answer = handler.service.error_response(in_words(error))
    content = None if answer.body is None else json.dumps(answer.body)
    return Response(content, int(answer.status), dict(answer.headers))


def _of_distinct_names(members: list[tuple[str, object]]) -> None:
    """Raises `ApiError` where a name is there twice, for SCIM in whatever case: nobody could tell which of them counts."""
    names = Counter(name.lower() for name, _ in members)
    if len(names) < len(members):
        [(name, _)] = names.most_common(1)
        raise ApiError(400, f'the body has "{name[:MOST_OF_A_NAME]}" twice, in whatever case; keep one of them')


def account_of(caller: Caller | None) -> str:
    """The account whose people and groups a caller provisions, empty for one of all; raises `ApiError` (403)."""
    if caller is None or caller.accounts is None:
        return ""
    if len(caller.accounts) > 1:
        raise ApiError(403, "a caller provisions one account, or all; this one is limited to several")
    return next(iter(caller.accounts))
