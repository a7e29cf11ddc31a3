"""The cookies of a sign-in, and the tokens by which a form proves that it comes from a page of this service."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

from flask import Response, request

from klausel.api.access import cookie_of_sign_in
from klausel.api.errors import ApiError
from klausel.settings import Settings

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_BYTES = 32
_FORM_SECONDS = 3600
_PENDING_SECONDS = 600
_PENDING_SECRETS = 3


class Cookies:
    """The cookies of one service; they are sent to it alone, are read by no script, and by https where that is its address."""

    def __init__(self, settings: Settings) -> None:
        self.are_secure = settings.base_url.startswith("https:")
        self.asks_who = settings.authentication != "none"
        self._session = cookie_of_sign_in(settings)
        self._form = f"{self._session}-form"
        self._pending = f"{self._session}-openid"

    @property
    def session(self) -> str | None:
        """The secret of the sign-in that the current request comes with; None without one."""
        return _token(self._session)

    def keep_session(self, response: Response, token: str, seconds: int) -> None:
        """Has the browser keep a sign-in, and forget what came before it."""
        self.put(response, self._session, token, seconds)
        self.drop(response, self._form)

    def forget_session(self, response: Response) -> None:
        """Has the browser forget the sign-in."""
        self.drop(response, self._session)

    @property
    def pending(self) -> tuple[str, ...] | None:
        """The secrets of a sign-in that has begun at the provider, and the page wanted then; None without one."""
        *found, wanted = request.cookies.get(self._pending, "").split(".")
        if len(found) != _PENDING_SECRETS or not all(map(_TOKEN.fullmatch, found)):
            return None
        try:
            return (*found, urlsafe_b64decode(wanted.encode("ascii")).decode("ascii"))
        except ValueError:
            return None

    def keep_pending(self, response: Response, parts: tuple[str, ...]) -> None:
        """Has the browser keep the secrets of a sign-in that begins at the provider, and the page wanted."""
        *found, wanted = parts
        value = ".".join([*found, urlsafe_b64encode(wanted.encode()).decode()])
        self.put(response, self._pending, value, _PENDING_SECONDS)

    def forget_pending(self, response: Response) -> None:
        """Has the browser forget them: each counts once."""
        self.drop(response, self._pending)

    def form_secret(self) -> str:
        """What the forms of the current request are bound to: its sign-in, or else a secret of this browser."""
        return self.session or _token(self._form) or secrets.token_urlsafe(_BYTES)

    def keep_form_secret(self, response: Response, secret: str) -> None:
        """Has the browser keep the secret of a form, where it is not that of its sign-in."""
        if secret != self.session:
            self.put(response, self._form, secret, _FORM_SECONDS)

    def put(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Sets a cookie. Links from other sites come with it, as the console is linked to; their forms do not."""
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self.are_secure, httponly=True, samesite="Lax")

    def drop(self, response: Response, name: str) -> None:
        """Takes a cookie away, if the browser has it."""
        if name in request.cookies:
            response.delete_cookie(name, path="/", secure=self.are_secure, httponly=True, samesite="Lax")

    def check_form(self, given: str) -> None:
        """Raises `ApiError` (403) where the current request is not sent by a form of this service, in this browser."""
        self._check_site()
        secret = self.session or _token(self._form)
        if secret is None or not _is_masked(given, _proof(secret)):
            raise ApiError(403, "this form is too old, or was not made here; go back, load the page again and send it again")

    def check_change(self, given: str) -> None:
        """As `check_form`; where a request says itself who calls, as a proxy in front may have it do, by the site alone."""
        if "HTTP_AUTHORIZATION" in request.environ:
            self._check_site()
        else:
            self.check_form(given)

    def _check_site(self) -> None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise ApiError(403, "a page of another site may not send this form")


def form_token(secret: str) -> str:
    """What a form carries; masked in another way each time, so that the length of a compressed page tells nothing of it."""
    mask = secrets.token_bytes(_BYTES)
    return urlsafe_b64encode(mask + _mixed(_proof(secret), mask)).decode()


def _is_masked(given: str, proof: bytes) -> bool:
    try:
        found = urlsafe_b64decode(given.encode("ascii"))
    except ValueError:
        return False
    return len(found) == 2 * _BYTES and hmac.compare_digest(_mixed(found[:_BYTES], found[_BYTES:]), proof)


def _proof(secret: str) -> bytes:
    return hashlib.sha256(b"form:" + secret.encode()).digest()


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def _token(name: str) -> str | None:
    value = request.cookies.get(name, "")
    return value if _TOKEN.fullmatch(value) else None
