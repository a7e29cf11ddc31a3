"""Schemas for editors: what is shipped and shown fits them, and so does whatever the loader takes."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from schema_files import as_an_editor_reads, refusals

from klausel.core.formatting.files import kind_of_file
from klausel.core.loading.cache import LoadCache
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.file_schema import FILES, Entries, Key, ListOf, Table, Value
from klausel.core.loading.json_schema import SCHEMA_NAMES, schemas_for
from klausel.core.loading.load import SourceFile, load_policy
from klausel.storage.policy_files.folder import read_files

ROOT = Path(__file__).parents[3]
WITH_SCHEMAS = [ROOT / "policies", ROOT / "server" / "klausel" / "starter" / "policies"]
FOLDERS = [*WITH_SCHEMAS, *sorted((ROOT / "tests" / "cases" / "products").glob("*/policies"))]
SHIPPED = [file for file in read_files(ROOT / "policies", ROOT / "model.conf")[0] if file.name != "model.conf"]
CACHE = LoadCache()
EDITED = [file for file in SHIPPED if kind_of_file(file.name)]
WORDS = (
    "lead", "any lead", "anyone", "agent", "edit", "view", "quiz", "account", "acme", "is_published", "resource.x == 1", "",
    "true", "no", "12", "0x1", "~", "allow", "deny", "when", "in", "at_level", "keep_one", "constant", "who_can", "answer",
)  # fmt: skip


def keys_in(value: Value) -> Iterator[Key]:
    match value:
        case Table(_, keys):
            for key in keys:
                yield key
                yield from keys_in(key.value)
        case Entries(inner):
            yield from keys_in(inner)
        case ListOf(kinds):
            for kind in kinds:
                yield from keys_in(kind)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_what_is_shipped_fits_its_schemas(folder: Path) -> None:
    assert list(refusals(read_files(folder, ROOT / "model.conf")[0])) == []


@pytest.mark.parametrize("folder", WITH_SCHEMAS, ids=lambda folder: folder.parent.name)
def test_the_shipped_schemas_are_up_to_date_and_well_formed(folder: Path) -> None:
    names, _ = declared_names(read_files(folder, ROOT / "model.conf")[0])
    for name, schema in schemas_for(names).items():
        Draft7Validator.check_schema(schema)
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        is_current = (folder / "schemas" / name).read_text(encoding="utf-8") == text
        assert is_current, f"schemas/{name} is of before: run `klausel schema {folder.relative_to(ROOT)}`"


@pytest.mark.parametrize("folder", WITH_SCHEMAS, ids=lambda folder: folder.parent.name)
def test_a_shipped_file_names_its_schema_in_its_first_line(folder: Path) -> None:
    for file in read_files(folder, ROOT / "model.conf")[0]:
        kind = kind_of_file(file.name)
        if kind is not None:
            first = file.content.decode().partition("\n")[0]
            assert first.startswith("# yaml-language-server: $schema=")
            path = (folder / file.name).parent / first.partition("=")[2]
            assert path.resolve() == folder / "schemas" / SCHEMA_NAMES[kind]


@pytest.mark.parametrize("kind", FILES)
def test_every_key_says_what_it_is_for_in_one_line(kind: str) -> None:
    for key in keys_in(FILES[kind]):
        assert key.about.endswith("."), key.name
        assert len(key.about) < 125, key.name


def test_a_set_without_names_gives_schemas_that_refuse_none() -> None:
    names, problems = declared_names([])
    assert problems == []
    schema = schemas_for(names)[SCHEMA_NAMES["feature"]]
    grant = {"allow": "somebody", "to": "see", "resource": "it", "when": "it_shines"}
    assert Draft7Validator(schema).is_valid({"grants": [grant]})
    assert not Draft7Validator(schema).is_valid({"grants": [{**grant, "deny": "nobody"}]})


def test_names_that_other_readers_take_for_no_texts_are_names() -> None:
    files = {
        "roles.yaml": "levels: {no: {constant: x}}\nroles: {true: {level: no}, off: {level: no, contains: true}}",
        "features/x.yaml": "resource_types: {yes: {actions: [on, false]}}\n"
        "grants: [{allow: [true, off], to: false, resource: yes, because: 12}]",
    }
    sources = [SourceFile(name, name, text.encode()) for name, text in files.items()]
    assert load_policy(sources).or_raise()
    assert list(refusals(sources)) == []


def places_in(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping and list in the data, with each of its keys or positions."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(entries):
        yield node, key
        yield from places_in(value)


def edit(data: Any, kind: str, where: float, word: str) -> None:
    places = list(places_in(data))
    holder, key = places[int(where * len(places))]
    value = holder[key]
    match kind:
        case "remove":
            del holder[key]
        case "replace":
            holder[key] = word
        case "wrap":
            holder[key] = [value]
        case "unwrap" if isinstance(value, list) and value:
            holder[key] = value[0]
        case "add" if isinstance(value, list):
            value.append(word)
        case "add" if isinstance(value, dict):
            value[word] = word
        case "copy":
            other, other_key = places[int((where * 7919) % 1 * len(places))]
            holder[key] = deepcopy(other[other_key])
        case "rename" if isinstance(holder, dict):
            holder[word] = holder.pop(key)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    st.sampled_from(EDITED),
    st.sampled_from(("remove", "replace", "wrap", "unwrap", "add", "copy", "rename")),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(WORDS),
    st.booleans(),
)
def test_whatever_the_loader_takes_the_schemas_take(
    file: SourceFile, kind: str, where: float, word: str, is_plain: bool
) -> None:
    data = yaml.load(file.content, yaml.BaseLoader)
    edit(data, kind, where, word)
    text = yaml.dump(data, Dumper=_no_aliases(), sort_keys=False, allow_unicode=True)
    if is_plain:
        text = text.replace(f"'{word}'", word) if word else text
    files = [SourceFile(one.name, one.name, text.encode() if one is file else one.content) for one in SHIPPED]
    # An empty text in quotes stands for nothing where a list or a mapping belongs; nobody writes that, no schema says it.
    assume("''" not in text and '""' not in text)
    result = load_policy(files, cache=CACHE)
    if not any(problem.severity == "error" and problem.place.file == file.name for problem in result.problems):
        assert list(refusals(files, only=file.name)) == []


def _no_aliases() -> type[yaml.SafeDumper]:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return Dumper


def test_an_editor_reads_yaml_by_its_newer_version() -> None:
    assert as_an_editor_reads("a: [no, on, 012, 1e3, true, '12', ~]") == {"a": ["no", "on", 12, 1000, True, "12", None]}
