"""Free functions: what their values do not tell may turn out in any way, but not in all ways together.

One address is not in two networks that share none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import Atom, Call, kinds_taken, terms_of
from klausel.core.conditions.values import kind_of


def is_free(atom: Atom) -> bool:
    """Whether a value that stands for others does not tell what comes out."""
    if not isinstance(atom, Call):
        return False
    function = FUNCTIONS[atom.function]
    lists = [term for term in terms_of(atom) if "list" in kinds_taken(atom, term)]
    return function.told_by == "free" or len(lists) > 1


def kinds_fit(atom: Call, values: Sequence[object]) -> bool:
    """Whether a function takes values of these kinds."""
    parameters = FUNCTIONS[atom.function].parameters
    return all(not one.kinds or kind_of(value) in one.kinds for one, value in zip(parameters, values, strict=True))


Asked = tuple[str, Sequence[object]]
"""A function and its values."""
Narrowing = tuple[Sequence[object], Collection[tuple[bool | None, ...]]]
"""Questions, by their keys, and every way in which these can turn out together."""


def narrowings(asked: Mapping[object, Asked]) -> list[Narrowing]:
    """For each value that several questions of one function are about: what they can be together."""
    about: dict[object, list[object]] = {}
    for key, (function, values) in asked.items():
        if FUNCTIONS[function].together is not None:
            about.setdefault((function, values[0]), []).append(key)
    return [(keys, _together(asked[key] for key in keys)) for keys in about.values() if len(keys) > 1]


def _together(asked: Iterable[Asked]) -> Collection[tuple[bool | None, ...]]:
    functions, values = zip(*asked, strict=True)
    together = FUNCTIONS[functions[0]].together
    assert together is not None
    return together([second for _, second in values])


def can_be(turned_out: Mapping[object, bool | None], narrowed: Iterable[Narrowing]) -> bool:
    """Whether questions can turn out so."""
    return all(tuple([turned_out[key] for key in keys]) in ways for keys, ways in narrowed)
