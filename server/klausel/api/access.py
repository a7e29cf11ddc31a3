"""Which scope each route needs, and letting callers in: who proves nothing is not answered where proofs are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Request

from klausel.api.errors import ApiError
from klausel.core.terms.caller import Caller
from klausel.service.authentication import Authentication, CannotTell, TooManyRequests, Unauthenticated
from klausel.service.sign_in import SignIns
from klausel.settings import Settings
from klausel.storage.sql.database import StorageError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CALLER = "klausel.caller"
"""Where the environment of a request names its caller."""
PERSON = "klausel.person"
"""Where it names the subject that a person is who signed in, if that is known."""
CONSOLE = "/console"
PROVISIONING = "/scim/v2"
"""Where identity providers send people and groups."""

_OPEN: tuple[str, ...] = ()
SCOPES_OF_ROUTES: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/access/v1/evaluation"): ("check",),
    ("POST", "/access/v1/evaluations"): ("check",),
    ("POST", "/access/v1/search/subject"): ("search",),
    ("POST", "/access/v1/search/resource"): ("search",),
    ("POST", "/access/v1/search/action"): ("search",),
    ("POST", "/v1/permissions"): ("check",),
    ("GET", "/v1/casbin-js"): ("check",),
    ("GET", "/v1/casbin-js/<path:domain>"): ("check",),
    ("POST", "/v1/explain"): ("explain",),
    ("POST", "/v1/filter"): ("search",),
    ("GET", "/v1/policy"): ("policy",),
    ("GET", "/v1/policy/types"): ("check", "policy"),
    ("POST", "/v1/policy:reload"): ("policy",),
    ("POST", "/v1/assignments"): ("assign", "assign_on_behalf"),
    ("GET", "/v1/assignments"): ("assign", "audit"),
    ("DELETE", "/v1/assignments"): ("assign", "assign_on_behalf"),
    ("GET", "/v1/assignment-log"): ("audit",),
    ("GET", "/v1/entity-log"): ("audit",),
    ("POST", "/v1/entities"): ("entities", "assign"),
    ("GET", "/v1/entities"): ("entities", "assign", "audit"),
    ("DELETE", "/v1/entities"): ("entities", "assign"),
    ("GET", f"{PROVISIONING}/<resources>"): ("provision",),
    ("POST", f"{PROVISIONING}/<resources>"): ("provision",),
    ("GET", f"{PROVISIONING}/<resources>/<path:id>"): ("provision",),
    ("PUT", f"{PROVISIONING}/<resources>/<path:id>"): ("provision",),
    ("PATCH", f"{PROVISIONING}/<resources>/<path:id>"): ("provision",),
    ("DELETE", f"{PROVISIONING}/<resources>/<path:id>"): ("provision",),
    ("GET", "/console"): ("policy",),
    ("GET", "/console/roles"): ("policy",),
    ("GET", "/console/try"): ("explain",),
    ("GET", "/console/who-can"): ("search",),
    ("GET", "/console/what-can"): ("search",),
    ("GET", "/console/changes"): ("policy",),
    ("GET", "/console/playground"): ("policy",),
    ("POST", "/console/playground"): ("policy",),
    ("GET", "/console/people"): ("assign", "audit"),
    ("GET", "/console/person"): ("assign", "audit"),
    ("POST", "/console/person"): ("assign", "assign_on_behalf"),
    ("GET", "/console/decisions"): ("audit",),
    ("GET", "/console/decision"): ("audit",),
    ("GET", "/console/sign-in"): _OPEN,
    ("POST", "/console/sign-in"): _OPEN,
    ("GET", "/console/sign-in/openid"): _OPEN,
    ("GET", "/console/sign-in/callback"): _OPEN,
    ("POST", "/console/sign-out"): _OPEN,
    ("GET", "/console/style.css"): _OPEN,
    ("GET", "/console/console.js"): _OPEN,
    ("GET", "/console/playground.js"): _OPEN,
    ("GET", "/console/editor.js"): _OPEN,
    ("GET", "/.well-known/authzen-configuration"): _OPEN,
    ("GET", "/.well-known/authzen-configuration/<path:tenant>"): _OPEN,
    ("GET", "/openapi.json"): _OPEN,
    ("GET", "/healthz"): _OPEN,
    ("GET", "/readyz"): _OPEN,
    ("GET", "/metrics"): _OPEN,
}
"""The scopes one of which lets a caller use a route; none for what everybody may read."""


_KNOW_NAMES = ("check", "policy", "assign", "assign_on_behalf", "entities")
"""The scopes with one of which a caller works with the names of resource types or roles anyway."""


class RouteWithoutScope(Exception):
    """A route of the application says nowhere who may use it."""


def check_routes(app: Flask) -> None:
    """Raises `RouteWithoutScope` where a route has no scope, so that no route is open by an oversight."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            scopes_of_route(method, rule.rule)


