"""Reading a key set (JWKS) from a file or over HTTPS: bounded in size and time, and never from where a token points."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from klausel.core.terms.escaping import without_credentials
from klausel.storage.callers.bounded_http import MOST_BYTES, NotAnswered, ask


class KeySetUnreadable(Exception):
    """A key set cannot be read now; the text says why in one sentence."""


def is_address(place: str) -> bool:
    """Whether a key set is read over the network, and not from a file."""
    return "://" in place


def fault_in_place(place: str) -> str | None:
    """What is wrong with where a key set is said to be, as the end of a sentence; None when it is good."""
    if not is_address(place):
        return None if Path(place).is_file() else "is no file; name one, or an https address"
    if not place.isascii() or not place.isprintable() or " " in place:
        return "is not a URL"
    try:
        parts = urlsplit(place)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme == "https" and host:
        return None
    if parts.scheme == "http" and host and _is_this_machine(host):
        return None
    return "is not an https address, which every host but this machine needs: whoever changes the keys on the way lets anybody in"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_key_set(place: str) -> bytes:
    """The bytes of a key set; raises `KeySetUnreadable`. Over the network no redirect is followed."""
    return _fetch(place) if is_address(place) else _read_file(Path(place))


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise KeySetUnreadable(f"{path} cannot be read: {error.strerror}") from None
    if len(found) > MOST_BYTES:
        raise KeySetUnreadable(f"{path} is larger than {MOST_BYTES} bytes")
    return found


def _fetch(url: str) -> bytes:
    try:
        answer = ask(url)
    except NotAnswered as error:
        raise KeySetUnreadable(str(error)) from None
    if answer.status_code != 200:
        raise KeySetUnreadable(f"{without_credentials(url)} answered with {answer.status_code}")
    return answer.content
