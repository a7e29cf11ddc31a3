"""The request of a stock Casbin pair: which fields it has for domains and properties, and how its matcher reads them.

Every field is a text, and "" where there is nothing. A boolean is "true" or "false".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal as Choice

from klausel.core.conditions.tree import OWN_ATTRIBUTES, Attribute
from klausel.core.policy.roles import Level, RoleModel

FieldKind = Choice["text", "boolean"]

_TAKEN = {"sub", "dom", "obj", "act", "eft", "lvl", "at", "cond", "priority", "subject_type", "subject_id"}
"""Names that mean something to the model, or to a Casbin."""
_FIELD_OF_OWN = {
    Attribute("subject", ("type",)): "subject_type",
    Attribute("subject", ("id",)): "subject_id",
    Attribute("resource", ("type",)): "obj",
    Attribute("action", ("name",)): "act",
}
_IN_MATCHER = re.compile(r"[\w\-.:/@+%]+( [\w\-.:/@+%]+)*")
_REWRITTEN = re.compile(r"\b[rp]\d*\.")


def is_plain(text: str) -> bool:
    """Whether all readers of stock policy files, of Python and of JavaScript, read a field as it is."""
    return text.isprintable() and text == text.strip() and not any(one in text for one in ",\"#\\()[]'")


def is_plain_in_matcher(text: str) -> bool:
    """Whether a text in quotes stays as it is in a matcher, which Casbins rewrite before they read it."""
    return text.isprintable() and _IN_MATCHER.fullmatch(text) is not None and _REWRITTEN.search(text) is None


def quoted(text: str) -> str:
    """A text for which `is_plain_in_matcher` holds, as a matcher has it."""
    return f'"{text}"'


@dataclass
class Layout:
    """The fields of a request: who asks, the levels of domains, type and action, and the properties that conditions read."""

    levels: tuple[Level, ...]
    of_levels: tuple[str | None, ...]
    """The field of each level; None for one with a constant domain."""
    of_properties: dict[Attribute, str] = field(default_factory=dict)

    @classmethod
    def of(cls, roles: RoleModel) -> Layout:
        """That of the levels, without properties."""
        named: list[str | None] = []
        for level in roles.levels:
            if level.constant is not None:
                named.append(None)
            else:
                named.append("dom" if len(roles.levels) == 1 else _free(level.name, {*_TAKEN, *filter(None, named)}))
        return cls(roles.levels, tuple(named))

    @property
    def level_fields(self) -> list[str]:
        """The fields of the levels that requests name, top first."""
        return [name for name in self.of_levels if name is not None]

    @property
    def fields(self) -> list[str]:
        """All fields, in their order."""
        who = ["subject_type", "subject_id"] if self._reads_subject else ["sub"]
        own = {*who, "obj", "act"}
        return [*who, *self.level_fields, "obj", "act", *(name for name in self.of_properties.values() if name not in own)]

    @property
    def subject(self) -> str:
        """The subject as g rows have it."""
        return 'r.subject_type + ":" + r.subject_id' if self._reads_subject else "r.sub"

    @property
    def _reads_subject(self) -> bool:
        return any(name in ("subject_type", "subject_id") for name in self.of_properties.values())

    def add(self, attributes: Iterable[Attribute]) -> None:
        """Gives each of these a field of its own."""
        for attribute in attributes:
            if attribute not in self.of_properties:
                taken = {*_TAKEN, *self.level_fields, *self.of_properties.values()}
                name = _FIELD_OF_OWN.get(attribute) or _free("_".join((attribute.root, *attribute.path)), taken)
                self.of_properties[attribute] = name

    def field_of(self, attribute: Attribute) -> str:
        """How the matcher reads a property."""
        return f"r.{self.of_properties[attribute]}"

    def domain(self, depth: int) -> str:
        """The domain of a level as g rows have it; needs `named`."""
        parts: list[str] = []
        text = ""
        for number, (level, name) in enumerate(zip(self.levels[:depth], self.of_levels, strict=False)):
            text += "/" if number else ""
            if name is None:
                text += level.constant or ""
            else:
                parts += ([quoted(text)] if text else []) + [f"r.{name}"]
                text = ""
        return " + ".join([*parts, quoted(text)] if text else parts)

    def named(self, depth: int) -> list[str]:
        """What holds where a request names a domain of this depth or below; all of it."""
        return [f'r.{name} != ""' for name in self.of_levels[:depth] if name is not None][-1:]

    def exactly(self, depth: int) -> list[str] | None:
        """What holds where a request names a domain of just this depth; None where no request can."""
        if depth == len(self.levels):
            return self.named(depth)
        below = self.of_levels[depth]
        return None if below is None else [*self.named(depth), f'r.{below} == ""']

    @property
    def is_one_domain(self) -> list[str]:
        """What holds where a request that names a level names those above it, too; all of it."""
        fields = self.level_fields
        return [f'(r.{below} == "" || r.{above} != "")' for above, below in itertools.pairwise(fields)]


def is_own(attribute: Attribute) -> bool:
    """Whether it is no property: a type, an id, or the name of the action."""
    return len(attribute.path) == 1 and attribute.path[0] in OWN_ATTRIBUTES[attribute.root]


def _free(name: str, taken: Iterable[str] | Mapping[str, object]) -> str:
    """A name of ASCII letters, digits and `_` that is not taken, as near to this one as can be."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII)
    if base[:1].isdigit():
        base = "_" + base
    number, found = 1, base
    while found in taken:
        number += 1
        found = f"{base}_{number}"
    return found
