"""Signing people in by an OpenID provider: the code flow with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 9700)."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode

from klausel.core.terms.caller import PERSON_PREFIX
from klausel.core.terms.claim_rules import ClaimRule, caller_by, claim_in
from klausel.core.terms.identifiers import SUBJECT_CHARACTERS, fault_in_subject_key, subject_key
from klausel.service.signing_keys import KINDS, claims_signed_by, header_of, is_moment, keys_in, object_in
from klausel.storage.callers.bounded_http import NotAnswered, ask
from klausel.storage.callers.key_sets import KeySetUnreadable, fault_in_place, is_address, read_key_set
from klausel.storage.callers.sessions import SignIn

if TYPE_CHECKING:
    from authlib.oauth2.client import OAuth2Client

WELL_KNOWN = "/.well-known/openid-configuration"
MOST_AT_ONCE = 8
"""How many threads of a worker may wait for the provider, however slow it is: the others answer meanwhile."""
SECONDS_KEPT = 60.0
LEEWAY_SECONDS = 30.0
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OpenIdFault(Exception):
    """Somebody could not be signed in by the provider; the text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class OpenIdRules:
    """Which provider, what the service is there, and what its claims mean. `person_claim` names a person of `person_type`."""

    issuer: str
    client_id: str
    client_secret: str | None
    scopes: Sequence[str]
    redirect_uri: str
    person_claim: str
    person_type: str
    allow: Sequence[ClaimRule]


class Pending(NamedTuple):
    """A sign-in that has begun, which the browser keeps until it comes back."""

    state: str
    nonce: str
    verifier: str


class OpenIdProvider:
    """The provider by which people sign in; safe to share between threads. What it says of itself is kept for a minute."""

    def __init__(self, rules: OpenIdRules, clock: Callable[[], float] = time.time) -> None:
        self._rules, self._clock = rules, clock
        self._known: tuple[float, Mapping[str, Any]] | None = None
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def begin(self) -> tuple[str, Pending]:
        """The address where somebody proves to the provider who they are, and what to keep until then; raises `OpenIdFault`."""
        pending = Pending(*(secrets.token_urlsafe(32) for _ in range(3)))
        with self._place():
            about = self._about()
        address, _ = self._client(about).create_authorization_url(
            about["authorization_endpoint"],
            state=pending.state,
            nonce=pending.nonce,
            code_verifier=pending.verifier,
        )
        return str(address), pending

    def finish(self, pending: Pending, query: str) -> SignIn:
        """Who came back with an answer of the provider, and what they may do; raises `OpenIdFault`."""
        found = parse_qs(query, keep_blank_values=True)
        if any(len(values) > 1 for values in found.values()):
            raise OpenIdFault("the answer says something twice, so nobody knows which counts; sign in again")
        given = {name: values[0] for name, values in found.items()}
        if not hmac.compare_digest(given.get("state", "").encode(), pending.state.encode()):
            raise OpenIdFault("this answer belongs to no sign-in of this browser; sign in again")
        with self._place():
            return self._finish(pending, given, query)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise OpenIdFault("many people wait for the provider at this moment; sign in again in some seconds")
        try:
            yield
        finally:
            self._places.release()

    def _finish(self, pending: Pending, given: Mapping[str, str], query: str) -> SignIn:
        about = self._about()
        # Another provider may not answer in its name (RFC 9207).
        if given.get("iss", about["issuer"]) != about["issuer"]:
            raise OpenIdFault("the answer is of another provider")
        if "iss" not in given and about.get("authorization_response_iss_parameter_supported") is True:
            raise OpenIdFault("the answer does not say which provider it is of")
        if "error" in given:
            raise OpenIdFault(f"the provider refused: {given['error']}")
        if "code" not in given:
            raise OpenIdFault("the provider sent no code")
        token = self._token(about, pending, query)
        claims = self._verified(about, token.get("id_token"), pending.nonce)
        return self._who(self._with_user_info(about, claims, token.get("access_token")))

    def _about(self) -> Mapping[str, Any]:
        known = self._known
        if known is not None and time.monotonic() - known[0] < SECONDS_KEPT:
            return known[1]
        found = _object(_fetched(self._rules.issuer.rstrip("/") + WELL_KNOWN))
        if found.get("issuer") != self._rules.issuer:
            raise OpenIdFault("the provider calls itself by another name than the one in --oidc-issuer")
        for name in _ENDPOINTS:
            place = found.get(name)
            if not isinstance(place, str) or not self._may_be_asked(place):
                raise OpenIdFault(f"the provider names no https address as its {name}")
        self._known = (time.monotonic(), found)
        return found

    def _may_be_asked(self, place: str) -> bool:
        """Whether something is asked where the provider says: by https, and on this machine alone where it is there itself."""
        is_plain_too = self._rules.issuer.startswith("http://")
        return is_address(place) and not fault_in_place(place) and (is_plain_too or place.startswith("https://"))

    def _client(self, about: Mapping[str, Any]) -> OAuth2Client:
        from authlib.oauth2.client import OAuth2Client

        rules = self._rules
        methods = about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = isinstance(methods, list) and "client_secret_basic" in methods
        method = "none" if rules.client_secret is None else "client_secret_basic" if basic else "client_secret_post"
        return OAuth2Client(
            _Wire(),
            client_id=rules.client_id,
            client_secret=rules.client_secret,
            token_endpoint_auth_method=method,
            scope=" ".join(dict.fromkeys(["openid", *rules.scopes])),
            redirect_uri=rules.redirect_uri,
            code_challenge_method="S256",
        )

    def _token(self, about: Mapping[str, Any], pending: Pending, query: str) -> Mapping[str, Any]:
        import httpx
        from authlib.common.errors import AuthlibBaseError

        try:
            token = self._client(about).fetch_token(
                about["token_endpoint"],
                authorization_response=f"{self._rules.redirect_uri}?{query}",
                state=pending.state,
                code_verifier=pending.verifier,
            )
        except AuthlibBaseError as error:
            raise OpenIdFault(f"the provider gave no token: {error.error or type(error).__name__}") from None
        except (NotAnswered, httpx.HTTPError, ValueError, TypeError, AttributeError, RecursionError):
            # Authlib takes what it is sent to be an object of the right texts and numbers.
            raise OpenIdFault("the provider gave no token; try again, and look into its log") from None
        return dict(token)

    def _verified(self, about: Mapping[str, Any], token: object, nonce: str) -> Mapping[str, Any]:
        """The claims of an id token of the provider, for this service and this sign-in; whatever key it names itself."""
        if not isinstance(token, str) or not token.isascii():
            raise OpenIdFault("the provider sent no id token")
        claims = _signed_claims(token, _fetched(about["jwks_uri"]))
        rules, now = self._rules, self._clock()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != rules.issuer or rules.client_id not in audiences:
            raise OpenIdFault("the id token is of another provider, or for another service")
        if claims.get("azp", None if len(audiences) > 1 else rules.client_id) != rules.client_id:
            raise OpenIdFault("the id token was given to another service")
        ends, made = claims.get("exp"), claims.get("iat")
        if not is_moment(ends) or not is_moment(made):
            raise OpenIdFault("the id token does not say when it was made, or when it ends")
        if not made - LEEWAY_SECONDS <= now < ends + LEEWAY_SECONDS:
            raise OpenIdFault("the id token has ended, or begins later; compare the clocks of service and provider")
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), nonce.encode()):
            raise OpenIdFault("the id token belongs to another sign-in")
        return claims

    def _with_user_info(self, about: Mapping[str, Any], claims: Mapping[str, Any], access: object) -> Mapping[str, Any]:
        """The claims, and those that the provider tells only where it is asked about the user."""
        rules = self._rules
        needed = {rules.person_claim, *(one.claim for one in rules.allow)}
        place = about.get("userinfo_endpoint")
        if all(claim_in(claims, name) is not None for name in needed) or not isinstance(place, str):
            return claims
        if not isinstance(access, str) or not access.isascii() or not self._may_be_asked(place):
            return claims
        try:
            answer = ask(place, headers={"Authorization": f"Bearer {access}"})
            found = _object(answer.content) if answer.status_code == 200 else {}
        except NotAnswered:
            raise OpenIdFault("the provider does not tell who this is; try again, and look into its log") from None
        if claims.get("sub") is None or found.get("sub") != claims["sub"]:
            return claims
        told = {**found, **claims}
        # An address is verified where it is told: the other one may have had another.
        of_address = [one for one in (claims, found) if one.get("email") == told.get("email")]
        told["email_verified"] = next((one["email_verified"] for one in of_address if "email_verified" in one), None)
        return told

    def _who(self, claims: Mapping[str, Any]) -> SignIn:
        rules = self._rules
        name = claim_in(claims, rules.person_claim)
        if not isinstance(name, str) or not name:
            raise OpenIdFault(f"the provider does not say who this is: there is no claim {rules.person_claim}")
        # Where anybody may enter any address, anybody could be anybody.
        if rules.person_claim == "email" and claims.get("email_verified") is not True:
            raise OpenIdFault("the provider has not verified the mail address, so it proves nobody")
        person = subject_key(rules.person_type, name)
        fault = fault_in_subject_key(person) or _fault_in_name(name)
        if fault:
            raise OpenIdFault(f"the claim {rules.person_claim} cannot name a subject: it {fault}")
        caller = caller_by(rules.allow, PERSON_PREFIX + name, claims)
        if caller is None:
            raise OpenIdFault("you are known to the provider, but none of the rules of this service lets you in")
        return SignIn(caller, person)


