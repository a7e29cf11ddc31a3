"""Reading the declared types of properties, and `properties.yaml`, which declares those that belong to no resource type."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from klausel.core.loading.fields import ProblemList, is_empty
from klausel.core.loading.file_schema import PROPERTIES, STORED
from klausel.core.loading.json_values import is_text_without_quotes
from klausel.core.policy.properties import (
    ID,
    LIST_OF,
    PLAIN_KINDS,
    IdOf,
    ItemType,
    Kind,
    ListOf,
    OneOf,
    Parts,
    Plain,
    PropertyType,
    PropertyTypes,
)
from klausel.core.terms.identifiers import fault_in_subject, is_type_or_action
from klausel.core.terms.problem import did_you_mean
from klausel.core.terms.request import NOW
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

OF_OTHERS = ("subject", "action", "context")
"""What else has properties beside resources; the keys of `properties.yaml`."""
_KINDS: Mapping[str, Kind] = {"text": "text", "number": "number", "boolean": "boolean", "time": "time"}
_INSTEAD = {
    **dict.fromkeys(("string", "str", "varchar", "char", "uuid"), "text"),
    **dict.fromkeys(("int", "integer", "float", "double", "decimal", "money", "amount"), "number"),
    **dict.fromkeys(("bool", "flag", "yes/no"), "boolean"),
    **dict.fromkeys(("date", "datetime", "timestamp", "instant", "moment"), "time"),
    **dict.fromkeys(("enum", "choice", "one of"), "[draft, published], the values as a list"),
    **dict.fromkeys(("list", "array", "set"), "list of text"),
    **dict.fromkeys(("id", "user", "subject"), "user id, or the id of another type"),
    **dict.fromkeys(("object", "map", "mapping"), "{name: text}, its parts with their types"),
}
_ODD_ID = re.compile(r"(\S+)[ _-]ids?", re.IGNORECASE)
_FORMS = f"Types are {', '.join(PLAIN_KINDS)}, [one, of, these], user id, list of text, and {{part: type}}"


def read_property_types(
    node: Node | None, what: str, own: Collection[str], problems: ProblemList
) -> tuple[PropertyTypes | None, frozenset[str]]:
    """The types of properties by name (None where there are no declarations), and all the names, also of faulty ones.

    `own` are the names of attributes that are no properties.
    """
    if node is None:
        return None, frozenset()
    found: dict[str, PropertyType] = {}
    names = set()
    for name, value in problems.entries(node, what):
        names.add(name.value)
        if name.value in own:
            message = f'"{name.value}" is an attribute of its own, and no property can stand for it'
            problems.add(name.place, "bad-name", message, "remove it")
            continue
        if "," in name.value:
            message = f'"{name.value}" is one property with a comma in its name'
            problems.warn(name.place, "bad-name", message, "declare each by itself, if several are meant")
        type_ = read_type(name, value, problems)
        if type_ is not None:
            found[name.value] = type_
    is_readable = isinstance(node, Fields) or is_empty(node)
    return (MappingProxyType(found) if is_readable else None), frozenset(names)


def read_properties_file(root: Fields, problems: ProblemList) -> Mapping[str, PropertyTypes]:
    """What `properties.yaml` declares, by subject, action and context; without those of which it says nothing."""
    problems.check_keys(root, PROPERTIES.names, PROPERTIES.what)
    own = {"subject": ("id", "type"), "action": ("name",), "context": (NOW,)}
    found = {}
    for name in OF_OTHERS:
        types, _ = read_property_types(root.get(name), name, own.get(name, ()), problems)
        if types is not None:
            found[name] = types
    return MappingProxyType(found)


def read_stored_types(
    root: Fields, known_types: Collection[str] | None, subject_types: Collection[str] | None, problems: ProblemList
) -> tuple[frozenset[str], frozenset[str]]:
    """The types of subjects and of resources that `properties.yaml` names under `stored`.

    `known_types` are the resource types that a file declares; None where they are not all known. `subject_types` are those
    that the file itself names; None where it names none.
    """
    stored = problems.fields(root.get("stored"), "stored")
    if stored is None:
        return frozenset(), frozenset()
    problems.check_keys(stored, STORED.names, STORED.what)
    subjects, resources = (problems.texts(stored.get(name), name) for name in ("subjects", "resources"))
    for text in subjects:
        if subject_types is not None and text.value not in subject_types:
            message, hint = f'"{text.value}" is none of subject_types', problems.did_you_mean(text.value, subject_types)
            problems.add(text.place, "unknown-value", message, f"{hint}Declare it there, or remove it here")
        else:
            _subject_types(text, problems)
    for text in resources:
        if known_types is not None and text.value not in known_types:
            message, hint = f'unknown resource type "{text.value}"', problems.did_you_mean(text.value, known_types)
            problems.add(text.place, "unknown-resource-type", message, f"{hint}Declare it in a feature file")
    return frozenset(text.value for text in subjects), frozenset(text.value for text in resources)


def read_subject_types(root: Fields, problems: ProblemList) -> tuple[str, ...] | None:
    """The types of those who ask, as `properties.yaml` names them; None where it does not."""
    if root.get("subject_types") is None:
        return None
    texts = problems.texts(root.get("subject_types"), "subject_types")
    found = [name for text in texts for name in _subject_types(text, problems)]
    return tuple(dict.fromkeys(found)) or None


def _subject_types(text: Text, problems: ProblemList) -> list[str]:
    """The type that a text names; with a problem, each of several in one text, so that whatever names them is right."""
    several = [part for one in re.split("[,;]", text.value) if (part := one.strip())]
    fault = fault_in_subject(text.value, "x")
    if several != [text.value]:
        hint = f"write several names as a list: [{', '.join(several)}]"
        problems.add(text.place, "bad-name", f'"{text.value}" is several names in one, and no type of subjects', hint)
    elif fault:
        problems.add(text.place, "bad-name", f'"{text.value}" is no type of subjects: it {fault}', "write it as user")
    return several


def types_of_ids(node: Node | None) -> Iterator[tuple[Text, str]]:
    """The types whose ids are declared below a node of a file, such as `user` of `owner: user id`, each where it stands."""
    if isinstance(node, Text):
        item = _item_type(" ".join(node.value.split()).removeprefix(LIST_OF).lstrip())
        if isinstance(item, IdOf):
            yield node, item.type
    elif isinstance(node, Fields):
        for _, inner in node.entries:
            yield from types_of_ids(inner)


def check_types_of_ids(
    ids: Iterable[tuple[Text, str]], subject_types: Collection[str], resource_types: Collection[str], problems: ProblemList
) -> None:
    """Reports those of the ids, as `types_of_ids` gives them, of what is neither a type of those who ask nor a resource type."""
    known = [*subject_types, *resource_types]
    for text, of in ids:
        if of not in subject_types and of not in resource_types:
            hint = f"{problems.did_you_mean(of, known)}Name a resource type, or one of subject_types in properties.yaml"
            problems.add(text.place, "unknown-type", f'there is no type "{of}", so nothing has such an id', hint)


def read_type(name: Text, node: Node, problems: ProblemList) -> PropertyType | None:
    """The type of one property; None, with a problem, where it is none."""
    if isinstance(node, Fields):
        return _of_fields(name, node, problems)
    if isinstance(node, Items):
        return _choice(name, node, problems)
    return _of_word(name, node, problems)


def _of_fields(name: Text, node: Fields, problems: ProblemList) -> PropertyType | None:
    if [key.value for key, _ in node.entries] == [LIST_OF]:
        items = node.entries[0][1]
        type_ = _choice(name, items, problems) if isinstance(items, Items) else read_type(name, items, problems)
        if isinstance(type_, ListOf | Parts):
            problems.add(
                items.place, "unknown-type", f"{name.value} is a list of {type_}", "lists hold values without parts"
            )
            return None
        return None if type_ is None else ListOf(type_)
    if not node.entries:
        problems.add(node.place, "unknown-type", f"{name.value} has no type", _FORMS)
        return None
    before = len(problems.found)
    parts = [(key.value, read_type(key, value, problems)) for key, value in node.entries]
    return Parts(tuple((part, type_) for part, type_ in parts if type_)) if len(problems.found) == before else None


def _choice(name: Text, node: Items, problems: ProblemList) -> OneOf | None:
    before = len(problems.found)
    for item in node.values:
        if isinstance(item, Text) and item.value and not item.is_quoted and not is_text_without_quotes(item.value):
            kind = "boolean" if item.value in ("true", "false") else "number"
            message = f"{item.value} is no text, and {name.value} is one of some texts"
            problems.add(item.place, "unknown-type", message, f'declare it as {kind}, or write "{item.value}" in quotes')
    values = problems.texts(node, name.value)
    if len(problems.found) > before:
        return None
    return OneOf(tuple(text.value for text in values))


def _of_word(name: Text, node: Text, problems: ProblemList) -> PropertyType | None:
    word = " ".join(node.value.split())
    rest = word.removeprefix(LIST_OF).lstrip()
    item = _item_type(rest if rest != word else word)
    if item is not None:
        return item if rest == word else ListOf(item)
    if not word:
        problems.add(name.place, "unknown-type", f"{name.value} has no type", _FORMS)
        return None
    meant = rest.lower().removesuffix("s")
    instead = _INSTEAD.get(rest.lower()) or _INSTEAD.get(meant)
    if instead:
        start = f"write {LIST_OF + ' ' if rest != word else ''}{instead}. "
    elif rest.lower().startswith(("one of", "[")) or "|" in rest or "," in rest.rstrip(","):
        start = "write the values as a list: [draft, published]. "
    else:
        of_id = _ODD_ID.fullmatch(rest)
        written = f"{LIST_OF if rest != word else ''} {of_id[1]}{ID}".strip() if of_id else ""
        start = f'did you mean "{written}"? ' if of_id else did_you_mean(rest.lower(), PLAIN_KINDS)
    problems.add(node.place, "unknown-type", f'"{node.value}" is no type of {name.value}', f"{start}{_FORMS}")
    return None


def _item_type(word: str) -> ItemType | None:
    if word in _KINDS:
        return Plain(_KINDS[word])
    of = word.removesuffix(ID)
    return IdOf(of) if of != word and is_type_or_action(of) else None
