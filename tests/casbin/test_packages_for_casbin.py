"""Packages that are written for Casbin run on the compiled enforcer: the real ones, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path

import pytest
from casbin_packages import PACKAGES, RETIRED, installed, run_beside

MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act
"""
POLICY = "p, reader, /books/*, GET\np, anonymous, /open, GET\ng, ann, reader\n"
COMPILED = """
import json, sys
import casbin
from klausel.casbin import CompiledEnforcer
casbin.Enforcer = CompiledEnforcer
"""
FLASK = """
from flask import Flask
from flask_authz import CasbinEnforcer
from casbin.persist.adapters import FileAdapter

app = Flask(__name__)
app.config.update(CASBIN_MODEL="model.conf", CASBIN_OWNER_HEADERS={"X-User"}, CASBIN_USER_NAME_HEADERS=None)
guard = CasbinEnforcer(app, FileAdapter("policy.csv"))
assert type(guard.e) is CompiledEnforcer

@app.get("/books/<name>")
@guard.enforcer
def book(name):
    return name

client = app.test_client()
print(json.dumps([client.get("/books/7", headers={"X-User": user}).status_code for user in ("ann", "eve")]))
"""
FASTAPI = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastapi_authz import CasbinMiddleware
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware

class ByHeader(AuthenticationBackend):
    async def authenticate(self, connection):
        return AuthCredentials(["authenticated"]), SimpleUser(connection.headers.get("x-user", ""))

app = FastAPI()
app.add_middleware(CasbinMiddleware, enforcer=CompiledEnforcer("model.conf", "policy.csv"))
app.add_middleware(AuthenticationMiddleware, backend=ByHeader())

@app.get("/books/{name}")
async def book(name: str):
    return name

client = TestClient(app)
print(json.dumps([client.get("/books/7", headers={"X-User": user}).status_code for user in ("ann", "eve")]))
"""
DJANGO = """
import types
from pathlib import Path
import django
from django.conf import settings

adapters = types.ModuleType("adapters_here")
from casbin.persist.adapters import FileAdapter
adapters.Adapter = lambda: FileAdapter("policy.csv")
sys.modules["adapters_here"] = adapters
settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["dauthz.apps.DauthzConfig"],
    MIDDLEWARE=[__name__ + ".user_by_header", "dauthz.middlewares.request_middleware.RequestMiddleware"],
    DAUTHZ={"DEFAULT": {
        "MODEL": {"CONFIG_TYPE": "file", "CONFIG_FILE_PATH": "model.conf", "CONFIG_TEXT": ""},
        "ADAPTER": {"NAME": "adapters_here.Adapter"}, "LOG": {"ENABLED": False},
    }},
)
def user_by_header(get_response):
    def answer(request):
        request.user = types.SimpleNamespace(username=request.headers.get("X-User", ""), is_anonymous=False)
        return get_response(request)
    return answer
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("books/<name>", lambda request, name: HttpResponse(name))]
django.setup()
from django.test import Client
from dauthz.core import enforcer
assert isinstance(enforcer, CompiledEnforcer)
print(json.dumps([Client().get("/books/7", headers={"X-User": user}).status_code for user in ("ann", "eve")]))
"""
WATCHER = """
import threading, time, uuid
from casbin_redis_watcher import WatcherOptions, new_watcher
import redis
try:
    redis.Redis(host="127.0.0.1").ping()
except redis.ConnectionError:
    print(json.dumps("no Redis"))
    raise SystemExit
channel = uuid.uuid4().hex
first, second = (CompiledEnforcer("model.conf", "policy.csv") for _ in range(2))
heard = threading.Event()
for enforcer in (first, second):
    options = WatcherOptions()
    options.host, options.port, options.channel = "127.0.0.1", 6379, channel
    options.optional_update_callback = lambda message: None
    enforcer.set_watcher(new_watcher(options))
def reload(message):
    second.load_policy()
    heard.set()
second.watcher.set_update_callback(reload)
assert not second.enforce("eve", "/books/7", "GET")
first.add_role_for_user("eve", "reader")
first.save_policy()
assert heard.wait(20)
# The first message is of the role, before the file has it; the second of the file.
for _ in range(400):
    if second.enforce("eve", "/books/7", "GET"):
        break
    time.sleep(0.05)
print(json.dumps([first.enforce("eve", "/books/7", "GET"), second.enforce("eve", "/books/7", "GET")]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.conf").write_text(MODEL, encoding="utf-8")
    (tmp_path / "policy.csv").write_text(POLICY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answered(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        pytest.param(FLASK, [200, 401], id="flask-authz"),
        pytest.param(FASTAPI, [200, 403], id="fastapi-authz"),
        pytest.param(DJANGO, [200, 403], id="django-authorization"),
        pytest.param(WATCHER, [True, True], id="casbin-redis-watcher"),
    ],
)
def test_a_package_for_casbin_runs_on_the_compiled_enforcer(folder: Path, script: str, wanted: object) -> None:
    answer = answered(run_beside(installed("for_casbin", PACKAGES), COMPILED + textwrap.dedent(script)))
    if answer == "no Redis":
        pytest.skip("no Redis answers on 127.0.0.1:6379")
    assert answer == wanted


def test_importing_tells_of_the_retired_distribution_that_has_overwritten_pycasbin(folder: Path) -> None:
    retired = installed("retired_casbin", RETIRED)
    told = run_beside(retired, "import klausel.casbin")
    assert 'the retired package "casbin" has overwritten pycasbin' in told.stderr
    assert "pip install --force-reinstall --no-deps pycasbin" in told.stderr


def test_importing_is_silent_where_pycasbin_is_whole(folder: Path) -> None:
    told = run_beside(folder, "import klausel.casbin")
    assert (told.returncode, told.stderr) == (0, "")
