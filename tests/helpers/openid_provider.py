"""A real OpenID provider for tests, made of Authlib's server: a page for signing in, the code flow, PKCE, signed id tokens."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc.jwk import RSAKey
from served_apps import served

Claims = dict[str, Any]


@dataclass
class Client:
    """The one client of the provider."""

    client_id: str = "klausel"
    secret: str | None = "s3cret"
    redirect_uris: list[str] = field(default_factory=list)

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("none" if self.secret is None else "client_secret_basic")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """A code that was given out."""

    code: str
    user: Claims
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Provider:
    """The provider; tests change `users`, what its id tokens say (`spoil`) and how (`write`), and the key that it signs with."""

    def __init__(self) -> None:
        self.client = Client()
        self.users: dict[str, Claims] = {"ann": {"sub": "ann", "groups": ["support"]}}
        self.only_in_user_info: set[str] = set()
        self.key = self.published = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
        self.spoil: Callable[[Claims], Claims] = dict
        self.write: Callable[[Claims], bytes] = lambda claims: json.dumps(claims).encode()
        self.about: Claims = {}
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Claims] = {}
        self.issuer = ""
        self.application = self._application()

    def _application(self) -> Flask:
        provider = self

        class CodeGrant(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic", "none"]

            def save_authorization_code(self, code: str, request: Any) -> None:
                sent = request.payload.data
                provider.codes[code] = Code(
                    code,
                    request.user,
                    request.payload.redirect_uri,
                    request.payload.scope,
                    sent.get("nonce"),
                    sent.get("code_challenge"),
                    sent.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return provider.codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del provider.codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> Claims:
                return authorization_code.user

        class OpenId(OpenIDCode):
            def exists_nonce(self, nonce: str, request: Any) -> bool:
                return any(code.nonce == nonce for code in provider.codes.values())

            def resolve_client_private_key(self, client: Client) -> RSAKey:
                return provider.key

            def get_client_algorithm(self, client: Client) -> str:
                return "RS256"

            def get_client_claims(self, client: Client) -> Claims:
                return {"iss": provider.issuer, "aud": [client.client_id]}

            def get_encode_header(self, client: Client) -> Claims:
                return {"alg": "RS256", "kid": "one"}

            def get_authorization_code_claims(self, authorization_code: Code) -> Claims:
                return {} if authorization_code.nonce is None else {"nonce": authorization_code.nonce}

            def get_compatible_claims(self, request: Any) -> Claims:
                now = int(time.time())
                return {"iss": provider.issuer, "aud": [provider.client.client_id], "iat": now, "exp": now + 300}

            def encode_id_token(self, token: Claims, request: Any) -> str:
                from joserfc import jws

                claims = {
                    **self.get_compatible_claims(request),
                    **self.get_authorization_code_claims(request.authorization_code),
                }
                claims |= self.generate_user_info(request.user, token["scope"])
                spoilt = provider.spoil(claims)
                header = {"alg": "RS256", "kid": "one", **spoilt.pop("header", {})}
                return jws.serialize_compact(header, provider.write(spoilt), provider.key, algorithms=[header["alg"]])

            def generate_user_info(self, user: Claims, scope: str) -> UserInfo:
                return UserInfo({name: value for name, value in user.items() if name not in provider.only_in_user_info})

        app = Flask("openid-provider")
        server = AuthorizationServer(app, query_client=self._client, save_token=self._save)
        server.register_grant(CodeGrant, [CodeChallenge(required=True), OpenId(require_nonce=True)])

        @app.get("/.well-known/openid-configuration")
        def about() -> Any:
            return jsonify(
                issuer=self.issuer,
                authorization_endpoint=f"{self.issuer}/authorize",
                token_endpoint=f"{self.issuer}/token",
                jwks_uri=f"{self.issuer}/keys",
                userinfo_endpoint=f"{self.issuer}/userinfo",
                **self.about,
            )

        @app.route("/authorize", methods=["GET", "POST"])
        def authorize() -> Any:
            name = request.form.get("name")
            if name is None:
                server.get_consent_grant(end_user=None)
                names = "".join(
                    f"<button name=name value={html.escape(one)}>{html.escape(one)}</button>" for one in self.users
                )
                return f"<!doctype html><title>Provider</title><form method=post>{names}</form>"
            user = self.users.get(name)
            grant = server.get_consent_grant(end_user=user)
            return server.create_authorization_response(request, grant_user=user, grant=grant)

        @app.post("/token")
        def token() -> Any:
            return server.create_token_response()

        @app.get("/keys")
        def keys() -> Any:
            return jsonify(keys=[self.published.as_dict(private=False)])

        @app.get("/userinfo")
        def user_info() -> Any:
            return jsonify(self.tokens[request.headers["Authorization"].removeprefix("Bearer ")])

        return app

    def _client(self, client_id: str) -> Client | None:
        return self.client if client_id == self.client.client_id else None

    def _save(self, token: Claims, request: Any) -> None:
        self.tokens[token["access_token"]] = request.user


@contextmanager
def openid_provider() -> Iterator[Provider]:
    """A provider that answers at its `issuer`."""
    provider = Provider()
    with served(provider.application) as address:
        provider.issuer = address
        yield provider
