"""The command `playground`."""

from __future__ import annotations

import secrets
import signal
import webbrowser
from importlib import import_module
from pathlib import Path

import click
from werkzeug.serving import WSGIRequestHandler, make_server

from klausel.cli.options import (
    accepted_models,
    exits_on_problems,
    fail,
    model_option,
    refuse_several_folders,
    refuse_what_is_no_folder,
    steps_option,
)
from klausel.cli.output import say
from klausel.cli.policy_folder import policies_option
from klausel.service.playground import Playground
from klausel.settings import Settings
from klausel.storage.policy_files.folder import model_beside, read_folder, shown
from klausel.storage.policy_files.saving import save_files

_HOST = "127.0.0.1"
_APPLICATION = "klausel.api.console.playground_app"
"""Where the page is. As with `klausel serve`, a command knows the other door by its name alone."""


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request: what is asked says nothing to who edits."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Tells nothing."""


@click.command()
@policies_option
@model_option
@steps_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port to listen on; 0 takes a free one.")
@click.option("--browser", is_flag=True, help="Open the page in the browser, too.")
def playground(policies: Path, model: Path | None, max_steps: int, port: int, browser: bool) -> None:
    """Edit the policy set in DIR in the browser, with problems, tests, proofs and the difference to the files as you type.

    Only this machine is answered, and only by the address that is printed: the token in it is the key. A file is saved when you
    press Save, and never over what somebody else wrote meanwhile. Ctrl-C ends it.

    \b
    Examples:
      klausel playground
      klausel playground policies --browser
      klausel playground policies --port 8090
    """
    refuse_what_is_no_folder(policies)
    refuse_several_folders(policies, "the playground saves into one policy folder")
    found_model = model_beside(policies, model)
    with exits_on_problems(policies, None):
        read_folder(policies, found_model)
    desk = Playground(
        lambda: read_folder(policies, found_model),
        str(policies),
        "in the files",
        accepted_models(),
        max_steps,
        lambda changes: save_files(policies, changes),
    )
    token = secrets.token_urlsafe(32)
    try:
        server = make_server(_HOST, port, _nothing, threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit):
        fail(f"port {port} of {_HOST} is taken; choose another one with --port, or 0 for a free one")
    settings = Settings(host=_HOST, port=server.port, policies=str(policies))
    page = import_module(_APPLICATION)
    server.app = page.create_playground_app(desk, settings, token)
    address = page.address_of(settings, token)
    # A shell without jobs of its own starts what is behind `&` deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say(f"klausel: {shown(policies)} is edited at {address}")
    say("klausel: Ctrl-C ends it", err=True)
    if browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _nothing(environ: object, start_response: object) -> list[bytes]:
    """Stands in until the port is known, which the application is made for; nothing is answered before."""
    return []
