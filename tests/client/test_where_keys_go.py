"""A key goes to the service that it is for, and nowhere else."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from odd_services import odd_service, saying

from klausel.client import AsyncKlausel, CallFailed, Klausel, Resource

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})


def test_no_proxy_of_the_environment_is_told_a_key_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def ask(url: str) -> bool:
        async with AsyncKlausel(url, key="k") as client:
            return await client.allows("user:leo", "edit", QUIZ)

    with odd_service(saying(200, {"decision": True}, [])) as url:
        for one in (url, url.replace("127.0.0.1", "localhost")):
            with Klausel(one, key="k") as client:
                assert client.allows("user:leo", "edit", QUIZ)
            assert asyncio.run(ask(one))


def test_metadata_lead_no_key_away_from_https() -> None:
    told = {"access_evaluation_endpoint": "http://pdp.example/evaluation"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=told))
    with pytest.raises(CallFailed, match="is not https"):
        Klausel.discover("https://pdp.example", key="k", transport=transport)
    with pytest.raises(CallFailed, match="is not https"):
        asyncio.run(AsyncKlausel.discover("https://pdp.example", key="k", transport=transport))
    Klausel.discover("http://pdp.example", transport=transport).close()
