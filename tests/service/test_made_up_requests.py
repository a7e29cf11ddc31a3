"""What callers make up is forgotten: beyond the bounds of caches no request leaves anything in memory, whatever it names."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from ports import wait_until
from versions import write_set
from werkzeug.test import Client, TestResponse

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.service import authentication, effective_roles_cache
from klausel.service.decision_service import Service
from klausel.settings import Settings

MOST = 20
"""The bound of the caches here: a service has larger ones, which take longer to fill."""
FIRST, MORE = 60, 120
EVALUATION = "/access/v1/evaluation"

Ask = Callable[[Client, int], TestResponse]


def question(
    number: int,
    subject: str = "bo",
    action: str = "view",
    type_: str = "quiz",
    properties: Any = None,
    **more: Any,
) -> dict[str, Any]:
    resource = {
        "type": type_,
        "id": f"q{number}",
        "properties": {"account": "acme", **(properties or {})},
    }
    return {
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": resource,
        **more,
    }


def evaluated(**headers: str) -> Ask:
    """An evaluation with headers, in which `#` stands for the number of the request."""
    named = {"Content_Type": "application/json", **headers}

    def ask(client: Client, number: int) -> TestResponse:
        sent = {
            name.replace("_", "-").replace("#", f"{number}"): value.replace("#", f"{number}")
            for name, value in named.items()
        }
        return client.post(EVALUATION, data=json.dumps(question(0)), headers=sent)

    return ask


def posted(path: str, body: Callable[[int], object]) -> Ask:
    return lambda client, number: client.post(path, json=body(number))


def got(path: str) -> Ask:
    return lambda client, number: client.get(path.replace("#", f"{number}"))


def unknown(number: int) -> dict[str, Any]:
    return question(
        number,
        f"somebody-{number}",
        f"action-{number}",
        f"type-{number}",
        {f"p{number}": f"v{number}"},
        context={f"c{number}": number},
    )


MADE_UP: dict[str, Ask] = {
    "people": posted(EVALUATION, lambda n: question(n, f"somebody-{n}")),
    "everything": posted(EVALUATION, unknown),
    "accounts": posted(
        EVALUATION,
        lambda n: question(n, properties={"account": f"account-{n}", "workspace": f"w{n}"}),
    ),
    "reasons": posted(EVALUATION, lambda n: {**unknown(n), "options": {"reasons": True}}),
    "items": posted(
        "/access/v1/evaluations",
        lambda n: {**question(n), "evaluations": [unknown(n), {"x": n}]},
    ),
    "members": posted(EVALUATION, lambda n: {f"member-{n}": {f"inside-{n}": n}}),
    "menus": posted(
        "/v1/permissions",
        lambda n: {
            "subject": {"type": "user", "id": f"somebody-{n}"},
            "resources": [unknown(n)["resource"]],
        },
    ),
    "explanations": posted("/v1/explain", unknown),
    "filters": posted(
        "/v1/filter",
        lambda n: {
            **unknown(n),
            "resource": {"type": f"type-{n}", "properties": {f"p{n}": n}},
        },
    ),
    "searches": posted(
        "/access/v1/search/subject",
        lambda n: {
            **unknown(n),
            "subject": {"type": f"type-{n}"},
            "page": {"limit": 1 + n},
        },
    ),
    "pages": posted(
        "/access/v1/search/subject",
        lambda n: {
            **question(n),
            "subject": {"type": "user"},
            "page": {"token": f"AAAA{n:04}"},
        },
    ),
    "grants": posted(
        "/v1/assignments",
        lambda n: {"grant": [{"subject": f"user:{n}", "role": f"role-{n}", "domain": f"d{n}"}]},
    ),
    "request ids": evaluated(X_Request_ID="id-#", X_Klausel_Record="1"),
    "headers": evaluated(
        **{
            "X_Made_Up_#": "#",
            "User_Agent": "agent-#",
            "X_Forwarded_For": "10.1.1.#",
            "Accept": "text/x-#",
        }
    ),
    "hosts": evaluated(Host="host-#.example"),
    "states": evaluated(X_Klausel_At_Least="lineage#-#"),
    "kinds of content": evaluated(Content_Type="text/x-#"),
    "addresses": got("/made-up-#/#?query-#=#"),
    "queries": got("/v1/assignments?query-#=#"),
    "rows": got("/v1/assignments?subject=user:somebody-#&domain=d#"),
    "tenants": got("/.well-known/authzen-configuration/tenant-#"),
    "menus of casbin.js": got("/v1/casbin-js/acme/w#?subject=user:somebody-#"),
    "cells": got("/console?subject=user:somebody-#&domain=acme/w#"),
    "forms": got("/console/try?subject=user:somebody-#&action=a#&type=t#&id=#&domain=d#"),
    "who can": got("/console/who-can?action=a#&type=t#&domain=acme/w#"),
    "what can": got("/console/what-can?subject=user:somebody-#&domain=acme/w#"),
    "persons": got("/console/person?subject=user:somebody-#"),
    "versions": got("/console/changes?from=v#"),
    "files": got("/console/playground?file=f#"),
    "provisioned": got("/scim/v2/Users/somebody-#"),
    "provisioned, filtered": got("/scim/v2/Users?filter=userName%20eq%20%22#%22"),
    "methods": lambda client, number: client.open(EVALUATION, method=f"METHOD{number}"),
}
BY_KEY = {"keys": evaluated(Authorization="Bearer klausel_made_up_#")}


def opened(folder: Path, **more: Any) -> tuple[Service, Client]:
    settings = Settings(
        policies=str(write_set(folder)),
        model=str(folder / "model.conf"),
        database=f"sqlite:///{folder}/people.db",
        decision_log=str(folder / "decisions.jsonl"),
        **more,
    )
    service = create_service(settings)
    return service, Client(EvaluationLane(service, create_flask_app(service).wsgi_app))


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Service, Client]]]:
    """One that lets everybody ask, and one that asks for keys."""
    # The reader of JSON remembers the names of 2,048 members.
    orjson.loads(orjson.dumps({f"any-{number}": 0 for number in range(50_000)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effective_roles_cache, "MOST_UNKNOWN", MOST)
        patch.setattr(authentication, "MOST_KEPT", MOST)
        kinds = ("none", "keys")
        found = {kind: opened(tmp_path_factory.mktemp(kind), authentication=kind) for kind in kinds}
        yield found
        for service, _ in found.values():
            assert service.decision_log is not None
            service.decision_log.close()
            service.store.close()


def left_by(service: Service, client: Client, ask: Ask) -> float:
    """Pieces of memory that a request leaves, once the caches are full."""

    def kept_after(numbers: range) -> int:
        for number in numbers:
            assert ask(client, number).status_code < 500
        log = service.decision_log
        assert log is not None
        wait_until(lambda: not log.counts().waiting, "the decision log is not written")
        gc.collect()
        return sys.getallocatedblocks()

    before = kept_after(range(1_000, 1_000 + FIRST))
    # Twice: what is made once, however many requests come, is no matter.
    steps = [kept_after(range(begin, begin + MORE)) for begin in (2_000, 3_000)]
    return min(steps[0] - before, steps[1] - steps[0]) / MORE


@pytest.mark.parametrize("kind", [*MADE_UP, *BY_KEY])
def test_nothing_is_left(kind: str, services: dict[str, tuple[Service, Client]]) -> None:
    service, client = services["keys" if kind in BY_KEY else "none"]
    assert left_by(service, client, (MADE_UP | BY_KEY)[kind]) < 0.5


@pytest.mark.parametrize(
    ("kind", "module", "bound"),
    [
        ("people", effective_roles_cache, "MOST_UNKNOWN"),
        ("keys", authentication, "MOST_KEPT"),
    ],
)
def test_a_cache_without_a_bound_is_found(
    kind: str,
    module: Any,
    bound: str,
    services: dict[str, tuple[Service, Client]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, bound, 10**9)
    service, client = services["keys" if kind in BY_KEY else "none"]
    assert left_by(service, client, (MADE_UP | BY_KEY)[kind]) > 1
