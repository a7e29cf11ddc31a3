"""`/v1/entity-log`: the changes of stored properties, page by page, for those who may read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import Doors, open_doors
from stored_entities import write_policies
from test_callers import Calling

from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with open_doors(tmp_path / "some.db", **write_policies(tmp_path), authentication="keys") as doors:
        yield doors


def test_changes_of_stored_properties_are_read_over_http_page_by_page(doors: Doors) -> None:
    store = KeyStore(doors.service.store.engine)

    def calling(*scopes: str, accounts: frozenset[str] | None = None) -> Calling:
        return Calling(doors.lane, store.new(Caller(f"{scopes}{accounts}", frozenset(scopes), accounts), None)[1])

    writer, auditor = calling("assign"), calling("audit")
    for size in (1, 2):
        put = [
            {"kind": "resource", "type": "todo", "id": one, "domain": "acme/red", "properties": {"size": size}}
            for one in "ab"
        ]
        assert writer.post("/v1/entities", {"put": put, "by": "cara"}).status == 200
    assert writer.get("/v1/entity-log").status == 403
    whole = auditor.get("/v1/entity-log").json["changes"]
    told = [(one["number"], one["change"], one["id"], one["properties"]["size"], one["by"]) for one in whole]
    number = whole[0]["number"]
    assert told == [
        (number, "stored", "b", 2, "cara"),
        (number, "stored", "a", 2, "cara"),
        (number, "removed", "b", 1, "cara"),
        (number, "removed", "a", 1, "cara"),
        (number - 1, "stored", "b", 1, "cara"),
        (number - 1, "stored", "a", 1, "cara"),
    ]
    query, pages = "/v1/entity-log?limit=4&domain=acme/red", []
    page = auditor.get(query).json
    pages += page["changes"]
    page = auditor.get(f"{query}&cursor={page['next_cursor']}").json
    assert pages + page["changes"] == whole and "next_cursor" not in page
    one = auditor.get(f"/v1/entity-log?kind=resource&type=todo&id=a&since={whole[0]['time']}").json["changes"]
    assert [change["change"] for change in one] == ["stored", "removed"]
    assert auditor.get("/v1/entity-log?kind=thing").status == 400
    assert auditor.get("/v1/entity-log?cursor=1").status == 400
    of_acme = calling("audit", accounts=frozenset({"acme"}))
    assert of_acme.get("/v1/entity-log").status == 403
    assert len(of_acme.get("/v1/entity-log?domain=acme/red").json["changes"]) == 6
    assert of_acme.get("/v1/entity-log?domain=globex").status == 403
