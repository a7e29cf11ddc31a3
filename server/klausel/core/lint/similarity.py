"""Names that look alike: in all but case, but for one letter, or with two letters in the wrong order."""

from __future__ import annotations

import re
import unicodedata

SHORTEST_NAME = 5
SHORTEST_PART = 3
_DOT = re.compile(r"\.")
_PARTS = re.compile(r"[_\-:/.]")


def folded_name(name: str) -> str:
    """A name without what the eye does not tell apart: case, and letters of another width."""
    return unicodedata.normalize("NFKC", name).casefold()


def spellings(name: str) -> set[str]:
    """What names that look alike have in common with each other: they share one of these at least."""
    folded = folded_name(name)
    return {folded, *(folded[:at] + folded[at + 1 :] for at in range(len(folded)))}


def is_similar(one: str, other: str, shortest: int = SHORTEST_NAME) -> bool:
    """Whether two different names look alike; `shortest` is how long a name must be for a letter to be a slip."""
    one_folded, other_folded = folded_name(one), folded_name(other)
    if one_folded == other_folded:
        return True
    start = _length_in_common(one_folded, other_folded)
    end = _length_in_common(one_folded[start:][::-1], other_folded[start:][::-1])
    middle = one_folded[start : len(one_folded) - end], other_folded[start : len(other_folded) - end]
    swapped = len(middle[0]) == 2 and middle[0] == middle[1][::-1]
    if not (swapped or max(map(len, middle)) <= 1):
        return False
    if any(part.isdigit() for part in middle):
        return False
    if any(_PARTS.search(part) for part in middle):
        return max(len(one), len(other)) >= shortest
    names, parts = _apart(one_folded, other_folded, _DOT), _apart(one_folded, other_folded, _PARTS)
    return names >= shortest and parts >= SHORTEST_PART


def _apart(one: str, other: str, signs: re.Pattern[str]) -> int:
    """How long the longer of the parts that differ is, when both are split at some signs."""
    parts = zip(signs.split(one), signs.split(other), strict=False)
    return max((max(len(left), len(right)) for left, right in parts if left != right), default=0)


def _length_in_common(one: str, other: str) -> int:
    return next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other))
    )
