"""Requests as identity providers send them, for `faults.fuzz`: people, groups, changes of parts, filters, and pages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PROVISIONING_YAML = """
subject_from: userName
leavers_lose: everything
groups:
  Admins: {acme: [admin, user]}
  People: {acme: user}
  acme-{workspace}-reviewers: {acme: user, "acme/{workspace}": reviewer}
  Elsewhere: {globex: admin}
"""
NAMES = ["ada", "max", "mia", "zoe", "Admins", "People", "acme-support-reviewers", "acme--reviewers", "Elsewhere", "ADA"]
ATTRIBUTES = [
    "userName",
    "displayName",
    "externalId",
    "id",
    "active",
    "emails",
    "emails.value",
    "emails.type",
    "name",
    "name.givenName",
    "members",
    "members.value",
    "members.$ref",
    "meta.created",
    "meta.version",
    "meta.resourceType",
    "schemas",
    "password",
    f"{USER}:userName",
    f"{GROUP}:members",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "username",
    "nothing",
    "emails.nothing.more",
    "$ref",
    "members[",
]
OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ", "pr", "is", ""]
OTHER_RESOURCES = [
    "Schemas",
    "ResourceTypes",
    "ServiceProviderConfig",
    "Me",
    "Bulk",
    ".search",
    "Users/.search",
    "users",
    "Roles",
    f"Schemas/{USER}",
    "ResourceTypes/User",
]


class ScimRequests:
    """Makes them up by `chance`; `text` makes a text that is not at home here, and `ids` are those of people and groups there."""

    def __init__(self, chance: random.Random, text: Callable[[], str], ids: Sequence[str]) -> None:
        self._chance, self._text, self._ids = chance, text, ids or ["0" * 32]

    def address(self, is_one: bool) -> str:
        """A path below that of SCIM: of one resource, or of many."""
        if self._chance.random() < 0.1:
            return f"/{self._chance.choice(OTHER_RESOURCES)}"
        resources = self._chance.choice(["Users", "Groups"])
        return f"/{resources}/{quote(self._id(), safe='/', errors='replace')}" if is_one else f"/{resources}"

    def query(self) -> str:
        """What is asked of pages and answers."""
        chance = self._chance
        known: dict[str, Callable[[], str]] = {
            "filter": self.filter,
            "startIndex": self._number,
            "count": self._number,
            "attributes": self._attributes,
            "excludedAttributes": self._attributes,
            "sortBy": self._attribute,
            "sortOrder": lambda: chance.choice(["ascending", "descending", self._text()]),
            "cursor": self._text,
        }
        shares = {"filter": 0.5, "sortBy": 0.05, "sortOrder": 0.03, "cursor": 0.03}
        pairs = [(name, make()) for name, make in known.items() if chance.random() < shares.get(name, 0.2)]
        return urlencode(pairs, errors="replace")

    def body(self, method: str, path: str) -> Any:
        """A body that may fit."""
        if method == "PATCH" and self._chance.random() < 0.95:
            return {
                "schemas": [PATCH],
                "Operations": [self._operation() for _ in range(self._chance.choice([1, 1, 2, 5, 40]))],
            }
        if path.endswith(".search"):
            return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": self.filter(), "count": 3}
        if path.startswith("/Bulk"):
            return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [self._person()]}
        return self._group() if "Groups" in path else self._person()

    def filter(self, depth: int = 0) -> str:
        """A filter that may be one."""
        chance = self._chance
        kind = chance.random()
        if depth > 3 or kind < 0.6:
            value = chance.choice([f'"{self._name()}"', f'"{self._id()}"', "true", "null", "1", '"2026-01-01T00:00:00Z"'])
            if chance.random() < 0.2:
                value = f'"{self._text()}"' if chance.random() < 0.7 else self._text()
            return f"{self._attribute()} {chance.choice(OPERATORS)} {value}"
        if kind < 0.75:
            return f"{self.filter(depth + 1)} {chance.choice(['and', 'or', 'AND', 'xor'])} {self.filter(depth + 1)}"
        if kind < 0.8:
            return f"not ({self.filter(depth + 1)})"
        if kind < 0.88:
            return f"{self._attribute()}[{self.filter(depth + 1)}]{chance.choice(['', '.value', '.', ' and'])}"
        if kind < 0.9:
            return chance.choice(["(", "not ", "userName eq "]) * chance.choice([2, 50, 900])
        return self._text()

    def _operation(self) -> Any:
        chance = self._chance
        operation: dict[str, Any] = {"op": chance.choice(["add", "remove", "replace", "Add", "Replace", "move", ""])}
        kind = chance.random()
        if kind < 0.25:
            operation["path"] = f'members[value eq "{self._id()}"]'
        elif kind < 0.5:
            operation["path"] = "members"
        elif kind < 0.8:
            operation["path"] = self._attribute()
        elif kind < 0.9:
            operation["path"] = chance.choice([self.filter(), f'emails[type eq "work"].{self._attribute()}', self._text()])
        values: list[Callable[[], Any]] = [
            lambda: [{"value": self._id()} for _ in range(chance.choice([1, 2, 30]))],
            lambda: {"value": self._id()},
            self._id,
            self._name,
            lambda: chance.choice([True, False, "True", "False", None, 1, [], {}, [None], [[]]]),
            self._person,
            self._group,
            lambda: {self._attribute(): self._name(), self._text()[:200]: self._text()[:200]},
            lambda: [{"type": "work", "primary": True, "value": self._text()[:300]}],
        ]
        if chance.random() < 0.85:
            operation["value"] = chance.choice(values)()
        return operation

    def _person(self) -> dict[str, Any]:
        chance = self._chance
        return {
            "schemas": [USER],
            "userName": self._name(),
            "externalId": chance.choice([None, self._name()]),
            "active": chance.choice([True, True, False, "False"]),
            "name": {"givenName": self._name()},
            "emails": [{"value": f"{self._name()}@example.com", "type": "work", "primary": True}],
        }

    def _group(self) -> dict[str, Any]:
        members = [{"value": self._id(), "display": self._name()} for _ in range(self._chance.choice([0, 1, 2, 20]))]
        return {"schemas": [GROUP], "displayName": self._name(), "members": members}

    def _id(self) -> str:
        return self._chance.choice(self._ids) if self._chance.random() < 0.85 else self._text()[:500]

    def _name(self) -> str:
        kind = self._chance.random()
        if kind < 0.6:
            return self._chance.choice(NAMES)
        return f"person{self._chance.randrange(50)}" if kind < 0.8 else self._text()[:400]

    def _attribute(self) -> str:
        return self._chance.choice(ATTRIBUTES) if self._chance.random() < 0.9 else self._text()[:300]

    def _attributes(self) -> str:
        return ",".join(self._attribute() for _ in range(self._chance.choice([1, 1, 2, 300])))

    def _number(self) -> str:
        return self._chance.choice(
            ["1", "0", "2", "-1", "200", "201", "999999999999999999999", "1e3", "²", self._text()[:100]]
        )
