"""What an editor shows where the cursor stands in a copy of the policies: what may be written there, and what a name means."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from klausel.core.editing.at_cursor import about_what_stands_at
from klausel.core.editing.completion import offers_at
from klausel.core.editing.mentions import mentions_in
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.load import SourceFile
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import PolicyError
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import ReadYaml, read_yaml
from klausel.service.pipeline import load_files
from klausel.service.playground import editable_files
from klausel.storage.policy_files.folder import PolicyFiles

MOST_OFFERS = 200


def cursor_told(before: PolicyFiles, after: PolicyFiles, file: str, line: int, column: int, asked: str) -> Any:
    """The `offers` at a cursor, each with what it replaces, or the text `about` the name there; line and column count from 0.

    What cannot be read while somebody types counts as it was before.
    """
    here = editable_files(after).get(file)
    text = None if here is None else decode(here.content, file)[0]
    if here is None or text is None or line > text.count("\n"):
        return [] if asked == "offers" else ""
    old = editable_files(before)
    read = cache(read_yaml)
    files = [one if _is_readable(one, read) else old.get(one.shown_as, one) for one in after.files]
    if asked == "about":
        policy = _policy(after) or _policy(before)
        return about_what_stands_at(policy, mentions_in(files, read), text, here.name, file, line, column)
    found = offers_at(text, here.name, line, column, declared_names(files, read)[0], mentions_in(files, read))
    return [{"text": one.text, "about": one.about, "from": one.start} for one in found[:MOST_OFFERS]]


def _policy(found: PolicyFiles) -> PolicySet | None:
    with suppress(PolicyError):
        return load_files(found).compiled.policy
    return None


def _is_readable(file: SourceFile, read: ReadYaml) -> bool:
    text = decode(file.content, file.shown_as)[0]
    return text is not None and (not file.name.endswith(".yaml") or read(text, file.shown_as)[0] is not None)
