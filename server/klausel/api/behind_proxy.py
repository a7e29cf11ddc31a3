"""What a proxy in front changes about a request: a prefix of its path, and the address of who sent it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"


class BehindProxy:
    """A WSGI application that hands requests on as if no proxy were in front.

    A path under the `prefix` loses it; one that is not stays, so that probes may ask past the proxy. `X-Forwarded-For` is
    believed only where a trusted proxy sent it, and only as far back as trusted ones wrote it.
    """

    def __init__(self, application: WSGIApplication, prefix: str, trusted: Iterable[str]) -> None:
        self._application = application
        self._prefix = prefix
        self._trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(one) for one in trusted)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        path = environ["PATH_INFO"]
        if self._prefix and path.startswith(f"{self._prefix}/"):
            environ["SCRIPT_NAME"] = self._prefix
            environ["PATH_INFO"] = path[len(self._prefix) :]
        if FORWARDED_FOR in environ:
            environ["REMOTE_ADDR"] = self._sender(environ.get("REMOTE_ADDR", ""), environ[FORWARDED_FOR])
        return self._application(environ, start_response)

    def _sender(self, sender: str, forwarded: str) -> str:
        hops = forwarded.split(",")
        while hops and self._is_trusted(sender):
            before = _address(hops.pop())
            if before is None:
                break
            sender = str(before)
        return sender

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    # Who listens at "::" sees addresses of version 4 in the form of version 6.
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
