"""Several policy folders as one set: what each of the later ones says is added to the earlier ones, and changes nothing there."""

from __future__ import annotations

from collections.abc import Iterable

from klausel.core.loading.fields import ProblemList, is_empty
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

_ID = "later-folder"
_GROWING = {
    "roles.yaml": ("roles",),
    "properties.yaml": ("subject", "action", "context", "subject_types"),
    "invariants.yaml": ("invariants",),
    "provisioning.yaml": ("groups",),
}
"""The keys of a file under which a later folder may add; under the others, the first folder alone speaks."""
_WHY_NOT = {
    "levels": ("the levels are those of the first folder", "every place of the first folder would be read otherwise"),
    **dict.fromkeys(
        ("subject_from", "subject_type", "leavers_lose"),
        ("who people are is said in the first folder", "people of the first folder would be others"),
    ),
    "stored": (
        "where properties come from is said in the first folder",
        "grants of the first folder would read other values",
    ),
}


def joined(file: str, roots: Iterable[tuple[int, Fields]], problems: ProblemList) -> Fields | None:
    """What the files of one name say together; None where there are none.

    `file` is the name inside each folder, and each root comes with the number of its folder, in their order. Reports
    whatever of a later folder would say something else than an earlier one, and leaves it out.
    """
    first: Fields | None = None
    for layer, root in roots:
        if first is None and layer and file in _GROWING:
            first = Fields((), root.place)  # the earlier folders say nothing, which must stay so where it means something
        if first is None:
            first = root
        elif file in _GROWING:
            first = Fields(_grown(file, first, root, problems), first.place)
        else:
            first = Fields((*first.entries, *_new(first, root, "condition", problems)), first.place)
    return first


def _grown(file: str, first: Fields, later: Fields, problems: ProblemList) -> tuple[tuple[Text, Node], ...]:
    """The keys of a file, those that may grow with what a later folder adds."""
    entries = {key.value: (key, node) for key, node in first.entries}
    for key, node in later.entries:
        if is_empty(node):
            continue
        if key.value in _WHY_NOT:
            message, why = _WHY_NOT[key.value]
            problems.add(key.place, _ID, message, f"remove {key.value} here: {why}")
        elif key.value not in _GROWING[file]:
            entries.setdefault(key.value, (key, node))  # an unknown key, which is reported as such
        elif key.value not in entries:
            if file == "properties.yaml":
                what = key.value if key.value == "subject_types" else f"the properties of {key.value}"
                message = f"earlier folders leave {what} undeclared"
                hint = f"write `{key.value}: {{}}` in the properties.yaml of the first folder, with all that it uses itself"
                if key.value == "subject_types":
                    hint = "write `subject_types: user` in the properties.yaml of the first folder, with all that ask there"
                problems.add(key.place, _ID, message, hint)
            else:
                entries[key.value] = (key, node)
        else:
            before = entries[key.value][1]
            entries[key.value] = (entries[key.value][0], _added(key, before, node, problems))
    return tuple(entries.values())


def _added(key: Text, before: Node, node: Node, problems: ProblemList) -> Node:
    """The value of a key with what a later folder adds to it; the one that is there where the two do not fit together."""
    if isinstance(before, Fields) and isinstance(node, Fields):
        what = {"roles": "role", "groups": "group"}.get(key.value, f"property of {key.value}:")
        return Fields((*before.entries, *_new(before, node, what, problems)), before.place)
    if key.value == "subject_types":
        before, node = (Items((one,), one.place) if isinstance(one, Text) else one for one in (before, node))
    if isinstance(before, Items) and isinstance(node, Items):
        return Items((*before.values, *node.values), before.place)
    if is_empty(before):
        return node
    if isinstance(before, Fields | Items):
        problems.wrong_kind(node, "keys and values" if isinstance(before, Fields) else "a list", key.value)
    return before


def _new(before: Fields, later: Fields, what: str, problems: ProblemList) -> Iterable[tuple[Text, Node]]:
    """The entries of a later folder that have names of their own."""
    known = {key.value: key.place for key, _ in before.entries}
    for key, node in later.entries:
        if key.value in known:
            report_said_already(key, f"{what} {key.value}", known[key.value], problems)
        else:
            yield key, node


def report_said_already(text: Text, what: str, place: Place, problems: ProblemList) -> None:
    """Reports that a later folder says again what an earlier one says, at that place."""
    hint = "choose another name, or change it where it stands; a later folder may only add"
    problems.add(text.place, _ID, f"{what} is declared in {place} already", hint)
