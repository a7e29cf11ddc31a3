"""`GET /v1/policy/types`: what may be asked, and what may be sent, with its types."""

from __future__ import annotations

from pathlib import Path

from doors import open_doors

from klausel.storage.file_rules import DEFAULT_MODEL

ROLES = """
levels:
  account: {named_by: account, identified_by: account}
  site: {named_by: site}
roles: {editor: {level: site}}
"""
FEATURE = """
resource_types:
  account: {actions: [close]}
  order:
    actions: [make, view]
    privileged: make
    asked_in: {make: account}
    properties:
      status: [draft, sent]
      amount: number
      urgent: boolean
      until: time
      name: text
      owner: user id
      tags: list of text
      colors: {list of: [red]}
      address: {city: text}
  empty: {actions: [view], properties: {}}
grants:
  - {allow: editor, to: view, resource: [order]}
"""


def test_types_actions_and_properties_are_listed(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES)
    (policies / "features" / "orders.yaml").write_text(FEATURE.replace("[order]", "order"))
    (policies / "properties.yaml").write_text("subject: {team: text}\naction:\nsubject_types: [user, service]\n")
    with open_doors(tmp_path / "klausel.db", policies=str(policies), model=str(DEFAULT_MODEL)) as doors:
        told = doors.lane.get("/v1/policy/types").json
        assert told.pop("files_digest") == doors.lane.get("/v1/policy").json["files_digest"]
    assert told == {
        "subject_types": ["user", "service"],
        "levels": [
            {"name": "account", "named_by": "account", "identified_by": "account", "constant": None},
            {"name": "site", "named_by": "site", "identified_by": None, "constant": None},
        ],
        "resource_types": {
            "account": {"actions": ["close"], "privileged": [], "asked_in": {}, "properties": None},
            "order": {
                "actions": ["make", "view"],
                "privileged": ["make"],
                "asked_in": {"make": "account"},
                "properties": {
                    "status": {"type": "one of", "values": ["draft", "sent"]},
                    "amount": {"type": "number"},
                    "urgent": {"type": "boolean"},
                    "until": {"type": "time"},
                    "name": {"type": "text"},
                    "owner": {"type": "id", "of": "user"},
                    "tags": {"type": "list", "items": {"type": "text"}},
                    "colors": {"type": "list", "items": {"type": "one of", "values": ["red"]}},
                    "address": {"type": "parts", "parts": {"city": {"type": "text"}}},
                },
            },
            "empty": {"actions": ["view"], "privileged": [], "asked_in": {}, "properties": {}},
        },
        "subject": {"team": {"type": "text"}},
        "action": {},
        "context": None,
    }
