"""Taking the parts of a YAML mapping by name, with a problem for each that is missing, unknown or of another kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from klausel.core.problem import Place, Problem, did_you_mean
from klausel.core.yaml_nodes import Fields, Items, Node, Text

_KINDS = {Text: "a text", Items: "a list", Fields: "keys and values"}


class ProblemList:
    """Gathers problems while files are read."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, place: Place, id_: str, message: str, hint: str = "") -> None:
        """Adds an error."""
        self.found.append(Problem(place, id_, message, hint))

    def warn(self, place: Place, id_: str, message: str, hint: str = "") -> None:
        """Adds a warning."""
        self.found.append(Problem(place, id_, message, hint, "warning"))

    def wrong_kind(self, node: Node, wanted: str, what: str) -> None:
        """Adds the problem of a node that is not the kind of value that belongs there."""
        self.add(node.place, "wrong-kind", f"{what} is {_KINDS[type(node)]}, not {wanted}", "see policies/README.md")

    def check_keys(self, fields: Fields, known: Collection[str], what: str) -> None:
        """Adds a problem for each key that has no meaning there."""
        for key, _ in fields.entries:
            if key.value not in known:
                hint = f"{did_you_mean(key.value, known)}The keys of {what} are {', '.join(known)}"
                self.add(key.place, "unknown-key", f'unknown key "{key.value}"', hint)

    def fields(self, node: Node | None, what: str) -> Fields | None:
        """The node as a mapping; None, with a problem, when it is something else. Missing or empty gives None."""
        if node is None or _is_empty(node):
            return None
        if not isinstance(node, Fields):
            self.wrong_kind(node, "keys and values", what)
            return None
        return node

    def entries(self, node: Node | None, what: str) -> Iterator[tuple[Text, Node]]:
        """The entries of a mapping; none, with a problem, when it is something else."""
        fields = self.fields(node, what)
        yield from fields.entries if fields else ()

    def items(self, node: Node | None, what: str) -> tuple[Node, ...]:
        """The values of a list; none, with a problem, when it is something else."""
        if node is None or _is_empty(node):
            return ()
        if not isinstance(node, Items):
            self.wrong_kind(node, "a list", what)
            return ()
        return node.values

    def text(self, node: Node | None, what: str) -> Text | None:
        """The node as a text that is not empty; None, with a problem, when it is something else."""
        if node is None:
            return None
        if not isinstance(node, Text):
            self.wrong_kind(node, "a text", what)
            return None
        if not node.value.strip():
            self.add(node.place, "wrong-kind", f"{what} is empty", "write a value, or leave the key out")
            return None
        return node

    def texts(self, node: Node | None, what: str) -> list[Text]:
        """One text or a list of texts, each once; problems for anything else and for repeated ones."""
        if node is None:
            return []
        if isinstance(node, Items) and not node.values:
            self.add(node.place, "wrong-kind", f"{what} is an empty list", "name at least one, or leave the key out")
        nodes = node.values if isinstance(node, Items) else (node,)
        found: dict[str, Text] = {}
        for item in nodes:
            text = self.text(item, what)
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

    def name(self, text: Text, what: str, is_good: Callable[[str], bool]) -> bool:
        """Whether a declared name is well formed and not reserved; a problem when not."""
        if text.value in ("anyone", "any"):
            self.add(text.place, "bad-name", f'"{text.value}" cannot name {what}; the word has a meaning', "choose another")
            return False
        if not is_good(text.value):
            hint = "start with a letter; letters, digits, `_`, `-` and `.` may follow, 64 characters at most"
            self.add(text.place, "bad-name", f'"{text.value}" cannot name {what}', hint)
            return False
        return True


def _is_empty(node: Node) -> bool:
    return isinstance(node, Text) and not node.value
