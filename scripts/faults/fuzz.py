"""Made-up requests to every route, with keys of several scopes: none may end in a 500, or in a decision that failed inside.

    scripts/python -m faults.fuzz --requests 200000

Bodies are good ones in which something was changed, then sometimes their bytes; so are parameters, headers and paths. The
service runs in this process, over an SQLite file unless a database is named, which must be empty. What is found is printed with
the number of its request; `--only NUMBER` sends that one alone, and shows it. `--under /scim/v2` asks the routes below that path
alone. At the end the change log must be whole. Exit code 1 when something was found.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from faults.scim_requests import GROUP, PROVISIONING_YAML, USER, ScimRequests
from faults.under_load import ROOT
from klausel.api.access import PROVISIONING
from klausel.api.lane import EvaluationLane
from klausel.api.operations import OPERATIONS
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import SCOPES, Caller
from klausel.settings import Settings
from klausel.storage.callers.keys import KeyStore
from klausel.storage.change_log.verification import verify_log

SLOW = {("POST", "/console/playground"): 0.002, ("POST", "/v1/policy:reload"): 0.02, ("GET", "/console/changes"): 0.02}
"""Routes that take long, and the share of their requests that is sent."""
PEOPLE = [
    Assignment("user:ada", "admin", "acme"),
    Assignment("user:max", "account_manager", "acme"),
    Assignment("user:mia", "user", "acme"),
    Assignment("user:mia", "manager", "acme/support"),
]
WORDS = [
    "user",
    "ada",
    "max",
    "mia",
    "acme",
    "support",
    "acme/support",
    "quiz",
    "scorecard",
    "report",
    "create",
    "view",
    "edit",
    "delete",
    "admin",
    "account_manager",
    "manager",
    "group:all",
    "user:ada",
    "user:mia",
    "subject",
    "resource",
    "account",
    "workspace",
    "owner",
    "status",
    "published",
    "2026-03-01T12:00:00Z",
    "2026-13-01T99:00:00Z",
    "json",
    "csv",
    "html",
    "*",
    "/",
    "//",
    "..",
    ".",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "NaN",
    "9999999999999999999999",
    "page",
    "limit",
    "token",
    "format",
    "next_token",
    "id",
]
NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    -(2**63) - 1,
    10**40,
    0.1,
    -0.0,
    1e308,
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\U0001f600",
    "\u202eacme",
    "é",
    "e\u0301",
    "ﬀ",
    "x" * 300,
    "x" * 70_000,
    "'; DROP TABLE casbin_rule; --",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "%s%n",
    "../../etc/passwd",
    "\r\nX-Evil: 1",
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    {"a": {"b": {"c": [1, 2, {"d": None}]}}},
    "*" * 3000,
    "user:",
    ":",
    "user:a:b:c",
    "group:",
    "a/b/c/d/e",
    "-",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00+99:99",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
]
BODIES: list[dict[str, Any]] = [
    {
        "subject": {"type": "user", "id": "max"},
        "action": {"name": "create"},
        "resource": {"type": "quiz", "id": "q1", "properties": {"account": "acme"}},
        "context": {"ip": "10.0.0.1"},
    },
    {
        "subject": {"type": "user", "id": "mia"},
        "action": {"name": "view"},
        "resource": {"type": "scorecard", "properties": {"account": "acme", "workspace": "support"}},
        "page": {"limit": 2},
    },
    {
        "evaluations": [{}, {"resource": {"type": "quiz", "id": "q2"}}],
        "subject": {"type": "user", "id": "ada"},
        "action": {"name": "edit"},
        "resource": {"type": "quiz", "id": "q"},
        "options": {"evaluations_semantic": "deny_on_first_deny"},
    },
    {
        "grant": [{"subject": "user:zoe", "role": "user", "domain": "acme", "until": "2030-01-01T00:00:00Z"}],
        "revoke": [{"subject": "user:mia", "role": "manager", "domain": "acme/support"}],
        "by": "fuzz",
        "reason": "r",
    },
    {"grant": [{"subject": "user:zoe", "group": "group:staff"}], "on_behalf_of": "user:ada"},
    {"put": [{"kind": "resource", "type": "quiz", "id": "q1", "domain": "acme", "properties": {"owner": "mia"}}]},
]


class Maker:
    """Makes up one request, the same for the same number."""

    def __init__(self, number: int, keys: list[str], cookie: str, under: str = "", provisioned: Sequence[str] = ()) -> None:
        self._chance = random.Random(number)
        self._keys, self._cookie = keys, cookie
        self._operations = [one for one in OPERATIONS.items() if one[0][1].startswith(under)]
        self._scim = ScimRequests(self._chance, self._text, provisioned)

    def request(self) -> dict[str, Any]:
        """The environment of a WSGI application."""
        chance = self._chance
        while True:
            (method, path), operation = chance.choice(self._operations)
            if chance.random() < SLOW.get((method, path), 1.0):
                break
        content_type, body = "application/json", b""
        query = self._query(list(operation.parameters))
        if path.startswith(PROVISIONING):
            address = self._scim.address(is_one="<path:id>" in path)
            path, query = f"{PROVISIONING}{address}", self._scim.query() if chance.random() < 0.8 else query
            if method in ("POST", "PUT", "PATCH"):
                content_type, body = "application/scim+json", self._scim_body(method, address)
        elif operation.form is not None:
            content_type = "application/x-www-form-urlencoded"
            body = urlencode([(self._word(), self._text()) for _ in range(chance.randrange(8))], errors="replace").encode()
        elif method == "POST":
            good = [*BODIES, operation.example] if operation.example else BODIES
            body = self._body(chance.choice([operation.example or good[0], chance.choice(good)]))
        path = path.replace("<path:domain>", quote(self._text()[:200], errors="replace")).replace("<path:tenant>", "tenant1")
        if chance.random() < 0.03:
            path += chance.choice(["/", "//", "/..", "%00", "/\xff\xfe", "?", "x"])
        if chance.random() < 0.03:
            method = chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO"])
        environ = plain_environ(method, path, content_type, body)
        environ["QUERY_STRING"] = query
        self._put_headers(environ)
        if path.startswith(PROVISIONING) and chance.random() < 0.9:
            # Of the callers of the people and groups that are there.
            environ["HTTP_AUTHORIZATION"] = f"Bearer {chance.choice(self._keys[:2])}"
        return environ

    def _scim_body(self, method: str, address: str) -> bytes:
        good = self._scim.body(method, address)
        return self._body(good) if self._chance.random() < 0.5 else json.dumps(good).encode()

    def _put_headers(self, environ: dict[str, Any]) -> None:
        chance = self._chance
        if chance.random() < 0.95:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {chance.choice(self._keys)}"
        if chance.random() < 0.3:
            environ["HTTP_COOKIE"] = chance.choice([self._cookie, self._cookie[:-3], "a=b; ;;=", "\xff"])
        if chance.random() < 0.2:
            name = chance.choice(
                [
                    "HTTP_X_REQUEST_ID",
                    "HTTP_X_KLAUSEL_AT_LEAST",
                    "HTTP_X_KLAUSEL_RECORD",
                    "CONTENT_TYPE",
                    "HTTP_HOST",
                    "HTTP_ORIGIN",
                    "HTTP_AUTHORIZATION",
                    "HTTP_ACCEPT",
                    "HTTP_X_FORWARDED_FOR",
                    "HTTP_ACCEPT_LANGUAGE",
                    "HTTP_IF_NONE_MATCH",
                    "HTTP_IF_MATCH",
                    "HTTP_RANGE",
                    "HTTP_ACCEPT_ENCODING",
                    "HTTP_SEC_FETCH_SITE",
                ]
            )
            # What a server hands on of a header: its bytes, one character each.
            environ[name] = self._text()[:2000].encode("utf-8", "replace").decode("latin-1").replace("\r\n", " ")
        if chance.random() < 0.02:
            environ["CONTENT_LENGTH"] = chance.choice(["", "abc", "-1", "0", "5", "99999999999999999999", "1_0", "²"])

    def _body(self, good: dict[str, Any]) -> bytes:
        chance, value = self._chance, copy.deepcopy(good)
        for _ in range(chance.choice([0, 1, 1, 2, 3, 6])):
            self._change(value)
        kind = chance.random()
        if kind < 0.02:
            value = {"subject": chance.choice(NASTY), "x": value}
        if kind > 0.98:
            deep: Any = value
            for _ in range(chance.choice([5, 31, 32, 33, 600])):
                deep = {"a": deep} if chance.random() < 0.5 else [deep]
            value = {"context": deep, **good}
        text = json.dumps(value, ensure_ascii=chance.random() < 0.8)
        if chance.random() < 0.03:
            text = text.replace("null", chance.choice(["NaN", "Infinity", "1e400", "-", "1" * 5000]))
        body = bytearray(text.encode("utf-8", "surrogatepass"))
        if chance.random() < 0.15:
            for _ in range(chance.randrange(1, 6)):
                place = chance.randrange(len(body) + 1)
                body[place : place + chance.randrange(4)] = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
        return bytes(body)

    def _change(self, value: Any) -> None:
        """Changes one place in a value."""
        chance = self._chance
        while isinstance(value, (dict, list)) and value:
            key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
            inner = value[key]
            if isinstance(inner, (dict, list)) and inner and chance.random() < 0.7:
                value = inner
                continue
            kind = chance.random()
            if kind < 0.6:
                value[key] = copy.deepcopy(chance.choice(NASTY)) if chance.random() < 0.6 else self._word()
            elif kind < 0.75:
                del value[key]
            elif isinstance(value, dict):
                value[self._text()[:300]] = copy.deepcopy(chance.choice([*NASTY, inner]))
            else:
                value += [copy.deepcopy(inner)] * chance.choice([1, 2, 50, 1100])
            return

    def _query(self, names: list[str]) -> str:
        chance = self._chance
        pairs = [(name, self._text()[:3000]) for name in names if chance.random() < 0.6]
        if chance.random() < 0.1:
            pairs.append((self._word(), self._text()[:3000]))
        if chance.random() < 0.05 and pairs:
            pairs.append(pairs[0])
        query = urlencode(pairs, errors="replace")
        return query + chance.choice(["&%ff=%fe", "&&=", "%", "&a"]) if chance.random() < 0.03 else query

    def _word(self) -> str:
        return self._chance.choice(WORDS)

    def _text(self) -> str:
        value = self._chance.choice(NASTY) if self._chance.random() < 0.4 else self._word()
        return value if isinstance(value, str) else json.dumps(value)


def plain_environ(method: str, path: str, content_type: str, body: bytes) -> dict[str, Any]:
    """The environment of a WSGI application for a request without a fault."""
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


class Errors(logging.Handler):
    """Keeps what the service logs of requests that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one."""
        self.told.append(self.format(record))


class Service:
    """A service in this process with the shipped policies and a provisioning.yaml, and keys of callers with each scope."""

    def __init__(self, folder: Path, database: str) -> None:
        shutil.copytree(ROOT / "policies", folder / "policies")
        (folder / "policies" / "provisioning.yaml").write_text(PROVISIONING_YAML)
        paths = {"policies": str(folder / "policies"), "model": str(ROOT / "model.conf"), "database": database}
        self.service = create_service(Settings(**paths, authentication="keys", decision_log=f"{folder}/decisions.jsonl"))
        store = self.service.store
        store.write(self.service.policy.compiled.policy.roles, PEOPLE, [])
        keys = KeyStore(store.engine)
        every = frozenset(SCOPES)
        callers = [Caller("all", every), Caller("limited", every, frozenset({"acme"}))]
        callers += [Caller(scope, frozenset({scope})) for scope in sorted(every)]
        self.keys = [keys.new(caller, None)[1] for caller in callers]
        self.application = EvaluationLane(self.service, create_flask_app(self.service).wsgi_app)
        self.provisioned = [self._provision(number) for number in range(30)]
        # Most requests are let in, or little is tried.
        self.keys += [self.keys[0]] * 10 + [self.keys[1]] * 4 + [keys.new(callers[0], 1)[1], "klausel_x", "\xff", ""]
        self.cookie = sign_in(self.application, self.keys[0])
        self._errors = Errors()
        log = logging.getLogger("klausel")
        log.addHandler(self._errors)
        log.propagate = False

    def ask(self, environ: dict[str, Any]) -> tuple[int, bytes, str | None]:
        """The status and the body of the answer, and what is wrong with it."""
        self._errors.told.clear()
        internal = self.service.failures.counts()["internal"]
        status, answer = send(self.application, environ)
        shown = answer[:300].decode(errors="replace")
        if self._errors.told:
            return status, answer, f"an error was logged: {self._errors.told[-1]}"
        if self.service.failures.counts()["internal"] > internal:
            return status, answer, f"a decision failed inside: {shown}"
        if status in (500, 503):
            return status, answer, shown
        if environ["PATH_INFO"].startswith(PROVISIONING) and answer:
            told = json.loads(answer)
            if status == 201:
                # It is asked about later, in the place of another that may be gone.
                self.provisioned = [*self.provisioned[1:], str(told["id"])]
            if status >= 400 and (told.get("status") != str(status) or not told.get("detail")):
                return status, answer, f"no error as SCIM has them: {shown}"
        return status, answer, None

    def close(self) -> list[str]:
        """Ends it; what is wrong with its change log."""
        log = logging.getLogger("klausel")
        log.removeHandler(self._errors)
        log.propagate = True
        wrong = [f"the change log: {finding}" for finding in verify_log(self.service.store.engine, {}).findings]
        self.service.decision_log.close()  # type: ignore[union-attr]
        self.service.store.close()
        return wrong

    def _provision(self, number: int) -> str:
        is_group = number % 3 == 0
        named = {"displayName": f"acme-w{number}-reviewers"} if is_group else {"userName": f"person{number}"}
        body = json.dumps({"schemas": [GROUP if is_group else USER], **named}).encode()
        environ = plain_environ("POST", f"{PROVISIONING}/{'Groups' if is_group else 'Users'}", "application/scim+json", body)
        environ["HTTP_AUTHORIZATION"] = f"Bearer {self.keys[number % 2]}"
        return str(json.loads(send(self.application, environ)[1])["id"])


def main() -> None:
    """Sends the requests, and prints what was found and how many answers there were of each status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first request")
    parser.add_argument("--only", type=int, help="send this request alone, and show it")
    parser.add_argument("--under", default="", help="ask the routes alone whose path begins so, such as /scim/v2")
    parser.add_argument("--database", help="URL of an empty database; without it, an SQLite file")
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.requests) if given.only is None else range(given.only, given.only + 1)
    with tempfile.TemporaryDirectory() as name:
        found = fuzz(
            Path(name), given.database or f"sqlite:///{name}/people.db", numbers, given.under, given.only is not None
        )
    raise SystemExit(bool(found))


