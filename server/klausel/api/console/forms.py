"""Reading the forms that the pages of the console send."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import request

from klausel.api.errors import ApiError

MOST_FORM_BYTES = 100_000
_FORM = "application/x-www-form-urlencoded"


def read_form(*known: str, most_bytes: int = MOST_FORM_BYTES) -> dict[str, str]:
    """The fields of the form that the current request sends, empty where one was not sent; raises `ApiError` (400, 413, 415)."""
    if request.mimetype != _FORM:
        raise ApiError(415, f"the body is no form; send it as {_FORM}")
    if (request.content_length or 0) > most_bytes:
        raise ApiError(413, f"the form is larger than {most_bytes} bytes")
    body = request.stream.read(most_bytes + 1)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=len(known))
    except ValueError:
        raise ApiError(400, f"the form cannot be read; it has the fields {', '.join(known)} in UTF-8, each once") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in found:
            raise ApiError(400, f'the form has an unknown or repeated field "{name}"; it has {", ".join(known)}, each once')
        found[name] = value
    return {name: found.get(name, "") for name in known}
