"""Reading `conditions.yaml`: conditions with a name, which may use each other but not in a circle."""

from __future__ import annotations

import re
from collections.abc import Sequence

from klausel.core.conditions.parser import CONDITION_FAULTY, KEYWORDS, named_conditions_in, parse_condition
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import Condition
from klausel.core.loading.dependency_order import used_first
from klausel.core.loading.fields import ProblemList
from klausel.core.policy.policy_set import NamedCondition
from klausel.core.terms.identifiers import is_name
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Text

_WORD = re.compile(r"[^\W\d]\w*")


class NamedConditions:
    """The named conditions, each parsed once, whatever the order in which they use each other.

    `named` has those without a problem, in the order of the file; `left_out` the names of the others. With `is_readable`
    False the file is there but could not be read, so no name is called unknown.
    """

    def __init__(self, root: Fields | None, is_readable: bool, problems: ProblemList) -> None:
        self._problems = problems
        self._texts: dict[str, tuple[Text, Text]] = {}
        self._known: dict[str, None] = {} if is_readable else _AnyName()
        self._trees: dict[str, Condition] = {}
        self._parsed: dict[str, Condition] = {}
        self._is_whole = False
        for label, node in root.entries if root else ():
            self._known[label.value] = None
            if _is_good_condition_name(label, problems):
                text = problems.text(node, f"condition {label.value}")
                if text is not None:
                    self._texts[label.value] = (label, text)
        uses = {name: self._uses_of(name) for name in self._texts}
        for name in used_first({name: used or {} for name, used in uses.items()}, self._report_cycle):
            tree = self._tree(self._texts[name][1]) if uses[name] is not None else None
            if tree is not None:
                self._trees[name] = tree
        self._is_whole = True
        self.named = {
            name: NamedCondition(name, text.value.strip(), self._trees[name], label.place)
            for name, (label, text) in self._texts.items()
            if name in self._trees
        }
        self.left_out = tuple(label for label, _ in (root.entries if root else ()) if label.value not in self.named)

    def parse(self, text: Text) -> Condition:
        """The tree of a condition's text, one and the same for equal texts; raises `ExpressionFault`."""
        tree = self._parsed.get(text.value)
        if tree is None:
            tree = parse_condition(text.value, self._trees.get, self._known, self._problems.suggestions)
            if self._is_whole:
                self._parsed[text.value] = tree
        return tree

    def place_in(self, text: Text, sought: Sequence[str], inner: str) -> Place:
        """Where a text stands in the first of some others that is there, in a condition's text or in one that it uses."""
        seen: set[str] = set()
        waiting = [text]
        while waiting:
            one = waiting.pop(0)
            found = next((what for what in sought if what in one.value), None)
            if found is not None:
                return one.place_at(one.value.index(found) + max(found.find(inner), 0))
            names = [name for name in _WORD.findall(one.value) if name in self._texts and name not in seen]
            seen.update(names)
            waiting += [self._texts[name][1] for name in names]
        return text.place

    def _uses_of(self, name: str) -> dict[str, int] | None:
        """The conditions that one uses; None, with its problem, where it cannot be read."""
        text = self._texts[name][1]
        try:
            used = named_conditions_in(text.value, self._known)
        except ExpressionFault as fault:
            self._problems.add(text.place_at(fault.offset), fault.id, fault.message, fault.hint)
            return None
        return {other: offset for other, offset in used.items() if other in self._texts}

    def _tree(self, text: Text) -> Condition | None:
        try:
            return self.parse(text)
        except ExpressionFault as fault:
            if fault.id != CONDITION_FAULTY:
                self._problems.add(text.place_at(fault.offset), fault.id, fault.message, fault.hint)
            return None

    def _report_cycle(self, members: list[str], offset: int) -> None:
        place = self._texts[members[-2]][1].place_at(offset)
        message = f"conditions use each other: {' uses '.join(members)}"
        if len(members) == 2:
            message = f"condition {members[0]} uses itself"
        self._problems.add(place, "condition-cycle", message, "write one of them without the other")


class _AnyName(dict[str, None]):
    """The names of a file that could not be read: it may declare any."""

    def __contains__(self, name: object) -> bool:
        return True


def _is_good_condition_name(name: Text, problems: ProblemList) -> bool:
    if name.value in KEYWORDS:
        message = f'"{name.value}" cannot name a condition, it has a meaning of its own'
        problems.add(name.place, "bad-name", message, "choose another")
        return False
    if not name.value.isidentifier():
        hint = "start with a letter; letters, digits and `_` may follow"
        problems.add(name.place, "bad-name", f'"{name.value}" cannot name a condition', hint)
        return False
    return problems.name(name, "a condition", is_name)