def _fault_in_name(name: str) -> str | None:
    """Why logs cannot name a person so, as the end of a sentence; None when they can."""
    if not name.isprintable():
        return "holds characters that do not show, by which it looks like another"
    return "is too long" if len(PERSON_PREFIX + name) > SUBJECT_CHARACTERS else None


class _Wire:
    """How the client reaches the provider: with a bound of time, and after no redirect."""

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any, **_: object) -> Any:
        url, sent, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return ask(url, "POST", sent, body)


def _signed_claims(token: str, key_set: bytes) -> Mapping[str, Any]:
    from joserfc.errors import JoseError

    try:
        header = header_of(token)
        algorithm, id_ = header.get("alg"), header.get("kid")
        if algorithm not in KINDS or "crit" in header:
            raise OpenIdFault("the id token is signed in a way that is not taken here")
        for key in keys_in(key_set):
            if key.fits(algorithm) and id_ in (None, key.id):
                try:
                    return claims_signed_by(key, algorithm, token)
                except JoseError:
                    continue
    except (JoseError, KeySetUnreadable, ValueError, TypeError, RecursionError):
        raise OpenIdFault("the id token, or the keys of the provider, cannot be read") from None
    raise OpenIdFault("the id token is not signed by a key of the provider")


def _fetched(place: str) -> bytes:
    try:
        return read_key_set(place)
    except KeySetUnreadable as error:
        raise OpenIdFault(f"the provider cannot be reached: {error}") from None


def _object(content: bytes | None) -> dict[str, Any]:
    try:
        return object_in(content or b"")
    except (ValueError, RecursionError):
        raise OpenIdFault("the provider sent no JSON object") from None
