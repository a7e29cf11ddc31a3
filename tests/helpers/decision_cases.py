"""Reading files of people, questions and expected answers.

    people:
      user:ann: {roles: [user acme, agent acme/support], properties: {team: night}}
    decisions:
      - why: A sentence that says what must hold.
        ask: {action: view, resource: {type: review, id: r1, properties: {account: acme}}, context: {}}
        allowed: [user:ann]
        denied: [user:bob]            # or `everybody else`: all people who are not named under allowed

`ask.action` is a name, or a mapping of name and properties. People without an entry hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from klausel.core.terms.request import Action, Request, Resource, Subject


class Case(NamedTuple):
    """One question by one subject and the answer that must come."""

    why: str
    subject: str
    request: Request
    expected: bool

    def __str__(self) -> str:
        return f"{self.why} {self.subject} must be {'allowed' if self.expected else 'denied'}: {self.request}"


class CaseFile(NamedTuple):
    """The (role, domain) pairs of the people of one file, and its cases."""

    held: dict[str, list[tuple[str, str]]]
    cases: list[Case]


def read_cases(path: Path, **only: object) -> CaseFile:
    """The people and cases of a file; `only` keeps those decisions whose key is missing or has this value."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    people: Mapping[str, Any] = content["people"]
    held = {key: [_pair(text) for text in person.get("roles", ())] for key, person in people.items()}
    cases = []
    for decision in content["decisions"]:
        if all(decision.get(key, value) == value for key, value in only.items()):
            cases += _cases(decision, people)
    return CaseFile(held, cases)


def _pair(text: str) -> tuple[str, str]:
    role, _, domain = text.partition(" ")
    return role, domain


def _cases(decision: Mapping[str, Any], people: Mapping[str, Any]) -> Iterator[Case]:
    unknown = set(decision) - {"why", "ask", "allowed", "denied", "edition"}
    assert not unknown, f"unknown keys {unknown}"
    ask = decision["ask"]
    action = ask["action"] if isinstance(ask["action"], dict) else {"name": ask["action"]}
    allowed, denied = decision.get("allowed", []), decision.get("denied", [])
    if denied == "everybody else":
        denied = [key for key in people if key not in allowed]
    assert not set(allowed) & set(denied)
    for key in [*allowed, *denied]:
        type_, _, id_ = key.partition(":")
        subject = Subject(type_, id_, people.get(key, {}).get("properties", {}))
        request = Request(subject, Action(**action), Resource(**ask["resource"]), ask.get("context", {}))
        yield Case(decision["why"], key, request, key in allowed)
