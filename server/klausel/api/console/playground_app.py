"""The playground alone, for one person on their own machine: no service, no database, and it may save."""

from __future__ import annotations

import hmac

from flask import Blueprint, Flask, Response, request

from klausel.api.console.assets import asset_routes
from klausel.api.console.cookies import Cookies
from klausel.api.console.pages import COOKIES, HAS_ONE_PAGE, HEADERS, compressed, error_answer
from klausel.api.console.playground_page import ADDRESS, PlaygroundPage, playground_routes
from klausel.api.errors import ApiError
from klausel.api.http import share
from klausel.service.playground import Playground
from klausel.settings import Settings

_TOKEN = "token"
_SECONDS = 30 * 24 * 3600


def address_of(settings: Settings, token: str) -> str:
    """The one address that leads in."""
    return f"{settings.base_url}{ADDRESS}?{_TOKEN}={token}"


def create_playground_app(playground: Playground, settings: Settings, token: str) -> Flask:
    """An application for loopback that answers whoever came by the address with the token, and nobody else."""
    app = Flask("klausel.playground", static_folder=None)
    cookies = Cookies(settings)
    app.extensions[COOKIES] = cookies
    app.extensions[HAS_ONE_PAGE] = True
    share(app, settings)
    name = f"klausel-{settings.port}-playground"
    blueprint = Blueprint("playground", __name__)

    @blueprint.before_request
    def check_token() -> Response | None:
        if request.endpoint == "playground.show_playground" and _TOKEN in request.args:
            if not hmac.compare_digest(request.args[_TOKEN].encode(), token.encode()):
                raise ApiError(403, "the token in this address is not the one that klausel playground printed")
            # The token leaves the address, so that it stands in no history and no picture of the screen.
            answer = Response(b"", 303, {**HEADERS, "Location": ADDRESS})
            cookies.put(answer, name, token, _SECONDS)
            return answer
        if not hmac.compare_digest(request.cookies.get(name, "").encode(), token.encode()):
            raise ApiError(
                403, "open the address that klausel playground printed: it has a token, and there is no other way in"
            )
        return None

    playground_routes(blueprint, PlaygroundPage(playground, cookies))
    asset_routes(blueprint)

    @blueprint.after_request
    def compress(response: Response) -> Response:
        return compressed(response, request.accept_encodings)

    @blueprint.errorhandler(ApiError)
    def answer_error(error: ApiError) -> Response:
        return error_answer(error)

    app.register_blueprint(blueprint)
    return app
