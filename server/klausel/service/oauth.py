"""Callers by OAuth bearer tokens: JWTs of one issuer, for this service, signed by its keys (RFC 9068 and RFC 8725)."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from klausel.core.terms.caller import SCOPES, TOKEN_PREFIX, Caller, fault_in_account
from klausel.service.authentication import CannotTell, Unauthenticated
from klausel.service.signing_keys import SigningKeys, claims_signed_by, header_of, is_moment

MOST_CHARACTERS = 16_384
MOST_KEPT = 10_000
NAME_CHARACTERS = 200
_TYPES = ("jwt", "at+jwt", "application/at+jwt")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. `scopes` maps names of the issuer to ours; `accounts_claim` names the claim of its accounts."""

    issuer: str
    audience: str
    algorithms: Collection[str]
    scopes: Mapping[str, str]
    accounts_claim: str | None = None
    leeway_seconds: float = 30.0


class OauthTokens:
    """Callers by their tokens; one that was found good is remembered by its hash, until it ends or the keys change."""

    depends_on = ("the keys of the issuer", "the moment")

    def __init__(self, rules: TokenRules, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self._rules, self._keys, self._clock = rules, keys, clock
        self._known: dict[bytes, tuple[int, float, Caller]] = {}
        self._lock = threading.Lock()

    def is_one(self, token: str) -> bool:
        """Whether a token is written as a signed JWT is."""
        return token.count(".") == 2

    def caller_of(self, token: str) -> Caller:
        """The caller that a token was given to; raises `Unauthenticated`, and `CannotTell` where the keys are too old."""
        if len(token) > MOST_CHARACTERS:
            raise Unauthenticated(f"the token is longer than {MOST_CHARACTERS} characters")
        if not token.isascii():
            raise Unauthenticated("the token is no signed JWT")
        if not self._keys.is_fresh:
            raise CannotTell("nobody can tell who calls: the keys that sign tokens could not be read for too long")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] == self._keys.version:
            if self._clock() < known[1]:
                return known[2]
            raise Unauthenticated("the token has expired")
        version = self._keys.version
        claims = self._verified(token)
        ends, caller = self._ends(claims), self._caller(claims)
        with self._lock:
            while len(self._known) >= MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[digest] = (version, ends, caller)
        return caller

    def _verified(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature is right; where its header says to find a key is never looked at."""
        from joserfc.errors import JoseError

        try:
            header = header_of(token)
        except (ValueError, RecursionError):
            raise Unauthenticated("the token is no signed JWT") from None
        algorithm, id_, type_ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            raise Unauthenticated("the token is signed in a way that is not taken here")
        if "crit" in header or not isinstance(type_, str) or type_.lower() not in _TYPES:
            raise Unauthenticated("the token is of a kind that is not taken here")
        if id_ is not None and not isinstance(id_, str):
            raise Unauthenticated("the token is no signed JWT")
        for key in self._keys.find(id_, algorithm):
            try:
                return claims_signed_by(key, algorithm, token)
            except (JoseError, ValueError, TypeError, RecursionError):
                continue
        raise Unauthenticated("the token is not signed by a key of its issuer")

    def _ends(self, claims: Mapping[str, Any]) -> float:
        """When a token ends, once all that it says of when and for whom it is holds."""
        rules, now = self._rules, self._clock()
        if claims.get("iss") != rules.issuer:
            raise Unauthenticated("the token is of another issuer")
        audience = claims.get("aud")
        if rules.audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthenticated("the token is for another service")
        if "cnf" in claims:
            raise Unauthenticated("the token is bound to a key of its holder (cnf), which is not looked at here")
        ends = _seconds(claims, "exp")
        if ends is None:
            raise Unauthenticated("the token does not say when it ends (exp)")
        if now >= ends + rules.leeway_seconds:
            raise Unauthenticated("the token has expired")
        for name in ("nbf", "iat"):
            at = _seconds(claims, name)
            if at is not None and at > now + rules.leeway_seconds:
                raise Unauthenticated(f"the token does not count yet ({name})")
        return ends + rules.leeway_seconds

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        client, subject = claims.get("client_id", claims.get("azp")), claims.get("sub")
        names = [name for name in (client, subject) if name is not None]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise Unauthenticated("the token does not say whose it is (sub, client_id)")
        # A slash in a name is no slash between two of them, so no caller can have the name of another one.
        name = TOKEN_PREFIX + "/".join(dict.fromkeys(one.replace("%", "%25").replace("/", "%2F") for one in names))
        if len(name) > NAME_CHARACTERS or not name.isprintable():
            raise Unauthenticated("the token has a sub or client_id that is too long or not printable")
        given = claims.get("scope", claims.get("scp", ""))
        scopes = given.split() if isinstance(given, str) else given
        if not isinstance(scopes, list) or not all(isinstance(one, str) for one in scopes):
            raise Unauthenticated("the token has scopes that are no texts")
        ours = self._rules.scopes
        return Caller(name, frozenset(ours[one] for one in scopes if one in ours), self._accounts(claims))

    def _accounts(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        claim = self._rules.accounts_claim
        if claim is None:
            return None
        found = claims.get(claim)
        accounts = [found] if isinstance(found, str) else found
        # Without accounts it is refused, and not let in to all.
        if not isinstance(accounts, list) or not accounts or any(fault_in_account(one) for one in accounts):
            raise Unauthenticated(f"the token does not say for which accounts it is (the claim {claim})")
        return frozenset(accounts)


def scopes_of(given: Collection[str]) -> dict[str, str]:
    """The map from names of scopes of the issuer to ours, from texts THEIRS=OURS; without any, names are ours.

    Raises ValueError, with a sentence, for what cannot be.
    """
    if not given:
        return {name: name for name in SCOPES}
    found = {}
    for text in given:
        theirs, _, ours = text.rpartition("=")
        if not theirs or ours not in SCOPES:
            raise ValueError(f'"{text}" is not of the form THEIRS=OURS, with one of {", ".join(SCOPES)} behind')
        if theirs in found:
            raise ValueError(f'"{theirs}" is there twice; give the issuer a scope for each')
        found[theirs] = ours
    return found


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    found = claims.get(name)
    if found is None:
        return None
    if not is_moment(found):
        raise Unauthenticated(f"the token has a time that is no number ({name})")
    return float(found)
