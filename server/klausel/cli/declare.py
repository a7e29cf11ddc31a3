"""The command `declare`."""

from __future__ import annotations

from pathlib import Path

import click

from klausel.cli.options import (
    EXIT_PROBLEMS,
    fail,
    load_or_exit,
    model_option,
    refuse_several_folders,
    refuse_what_is_no_folder,
    write_or_exit,
)
from klausel.cli.output import say, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.likely_types import LikelyTypes, likely_types
from klausel.core.formatting.declaring import type_as_yaml, with_properties_of_others, with_property_types
from klausel.core.loading.load import PROPERTIES_FILE
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import FormatLossError
from klausel.storage.policy_files.folder import model_beside, read_files, shown


@click.command()
@policies_option
@model_option
def declare(policies: Path, model: Path | None) -> None:
    """Write the types of properties that follow from conditions and policy tests, where nothing is declared of them yet.

    They go under the resource types in the feature files, and into properties.yaml; these files come into their canonical form.
    Read them: a list of texts says that there are no others. A property of which too little is known, or too much, is named
    with the reason and left to you; the exit code is 1 then.

    \b
    Examples:
      klausel declare
      git diff policies
    """
    refuse_what_is_no_folder(policies)
    refuse_several_folders(policies, "types are declared by what one folder says, for it must be right without the others")
    loaded = load_or_exit(policies, model, with_tests=True)
    likely = likely_types(loaded.compiled.policy, loaded.tests)
    texts = {file.name: file.content.decode() for file in read_files(policies, model_beside(policies, model))[0]}
    try:
        changed = _declared(loaded.compiled.policy, likely, texts, policies)
    except FormatLossError as error:
        fail(f"{error}; declare the types by hand")
    for name, text in changed.items():
        write_or_exit(policies / name, text.encode())
    for (resource_type, root), types in likely.found.items():
        for name, type_ in types.items():
            say(f"{root}.{name}{f' of {resource_type}' if resource_type else ''}: {type_as_yaml(type_)}")
    say_lines((f"{name}; declare it by hand" for name in likely.unknown), err=True)
    count = sum(map(len, likely.found.values()))
    say(f"{count} declared in {len(changed)} files, {len(likely.unknown)} left to you", err=True)
    raise SystemExit(EXIT_PROBLEMS if likely.unknown else 0)


def _declared(policy: PolicySet, likely: LikelyTypes, texts: dict[str, str], folder: Path) -> dict[str, str]:
    """The files that change, by name, with their new texts."""
    changed: dict[str, str] = {}
    start = shown(folder / "x").removesuffix("x")
    for (resource_type, _), types in likely.found.items():
        if resource_type:
            name = policy.resource_types[resource_type].place.file.removeprefix(start)
            text = changed.get(name, texts[name])
            changed[name] = with_property_types(text, {resource_type: types}, start + name)
    others = {root: types for (resource_type, root), types in likely.found.items() if not resource_type}
    if others:
        text = texts.get(PROPERTIES_FILE, "")
        changed[PROPERTIES_FILE] = with_properties_of_others(text, others, start + PROPERTIES_FILE)
    return changed
