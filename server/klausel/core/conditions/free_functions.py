"""Free functions: what their values do not tell may turn out in any way, but not in all ways together.

One address is not in two networks that share none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, product

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import Atom, Call, kinds_taken, terms_of
from klausel.core.conditions.values import kind_of

_SOMETHING = "x1"
"""A text like any other."""


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
    keys: Sequence[object], ways: Mapping[object, Sequence[bool | None]], asked: Mapping[object, Asked]
) -> Iterator[tuple[bool | None, ...]]:
    """Every way in which questions can turn out together, in the order of their keys; `asked` are those that are told more of.

    Questions about one value, of functions that have `together` in common, turn out as that says. `ways` are those of each key.
    """
    about: dict[object, list[object]] = {key: [key] for key in ways if key not in asked}
    for key, (function, values) in asked.items():
        together = FUNCTIONS[function].together
        about.setdefault(key if together is None else (together, values[0]), []).append(key)
    factors: list[tuple[Sequence[object], Ways]] = []
    for some in about.values():
        found = _together(some, asked)
        factors += [([key], [(way,) for way in ways[key]]) for key in some] if found is None else [(some, found)]
    places = {key: place for place, key in enumerate(chain.from_iterable(some for some, _ in factors))}
    order = [places[key] for key in keys]
    for chosen in product(*(ways_of_some for _, ways_of_some in factors)):
        truths = list(chain.from_iterable(chosen))
        yield tuple([truths[place] for place in order])


def _together(keys: Sequence[object], asked: Mapping[object, Asked]) -> Ways | None:
    return _ways_of([asked[key] for key in keys]) if keys[0] in asked else None


def _ways_of(asked: Sequence[Asked]) -> Mapping[tuple[bool | None, ...], Sequence[str]] | None:
    """The ways of questions about one value, of functions that have `together` in common."""
    together = FUNCTIONS[asked[0][0]].together
    return together([FUNCTIONS[function].reads(values[1]) for function, values in asked]) if together is not None else None


def likely_texts(asked: Sequence[Asked], wanted: Sequence[bool | None]) -> Iterator[str]:
    """Texts for which questions about one value may turn out as wanted: such as people would write first, then shorter ones."""
    yield _SOMETHING
    for _, (_, second) in asked:
        if isinstance(second, str):
            likely = second.replace("**", _SOMETHING).replace("*", _SOMETHING).replace("?", _SOMETHING[0])
            longer = (likely + _SOMETHING, _SOMETHING + likely)
            yield from (*longer, likely) if likely == second else (likely, *longer)
    by_function: dict[object, list[int]] = {}
    for position, (function, _) in enumerate(asked):
        by_function.setdefault(FUNCTIONS[function].together, []).append(position)
    for positions in by_function.values():
        ways = _ways_of([asked[position] for position in positions])
        for text in (ways or {}).get(tuple([wanted[position] for position in positions]), ()):
            yield from (text, text + _SOMETHING, _SOMETHING + text)
