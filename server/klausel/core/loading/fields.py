"""Taking the parts of a YAML mapping by name, with a problem for each that is missing, unknown or of another kind."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence

from klausel.core.policy.role_hints import hint_on_role
from klausel.core.terms.problem import Place, Problem, Suggestions
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

_KINDS: dict[type, str] = {Text: "a text", Items: "a list", Fields: "keys and values"}
_HOW = {
    "a text": "write one value behind the colon; a text that starts with [ or { stands in quotes",
    "a text or a list of texts": "write one value behind the colon, or [one, two]",
    "a list": "start each entry with a dash, or write [one, two]",
    "keys and values": "write lines of the form `key: value`, indented, without a dash",
}
_INSTEAD = {"when": "write one condition, with what it asks for joined by `and` or `or`: when: is_open and is_urgent"}

WORDS_OF_OTHERS = {
    **dict.fromkeys(
        ("permit", "grant", "role", "roles", "principal", "principals", "grantee", "who", "derivedroles"), ("allow",)
    ),
    **dict.fromkeys(("forbid",), ("deny",)),
    **dict.fromkeys(("action", "actions", "verb", "verbs", "permission", "permissions"), ("to",)),
    **dict.fromkeys(("type", "types", "resources", "resource_type", "object", "on"), ("resource",)),
    **dict.fromkeys(("condition", "conditions", "if", "unless", "where"), ("when",)),
    **dict.fromkeys(("since", "starts", "valid_from", "not_before"), ("from",)),
    **dict.fromkeys(("expires", "ends", "till", "valid_until", "not_after"), ("until",)),
    **dict.fromkeys(("domain", "tenant", "scope", "at", "place"), ("in",)),
    **dict.fromkeys(("reason", "comment", "note"), ("because",)),
    **dict.fromkeys(("inherits", "extends", "parents", "includes", "implies"), ("contains",)),
    **dict.fromkeys(("formerly", "former_names", "renamed_from"), ("was",)),
}
"""Keys of other policy languages, with those that say it here."""

_UNREAD = "unread-key"
_EXCEPT = 'name those whom it is for; one person is left out by `when: subject.id != "ann"`. '
_NO_ORDER = "grants have no order: a deny beats every allow. "
_NO_SWITCH = "a grant that stands here holds; remove it, or let it end with `until`. "
_INSTEAD_OF_KEYS = {
    **dict.fromkeys(("priority", "order", "weight", "precedence"), _NO_ORDER),
    **dict.fromkeys(("enabled", "disabled", "active", "inactive", "status", "state"), _NO_SWITCH),
    "unless": "say the opposite: `when: not (…)`. ",
    "effect": "begin the grant with `allow:` or `deny:` and the role. ",
    **dict.fromkeys(("except", "except_for", "excluding", "exclude", "but_not"), _EXCEPT),
}
_HOMES = {
    **dict.fromkeys(("grants", "resource_types"), "a file in features/"),
    **dict.fromkeys(("levels", "roles"), "roles.yaml"),
    **dict.fromkeys(("subject_types", "stored", "subject", "action", "context"), "properties.yaml"),
    **dict.fromkeys(("subject_from", "leavers_lose", "groups"), "provisioning.yaml"),
    "conditions": "conditions.yaml, each under its name",
    "invariants": "invariants.yaml",
    **dict.fromkeys(("tests", "people"), "a file tests/*_test.yaml"),
}
"""Where that stands which is written at the head of a file."""

_OF_NAMES = "start with a letter; letters, digits, `_`, `-` and `.` may follow, 64 characters at most"
OF_TYPES_AND_ACTIONS = (
    "start with a letter; letters, digits and `_-.:/#?=&%+~@` may follow, and single blanks between words; "
    "255 characters at most"
)
"""What to do about a name of a resource type or an action."""

_LIMITING, _NEEDED = "say what it is limited to here; without this key, it is not limited", "name at least one"
_HINTS_IF_EMPTY = {
    **dict.fromkeys(("in", "when", "at_level", "from", "until"), _LIMITING),
    **dict.fromkeys(("to", "resource", "actions", "allow", "deny", "always"), _NEEDED),
    **dict.fromkeys(("at_most", "never"), f"{_NEEDED}; that nobody may at all is never: anyone"),
}
"""What to do where a key says nothing: no hint leads to a grant without its limits, nor to one without what it needs."""


class ProblemList:
    """Gathers problems while files are read."""

    def __init__(self, suggestions: Suggestions | None = None) -> None:
        self.found: list[Problem] = []
        self.suggestions = suggestions or Suggestions()
        self._claimed: list[tuple[Fields, Collection[str]]] = []

    def add(self, place: Place, id_: str, message: str, hint: str = "", name: str = "") -> None:
        """Adds an error; says which letter of a misspelt name is not the one that it looks like, and how several are written.

        `name` is the unknown name that might be several.
        """
        parts = [part for one in name.split(",") if (part := one.strip(" ()[]"))] if '"' not in name else []
        if len(parts) > 1:
            hint = f"write several names as a list: [{', '.join(parts)}]"
        elif parts and ("," in name or name[-1] in "[](){}"):
            hint = f'did you mean "{parts[0]}"? {hint}'.replace(
                f'"{parts[0]}"? did you mean "{parts[0]}"?', f'"{parts[0]}"?'
            )
        elif id_ == "unknown-action" and len(parts := re.split(r"\s*;\s*| (?:and|or|und) ", name)) > 1:
            hint = f"write several names as a list: [{', '.join(parts)}]"
        elif id_ == "unknown-action" and "*" in name:
            hint = f"a star stands for no part of a name; write the actions as a list. {hint}"
        elif id_ == "unknown-action" and name.lower() in ("all", "any", "everything", "anything"):
            hint = f'all actions of a type are written "*". {hint}'
        if id_.startswith("unknown-") and "did you mean" in hint:
            odd = next((char for char in message if not char.isascii() and char not in hint), None)
            if odd:
                hint += f"; its `{odd}` is U+{ord(odd):04X}, {unicodedata.name(odd, 'without a name').lower()}"
        self.found.append(Problem(place, id_, message, hint[:1].lower() + hint[1:]))

    def did_you_mean(self, name: str, known: Collection[str], is_one: bool = False) -> str:
        """The start of a hint that names the known name which is most like another; empty where none is near.

        `is_one` where only one name can stand.
        """
        if not is_one and (several := _several(name, known)):
            return f"write several names as a list: [{', '.join(several)}]. "
        near = self.suggestions.nearest(name, known)
        return f'did you mean "{near}"? ' if near else ""

    def unknown(
        self, text: Text, id_: str, known: Collection[str], cure: str, where: str = "", is_one: bool = False
    ) -> None:
        """Adds the problem of a name that nobody declares, such as `unknown-level`; names the one that is most like it."""
        message = f'{id_.replace("-", " ")} "{text.value}"{where}'
        name = text.value if id_ == "unknown-action" else ""
        self.add(text.place, id_, message, f"{self.did_you_mean(text.value, known, is_one)}{cure}", name=name)

    def warn(self, place: Place, id_: str, message: str, hint: str = "") -> None:
        """Adds a warning."""
        self.found.append(Problem(place, id_, message, hint, "warning"))

    def wrong_kind(self, node: Node, wanted: str, what: str) -> None:
        """Adds the problem of a node that is not the kind of value that belongs there."""
        how = _INSTEAD.get(what) or _HOW[wanted]
        if what.startswith("what ") and isinstance(node, Fields):
            how = "write one action or a list; a test says the same of all its resources, so write another for what differs"
        self.add(node.place, "wrong-kind", f"{what} is {_KINDS[type(node)]}, not {wanted}", how)

    def check_keys(self, fields: Fields, known: Collection[str], what: str) -> set[str]:
        """Adds a problem for each key that has no meaning there; returns the known keys that they seem to stand for."""
        self.claim(fields, known)
        meant = set()
        for number, (key, value) in enumerate(fields.entries):
            if key.value not in known:
                near = self.suggestions.nearest(key.value.lower(), known)
                if near is None:
                    near = next((word for word in WORDS_OF_OTHERS.get(key.value.lower(), ()) if word in known), None)
                start = f'did you mean "{near}"? ' if near else ""
                if "when" in known:
                    start = _INSTEAD_OF_KEYS.get(key.value, start)
                elif not near and key.value in _HOMES:
                    start = f'"{key.value}" stands in {_HOMES[key.value]}. '
                if not near and is_empty(value):
                    start = _without_bracket(fields.entries[:number]) or start
                hint = f"{start}The keys of {what} are {', '.join(known)}"
                self.add(key.place, "unknown-key", f'unknown key "{key.value}"', hint)
                meant |= {near} if near else set()
        return meant

    def claim(self, fields: Fields, known: Collection[str]) -> None:
        """Notes that these keys have a meaning there, so that each that is written must be read."""
        self._claimed.append((fields, known))

    def finished(self) -> list[Problem]:
        """All problems, once everything is read; where none is an error, also one for each key that nothing has read.

        What is declared and not read would be accepted and mean nothing. Beside an error, though it is of another file, much is
        passed over.
        """
        others = [problem for problem in self.found if problem.id != _UNREAD]
        if any(problem.severity == "error" for problem in others):
            return others
        for fields, known in self._claimed:
            for key, _ in fields.entries:
                if key.value in known and key.value not in fields.asked:
                    hint = "remove it; this is a fault of Klausel, which please report"
                    self.add(key.place, _UNREAD, f'nothing reads the key "{key.value}", so it would mean nothing', hint)
        return self.found

    def fields(self, node: Node | None, what: str) -> Fields | None:
        """The node as a mapping; None, with a problem, when it is something else. Missing or empty gives None."""
        if node is None or is_empty(node):
            return None
        if not isinstance(node, Fields):
            self.wrong_kind(node, "keys and values", what)
            return None
        return node

    def fields_of(self, name: Text, node: Node, what: str) -> Fields | None:
        """What is written under a name, as a mapping: an empty one where nothing is; None, with a problem, for anything else."""
        return Fields((), name.place) if is_empty(node) else self.fields(node, what)

    def entries(self, node: Node | None, what: str) -> Iterator[tuple[Text, Node]]:
        """The entries of a mapping; none, with a problem, when it is something else."""
        fields = self.fields(node, what)
        yield from fields.entries if fields else ()

    def items(self, node: Node | None, what: str) -> tuple[Node, ...]:
        """The values of a list; none, with a problem, when it is something else."""
        if node is None or is_empty(node):
            return ()
        if not isinstance(node, Items):
            self.wrong_kind(node, "a list", what)
            return ()
        return node.values

    def each(self, node: Node | None, what: str, one: str) -> Iterator[Fields]:
        """The mappings of a list; a problem for whatever else it has. `one` is what each is, such as "a grant"."""
        for item in self.items(node, what):
            fields = self.fields(item, one)
            if fields is not None:
                yield fields
            elif isinstance(item, Text) and not item.value:
                self.add(item.place, "wrong-kind", f"{one} is empty", f"remove the dash, or write {one}")

    def unknown_role(self, text: Text, declared: Collection[str] | None) -> None:
        """Adds the problem of a role that is not declared; none where that cannot be told, or it has a problem of its own."""
        if declared is not None and text.value not in declared:
            hint = hint_on_role(text.value, declared, self.suggestions)
            self.add(text.place, "unknown-role", f'unknown role "{text.value}"', hint, name=text.value)

    def text(self, node: Node | None, what: str) -> Text | None:
        """The node as a text that is not empty; None, with a problem, when it is something else."""
        if node is None:
            return None
        if not isinstance(node, Text):
            self.wrong_kind(node, "a text", what)
            return None
        if not node.value.strip():
            self.add(
                node.place, "wrong-kind", f"{what} is empty", _HINTS_IF_EMPTY.get(what, "write a value, or leave it out")
            )
            return None
        return node

    def texts(self, node: Node | None, what: str) -> list[Text]:
        """One text or a list of texts, each once; problems for anything else and for repeated ones."""
        if node is None:
            return []
        if isinstance(node, Text):
            one = self.text(node, what)
            return [] if one is None else [one]
        if isinstance(node, Items) and not node.values:
            self.add(
                node.place,
                "wrong-kind",
                f"{what} is an empty list",
                _HINTS_IF_EMPTY.get(what, "name at least one, or leave it out"),
            )
        nodes = node.values if isinstance(node, Items) else (node,)
        found: dict[str, Text] = {}
        for item in nodes:
            text = self.text(item, what) if isinstance(item, Text) else None
            if not isinstance(item, Text):
                self.wrong_kind(item, "a text or a list of texts" if item is node else "a text", what)
            if text is None:
                continue
            if text.value in found:
                self.add(text.place, "repeated-value", f'"{text.value}" is named twice', "name it once")
            found.setdefault(text.value, text)
        return list(found.values())

    def flag(self, node: Node | None, what: str) -> bool:
        """`true` or `false`; False when missing, with a problem for anything else."""
        text = self.text(node, what)
        if text is None or text.value in ("true", "false"):
            return text is not None and text.value == "true"
        self.add(text.place, "wrong-kind", f'{what} is "{text.value}"', "write true or false")
        return False

    def name(self, text: Text, what: str, is_good: Callable[[str], bool], hint: str = _OF_NAMES) -> bool:
        """Whether a declared name is well formed and not reserved; a problem when not."""
        if text.value in ("anyone", "any"):
            self.add(
                text.place, "bad-name", f'"{text.value}" cannot name {what}, it has a meaning of its own', "choose another"
            )
            return False
        if not is_good(text.value):
            several = text.value if len(text.value.split(",")) > 1 else ""
            self.add(text.place, "bad-name", f'"{text.value}" cannot name {what}', hint, name=several)
            return False
        return True


def _without_bracket(before: Sequence[tuple[Text, Node]]) -> str:
    """The start of a hint about a key that says nothing, where it may be a further value of the one before: `to: edit, read`."""
    if not before:
        return ""
    key, value = before[-1]
    if not isinstance(value, Text) or is_empty(value):
        return ""
    return f"if that is a further value of {key.value}, write a list: {key.value}: [{value.value}, …]. "


def _several(name: str, known: Collection[str]) -> list[str]:
    """The names meant by one: between commas or semicolons at least one that is known, between blanks only such."""
    for mark in (",", ";", None):
        parts = [part.strip() for part in name.split(mark)]
        if len(parts) > 1 and all(parts) and ({*parts} <= {*known} or (mark and not {*parts}.isdisjoint(known))):
            return parts
    return []


def is_empty(node: Node) -> bool:
    """Whether nothing is written where the node stands."""
    return isinstance(node, Text) and not node.value
