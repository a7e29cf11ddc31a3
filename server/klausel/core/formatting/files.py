"""The canonical form of any file of a policy set."""

from __future__ import annotations

from klausel.core.formatting.csv import format_csv
from klausel.core.formatting.yaml import format_yaml
from klausel.core.loading.file_schema import FILES
from klausel.core.loading.load import (
    CONDITIONS_FILE,
    FEATURES_FOLDER,
    INVARIANTS_FILE,
    PROPERTIES_FILE,
    PROVISIONING_FILE,
    ROLES_FILE,
    SourceFile,
    is_entity_file,
    is_test_file,
)
from klausel.core.terms.problem import PolicyError
from klausel.core.text.decoding import decode

_KINDS = {
    ROLES_FILE: "roles",
    CONDITIONS_FILE: "conditions",
    PROPERTIES_FILE: "properties",
    INVARIANTS_FILE: "invariants",
    PROVISIONING_FILE: "provisioning",
}


def kind_of_file(name: str) -> str | None:
    """Which kind of YAML a file of a policy set holds, by its name inside the folder; None for one of another sort."""
    if name.startswith(FEATURES_FOLDER) and name.endswith(".yaml"):
        return "feature"
    if is_entity_file(name):
        return "entities"
    return "test" if is_test_file(name) else _KINDS.get(name)


def can_be_formatted(name: str) -> bool:
    """Whether a file of a policy set has a canonical form."""
    return kind_of_file(name) is not None or (name.startswith(FEATURES_FOLDER) and name.endswith(".csv"))


def format_file(file: SourceFile) -> bytes:
    """The canonical form of a file that has one.

    Raises `PolicyError` with the problems of a file that cannot be read, and `FormatLossError` rather than lose anything.
    """
    text, problems = decode(file.content, file.shown_as)
    if text is None or problems:
        raise PolicyError(problems)
    kind = kind_of_file(file.name)
    if kind is None:
        return format_csv(text, file.shown_as).encode()
    return format_yaml(text, FILES[kind], file.shown_as).encode()
