"""The metadata of the service: where its endpoints are, told by the settings alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from doors import DISCOVERY, EVALUATION, EVALUATIONS, Door, Doors, open_doors

FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example;proto=http",
    "X-Original-URL": "http://evil.example/",
}


@pytest.fixture(scope="module")
def tenant1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_doors(tmp_path_factory.mktemp("tenant") / "klausel.db", public_url="https://pdp.example.com/tenant1") as doors:
        yield doors.lane


def test_the_metadata_names_what_is_offered_and_nothing_else(opened: Callable[..., Doors]) -> None:
    door = opened(public_url="https://pdp.example.com").lane
    assert door.get(DISCOVERY).json == {
        "policy_decision_point": "https://pdp.example.com",
        "access_evaluation_endpoint": f"https://pdp.example.com{EVALUATION}",
        "access_evaluations_endpoint": f"https://pdp.example.com{EVALUATIONS}",
        **{
            f"search_{part}_endpoint": f"https://pdp.example.com/access/v1/search/{part}"
            for part in ("subject", "resource", "action")
        },
    }


def test_the_metadata_may_be_cached(service: Door) -> None:
    caching = service.get(DISCOVERY).headers["Cache-Control"]
    assert "max-age=" in caching
    assert "no-store" not in caching


def test_every_endpoint_of_the_metadata_is_there(service: Door) -> None:
    metadata = service.get(DISCOVERY).json
    base = metadata.pop("policy_decision_point")
    for url in metadata.values():
        assert url.startswith(base + "/")
        assert service.post(url.removeprefix(base), {}).status == 400


@pytest.mark.parametrize("name", FORGED)
def test_no_header_of_the_request_moves_the_endpoints(service: Door, name: str) -> None:
    plain = service.get(DISCOVERY)
    assert service.get(DISCOVERY, **{name: FORGED[name]}).body == plain.body
    assert b"evil" not in plain.body


def test_the_host_header_does_not_move_the_endpoints(service: Door) -> None:
    told = {service.get(DISCOVERY, Host=host).body for host in ("localhost", "127.0.0.1:1", "[::1]:99", "LOCALHOST:80")}
    assert len(told) == 1


def test_without_a_public_url_the_address_that_is_listened_on_is_told(opened: Callable[..., Doors]) -> None:
    assert opened("a.db", port=8123).lane.get(DISCOVERY).json["policy_decision_point"] == "http://127.0.0.1:8123"
    assert opened("b.db", host="::1").lane.get(DISCOVERY, Host="[::1]").json["policy_decision_point"] == "http://[::1]:8080"


@pytest.mark.parametrize(
    ("public_url", "path"),
    [
        ("https://pdp.example.com/tenant1", "/tenant1"),
        ("https://pdp.example.com/tenant1/", "/tenant1"),
        ("https://pdp.example.com/a/b/c", "/a/b/c"),
        ("https://pdp.example.com/a%20b", "/a%20b"),
        ("https://pdp.example.com/caf%C3%A9", "/caf%C3%A9"),
    ],
)
def test_the_path_of_the_tenant_follows_the_well_known_segment(
    opened: Callable[..., Doors], public_url: str, path: str
) -> None:
    door = opened(public_url=public_url).lane
    told = door.get(DISCOVERY + path).json
    assert told["policy_decision_point"] == public_url.rstrip("/")
    assert told["access_evaluation_endpoint"] == public_url.rstrip("/") + EVALUATION


@pytest.mark.parametrize(
    "path", ["", "/", "/tenant2", "/tenant1/more", "/tenant", "/Tenant1", "//tenant1", "/tenant1//", "/x/../tenant1"]
)
def test_the_metadata_of_another_tenant_is_a_404(tenant1: Door, path: str) -> None:
    answer = tenant1.get(DISCOVERY + path)
    assert answer.status == 404
    assert "pdp.example.com" in answer.message or "nothing at" in answer.message


@pytest.mark.parametrize("path", ["/tenant1", "/", "//"])
def test_a_service_without_a_tenant_has_no_metadata_for_one(service: Door, path: str) -> None:
    assert service.get(DISCOVERY + path).status == 404


def test_nothing_in_the_metadata_is_null_or_empty(service: Door) -> None:
    assert all(isinstance(value, str) and value for value in service.get(DISCOVERY).json.values())
