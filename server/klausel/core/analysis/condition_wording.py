"""Conditions in the words of the policy set: by the names that `conditions.yaml` gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from klausel.core.conditions.tree import AllOf, AnyOf, Condition, negate
from klausel.core.policy.fitting import without_guards
from klausel.core.policy.policy_set import NamedCondition


def in_words(condition: Condition, names: Mapping[str, NamedCondition], brought: frozenset[Condition] = frozenset()) -> str:
    """The text of a condition in which every part that has a name stands under it; the longest names first.

    `brought` is what declared types bring into it, as `without_guards` takes it.
    """
    named = sorted(names.values(), key=lambda one: (-_size(one.tree), one.name))
    return _words(without_guards(condition, brought), named)


def _size(condition: Condition) -> int:
    return sum(map(_size, condition.parts)) + 1 if isinstance(condition, AllOf | AnyOf) else 1


def _words(condition: Condition, named: Iterable[NamedCondition]) -> str:
    for one in named:
        if one.tree == condition:
            return one.name
        if isinstance(condition, AllOf | AnyOf) and negate(one.tree) == condition:
            return f"not {one.name}"
    if not isinstance(condition, AllOf | AnyOf):
        return str(condition)
    parts = list(condition.parts)
    texts: list[tuple[int, str]] = []
    for one in named:
        if type(one.tree) is type(condition) and isinstance(one.tree, AllOf | AnyOf) and set(one.tree.parts) <= set(parts):
            texts.append((condition.parts.index(one.tree.parts[0]), one.name))
            parts = [part for part in parts if part not in one.tree.parts]
    for part in parts:
        text = _words(part, named)
        texts.append((condition.parts.index(part), f"({text})" if isinstance(part, AnyOf) and " or " in text else text))
    return (" and " if isinstance(condition, AllOf) else " or ").join(text for _, text in sorted(texts))


def names_used(texts: Iterable[str], names: Mapping[str, NamedCondition]) -> list[NamedCondition]:
    """The named conditions that occur in texts, and those in their own texts; in the order of the file."""
    waiting, found = list(texts), set()
    while waiting:
        for word in re.findall(r"[\w.\-]+", waiting.pop()):
            if word in names and word not in found:
                found.add(word)
                waiting.append(names[word].text)
    return [one for name, one in names.items() if name in found]
