"""Reading a file of settings: one table of keys and values, as YAML or TOML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from klausel.core.terms.problem import did_you_mean
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text, read_yaml
from klausel.settings import SETTINGS, VARIABLES_START

_KEYS = {setting.key: setting for setting in SETTINGS.values()}

_YAML_SUFFIXES = (".yaml", ".yml")
_KIND_OF_VALUES = "a setting is a text, a number, true or false, or a list of texts; put a text in quotes"
_CURE_OF_TOML = (
    'write each setting as host = "localhost", with texts in quotes; a file with a colon there is YAML, so call it .yaml'
)
_CURES_OF_TOML = {"Cannot overwrite a value": "this key stands there twice, so keep one of them"}
"""By what the reader of TOML says."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a file gives it, several for a list, and where it stands."""

    texts: tuple[str, ...]
    is_list: bool
    place: str


def read_config(path: Path) -> dict[str, Given]:
    """The settings that a file gives, by key; raises `click.UsageError` with everything that is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise click.UsageError(
            f"the file of settings {path} cannot be read: {(error.strerror or str(error)).lower()}; "
            "name a file that you may read"
        ) from None
    text, problems = decode(content, str(path))
    if text is None:
        raise click.UsageError("\n".join(map(str, problems)))
    found = _of_toml(text, path) if path.suffix == ".toml" else _of_yaml(text, path)
    faults = list(_faults(found))
    if faults:
        raise click.UsageError("\n".join(faults))
    return found


def _of_yaml(text: str, path: Path) -> dict[str, Given]:
    fields, problems = read_yaml(text, str(path))
    if fields is None or problems:
        faults = [*map(str, problems)]
        if path.suffix not in _YAML_SUFFIXES:
            faults.append(
                f"{path}: a file of settings is read as YAML, such as `port: 8080`, and as TOML where its name ends with .toml"
            )
        raise click.UsageError("\n".join(faults))
    return {key.value: _given(key.value, node, f"{key.place}") for key, node in fields.entries}


def _given(name: str, node: Node, place: str) -> Given:
    if isinstance(node, Text):
        return Given((node.value,), False, place)
    if isinstance(node, Fields) and name not in _KEYS:
        raise click.UsageError(f"{place}: {_no_heading(name, [key.value for key, _ in node.entries])}")
    values = node.values if isinstance(node, Items) else ()
    if isinstance(node, Fields) or not all(isinstance(one, Text) for one in values):
        raise click.UsageError(f"{place}: {_KIND_OF_VALUES}")
    return Given(tuple(one.value for one in values if isinstance(one, Text)), True, place)


def _of_toml(text: str, path: Path) -> dict[str, Given]:
    # Most commands read no such file.
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        cure = _CURES_OF_TOML.get(str(error).partition(" (")[0], _CURE_OF_TOML)
        raise click.UsageError(f"{path}: this is not TOML: {error}; {cure}") from None
    found = {}
    for key, value in table.items():
        if isinstance(value, dict) and key not in _KEYS:
            raise click.UsageError(f"{path}: {_no_heading(key, value)}")
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, (str, int, float)) for one in values):
            raise click.UsageError(f"{path}: {key}: {_KIND_OF_VALUES}")
        texts = tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
        found[key] = Given(texts, isinstance(value, list), f"{path}: {key}")
    return found


def _no_heading(name: str, inside: Iterable[str]) -> str:
    """Why settings do not stand under others, with the cure."""
    whole = [f"{name}_{one}" for one in inside if f"{name}_{one}" in _KEYS]
    cure = f"write {' and '.join(whole)} instead" if whole else "take it away, and let what stands under it begin the line"
    return f'"{name}" is a heading, and settings stand under none; {cure}'


def _faults(found: dict[str, Given]) -> Iterator[str]:
    for key, given in found.items():
        setting = _KEYS.get(key)
        if setting is None:
            own = key.lower().removeprefix(VARIABLES_START.lower())
            meant = f'here it is called "{own}"; ' if own in _KEYS else did_you_mean(key, _KEYS)
            yield f'{given.place}: there is no setting "{key}"; {meant}`klausel config show` names them all'
        elif given.is_list and not setting.is_repeatable:
            yield f"{given.place}: {key} has one value; write it without a list"
        elif setting.kind == "bool" and given.texts[0] not in ("true", "false"):
            yield f"{given.place}: {key} is true or false"
