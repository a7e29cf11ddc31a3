"""Reading values as JSON has them: of properties and the context in policy files, on the command line and in tables."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping

from klausel.core.conditions.tokens import hint_on_two_readings
from klausel.core.loading.fields import ProblemList
from klausel.core.text.yaml_nodes import Fields, Items, Node

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN_VALUES = {"": None, "true": True, "false": False}


def read_properties(fields: Fields, problems: ProblemList, own_keys: Collection[str] = ()) -> Mapping[str, object]:
    """What stands under all other keys than these, each value as JSON has it."""
    problems.claim(fields, own_keys)
    return {key.value: _value(node, problems) for key, node in fields.entries if key.value not in own_keys}


def json_or_text(text: str) -> object:
    """The value that a text is as JSON, else the text."""

    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


def is_text_without_quotes(value: str) -> bool:
    """Whether a value of a property that is written without quotes is a text."""
    return value not in _PLAIN_VALUES and not _NUMBER.fullmatch(value)


def _value(node: Node, problems: ProblemList) -> object:
    """A value as JSON has it: without quotes, true, false and numbers are what they say; nothing is null."""
    if isinstance(node, Fields):
        return dict(read_properties(node, problems))
    if isinstance(node, Items):
        return [_value(item, problems) for item in node.values]
    if node.is_quoted or is_text_without_quotes(node.value):
        return node.value
    if node.value in _PLAIN_VALUES:
        return _PLAIN_VALUES[node.value]
    try:
        number: float = json.loads(node.value)
    except ValueError:  # Python reads no whole number of more than 4300 digits
        number = math.inf
    if (hint := hint_on_two_readings(node.value)) is not None:
        problems.add(node.place, "wrong-kind", f"`{node.value}` can be read in two ways", hint)
    if math.isinf(number):
        problems.add(node.place, "wrong-kind", "the number is too large", "put it in quotes, if it is a text")
    return number
