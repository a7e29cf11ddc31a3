"""Files of policies as an editor sees them: read by the rules of YAML 1.2, and checked with the schemas of their set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from jsonschema import Draft7Validator

from klausel.core.formatting.files import kind_of_file
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.json_schema import SCHEMA_NAMES, schemas_for
from klausel.core.loading.load import SourceFile

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = ("", "~", "null", "Null", "NULL")
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def as_an_editor_reads(text: str) -> Any:
    """What the text says by YAML 1.2, as the language server of VS Code reads it: `no` is a text, and `true` is none.

    Raises YAMLError where it is no YAML, and for keys that are no texts, which no JSON has.
    """
    return _data(yaml.compose(text, yaml.SafeLoader))


def _data(node: yaml.Node | None) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        if any(not isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise yaml.YAMLError
        return {key.value: _data(value) for key, value in node.value}
    if not isinstance(node, yaml.ScalarNode):
        return None
    if node.style is not None:
        return node.value
    if node.value in _NULLS:
        return None
    return float(node.value) if _NUMBER.fullmatch(node.value) else _FLAGS.get(node.value, node.value)


def refusals(files: list[SourceFile], only: str | None = None) -> Iterator[tuple[str, str]]:
    """The name of each file (`only` of this one) that its schema refuses, with a reason; what is no YAML is passed over."""
    names, _ = declared_names(files)
    schemas = schemas_for(names)
    for file in files:
        kind = kind_of_file(file.name)
        if kind is None or file.name != (only or file.name):
            continue
        try:
            content = as_an_editor_reads(file.content.decode())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for error in Draft7Validator(schemas[SCHEMA_NAMES[kind]]).iter_errors(content):
            yield file.name, f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
