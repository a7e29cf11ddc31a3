"""A question as lines to copy: for a shell, for a program in Python, and for the command line of Klausel."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from klausel.api.console.fields import read_domain
from klausel.api.console.pages import visible
from klausel.api.shapes import Json
from klausel.core.policy.roles import RoleModel
from klausel.service.decision_service import Service


def curl_line(service: Service, question: Json) -> str:
    """The `curl` that asks `POST /v1/explain`; in ASCII, so that no terminal is told anything by the texts in it."""
    key = "" if service.authentication is None else ' -H "Authorization: Bearer $KEY"'
    address = shlex.quote(service.settings.base_url + "/v1/explain")
    return f"curl -sS{key} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(question))} {address}"


def client_line(service: Service, question: Json) -> str:
    """The expression by which a program asks with `klausel.client`, in ASCII."""
    key = "" if service.authentication is None else ", key=key"
    subject, action, resource = question["subject"], question["action"], question["resource"]
    asked = [
        _made("Subject", subject["type"], subject["id"], subject.get("properties")),
        _made("Action", action["name"], action.get("properties")),
        _made("Resource", resource["type"], resource["id"], resource.get("properties")),
        *([ascii(question["context"])] if question.get("context") else []),
    ]
    return f"Klausel({service.settings.base_url!a}{key}).allows({', '.join(asked)})"


def _made(name: str, *values: object) -> str:
    return f"{name}({', '.join(ascii(value) for value in values if value is not None)})"


def command_line(roles: RoleModel, question: Json, given: Mapping[str, str]) -> str | None:
    """The `klausel explain` that asks the same of files and database; None where a text in it cannot stand in a line."""
    resource = question["resource"]
    domain = read_domain(roles, given.get("domain", ""))
    levels = list(zip(roles.levels, domain.split("/") if domain else (), strict=False))
    place = "/".join(part for level, part in levels if level.constant is None)
    by_place = {level.named_by for level, _ in levels if level.constant is None}
    words = ["klausel", "explain", *(["--in", place] if place else [])]
    if given.get("time"):
        words += ["--now", given["time"]]
    entities = {**{name: question[name].get("properties", {}) for name in ("subject", "action", "resource")}}
    for entity, properties in {**entities, "context": question.get("context", {})}.items():
        for name, value in properties.items():
            if not (entity == "resource" and name in by_place):
                words += ["--set", f"{entity}.{name}={json.dumps(value)}"]
    id_ = resource["id"]
    words += ["--", given["subject"], given["action"], f"{resource['type']}:{id_}" if id_ else resource["type"]]
    is_clear = all(word == visible(word) for word in words) and ":" not in resource["type"]
    return shlex.join(words) if is_clear else None
