"""Every place where the files of a policy set name something: a role, a level, a type, an action, a condition, a property."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.parser import KEYWORDS
from klausel.core.conditions.tree import ROOTS
from klausel.core.decisions.role_giving import ROLE_ASSIGNMENT
from klausel.core.formatting.files import kind_of_file
from klausel.core.loading.file_schema import (
    FILES,
    LEVEL,
    PERSON,
    RESOURCE,
    RESOURCE_TYPE,
    ROLE,
    TEST,
    WRITTEN_RESOURCE,
    WRITTEN_SUBJECT,
    Entries,
    ListOf,
    Naming,
    OneOrMore,
    OneText,
    Table,
    Texts,
    TextsOrEntries,
    TypeOfProperty,
    Value,
)
from klausel.core.loading.load import CONDITIONS_FILE, FEATURES_FOLDER, SourceFile
from klausel.core.policy.invariant import OUTSIDER
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, JOINT_PREFIX, is_joint, parts_of
from klausel.core.policy.scope import AT_LEVEL
from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Place
from klausel.core.text.csv_rows import read_csv
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, Items, Node, ReadYaml, Text, read_yaml

Kind = Literal["role", "level", "resource type", "action", "condition", "property", "place"]

_KINDS: Mapping[Naming, Kind] = {
    "new condition": "condition",
    "new action": "action",
    "level": "level",
    "role": "role",
    "resource type": "resource type",
    "resource type or *": "resource type",
    "likely resource type": "resource type",
    "action": "action",
    "action or *": "action",
    "place": "place",
}
_ROLE_ASKED = re.compile(r"""\bresource\s*\.\s*role\s*(?:[!=]=|(?:not\s+)?in\b)\s*(\[[^\]]*\]|"[^"]*"|'[^']*')""")
_QUOTED = re.compile(r"""(["'])([^"'\\]*)\1""")
_WORD = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\W\d]\w*(?:\s*\.\s*[^\W\d]\w*)*(?P<call>\s*\()?""")
_OF_FUNCTIONS = {word for name in FUNCTIONS for word in name.split()}
_GRANT = re.compile(
    r"(?:allow|deny) (?P<grantee>.+?) to (?P<action>\S+) (?P<type>\S+)(?: in \S+)?(?: at level (?P<level>\S+))?"
    r"(?: when (?P<condition>.*))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A name where it stands: `place` is that of its first character.

    `types` are the resource types that an action or a property is of; none where that cannot be told, or for all.
    It `is_exact` where the file has the name as it is, letter by letter, on one line; `written` is how it stands there.
    """

    place: Place
    kind: Kind
    name: str
    is_declaration: bool = False
    types: tuple[str, ...] = ()
    is_exact: bool = True
    written: str = ""

    @property
    def length(self) -> int:
        """How many characters the file has of it: `seats` for `resource.seats` in a test."""
        return len(self.written or self.name)

    def covers(self, file: str, line: int, column: int) -> bool:
        """Whether a cursor in front of this column, counted from 1, stands in the name or at its end."""
        start = self.place
        return (start.file, start.line) == (file, line) and start.column <= column <= start.column + self.length

    def is_same(self, other: Mention) -> bool:
        """Whether both name one thing; an action is told apart by its types, where both are known."""
        if (self.kind, self.name) != (other.kind, other.name):
            return False
        return not (self.types and other.types) or bool(set(self.types) & set(other.types))


def mentions_in(files: Iterable[SourceFile], read: ReadYaml = read_yaml, with_roles_given: bool = False) -> list[Mention]:
    """All names in these files, sorted by place; a file that cannot be read has none. Never raises.

    Those `with_roles_given` are also the roles in texts of conditions about giving roles, and in their tests.
    `read` gives what `read_yaml` does, where somebody remembers that.
    """
    texts: dict[SourceFile, str] = {}
    for file in files:
        text, _ = decode(file.content, file.shown_as)
        if text is not None:
            texts[file] = text
    roots: dict[SourceFile, Fields] = {}
    for file, text in texts.items():
        root = read(text, file.shown_as)[0] if kind_of_file(file.name) else None
        if root is not None:
            roots[file] = root
    conditions = frozenset(
        key.value for file, root in roots.items() if file.name == CONDITIONS_FILE for key, _ in root.entries
    )
    given = _roles_given(roots.values()) if with_roles_given else frozenset()
    found: list[Mention] = []
    for file, root in roots.items():
        kind = kind_of_file(file.name)
        if kind is not None:
            walk = _Walk(conditions, _types_of_things(root) if kind == "test" else {}, given)
            found += walk.value(root, FILES[kind], ())
            found += _roles_in_test(root, given) if kind == "test" else ()
    for file, text in texts.items():
        if file.name.startswith(FEATURES_FOLDER) and file.name.endswith(".csv"):
            found += _in_csv(read_csv(text, file.shown_as)[0], _Walk(conditions, {}, given))
    return sorted(set(found))


def names_in_condition(
    text: str, conditions: Collection[str]
) -> Iterator[tuple[Literal["condition", "property"], str, int]]:
    """The named conditions and the attributes in the text of a condition, each with its offset; texts in quotes are none."""
    for word in _WORD.finditer(text):
        name = re.sub(r"\s", "", word[0])
        if name[0] in "\"'" or word["call"]:
            continue
        if name.partition(".")[0] in ROOTS:
            if "." in name:
                yield "property", name, word.start()
        elif name in conditions or ("." not in name and name not in KEYWORDS and name not in _OF_FUNCTIONS):
            yield "condition", name, word.start()


def _roles_given(roots: Iterable[Fields]) -> frozenset[str]:
    """The roles that conditions about giving roles can ask for; none where no file declares that roles are given."""
    declared: set[str] = set()
    is_given = False
    for root in roots:
        roles, types = root.get("roles"), root.get("resource_types")
        declared |= {key.value for key, _ in roles.entries} if isinstance(roles, Fields) else set()
        is_given |= isinstance(types, Fields) and types.get(ROLE_ASSIGNMENT) is not None
    return frozenset(declared) if is_given else frozenset()


def _roles_in_condition(text: str, roles: Collection[str]) -> Iterator[tuple[str, int]]:
    """The roles that a condition compares the role that is given with, each with its offset."""
    for asked in _ROLE_ASKED.finditer(text) if roles else ():
        for quoted in _QUOTED.finditer(text, *asked.span(1)):
            if quoted[2] in roles:
                yield quoted[2], quoted.start(2)


def _roles_in_test(root: Fields, roles: Collection[str]) -> Iterator[Mention]:
    """The roles that are given in a test file: the property `role` of its resources of that type."""
    things = root.get("resources")
    for _, node in things.entries if isinstance(things, Fields) else ():
        type_, role = (node.get("type"), node.get("role")) if isinstance(node, Fields) else (None, None)
        is_given = isinstance(type_, Text) and type_.value == ROLE_ASSIGNMENT
        if is_given and isinstance(role, Text) and role.value in roles:
            yield _mention(role, 0, role.value, "role")


def _types_of_things(root: Fields) -> dict[str, str]:
    """The resource type of each resource of a test file."""
    things = root.get("resources")
    found = {}
    for name, node in things.entries if isinstance(things, Fields) else ():
        type_ = node.get("type") if isinstance(node, Fields) else None
        if isinstance(type_, Text):
            found[name.value] = type_.value
    return found


def _in_csv(rows: list[list[Text]], walk: _Walk) -> Iterator[Mention]:
    for kind, *cells in rows:
        if kind.value == "p" and len(cells) >= 4:
            grantee, place, type_, action = cells[:4]
            types = () if type_.value == EVERY else (type_.value,)
            yield from walk.text(grantee, "grantee", ())
            within, sign, level = place.value.partition(AT_LEVEL)
            yield from walk.text(place._replace(value=within), "place", ())
            if sign and level:
                yield _mention(place, len(within) + len(sign), level, "level")
            yield from walk.text(type_, "resource type or *", ())
            yield from walk.text(action, "action or *", types)
            if len(cells) > 4:
                yield from walk.text(cells[4], "condition", types)
        elif kind.value == "g":
            for text in cells[:2]:
                yield from walk.text(text, "role", ())


@dataclass
class _Walk:
    """Goes through one file along its schema; `things` are the resources of a test file with their types."""

    conditions: Collection[str]
    things: Mapping[str, str]
    roles_given: Collection[str] = ()

    def value(self, node: Node | None, value: Value, types: tuple[str, ...]) -> Iterator[Mention]:
        match value:
            case OneText(naming) | Texts(naming):
                for text in _texts(node):
                    yield from self.text(text, naming, types)
            case ListOf(kinds):
                for item in node.values if isinstance(node, Items) else ():
                    kind = next((kind for kind in kinds if isinstance(kind, Table) == isinstance(item, Fields)), kinds[0])
                    yield from self.value(item, kind, types)
            case OneOrMore(one, table):
                for each in node.values if isinstance(node, Items) else (node,):
                    yield from self.value(each, table if isinstance(each, Fields) else one, types)
            case TextsOrEntries(texts, entries):
                if isinstance(node, Fields):
                    for key, inner in node.entries:
                        yield from self.text(key, texts.naming, types)
                        yield from self.value(inner, entries.value, types)
                else:
                    yield from self.value(node, texts, types)
            case Entries():
                yield from self._entries(node, value, types)
            case Table():
                yield from self._table(node, value, types)
            case _:
                pass

    def text(self, text: Text, naming: Naming, types: tuple[str, ...], declares: bool = False) -> Iterator[Mention]:
        """What one text names."""
        name = text.value
        if naming in ("holder", "grantee", "grantee or outsider"):
            at = len(JOINT_PREFIX) if is_joint(name) else 0
            for part in parts_of(name):
                role = part.removeprefix(ANY_PREFIX)
                if role not in (ANYONE, OUTSIDER, ""):
                    yield _mention(text, name.index(role, at + len(part) - len(role)), role, "role")
                at = name.index(part, at) + len(part)
        elif naming == "condition":
            for kind, word, offset in names_in_condition(name, self.conditions):
                of = types if word.startswith("resource.") else ()
                yield _mention(text, offset, word, kind, of)
            if not types or ROLE_ASSIGNMENT in types:
                for role, offset in _roles_in_condition(name, self.roles_given):
                    yield _mention(text, offset, role, "role")
        elif naming in _KINDS and name and (name != EVERY or naming == "place"):
            kind_ = _KINDS[naming]
            declared = declares or naming in ("new condition",)
            yield _mention(text, 0, name, kind_, types if kind_ == "action" else (), declared)

    def _entries(self, node: Node | None, value: Entries, types: tuple[str, ...]) -> Iterator[Mention]:
        for key, inner in node.entries if isinstance(node, Fields) else ():
            of = types
            if value.value is LEVEL or value.value is ROLE or value.value is RESOURCE_TYPE:
                kind: Kind = "level" if value.value is LEVEL else "role" if value.value is ROLE else "resource type"
                yield _mention(key, 0, key.value, kind, (), True)
                of = (key.value,) if kind == "resource type" else ()
            elif isinstance(value.value, TypeOfProperty):
                root = types[0].rstrip(":") if types and types[0].endswith(":") else "resource"
                yield _mention(key, 0, f"{root}.{key.value}", "property", types if root == "resource" else (), True)
            elif isinstance(value.value, Texts) and value.value.naming == "role":
                yield from self.text(key, "place", ())
            else:
                yield from self.text(key, value.naming, types)
            if value == Entries(OneText(), "action", is_short=True):
                yield from self._grant(inner)
            else:
                yield from self.value(inner, value.value, of)

    def _table(self, node: Node | None, table: Table, types: tuple[str, ...]) -> Iterator[Mention]:
        if not isinstance(node, Fields):
            return
        of = types or self._types_named(node, table)
        asks_what = table is TEST and node.get("what_can") is not None
        for name, inner in node.entries:
            key = table.key(name.value)
            if key is None:
                if table is RESOURCE:
                    yield _mention(name, 0, f"resource.{name.value}", "property", of)
                elif table is PERSON:
                    yield _mention(name, 0, f"subject.{name.value}", "property")
                continue
            if table.what == "properties.yaml":
                yield from self.value(inner, key.value, (f"{name.value}:",))
            elif table is RESOURCE_TYPE and name.value == "actions":
                for text in _texts(inner):
                    yield from self.text(text, "new action", of, declares=True)
            elif table in (WRITTEN_SUBJECT, WRITTEN_RESOURCE) and name.value == "properties":
                yield from _properties(
                    inner, "subject" if table is WRITTEN_SUBJECT else "resource", self._types_named(node, table)
                )
            elif table is TEST and name.value == "context":
                yield from _properties(inner, "context", ())
            elif asks_what and name.value == "answer":
                yield from self.value(inner, Texts("action"), of)
            elif table is RESOURCE and name.value == "in":
                yield from self.value(inner, OneText("place"), ())
            else:
                yield from self.value(inner, key.value, of)

    def _types_named(self, node: Fields, table: Table) -> tuple[str, ...]:
        """The resource types that an entry is about: those it names, or those of the resources that a test names."""
        if table in (RESOURCE, WRITTEN_RESOURCE):
            return tuple(text.value for text in _texts(node.get("type")))
        named = [text.value for text in _texts(node.get("resource"))]
        if table is TEST:
            return tuple(dict.fromkeys(self.things[name] for name in named if name in self.things))
        return () if EVERY in named else tuple(named)

    def _grant(self, node: Node | None) -> Iterator[Mention]:
        """The names in a grant as `klausel explain` prints it."""
        for text in _texts(node):
            found = _GRANT.fullmatch(text.value)
            if found is None:
                continue
            types = (found["type"],)
            parts: tuple[tuple[str, Naming], ...] = (
                ("grantee", "grantee"),
                ("action", "action"),
                ("type", "resource type"),
                ("level", "level"),
                ("condition", "condition"),
            )
            for group, naming in parts:
                if found[group]:
                    part = text.after(found.start(group))
                    length = len(found[group])
                    yield from self.text(Text(found[group], part.place, part.places[:length]), naming, types)


def _properties(node: Node | None, root: str, types: tuple[str, ...]) -> Iterator[Mention]:
    for name, _ in node.entries if isinstance(node, Fields) else ():
        yield _mention(name, 0, f"{root}.{name.value}", "property", types)


def _texts(node: Node | None) -> Iterator[Text]:
    for item in node.values if isinstance(node, Items) else (node,):
        if isinstance(item, Text):
            yield item


def _mention(text: Text, offset: int, name: str, kind: Kind, types: tuple[str, ...] = (), declares: bool = False) -> Mention:
    start = text.place_at(offset)
    shown = name.partition(".")[2] if kind == "property" and len(text.value) < len(name) else name
    end = text.place_at(offset + len(shown) - 1)
    is_exact = (start.line, start.column + len(shown) - 1) == (end.line, end.column)
    is_exact = is_exact and text.value[offset : offset + len(shown)] == shown
    return Mention(start, kind, name, declares, types, is_exact, shown)
