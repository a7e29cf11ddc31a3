"""An identity provider as the tests play it, and a small policy set that it gives roles of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from doors import Json
from werkzeug.test import Client

from klausel.app import create_flask_app
from klausel.service.decision_service import Service

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ROLES = """
levels: {firm: {named_by: firm}, team: {named_by: team, requires_role_above: true}}
roles: {boss: {level: firm, keep_one: true, contains: clerk}, clerk: {level: firm}, helper: {level: team}}
"""
LETTERS = """
resource_types: {letter: {actions: [read]}}
grants: [{allow: clerk, to: read, resource: letter}]
"""
MAPPING = """
subject_from: userName
groups:
  Bosses: {north: boss}
  Clerks: {north: clerk}
  north-{team}-helpers: {north: clerk, "north/{team}": helper}
  Southern: {south: clerk}
"""
BOSSES = [("group:Bosses", "boss", "north"), ("user:bea", "group:Bosses", "")]


def fitting(attribute: str, value: str) -> str:
    """The query by which providers look for one."""
    return "filter=" + quote(f'{attribute} eq "{value}"')


class Provider:
    """What an identity provider asks of the service, and what the service has by then."""

    def __init__(self, service: Service, policies: Path, key: str = "") -> None:
        self.service = service
        self.policies = policies
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = Client(create_flask_app(service))

    def ask(self, method: str, path: str, body: object = None, expected: int = 200, **headers: str) -> Any:
        """The body of the answer, which must have this status, and the form of SCIM."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/scim+json; charset=utf-8"} if data else {}
        answer = self.client.open(
            f"/scim/v2{path}",
            method=method,
            data=data,
            headers={**sent, **self.headers, **headers},
            base_url="http://localhost",
        )
        assert answer.status_code == expected, answer.get_data(as_text=True)
        if expected == 204:
            assert answer.get_data() == b""
            return None
        assert answer.mimetype == "application/scim+json"
        told = json.loads(answer.get_data())
        if expected >= 400:
            assert told["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
            assert told["status"] == str(expected)
            assert told["detail"]
        return told

    def person(self, name: str, expected: int = 201, **more: object) -> str:
        told = self.ask("POST", "/Users", {"schemas": [USER], "userName": name, **more}, expected)
        return str(told.get("id") or told["detail"])

    def group(self, name: str, *members: str, expected: int = 201) -> str:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": id_} for id_ in members]}
        told = self.ask("POST", "/Groups", body, expected)
        return str(told.get("id") or told["detail"])

    def patch(self, path: str, *operations: Json, expected: int = 204) -> Any:
        return self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, expected)

    def rows(self) -> list[tuple[str, str, str]]:
        return [row.key for row in self.service.store.export_rows()]

    def changes(self) -> list[tuple[str, str | None]]:
        """The channel and the caller of each change of role assignments, the newest first."""
        found: list[Json] = self.client.get("/v1/assignment-log?limit=1000", base_url="http://localhost").json["changes"]
        return [(one["channel"], one["caller"]) for one in found]

    def map(self, mapping: str | None) -> None:
        """Another mapping, taken at once."""
        if mapping is None:
            (self.policies / "provisioning.yaml").unlink()
        else:
            (self.policies / "provisioning.yaml").write_text(mapping)
        assert self.service.reload_policy() == "taken"

    def may_read(self, name: str) -> bool:
        question = {
            "subject": {"type": "user", "id": name},
            "action": {"name": "read"},
            "resource": {"type": "letter", "id": "1", "properties": {"firm": "north"}},
        }
        headers = {"X-Klausel-At-Least": self.service.store.revision()}
        answer = self.client.post("/access/v1/evaluation", json=question, base_url="http://localhost", headers=headers)
        decision: bool = answer.json["decision"]
        return decision