def fuzz(folder: Path, database: str, numbers: range, under: str = "", shows: bool = False) -> list[str]:
    """Sends the requests of these numbers, and prints how many answers there were of each status; what was found."""
    service = Service(folder, database)
    statuses: Counter[int] = Counter()
    found = list[str]()
    began = time.monotonic()
    slowest = (0.0, 0)
    for number in numbers:
        environ = Maker(number, service.keys, service.cookie, under, service.provisioned).request()
        if shows:
            print({key: value for key, value in environ.items() if not key.startswith("wsgi")})
            print(environ["wsgi.input"].getvalue()[:2000])
        asked = time.monotonic()
        status, answer, wrong = service.ask(environ)
        slowest = max(slowest, (time.monotonic() - asked, number))
        statuses[status] += 1
        if shows:
            print(status, answer[:2000])
        if wrong is not None:
            found.append(f"request {number}: {environ['REQUEST_METHOD']} {environ['PATH_INFO'][:80]}: {status}: {wrong}")
            print(found[-1], flush=True)
        if number % 10_000 == 9_999:
            print(f"{number + 1} requests after {time.monotonic() - began:.0f} s", flush=True)
    found += service.close()
    counts = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    print(
        f"{sum(statuses.values())} requests: {counts}; the slowest, {slowest[1]}, took {slowest[0]:.2f} s;"
        f" {len(found)} found"
    )
    return found


def send(application: Any, environ: dict[str, Any]) -> tuple[int, bytes]:
    """The status and the body of an answer; what is raised counts as a 500, as in a server."""
    statuses: list[int] = []

    def start_response(status: str, headers: Iterable[tuple[str, str]], _: object = None) -> None:
        statuses.append(int(status.split()[0]))

    try:
        answer = application(environ, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
    except Exception as error:
        logging.getLogger("klausel").exception("raised")
        return 500, repr(error).encode()
    return statuses[-1], body


def sign_in(application: Any, key: str) -> str:
    """The cookie of a sign-in to the console, as browsers send it."""
    cookies: list[str] = []
    body = urlencode({"key": key}).encode()
    environ = plain_environ("POST", "/console/sign-in", "application/x-www-form-urlencoded", body)
    environ |= {"HTTP_HOST": "localhost:8080", "HTTP_ORIGIN": "http://localhost:8080"}
    b"".join(application(environ, lambda _, headers, *__: cookies.extend(v for n, v in headers if n == "Set-Cookie")))
    return cookies[0].partition(";")[0] if cookies else "klausel-8080=nobody"


if __name__ == "__main__":
    main()
