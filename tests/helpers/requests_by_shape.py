"""Requests of every route, made from what the routes say they take, with words of a vocabulary by the names of fields."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from doors import Answer, Door

from klausel.api.access import SCOPES_OF_ROUTES
from klausel.api.console import person_change, playground_page
from klausel.api.operations import OPERATIONS, Operation
from klausel.api.shapes import Anything, Choice, Flag, Instant, Many, Members, OneOf, Shape, Text, Whole

Words = Mapping[str, Sequence[Any]]
FORMS: Mapping[tuple[str, str], Sequence[str]] = {
    ("POST", "/console/person"): person_change.FIELDS,
    ("POST", "/console/playground"): playground_page.FIELDS,
}
"""The fields of forms, which no shape tells."""
_LIKELY = ("format", "domain", "subject", "action", "type", "change")
_KNOWN = re.compile(r"there are ([^\"]+)")


class Asked(NamedTuple):
    """A request without its headers of authorization."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"


class Requests:
    """Makes them up by `chance`; a field whose name has no words makes it fail, so that somebody says what it takes."""

    def __init__(self, chance: random.Random, words: Words, routes: Mapping[tuple[str, str], Sequence[str]]) -> None:
        self._chance, self._words, self._parameters = chance, words, routes

    def of(self, route: tuple[str, str]) -> Asked:
        """A request of one route."""
        method, path = route
        operation = OPERATIONS[route]
        for name in re.findall(r"<(?:path:)?(\w+)>", path):
            path = re.sub(rf"<(?:path:)?{name}>", quote(str(self._word(name)), safe="/:"), path, count=1)
        asked = {name: self._word(name) for name in self._parameters[route] if self._takes(name, operation)}
        query = f"?{urlencode(asked)}" if asked else ""
        if operation.form is not None:
            fields = [(name, self._word(name)) for name in FORMS[route] if name in _LIKELY or self._chance.random() < 0.5]
            return Asked(method, path + query, urlencode(fields).encode(), "application/x-www-form-urlencoded")
        if operation.takes_scim:
            return Asked(method, path, json.dumps(self._word("scim")).encode(), "application/scim+json")
        if operation.body is None:
            return Asked(method, path + query)
        return Asked(method, path, json.dumps(self._value("", operation.body)).encode())

    def _takes(self, name: str, operation: Operation) -> bool:
        return name in operation.needed_parameters or self._chance.random() < (0.8 if name in _LIKELY else 0.4)

    def _word(self, name: str) -> Any:
        assert name in self._words, f"say in the vocabulary which values a field called {name} takes"
        return self._chance.choice(self._words[name])

    def _value(self, name: str, shape: Shape) -> Any:
        chance = self._chance
        if isinstance(shape, Members) and (shape.needed or shape.optional):
            told = {one: self._value(one, inner) for one, inner in shape.needed.items()}
            for one, inner in shape.optional.items():
                if chance.random() < 0.5:
                    told[one] = self._value(one, inner)
            return told
        if isinstance(shape, Many) and not isinstance(shape.of, Anything):
            return [self._value(name, shape.of) for _ in range(chance.randint(max(shape.least, 1), 3))]
        if isinstance(shape, OneOf):
            return self._value(name, chance.choice(shape.of))
        if isinstance(shape, Choice | Text) and (of := shape.of if isinstance(shape, Choice) else shape.choices):
            return chance.choice(of)
        if isinstance(shape, Flag):
            return chance.choice([True, False])
        if isinstance(shape, Whole):
            return chance.choice([1, 2, 50])
        assert isinstance(shape, Anything | Members | Many | Instant | Text), f"no values of {shape} are known"
        return self._word(name if isinstance(shape, Instant | Text) else f"any {name}")


def guarded_routes() -> list[tuple[str, str]]:
    """The routes that need a scope."""
    return [route for route, scopes in SCOPES_OF_ROUTES.items() if scopes]


def parameters_of(door: Door, key: str, route: tuple[str, str]) -> Sequence[str]:
    """The parameters that a route takes by its own word: it names them where it is sent one that it does not know."""
    method, path = route
    headers = {"Authorization": f"Bearer {key}"}
    if path.startswith("/scim/"):
        return ("filter", "count") if method == "GET" else ()
    if method not in ("GET", "DELETE"):
        return tuple(OPERATIONS[route].parameters)
    answer: Answer = door.ask(method, f"{re.sub('<path:domain>', 'acme', path)}?no-such-one=1&format=json", headers=headers)
    told = _KNOWN.search(answer.body.decode())
    return () if told is None else told[1].split(", ")
