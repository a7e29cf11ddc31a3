"""Free functions: what their values do not tell may turn out in any way, but not in all ways together.

One address is not in two networks that share none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product

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


Ways = Collection[tuple[bool | None, ...]]
Asked = tuple[str, Sequence[object]]
"""A function and its values."""


def ways_together(
    ways: Mapping[object, Sequence[bool | None]], asked: Mapping[object, Asked]
) -> Iterator[Mapping[object, bool | None]]:
    """Every way in which questions can turn out together, by their keys; `asked` are those of them about which more is known.

    Questions about one value, of functions that have `together` in common, turn out as that says.
    """
    about: dict[object, list[object]] = {key: [key] for key in ways if key not in asked}
    for key, (function, values) in asked.items():
        together = FUNCTIONS[function].together
        about.setdefault(key if together is None else (together, values[0]), []).append(key)
    factors = [(keys, _together(keys, asked) or product(*(ways[key] for key in keys))) for keys in about.values()]
    for chosen in product(*(ways_of_keys for _, ways_of_keys in factors)):
        yield {
            key: way for (keys, _), some in zip(factors, chosen, strict=True) for key, way in zip(keys, some, strict=True)
        }


def _together(keys: Sequence[object], asked: Mapping[object, Asked]) -> Ways | None:
    together = FUNCTIONS[asked[keys[0]][0]].together if keys[0] in asked and len(keys) > 1 else None
    if together is None:
        return None
    return together([FUNCTIONS[function].reads(values[1]) for function, values in map(asked.__getitem__, keys)])
