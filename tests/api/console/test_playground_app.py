"""The playground on one's own machine: it answers whoever has the token, and saves what nobody else changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from console_pages import Html
from small_policies import MODEL, PAYMENTS, ROLES
from werkzeug.test import Client, TestResponse

from klausel.api.console.playground_app import address_of, create_playground_app
from klausel.service.playground import Playground
from klausel.settings import Settings
from klausel.storage.policy_files.folder import read_folder
from klausel.storage.policy_files.saving import save_files

PAGE = "/console/playground"
HOST = {"Host": "127.0.0.1:8080"}
TOKEN = "t" * 43


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies" / "features").mkdir(parents=True)
    (tmp_path / "policies" / "roles.yaml").write_text(ROLES, encoding="utf-8")
    (tmp_path / "policies" / "features" / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    (tmp_path / "model.conf").write_text(MODEL, encoding="utf-8")
    return tmp_path / "policies"


@pytest.fixture
def client(folder: Path) -> Client:
    name = Path("policies")

    def save(changes: dict[str, tuple[bytes | None, bytes]]) -> None:
        save_files(name, changes)

    desk = Playground(lambda: read_folder(name, Path("model.conf")), "policies", "in the files", (), 1000, save)
    return Client(create_playground_app(desk, Settings(), TOKEN))


def entered(client: Client, name: str = "policies/features/payments.yaml") -> dict[str, str]:
    """The fields of the form, after coming in by the address with the token."""
    answer = client.get(f"{PAGE}?token={TOKEN}", headers=HOST)
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    page = Html(client.get(f"{PAGE}?file={name}", headers=HOST).text)
    return {str(one["name"]): one.get("value") or "" for one in page.all("input")}


def send(client: Client, fields: dict[str, str]) -> TestResponse:
    return client.post(PAGE, data=fields, headers=HOST)


def test_only_the_token_leads_in(client: Client) -> None:
    assert address_of(Settings(port=81), TOKEN) == f"http://127.0.0.1:81{PAGE}?token={TOKEN}"
    for address in (PAGE, "/console/editor.js", f"{PAGE}?token=wrong", f"{PAGE}?token="):
        assert client.get(address, headers=HOST).status_code == 403
    assert client.post(PAGE, headers=HOST).status_code == 403
    cookie = client.get(f"{PAGE}?token={TOKEN}", headers=HOST).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite" in cookie
    assert client.get(PAGE, headers=HOST).status_code == 200
    # A name of another site that leads to this machine.
    assert client.get(PAGE, headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/console/editor.js", headers=HOST).status_code == 200


def test_a_page_of_another_site_saves_nothing(client: Client, folder: Path) -> None:
    fields = {**entered(client), "text": "grants: []\n", "do": "save"}
    assert send(client, {**fields, "token": ""}).status_code == 403
    other = client.post(PAGE, data=fields, headers={**HOST, "Sec-Fetch-Site": "cross-site"})
    assert other.status_code == 403
    assert (folder / "features" / "payments.yaml").read_text(encoding="utf-8") == PAYMENTS


def test_what_was_written_is_saved_once_and_never_over_what_others_wrote(client: Client, folder: Path) -> None:
    fields = {**entered(client), "text": PAYMENTS + "# mine\n", "do": "save"}
    saved = send(client, fields)
    assert "Saved: policies/features/payments.yaml" in Html(saved.text).text
    assert (folder / "features" / "payments.yaml").read_text(encoding="utf-8") == PAYMENTS + "# mine\n"
    again = send(client, {**fields, "text": PAYMENTS + "# mine again\n"})
    assert again.status_code == 409
    assert "somebody else changed policies/features/payments.yaml" in Html(again.text).text
    assert "# mine again" in again.text
    assert (folder / "features" / "payments.yaml").read_text(encoding="utf-8") == PAYMENTS + "# mine\n"


def test_only_files_of_the_policy_set_are_saved(client: Client, folder: Path) -> None:
    fields = entered(client)
    for name in ("model.conf", "policies/../x.yaml", "/tmp/x.yaml", "policies/notes.txt"):
        assert send(client, {**fields, "file": name, "base": "", "text": "a: 1\n", "do": "save"}).status_code == 409
    new = {**fields, "file": "policies/features/new.yaml", "base": "", "text": "resource_types: {}\n", "do": "save"}
    assert send(client, new).status_code == 200
    assert (folder / "features" / "new.yaml").read_text(encoding="utf-8") == "resource_types: {}\n"
    assert sorted(one.name for one in folder.parent.iterdir()) == ["model.conf", "policies"]
