"""The public keys that sign tokens: read again and again in the background, and never trusted when they are too old."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from klausel.storage.callers.key_sets import KeySetUnreadable

if TYPE_CHECKING:
    from joserfc.jwk import Key

KINDS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""The algorithms that may be taken, with the one kind of key that each goes with: none that works with a shared secret."""
LEAST_BITS_OF_RSA = 2048
SECONDS_BETWEEN_DEMANDS = 10.0
"""How long after a reading no token can cause another: tokens that name unknown keys cost the issuer nothing."""
SECONDS_OF_DEMAND = 3.0
SECONDS_AFTER_FAILURE = 10.0
_FAR = 10**12
_COMPACT = re.compile(r"[\w-]+(\.[\w-]*){2}", re.ASCII)
"""What a signed JWT is made of; some versions of joserfc take more, such as padding."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key, with the id and the algorithm that its set names, if it does."""

    id: str | None
    algorithm: str | None
    kind: str
    curve: str | None
    key: Key

    def fits(self, algorithm: str) -> bool:
        """Whether a token may be signed by this key with an algorithm."""
        return (self.kind, self.curve) == KINDS[algorithm] and self.algorithm in (None, algorithm)


def header_of(token: str) -> dict[str, Any]:
    """The header of a signed JWT, of which nothing is proved; raises ValueError and RecursionError for what is none."""
    if not _COMPACT.fullmatch(token):
        raise ValueError("no signed JWT")
    first = token.partition(".")[0]
    return object_in(base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True))


def claims_signed_by(key: SigningKey, algorithm: str, token: str) -> dict[str, Any]:
    """The claims of a JWT that this key signed by this algorithm, whatever else its header says.

    Raises JoseError where it did not, and ValueError and RecursionError for claims that are no object.
    """
    from joserfc.jws import JWSRegistry, deserialize_compact

    rules = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return object_in(deserialize_compact(token.encode(), key.key, None, rules).payload or b"")


def object_in(content: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8, with no name twice; raises ValueError and RecursionError for anything else."""
    # As a text: of bytes, other encodings would be guessed.
    found = json.loads(content.decode(), object_pairs_hook=_distinct)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object; who reads the first of two that have one name, and who the last, know different tokens."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name is there twice")
    return found


def is_moment(claim: object) -> TypeGuard[float]:
    """Whether a claim of a token is a number of seconds that can be compared with a clock."""
    return isinstance(claim, int | float) and not isinstance(claim, bool) and abs(claim) < _FAR


def keys_in(content: bytes) -> tuple[SigningKey, ...]:
    """The keys of a key set that can sign tokens; others are left out. Raises `KeySetUnreadable`."""
    try:
        found = json.loads(content)["keys"]
        if not isinstance(found, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeySetUnreadable('it is no key set: a JSON object with a list "keys"') from None
    return tuple(_signing_keys(found))


def _signing_keys(found: list[Any]) -> Iterator[SigningKey]:
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    for one in found:
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        operations = one.get("key_ops")
        if operations is not None and not (isinstance(operations, list) and "verify" in operations):
            continue
        id_, algorithm, curve = one.get("kid"), one.get("alg"), one.get("crv")
        # What is secret in it by mistake is not needed here.
        public = {name: value for name, value in one.items() if name in ("kty", "n", "e", "crv", "x", "y")}
        try:
            # A key of RSA that is too short is broken in reasonable time, so anybody could sign by it.
            if one["kty"] == "RSA" and _bits(one["n"]) < LEAST_BITS_OF_RSA:
                continue
            key = import_key(public)
            assert key.public_key  # made only now, where its numbers make sense
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        yield SigningKey(id_ if isinstance(id_, str) else None, algorithm, one["kty"], curve, key)


def _bits(number: str) -> int:
    """How long a number of a key is; raises ValueError and TypeError for what is none."""
    padded = number + "=" * (-len(number) % 4)
    return int.from_bytes(base64.b64decode(padded, altchars=b"-_", validate=True)).bit_length()


class SigningKeys:
    """The keys of one issuer. Safe for use by many threads.

    They are read every `refresh_seconds`, and at once when a token names one that is not known, though not more often than
    every `SECONDS_BETWEEN_DEMANDS`. When reading fails, the last ones count until they are `max_age_seconds` old.
    `version` changes with the keys.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        refresh_seconds: float,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._refresh_seconds, self._max_age_seconds = refresh_seconds, max_age_seconds
        self._content: bytes | None = None
        self._keys: tuple[SigningKey, ...] = ()
        self.version = 0
        self._began_at = self._read_at = float("-inf")
        self._failed = ""
        self._reading = threading.Lock()
        self._demanded = threading.Event()
        self._done = threading.Condition()

    @property
    def is_fresh(self) -> bool:
        """Whether the keys were read lately enough to be trusted."""
        return self._clock() - self._read_at <= self._max_age_seconds

    @property
    def fault(self) -> str:
        """Why the last reading failed; empty when it did not."""
        return self._failed

    def refresh(self) -> None:
        """Reads the keys now; what fails is told in the log, and the last ones stay."""
        with self._reading:
            began = self._began_at = self._clock()
            try:
                content = self._read()
                if content != self._content:
                    self._keys = keys_in(content)
                    self._content = content
                    self.version += 1
                    _log.info("keys that sign tokens were read: %d", len(self._keys))
                self._read_at = began
                self._failed = ""
            except KeySetUnreadable as error:
                if str(error) != self._failed:
                    _log.error("the keys that sign tokens cannot be read, the last ones stay for a while: %s", error)
                self._failed = str(error)
            with self._done:
                self._done.notify_all()

    def follow(self) -> None:
        """Starts to read the keys again and again, in a thread of its own."""
        threading.Thread(target=self._follow, name="klausel-signing-keys", daemon=True).start()

    def _follow(self) -> None:
        while True:
            seconds = min(self._refresh_seconds, SECONDS_AFTER_FAILURE) if self._failed else self._refresh_seconds
            self._demanded.wait(seconds)
            self._demanded.clear()
            try:
                self.refresh()
            except Exception:
                # Nothing must end this thread; what is too old is not trusted.
                _log.exception("reading the keys that sign tokens failed")

    def find(self, id_: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """The keys that may have signed a token: of its id, or the only one that there is where it names none.

        For an id that is not known the keys are read again, if that was not done lately.
        """
        found = self._known(id_, algorithm)
        if found or id_ is None or self._clock() - self._began_at < SECONDS_BETWEEN_DEMANDS:
            return found
        with self._done:
            # One thread waits: the others see that a reading has begun.
            if self._clock() - self._began_at < SECONDS_BETWEEN_DEMANDS:
                return self._known(id_, algorithm)
            self._began_at = self._clock()
            self._demanded.set()
            self._done.wait(SECONDS_OF_DEMAND)
        return self._known(id_, algorithm)

    def _known(self, id_: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        fitting = tuple(key for key in self._keys if key.fits(algorithm))
        if id_ is None:
            return fitting if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.id == id_)
