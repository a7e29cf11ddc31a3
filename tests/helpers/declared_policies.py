"""Generated policy sets whose properties are declared, requests that often send something else, and an oracle for both.

The oracle takes what is not of its declared type for a value that nothing compares with.
"""

from __future__ import annotations

import json
from datetime import datetime
from random import Random

import oracle
import plain_conditions
from generated_policies import Generated, _Generator

from klausel.core.terms.request import Action, Request, Resource, Subject

TEXTS = ("ann", "bob", "night")
TIMES = ("2026-02-28T23:00:00-02:00", "2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z")
TYPES = {
    "text": "text",
    "number": "number",
    "boolean": "boolean",
    "time": "time",
    "choice": "[ann, bob, night]",
    "id": "user id",
    "texts": "list of text",
    "numbers": "list of number",
    "choices": "{list of: [ann, bob, night]}",
}
OF_RESOURCE = {"owner": ("text", "choice", "id"), "count": ("number", "time"), "flag": ("boolean", "choice")}
OF_RESOURCE |= {"tags": ("texts", "choices", "numbers"), "kind": tuple(TYPES), "other": tuple(TYPES)}
OF_OTHERS = {
    "subject": {"team": ("text", "choice", "number"), "groups": ("texts", "choices")},
    "context": {"at": ("time", "number")},
}


class Unlike:
    """What is sent and is not of its declared type."""


