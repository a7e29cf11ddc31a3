"""Callers by OAuth tokens: what is right is taken, everything else is refused, and keys that are too old let nobody in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from doors import ALLOWED, ASSIGNMENTS, EVALUATION, POLICY, Answer, Doors, demo_people, grant, open_doors
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from klausel.core.terms.caller import Caller
from klausel.service import signing_keys
from klausel.service.authentication import CannotTell, RateLimit, TooManyRequests, Unauthenticated
from klausel.service.oauth import MOST_CHARACTERS, OauthTokens, TokenRules, scopes_of
from klausel.service.signing_keys import SigningKeys, keys_in
from klausel.storage.callers.key_sets import MOST_BYTES, KeySetUnreadable, fault_in_place, read_key_set
from klausel.storage.callers.keys import KeyStore

ISSUER, AUDIENCE = "https://issuer.example", "klausel"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec-1"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"}, private=True)
JSON = {"Content-Type": "application/json"}


class Issuer:
    """Serves a key set over HTTP, as it is told to; counts how often it was asked."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                if issuer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(issuer.body)))
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, *keys: Key) -> None:
        self.body = key_set(*keys)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def key_set(*keys: Key, **members: object) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), **members} for key in keys]}).encode()


def claims(**other: object) -> dict[str, object]:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 300, "iat": now, "sub": "app-7", "scope": "check policy"}
    return {name: value for name, value in {**usual, **other}.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", header: dict[str, object] | None = None, **other: object) -> str:
    named = {"kid": key.kid} if getattr(key, "kid", None) else {}
    whole = {"alg": algorithm, "typ": "at+jwt", **named, **(header or {})}
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jws.serialize_compact(
        {name: value for name, value in whole.items() if value is not None},
        json.dumps(claims(**other)).encode(),
        key,
        registry=registry,
    )


def signed(payload: bytes, **header: object) -> str:
    return jws.serialize_compact({"alg": "RS256", "kid": "rsa-1", **header}, payload, RSA)


def by_hand(header: object, payload: object, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def twice(first: bytes) -> str:
    """A token that is good by the last of two members of its header, and another by the first."""
    header = b"{" + first + b', "alg": "RS256", "kid": "rsa-1"}'
    unsigned = b".".join(
        base64.urlsafe_b64encode(one).rstrip(b"=") for one in (header, json.dumps(claims(accounts="acme")).encode())
    )
    key = RSA.get_op_key("sign")
    signature = key.sign(unsigned, padding.PKCS1v15(), hashes.SHA256())
    return (unsigned + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def hmac_with_public_key() -> str:
    """The token of somebody who takes the public key for a secret."""
    pem = RSA.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    unsigned = by_hand({"alg": "HS256", "kid": "rsa-1"}, claims()).rpartition(".")[0]
    signature = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    opened = Issuer()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def served(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    issuer.publish(RSA, EC, ED)
    settings = {
        "authentication": "keys-or-oauth",
        "oauth_issuer": ISSUER,
        "oauth_audience": AUDIENCE,
        "oauth_keys": issuer.url,
        "oauth_algorithms": ("RS256", "PS256", "ES256", "Ed25519"),
        "oauth_accounts_claim": "accounts",
    }
    with open_doors(tmp_path_factory.mktemp("oauth") / "own.db", **settings) as doors:
        grant(doors.service, demo_people())
        yield doors


def evaluate(doors: Doors, text: str, body: object = ALLOWED, path: str = EVALUATION) -> Answer:
    headers = {"Authorization": f"Bearer {text}", **JSON}
    return doors.lane.ask("POST", path, json.dumps(body).encode(), headers=headers)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_a_token_of_the_issuer_lets_its_caller_ask(served: Doors, key: Key, algorithm: str) -> None:
    good = token(key, algorithm, accounts=["acme"], aud=["other", AUDIENCE])
    assert [evaluate(served, good).json["decision"] for _ in range(2)] == [True, True]
    assert evaluate(served, token(key, algorithm, accounts="globex")).json["context"]["reason"]


def test_scopes_open_what_keys_with_them_open(served: Doors) -> None:
    answer = evaluate(served, token(accounts="acme", scope=None, scp=["policy", "unknown"]))
    assert (answer.status, answer.message) == (403, "this needs the scope check, which this caller lacks")
    assert 'error="insufficient_scope", scope="check"' in answer.headers["WWW-Authenticate"]
    assert evaluate(served, token(accounts="acme", scope=None)).status == 403
    key = KeyStore(served.service.store.engine).new(Caller("shop", frozenset({"check"})), None)[1]
    assert evaluate(served, key).status == 200


def test_the_change_log_names_who_the_token_was_given_to(served: Doors) -> None:
    body = {"grant": [{"subject": "user:eve", "role": "user", "domain": "acme"}]}
    whose = token(accounts="acme", scope="assign audit", client_id="back-office", sub="svc")
    assert evaluate(served, whose, body, ASSIGNMENTS).status == 200
    headers = {"Authorization": f"Bearer {whose}"}
    change = served.lane.get("/v1/assignment-log?domain=acme&limit=1", **headers).json["changes"][0]
    assert change["caller"] == "caller:oauth:back-office/svc"


NOW = int(time.time())
REFUSED: dict[str, Callable[[], str]] = {
    "expired": lambda: token(accounts="acme", exp=NOW - 60),
    "without an end": lambda: token(accounts="acme", exp=None),
    "an end that is no number": lambda: token(accounts="acme", exp="2999"),
    "an end that is true": lambda: token(accounts="acme", exp=True),
    "an endless end": lambda: by_hand({"alg": "RS256"}, {**claims(), "exp": float("inf")}, b"x"),
    "an end beyond all numbers": lambda: token(accounts="acme", exp=10**400),
    "a beginning before all numbers": lambda: token(accounts="acme", nbf=-(10**400)),
    "made beyond all numbers": lambda: token(accounts="acme", iat=10**400),
    "an audience that is there twice": lambda: signed(
        b'{"aud": "other", ' + json.dumps(claims(accounts="acme")).encode()[1:]
    ),
    "an algorithm that is there twice": lambda: twice(b'"alg": "none"'),
    "a key that is there twice": lambda: twice(b'"kid": "rsa-9"'),
    "claims in UTF-16": lambda: signed(json.dumps(claims(accounts="acme")).encode("utf-16")),
    "a token in a token": lambda: signed(token(accounts="acme").encode(), cty="JWT"),
    "somebody who is an object": lambda: token(accounts="acme", sub={"id": 1}),
    "a client that is a list": lambda: token(accounts="acme", client_id=["shop"]),
    "a name that runs backwards": lambda: token(accounts="acme", sub="a\u202eb"),
    "a certificate in the header": lambda: token(OTHER_RSA, header={"x5c": ["MIIB"]}, accounts="acme"),
    "an id with more behind it": lambda: token(RSA, header={"kid": "rsa-1\0"}, accounts="acme"),
    "an algorithm in small letters": lambda: by_hand({"alg": "rs256", "kid": "rsa-1"}, claims(accounts="acme"), b"x"),
    "algorithms": lambda: by_hand({"alg": ["RS256"], "kid": "rsa-1"}, claims(accounts="acme"), b"x"),
    "kinds": lambda: by_hand({"alg": "RS256", "kid": "rsa-1", "typ": ["at+jwt"]}, claims(accounts="acme"), b"x"),
    "a signature of zeros": lambda: by_hand({"alg": "ES256", "kid": "ec-1"}, claims(accounts="acme"), b"\0" * 64),
    "no signature": lambda: token(accounts="acme").rpartition(".")[0] + ".",
    "padded": lambda: token(accounts="acme") + "==",
    "with a space": lambda: token(accounts="acme").replace(".", ". ", 1),
    "accounts in a list of lists": lambda: token(accounts=[["acme"]]),
    "a domain for an account": lambda: token(accounts=["acme/support"]),
    "scopes in objects": lambda: token(accounts="acme", scope=[{"check": True}]),
    "not yet": lambda: token(accounts="acme", nbf=NOW + 3600),
    "made later than now": lambda: token(accounts="acme", iat=NOW + 3600),
    "another issuer": lambda: token(accounts="acme", iss=ISSUER + "/"),
    "another audience": lambda: token(accounts="acme", aud="klausel2"),
    "no audience": lambda: token(accounts="acme", aud=None),
    "an audience that is an object": lambda: token(accounts="acme", aud={AUDIENCE: 1}),
    "no accounts": lambda: token(),
    "an empty list of accounts": lambda: token(accounts=[]),
    "an account that is none": lambda: token(accounts=["acme", "*"]),
    "accounts that are no texts": lambda: token(accounts=[1]),
    "nobody": lambda: token(accounts="acme", sub=None),
    "a name over two lines": lambda: token(accounts="acme", sub="a\nb"),
    "scopes that are an object": lambda: token(accounts="acme", scope={"check": 1}),
    "bound to a key": lambda: token(accounts="acme", cnf={"jkt": "x"}),
    "signed by another key of the same id": lambda: token(OTHER_RSA, accounts="acme"),
    "the signature of another kind": lambda: token(EC, "ES256", {"kid": "rsa-1"}, accounts="acme"),
    "an id that nobody knows": lambda: token(RSA, header={"kid": "rsa-9"}, accounts="acme"),
    "an id that is a path": lambda: token(RSA, header={"kid": "../../../../dev/null"}, accounts="acme"),
    "an id that is no text": lambda: by_hand({"alg": "RS256", "kid": ["rsa-1"]}, claims(accounts="acme"), b"x"),
    "no id among several keys of the kind": lambda: token(OTHER_RSA, header={"kid": None}, accounts="acme"),
    "not signed": lambda: by_hand({"alg": "none"}, claims(accounts="acme")),
    "not signed, in capitals": lambda: by_hand({"alg": "NONE", "kid": "rsa-1"}, claims(accounts="acme")),
    "the public key as a secret": hmac_with_public_key,
    "a secret": lambda: token(OctKey.import_key("k" * 64), "HS256", {"kid": "rsa-1"}, accounts="acme"),
    "an algorithm that is not taken": lambda: token(RSA, "RS512", accounts="acme"),
    "a key in the header": lambda: token(OTHER_RSA, header={"jwk": {"kty": "oct", "k": "eA"}}, accounts="acme"),
    "an address of keys in the header": lambda: token(OTHER_RSA, header={"jku": "https://evil.example"}, accounts="acme"),
    "something critical": lambda: by_hand({"alg": "RS256", "kid": "rsa-1", "crit": ["b64"], "b64": False}, claims(), b"x"),
    "a kind for something else": lambda: token(RSA, header={"typ": "logout+jwt"}, accounts="acme"),
    "claims that are no object": lambda: jws.serialize_compact({"alg": "RS256", "kid": "rsa-1"}, b"[1]", RSA),
    "claims that are no JSON": lambda: jws.serialize_compact({"alg": "RS256", "kid": "rsa-1"}, b"\xff{", RSA),
    "claims nested deep": lambda: jws.serialize_compact({"alg": "RS256", "kid": "rsa-1"}, b"[" * 9000, RSA),
    "a header nested deep": lambda: f"{base64.urlsafe_b64encode(b'[' * 300).decode()}.e30.eA",
    "a header that is no object": lambda: by_hand(["RS256"], claims(), b"x"),
    "huge": lambda: token(accounts="acme", filler="x" * MOST_CHARACTERS),
    "three dots": lambda: token(accounts="acme") + ".eA",
    "nothing but dots": lambda: "..",
}


@pytest.mark.parametrize("made", REFUSED.values(), ids=REFUSED)
def test_what_is_not_right_is_refused(served: Doors, made: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "SECONDS_OF_DEMAND", 0.2)
    answer = evaluate(served, made())
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("changed", range(3))
def test_a_token_that_was_changed_is_none(served: Doors, changed: int) -> None:
    parts = token(accounts="acme").split(".")
    parts[changed] = by_hand({"alg": "RS256", "kid": "rsa-1", "x": 1}, claims(accounts="globex"), b"x" * 256).split(".")[
        changed
    ]
    assert evaluate(served, ".".join(parts)).status == 401


def test_where_the_header_says_to_find_keys_nobody_asks(served: Doors, issuer: Issuer) -> None:
    before = issuer.asked
    assert evaluate(served, token(header={"jku": issuer.url, "x5u": issuer.url}, accounts="acme")).status == 200
    assert issuer.asked == before


# --- Keys that change -------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def tokens_of(keys: SigningKeys, **rules: Any) -> OauthTokens:
    usual = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ("RS256", "ES256"), "scopes": scopes_of(())}
    return OauthTokens(TokenRules(**{**usual, **rules}), keys)


def test_a_rotated_key_counts_as_soon_as_a_token_names_it_and_the_old_one_no_more(issuer: Issuer) -> None:
    clock = Clock()
    issuer.publish(RSA)
    keys = SigningKeys(lambda: read_key_set(issuer.url), 3600, 7200, clock)
    keys.refresh()
    keys.follow()
    tokens = tokens_of(keys)
    old, new = token(), token(EC, "ES256")
    assert tokens.caller_of(old).name == "oauth:app-7"
    issuer.publish(EC)
    with pytest.raises(Unauthenticated):
        tokens.caller_of(new)  # read a moment ago, so nobody asks again
    assert tokens.caller_of(old).name == "oauth:app-7"
    clock.now += 11
    assert tokens.caller_of(new).name == "oauth:app-7"
    with pytest.raises(Unauthenticated):
        tokens.caller_of(old)  # though it was remembered
    asked = issuer.asked
    for number in range(50):
        with pytest.raises(Unauthenticated):
            tokens.caller_of(token(header={"kid": f"unknown-{number}"}))
    assert issuer.asked == asked


@pytest.mark.parametrize("fault", ["status", "redirect", "size", "json", "no list"])
def test_keys_that_cannot_be_read_count_until_they_are_too_old(issuer: Issuer, fault: str) -> None:
    clock = Clock()
    issuer.status, issuer.body = 200, key_set(RSA)
    keys = SigningKeys(lambda: read_key_set(issuer.url), 60, 600, clock)
    keys.refresh()
    tokens = tokens_of(keys)
    issuer.status = {"status": 500, "redirect": 302}.get(fault, 200)
    issuer.body = {"size": b" " * (MOST_BYTES + 1), "json": b"<html>", "no list": b'{"keys": 1}'}.get(fault, b"")
    clock.now += 590
    keys.refresh()
    assert keys.fault
    assert tokens.caller_of(token())
    clock.now += 20
    with pytest.raises(CannotTell, match="could not be read for too long"):
        tokens.caller_of(token())
    issuer.status, issuer.body = 200, key_set(RSA)
    keys.refresh()
    assert tokens.caller_of(token())


def test_a_service_whose_issuer_is_not_there_answers_503_to_tokens(opened: Callable[..., Doors]) -> None:
    settings = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_keys": "http://127.0.0.1:1/jwks"}
    doors = opened(authentication="oauth", **settings)
    answer = evaluate(doors, token())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    key = KeyStore(doors.service.store.engine).new(Caller("shop", frozenset({"check"})), None)[1]
    assert evaluate(doors, key).status == 401  # keys are not taken where tokens alone are
    assert doors.flask.get("/healthz").status == 200
    assert doors.flask.get(POLICY).status == 401


def test_a_remembered_token_ends_with_its_time_and_not_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.service.oauth.MOST_KEPT", 3)
    keys = SigningKeys(lambda: key_set(RSA), 60, 600)
    keys.refresh()
    clock = Clock()
    clock.now = time.time()
    tokens = OauthTokens(TokenRules(ISSUER, AUDIENCE, ("RS256",), scopes_of(()), None, 0.0), keys, clock)
    several = [token(jti=str(number)) for number in range(5)]
    assert [tokens.caller_of(one).name for one in several] == ["oauth:app-7"] * 5
    assert len(tokens._known) == 3
    clock.now += 301
    for one in several:
        with pytest.raises(Unauthenticated, match="expired"):
            tokens.caller_of(one)


def test_keys_are_as_old_as_the_moment_at_which_they_were_asked_for() -> None:
    clock = Clock()

    def read_slowly() -> bytes:
        clock.now += 100
        return key_set(RSA)

    keys = SigningKeys(read_slowly, 60, 600, clock)
    keys.refresh()
    clock.now += 500
    assert keys.is_fresh
    clock.now += 1
    assert not keys.is_fresh


def test_a_token_ends_at_the_second_that_it_names() -> None:
    keys = SigningKeys(lambda: key_set(RSA), 60, 600)
    keys.refresh()
    clock = Clock()
    clock.now = 2_000_000_000.0
    tokens = OauthTokens(TokenRules(ISSUER, AUDIENCE, ("RS256",), scopes_of(()), None, 0.0), keys, clock)
    assert tokens.caller_of(token(exp=2_000_000_001))
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.caller_of(token(exp=2_000_000_000))


# --- Key sets, scopes, rates ------------------------------------------------------------------------------------------


def test_only_public_keys_that_sign_are_taken() -> None:
    short = {**RSA.as_dict(private=False), "n": base64.urlsafe_b64encode(b"\xc1" * 128).rstrip(b"=").decode()}
    odd: list[object] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"},
        {**RSA.as_dict(private=False), "use": "enc"},
        {**RSA.as_dict(private=False), "key_ops": ["encrypt"]},
        short,
        {"kty": "RSA", "n": "!", "e": 7},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        "text",
        None,
    ]
    assert keys_in(json.dumps({"keys": odd}).encode()) == ()
    (found,) = keys_in(json.dumps({"keys": [*odd, RSA.as_dict(private=True)]}).encode())
    assert not found.key.is_private
    (bound,) = keys_in(key_set(RSA, alg="PS256"))
    assert (bound.fits("PS256"), bound.fits("RS256"), bound.fits("ES256")) == (True, False, False)


def test_no_caller_has_the_name_of_another_one() -> None:
    keys = SigningKeys(lambda: key_set(RSA), 300, 3600)
    keys.refresh()
    tokens = OauthTokens(TokenRules(ISSUER, AUDIENCE, ("RS256",), scopes_of(())), keys)
    whose = (("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), (None, "a/b/c"), ("a/b/c", "a/b/c"))
    names = [tokens.caller_of(token(client_id=client, sub=subject)).name for client, subject in whose]
    assert names == ["oauth:a%2Fb/c", "oauth:a/b%2Fc", "oauth:a%252Fb/c", "oauth:a%2Fb%2Fc", "oauth:a%2Fb%2Fc"]


def test_keys_are_read_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    assert fault_in_place(str(file)) == "is no file; name one, or an https address"
    file.write_bytes(key_set(RSA))
    assert fault_in_place(str(file)) is None
    assert keys_in(read_key_set(str(file)))
    file.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(KeySetUnreadable):
        read_key_set(str(file))


@pytest.mark.parametrize("password", ["s3cret", "s3:cr@et"])
def test_no_password_of_an_address_is_told(password: str) -> None:
    with pytest.raises(KeySetUnreadable) as told:
        read_key_set(f"http://me:{password}@127.0.0.1:9/keys")
    assert "http://***@127.0.0.1:9/keys cannot be read" in str(told.value)


@pytest.mark.parametrize("place", ["http://issuer.example/jwks", "ftp://127.0.0.1/x", "https://", "file:///etc/x"])
def test_keys_come_by_https_unless_from_this_machine(place: str) -> None:
    assert fault_in_place(place)
    assert fault_in_place("https://issuer.example/jwks") is fault_in_place("http://127.0.0.1:1/jwks") is None


def test_scopes_of_the_issuer_are_mapped_onto_ours() -> None:
    assert scopes_of(["pdp.read=check", "a=b=search"]) == {"pdp.read": "check", "a=b": "search"}
    assert "check" not in scopes_of(["pdp.read=check"])
    for wrong in (["check"], ["x=unknown"], ["=check"], ["x=check", "x=search"]):
        with pytest.raises(ValueError, match=r"THEIRS=OURS|twice"):
            scopes_of(wrong)


def test_the_rates_of_callers_who_come_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.service.authentication.MOST_KEPT", 100)
    rates = RateLimit(0.001)
    rates.take("oauth:goes on")
    for number in range(500):
        rates.take(f"oauth:{number}")
        # Who asks too fast is not forgotten for that.
        with pytest.raises(TooManyRequests):
            rates.take("oauth:goes on")
    assert len(rates._left) == 100