def scopes_of_route(method: str, address: str) -> tuple[str, ...]:
    """The scopes one of which lets a caller use a route; raises `RouteWithoutScope`."""
    try:
        return SCOPES_OF_ROUTES[method, address]
    except KeyError:
        message = f"{method} {address} has no entry in SCOPES_OF_ROUTES, so nobody knows who may use it"
        raise RouteWithoutScope(f"{message}; give it one in api/access.py") from None


def scopes_of_request(request: Request) -> tuple[str, ...]:
    """The scopes one of which a request needs; none where everybody may ask, and where nothing is."""
    if request.url_rule is None or request.method == "OPTIONS":  # by which Flask tells nothing but the methods
        return ()
    # HEAD is answered as GET is.
    return SCOPES_OF_ROUTES["GET" if request.method == "HEAD" else request.method, request.url_rule.rule]


def cookie_of_sign_in(settings: Settings) -> str:
    """The name of the cookie of sign-ins to the console: browsers take one of that kind from this very host alone, by https.

    Without https it has the port in it, as browsers send cookies to every port of a host.
    """
    return "__Host-klausel" if settings.base_url.startswith("https:") else f"klausel-{settings.port}"


def admit(
    authentication: Authentication,
    environ: WSGIEnvironment,
    scopes: tuple[str, ...],
    sign_ins: SignIns | None = None,
    session: str | None = None,
) -> Caller:
    """The caller of a request for which it has one of the scopes; raises `ApiError` (401, 403, 429, 503).

    `session` is the secret of a sign-in that it came with, which counts where the request itself does not say who calls.
    """
    try:
        if session and sign_ins is not None and "HTTP_AUTHORIZATION" not in environ:
            who = sign_ins.who(session)
            caller = who.caller
            environ[PERSON] = who.person
        else:
            caller = authentication.caller(environ)
    except Unauthenticated as error:
        header = 'Bearer realm="klausel"' + (', error="invalid_token"' if "HTTP_AUTHORIZATION" in environ else "")
        raise ApiError(401, str(error), {"WWW-Authenticate": header}) from None
    except TooManyRequests as error:
        raise too_many(error) from None
    except CannotTell as error:
        raise ApiError(503, str(error), {"Retry-After": "10"}) from None
    except StorageError:
        raise ApiError(503, "nobody can tell who calls: the database does not answer", {"Retry-After": "1"}) from None
    environ[CALLER] = caller
    if caller.scopes.isdisjoint(scopes):
        needed = " or ".join(scopes)
        challenge = f'Bearer realm="klausel", error="insufficient_scope", scope="{" ".join(scopes)}"'
        raise ApiError(403, f"this needs the scope {needed}, which this caller lacks", {"WWW-Authenticate": challenge})
    return caller


def too_many(error: TooManyRequests) -> ApiError:
    """The answer to a caller that asks faster than it may."""
    return ApiError(429, str(error), {"Retry-After": str(math.ceil(error.seconds))})


def may_know_names(authentication: Authentication | None, environ: WSGIEnvironment) -> bool:
    """Whether an open route may tell this request the names in the policies: who proves nothing is not told, nor refused."""
    if authentication is None:
        return True
    try:
        return not authentication.caller(environ).scopes.isdisjoint(_KNOW_NAMES)
    except (Unauthenticated, TooManyRequests, CannotTell, StorageError):
        return False


def check_scope(caller: Caller | None, scope: str) -> None:
    """Raises `ApiError` (403) where a caller lacks the scope that a part of an answer needs beside that of its route."""
    if caller is not None and scope not in caller.scopes:
        raise ApiError(403, f"this needs the scope {scope}, which this caller lacks")


def caller_in(environ: WSGIEnvironment) -> Caller | None:
    """The caller that `admit` let in; None where no proofs are asked for."""
    caller: Caller | None = environ.get(CALLER)
    return caller


def person_in(environ: WSGIEnvironment) -> str | None:
    """The subject that the person is who signed in; None where nobody did, or that is not known."""
    person: str | None = environ.get(PERSON)
    return person


def check_reach(caller: Caller | None, domains: Iterable[str | None]) -> None:
    """Raises `ApiError` (403) where a caller that is limited to some accounts asks about others, or about all."""
    if caller is None or caller.accounts is None:
        return
    for domain in domains:
        if domain is None:
            accounts = ", ".join(sorted(caller.accounts))
            raise ApiError(403, f"this caller may ask about {accounts} alone; name a domain")
        if not caller.reaches(domain):
            raise ApiError(403, f'this caller may not ask about "{domain}"')


def check_reach_of_stored(caller: Caller | None, domains: Iterable[str | None]) -> None:
    """As `check_reach`, for domains that may be those in which something is stored: their names are not told."""
    if caller is None or not any(domain is not None and not caller.reaches(domain) for domain in domains):
        return
    raise ApiError(403, "this caller may not ask about this: it is not in its accounts")