class _Declaring(_Generator):
    """Generates sets in which each property has one type, for all resource types; some are left undeclared."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.of_resource = {name: random.choice(kinds) for name, kinds in OF_RESOURCE.items()}
        self.of_others = {
            root: {name: random.choice(kinds) for name, kinds in names.items()} for root, names in OF_OTHERS.items()
        }
        self.kinds = {f"resource.{name}": kind for name, kind in self.of_resource.items()}
        self.kinds |= {f"{root}.{name}": kind for root, names in self.of_others.items() for name, kind in names.items()}
        self.kinds["subject.id"] = "id"

    def _feature_yaml(self, grants: list[dict[str, str]]) -> str:
        declared = ", ".join(f"{name}: {TYPES[kind]}" for name, kind in self.of_resource.items())
        lines = super()._feature_yaml(grants).splitlines()
        return "".join(
            f"{line[:-1]}, properties: {{{declared}}}}}\n" if line.startswith("  ") and "{actions:" in line else f"{line}\n"
            for line in lines
        )

    def properties_yaml(self) -> str:
        return "".join(
            f"{root}: {{{', '.join(f'{name}: {TYPES[kind]}' for name, kind in names.items())}}}\n"
            for root, names in self.of_others.items()
        )

    def _atom(self) -> str:
        attribute, kind = self.random.choice(list(self.kinds.items()))
        like = [other for other, its in self.kinds.items() if its == kind]
        lists = {"text": "texts", "id": "texts", "choice": "choices", "number": "numbers"}
        holders = [other for other, its in self.kinds.items() if its == lists.get(kind)]
        if self.random.random() < 0.15 and attribute != "subject.id":
            return self.random.choice((f"has {attribute}", f"not has {attribute}"))
        if kind in ("texts", "numbers", "choices"):
            items = ", ".join(json.dumps(self._of(kind[:-1])) for _ in range(self.random.randint(1, 2)))
            return self.random.choice(
                (
                    f"{attribute} contains {json.dumps(self._of(kind[:-1]))}",
                    f"{json.dumps(self._of(kind[:-1]))} not in {attribute}",
                    f"{attribute} overlaps [{items}]",
                    f"{attribute} subset of [{items}]",
                    f"not ({attribute} overlaps {self.random.choice(like)})",
                    f"{attribute} overlaps {self.random.choice(like)}",
                    f"{attribute} subset of {self.random.choice(like)}",
                )
            )
        if holders and self.random.random() < 0.3:
            return f"{attribute} {self.random.choice(('in', 'not in'))} {self.random.choice(holders)}"
        if kind == "boolean" and self.random.random() < 0.6:
            return self.random.choice((attribute, f"not {attribute}"))
        if self.random.random() < 0.4:
            signs = ("==", "!=", "<", ">=") if kind in ("number", "time") else ("==", "!=")
            return f"{attribute} {self.random.choice(signs)} {self.random.choice(like)}"
        if kind in ("text", "choice", "id") and self.random.random() < 0.2:
            return f'{self.random.choice(("starts_with", "ends_with"))}({attribute}, "n")'
        if kind == "time":
            sign = self.random.choice(("==", "!=", "<", ">="))
            return (
                f"{attribute} {sign} {self.random.choice(('context.now', f'time({json.dumps(self.random.choice(TIMES))})'))}"
            )
        if kind != "boolean" and self.random.random() < 0.4:
            items = ", ".join(json.dumps(self._of(kind)) for _ in range(self.random.randint(1, 3)))
            return f"{attribute} {self.random.choice(('in', 'not in'))} [{items}]"
        signs = ("==", "!=", "<", ">=") if kind == "number" else ("==", "!=")
        return f"{attribute} {self.random.choice(signs)} {json.dumps(self._of(kind))}"

    def _of(self, kind: str) -> object:
        """A value of a kind."""
        match kind:
            case "number":
                return self.random.choice((0, 1, 2, 1.5))
            case "boolean":
                return self.random.choice((True, False))
            case "time":
                return self.random.choice(TIMES)
            case "texts" | "choices":
                return [self._of("text") for _ in range(self.random.randint(0, 2))]
            case "numbers":
                return [self._of("number") for _ in range(self.random.randint(0, 2))]
            case _:
                return self.random.choice(TEXTS)

    def _sent(self, kinds: dict[str, str]) -> dict[str, object]:
        """Values of most properties; about a third are of another kind, or none of the texts that there may be."""
        found: dict[str, object] = {}
        for name, kind in kinds.items():
            if self.random.random() < 0.85:
                is_odd = self.random.random() < 0.3
                other = self.random.choice(("text", "number", "boolean", "numbers", "time"))
                found[name] = self._of(other if is_odd else kind)
                if is_odd and self.random.random() < 0.4:
                    found[name] = ["zoe", "ann"] if kind in ("texts", "choices", "numbers") else "zoe"
        return found

    def _request(self, asked: list[tuple[str, str]]) -> Request:
        plain = super()._request(asked)
        levels = {name: value for name, value in plain.resource.properties.items() if name in self.levels}
        return Request(
            Subject(plain.subject.type, plain.subject.id, self._sent(self.of_others["subject"])),
            Action(plain.action.name),
            Resource(plain.resource.type, plain.resource.id, {**self._sent(self.of_resource), **levels}),
            {**self._sent(self.of_others["context"]), "now": datetime.fromisoformat(self.random.choice(TIMES))},
        )


def generate_declared(seed: int, requests: int = 30) -> tuple[Generated, dict[str, str]]:
    """The policy set of a seed, and the kind of each property, by its name in conditions."""
    generator = _Declaring(Random(seed))
    generated = generator.generate(requests)
    generated.texts["properties.yaml"] = generator.properties_yaml()
    return generated, generator.kinds


def allows(policy, kinds, assignments, request):
    """What the oracle decides where what is not as declared is unlike everything."""
    sent = _with_unlike(kinds, request)
    plain_truth = plain_conditions.called

    def called(function, *values):
        items = [item for value in values for item in (value if type(value) is list else [value])]
        is_unknown = function in ("has", "overlaps", "subset of") and any(isinstance(item, Unlike) for item in items)
        return 0.5 if is_unknown and (function != "has" or isinstance(values[0], Unlike)) else plain_truth(function, *values)

    plain_conditions.called = called
    try:
        return oracle.allows(_AsWritten(policy), assignments, sent)
    finally:
        plain_conditions.called = plain_truth


class _AsWritten:
    """A policy set whose grants have the conditions that are written."""

    def __init__(self, policy):
        self.roles, self.resource_types = policy.roles, policy.resource_types
        self.grants = [grant if grant.as_written is None else _Grant(grant) for grant in policy.grants]


class _Grant:
    def __init__(self, grant):
        self._grant, self.condition = grant, grant.as_written

    def __getattr__(self, name):
        return getattr(self._grant, name)


def _with_unlike(kinds, request):
    def kept(root, properties):
        return {name: _as(kinds.get(f"{root}.{name}"), value) for name, value in properties.items()}

    return Request(
        request.subject._replace(properties=kept("subject", request.subject.properties)),
        request.action,
        request.resource._replace(properties=kept("resource", request.resource.properties)),
        kept("context", request.context),
    )


def _as(kind, value):
    is_of = {
        "text": lambda: type(value) is str,
        "id": lambda: type(value) is str,
        "number": lambda: type(value) in (int, float),
        "boolean": lambda: type(value) is bool,
        "choice": lambda: value in TEXTS and type(value) is str,
        "choices": lambda: type(value) is list and all(item in TEXTS for item in value),
    }
    if kind == "time":
        is_time = type(value) is str and plain_conditions.RFC_3339.fullmatch(value)
        return datetime.fromisoformat(value) if is_time else Unlike()
    if kind in ("texts", "numbers"):
        is_list = type(value) is list
        return [_as(kind[:-1], item) for item in value] if is_list else Unlike()
    return value if kind is None or is_of[kind]() else Unlike()
