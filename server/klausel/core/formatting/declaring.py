"""Writing declared types of properties into the YAML files of a policy set, which are brought into their canonical form."""

from __future__ import annotations

from collections.abc import Mapping

from klausel.core.formatting.yaml import format_yaml, with_entries
from klausel.core.loading.file_schema import FEATURE, PROPERTIES
from klausel.core.loading.json_values import is_text_without_quotes
from klausel.core.policy.properties import LIST_OF, ListOf, OneOf, Parts, PropertyType, PropertyTypes
from klausel.core.text.yaml_scalars import write_text


def with_property_types(text: str, types: Mapping[str, PropertyTypes], file: str) -> str:
    """A feature file in which these resource types declare these properties, too; raises as `format_yaml` does."""
    for resource_type, declared in types.items():
        text = with_entries(text, ("resource_types", resource_type, "properties"), _as_yaml(declared), FEATURE, file)
    return text


def with_properties_of_others(text: str, types: Mapping[str, PropertyTypes], file: str) -> str:
    """A `properties.yaml` (empty: a new one) that declares these of subjects, actions or the context, too."""
    if not text.strip():
        lines = [f"{root}: {{{', '.join(f'{key}: {one}' for key, one in _as_yaml(of))}}}\n" for root, of in types.items()]
        return format_yaml("".join(lines), PROPERTIES, file)
    for root, declared in types.items():
        text = with_entries(text, (root,), _as_yaml(declared), PROPERTIES, file)
    return text


def _as_yaml(types: PropertyTypes) -> list[tuple[str, str]]:
    return [(write_text(name, is_flow=True, is_key=True), type_as_yaml(type_)) for name, type_ in types.items()]


def type_as_yaml(type_: PropertyType) -> str:
    """A type as a policy file declares it, on one line."""
    match type_:
        case OneOf(values):
            return f"[{', '.join(write_text(value, True, is_quoted=not is_text_without_quotes(value)) for value in values)}]"
        case ListOf(OneOf() as items):
            return f"{{{LIST_OF}: {type_as_yaml(items)}}}"
        case Parts(parts):
            return "{" + ", ".join(f"{key}: {one}" for key, one in _as_yaml(dict(parts))) + "}"
        case _:
            return str(type_)
