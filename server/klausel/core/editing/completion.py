"""What may be written where a cursor stands: keys, names that the policy set declares, words of conditions, places."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import OWN_ATTRIBUTES
from klausel.core.editing.cursor import Spot, spot_at
from klausel.core.editing.mentions import Mention
from klausel.core.formatting.files import kind_of_file
from klausel.core.loading.declared_names import DeclaredNames
from klausel.core.loading.file_schema import (
    PERSON,
    RESOURCE,
    Entries,
    Flag,
    Free,
    Naming,
    OneOrMore,
    OneText,
    Texts,
    TextsOrEntries,
    TypeOfProperty,
)
from klausel.core.policy.invariant import OUTSIDER
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import LIST_OF, PLAIN_KINDS, OneOf, Plain
from klausel.core.policy.roles import ANY_PREFIX, ANYONE
from klausel.core.terms.places import EVERY
from klausel.core.terms.request import NOW

OfferKind = Literal["key", "role", "level", "resource type", "action", "condition", "property", "word", "place", "value"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to write: `text` replaces what is typed from column `start` (from 0) to the cursor; `about` says what it is."""

    text: str
    kind: OfferKind
    about: str = ""
    start: int = 0


def offers_at(
    text: str,
    name: str,
    line: int,
    column: int,
    names: DeclaredNames,
    mentions: Collection[Mention],
    policy: PolicySet | None = None,
) -> list[Offer]:
    """What may be written in a file of a policy set; line and column count from 0. The best first.

    `policy` is the last that could be read: it knows the values of properties.
    """
    kind = kind_of_file(name)
    if kind is None:
        return []
    spot = spot_at(text, kind, line, column)
    offers = _Offers(text, line, spot, names, mentions, policy)
    found = list(offers.keys() if spot.is_key else offers.values())
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Offers:
    text: str
    line: int
    spot: Spot
    names: DeclaredNames
    mentions: Collection[Mention]
    policy: PolicySet | None

    def keys(self) -> Iterator[Offer]:
        spot = self.spot
        if spot.table is not None:
            for key in spot.table.keys:
                beside = set(spot.siblings) - {spot.typed}
                if key.name not in beside and not beside & set(key.excludes):
                    yield Offer(f"{key.name}: ", "key", key.about, spot.start)
            if spot.table in (RESOURCE, PERSON):
                yield from self._property_keys("resource" if spot.table is RESOURCE else "subject")
        elif isinstance(spot.value, Entries):
            inner = spot.value.value
            if isinstance(inner, Texts) and inner.naming == "role":
                yield from self._as_keys(self._places())
            elif spot.value.naming in ("action", "new action"):
                yield from self._as_keys(self._actions())
            elif spot.path[-1:] in (("allowed",), ("decided_by",)):
                yield from self._as_keys(self._of_section("people"))
            elif isinstance(inner, Free):
                root = self._root_of_properties()
                yield from self._property_keys(root) if root else ()
        elif isinstance(spot.value, TextsOrEntries):
            yield from self._as_keys(self._texts(spot.value.texts.naming))

    def values(self) -> Iterator[Offer]:
        match self.spot.value:
            case OneText(naming) | Texts(naming):
                if naming == "text":
                    yield from self._of_tests()
                else:
                    yield from self._texts(naming)
            case OneOrMore(one, _):
                yield from self._texts(one.naming)
            case TextsOrEntries(texts, _):
                yield from self._texts(texts.naming)
            case Flag(only_true):
                yield from (
                    Offer(word, "value", "", self.spot.start) for word in ("true", *(() if only_true else ("false",)))
                )
            case TypeOfProperty():
                yield from self._types_of_properties()
            case _:
                yield from self._values_of_property()

    def _root_of_properties(self) -> str:
        """Whose properties the path leads to; empty where it leads to none."""
        path = self.spot.path
        if path[:1] == ("people",):
            return "subject"
        if path[:1] in (("resources",), ("subjects",)):
            return path[0].removesuffix("s")
        return "context" if "context" in path[1:] else "action" if "action_properties" in path else ""

    def _property_keys(self, root: str) -> Iterator[Offer]:
        passed_over = {*OWN_ATTRIBUTES[root], NOW, *self.spot.siblings} - {self.spot.typed}
        for name, about in self._properties(self._types()):
            of, _, rest = name.partition(".")
            if of == root and "." not in rest and rest not in passed_over:
                yield Offer(f"{rest}: ", "property", about, self.spot.start)

    def _values_of_property(self) -> Iterator[Offer]:
        """The values that a property in a test, or of an entity, may have, where they are few."""
        root = self._root_of_properties()
        if self.policy is None or not root or not self.spot.path[-1]:
            return
        declared = [self.policy.properties.get(root)]
        if root == "resource":
            types = self._types() or tuple(self.policy.resource_types)
            declared = [one.properties for type_ in types if (one := self.policy.resource_types.get(type_))]
        for properties in declared:
            match (properties or {}).get(self.spot.path[-1]):
                case OneOf(values):
                    yield from (Offer(value, "value", "", self.spot.start) for value in values)
                case Plain("boolean"):
                    yield from (Offer(word, "value", "", self.spot.start) for word in ("true", "false"))

    def _types_of_properties(self) -> Iterator[Offer]:
        start = self.spot.start
        for word, about in PLAIN_KINDS.items():
            yield Offer(word, "value", about, start)
            yield Offer(f"{LIST_OF} {word}", "value", f"a list of values, each {about}", start)
        yield Offer("user id", "value", "the id of a subject of type user", start)

    def _as_keys(self, offers: Iterable[Offer]) -> Iterator[Offer]:
        return (Offer(f"{one.text}: ", one.kind, one.about, one.start) for one in offers)

    def _texts(self, naming: Naming) -> Iterator[Offer]:
        match naming:
            case "role":
                yield from self._roles()
            case "holder" | "grantee" | "grantee or outsider":
                yield from self._roles()
                for role in self.names.earned_anywhere:
                    about = f"Whoever is {role} somewhere below the same {self.names.levels[0]}."
                    yield Offer(f"{ANY_PREFIX}{role}", "role", about, self.spot.start)
                if naming != "holder":
                    yield Offer(ANYONE, "role", "Every subject, also one without a role.", self.spot.start)
                if naming == "grantee or outsider":
                    yield Offer(OUTSIDER, "role", "Who holds no role there.", self.spot.start)
            case "level":
                yield from (Offer(level, "level", "", self.spot.start) for level in self.names.levels)
            case "resource type" | "resource type or *" | "likely resource type":
                for type_, actions in self.names.resource_types.items():
                    yield Offer(type_, "resource type", ", ".join(actions), self.spot.start)
                if naming == "resource type or *":
                    yield Offer('"*"', "value", "All resource types that are declared.", self.spot.start)
            case "action" | "action or *":
                yield from self._actions()
                if naming == "action or *":
                    yield Offer('"*"', "value", "All actions of the type.", self.spot.start)
            case "subject type":
                yield from (
                    Offer(one, "value", "A type of those who ask.", self.spot.start) for one in self.names.subject_types
                )
            case "condition":
                yield from self._condition()
            case "place":
                yield from self._places()
            case _:
                pass

    def _roles(self) -> Iterator[Offer]:
        for role, level in self.names.roles.items():
            yield Offer(role, "role", f"A role of level {level}." if level else "", self.spot.start)

    def _types(self) -> tuple[str, ...]:
        """The resource types that the entry is about."""
        spot = self.spot
        if spot.path[:1] == ("resource_types",) and len(spot.path) > 1:
            return (spot.path[1],)
        if spot.path[:1] == ("resources",):
            return spot.siblings.get("type", ())
        named = spot.siblings.get("resource", ())
        if spot.path[:1] == ("tests",):
            named = named or self._resources_of_test()
            return tuple(type_ for name in named for type_ in self._type_of_thing(name))
        return tuple(name for name in named if name != EVERY)

    def _resources_of_test(self) -> tuple[str, ...]:
        """What the test asks about in whose lines the cursor is, where it says so on one line."""
        rows = self.text.split("\n")
        starts = [number for number, row in enumerate(rows) if re.match(r" *- ", row)]
        if not starts:
            return ()
        first = min(len(rows[number]) - len(rows[number].lstrip()) for number in starts)
        entries = [number for number in starts if len(rows[number]) - len(rows[number].lstrip()) == first]
        begin = max((number for number in entries if number <= self.line), default=0)
        end = min((number for number in entries if number > self.line), default=len(rows))
        for row in rows[begin:end]:
            if found := re.match(r"[ -]*resource:\s+(.+?)\s*$", row):
                return tuple(part.strip().strip("\"'") for part in found[1].strip("[]").split(",") if part.strip())
        return ()

    def _type_of_thing(self, name: str) -> Iterator[str]:
        """The type of a resource of this test file, as far as it is on the line that names it, or on one below."""
        found = re.search(rf"^  {re.escape(name)}:.*?\btype:\s*([\w.\-]+)", self.text, re.MULTILINE | re.DOTALL)
        if found:
            yield found[1]

    def _actions(self) -> Iterator[Offer]:
        known = self.names.resource_types
        types = [type_ for type_ in self._types() if type_ in known] or list(known)
        for type_ in types:
            for action in known[type_]:
                yield Offer(action, "action", f"An action of {type_}.", self.spot.start)

    def _condition(self) -> Iterator[Offer]:
        # Only the last word of what is typed is replaced.
        word = re.search(r"[\w.]*$", self.spot.typed)
        start = self.spot.start + (word.start() if word else 0)
        for name, text in self.names.conditions.items():
            yield Offer(name, "condition", text, start)
        for name, about in self._properties(self._types()):
            yield Offer(name, "property", about, start)
        for function in FUNCTIONS.values():
            call = "(" if function.form == "call" else ""
            yield Offer(f"{function.name}{call}", "word", f"{function.about} {function.example}", start)
        for word_ in ("and", "or", "not"):
            yield Offer(word_, "word", "", start)

    def _properties(self, types: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The attributes that are declared, or that are read anywhere, with where."""
        seen: dict[str, str] = {}
        for mention in self.mentions:
            if mention.kind == "property" and not (types and mention.types and not set(types) & set(mention.types)):
                about = f"declared in {mention.place.file}" if mention.is_declaration else ""
                seen[mention.name] = seen.get(mention.name) or about
        for own in ("subject.id", "subject.type", "resource.id", "action.name", "context.now"):
            seen.setdefault(own, "")
        yield from seen.items()

    def _places(self) -> Iterator[Offer]:
        places = dict.fromkeys(mention.name for mention in self.mentions if mention.kind == "place")
        yield from (Offer(place, "place", "", self.spot.start) for place in places if place != EVERY)
        if self.spot.path[:1] in (("people",), ("resources",), ("subjects",)):
            return  # somebody or something is in one place
        for depth, level in enumerate(self.names.levels[1:], 2):
            yield Offer(f'"{"/".join([EVERY] * depth)}"', "place", f"Every {level}, and all below it.", self.spot.start)

    def _of_tests(self) -> Iterator[Offer]:
        """The people and the resources of a test file, where a test names them."""
        path = self.spot.path
        if path[:1] == ("resources",) and path[-1:] == ("in",):
            yield from self._places()
        if path[:1] != ("tests",):
            return
        last = next((part for part in reversed(path) if part), "")
        asks_whom = "who_can" in self.spot.siblings
        if last == "resource":
            yield from self._of_section("resources")
        elif last in ("people", "what_can") or (last == "answer" and asks_whom):
            yield from self._of_section("people")
        elif last == "answer":
            yield from self._actions()

    def _of_section(self, section: Literal["people", "resources"]) -> Iterator[Offer]:
        found = re.search(rf"^{section}:\s*\n((?:[ \t]+.*\n|\s*\n|#.*\n)*)", self.text + "\n", re.MULTILINE)
        names: Mapping[str, None] = (
            dict.fromkeys(re.findall(r"^  ([^\s#:][^:\n]*):", found[1], re.MULTILINE)) if found else {}
        )
        yield from (
            Offer(self._quoted(name.strip("\"'")), "value", f"One of the {section} of this file.", self.spot.start)
            for name in names
        )

    def _quoted(self, name: str) -> str:
        """A name as it is written where the cursor is: in quotes where YAML would read it otherwise, and none stand there yet."""
        before = self.text.split("\n")[self.line][: self.spot.start]
        in_brackets = before.count("[") + before.count("{") > before.count("]") + before.count("}")
        if before[-1:] in ("'", '"') or not (in_brackets and re.search(r"[,\[\]{}]", name)):
            return name
        return f'"{name}"'
