"""Names that look alike: in all but case, but for one letter, or with two letters in the wrong order."""

from __future__ import annotations

import re
import unicodedata

from klausel.core.terms.lookalikes import as_seen

SHORTEST_NAME = 5
SHORTEST_PART = 3
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SAME_SOUND = ({"c", "k"}, {"s", "z"}, {"i", "y"}, {"y", "z"})
"""Letters that are taken for each other; y and z change their places between keyboards."""
_DOT = re.compile(r"\.")
_PARTS = re.compile(r"[_\-:/.]")


def folded_name(name: str) -> str:
    """A name without what the eye does not tell apart: case, and letters of another width or of another alphabet."""
    return unicodedata.normalize("NFKC", as_seen(name)).casefold()


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


def is_misspelt_value(one: str, other: str) -> bool:
    """Whether two values look alike, short ones too: `ady` and `day`, `opn` and `open`; but not `low` and `mow`."""
    if not is_similar(one, other, SHORTEST_PART):
        return False
    is_another_letter = len(one) == len(other) and sorted(folded_name(one)) != sorted(folded_name(other))
    return not is_another_letter or len(one) > SHORTEST_PART


def odd_letter(one: str, other: str) -> str:
    """What to add to a message about two names that may look the same: the letter that tells them apart; else nothing."""
    odd = next((letter for letter in one if not letter.isascii() and letter not in other), None)
    return "" if odd is None else f"; its `{odd}` is U+{ord(odd):04X}, {unicodedata.name(odd, 'without a name').lower()}"


def is_slip(one: str, other: str) -> bool:
    """Whether names that look alike also differ as by a slip of a finger, not as two words do (`watch` and `patch`)."""
    one, other = folded_name(one), folded_name(other)
    start = _length_in_common(one, other)
    end = _length_in_common(one[start:][::-1], other[start:][::-1])
    middle = one[start : len(one) - end], other[start : len(other) - end]
    if one == other or any(_PARTS.search(part) for part in middle):
        return True
    if start == 0 or min(len(one), len(other)) < SHORTEST_NAME:
        return False
    return not (len(middle[0]) == len(middle[1]) == 1) or _are_taken_for_each_other(*middle)


def _are_taken_for_each_other(one: str, other: str) -> bool:
    """Whether two letters lie side by side on a keyboard, or sound alike."""
    spots = [(row, keys.index(letter)) for letter in (one, other) for row, keys in enumerate(_KEYS) if letter in keys]
    near = len(spots) == 2 and abs(spots[0][0] - spots[1][0]) <= 1 and abs(spots[0][1] - spots[1][1]) <= 1
    return near or {one, other} in _SAME_SOUND


def _apart(one: str, other: str, signs: re.Pattern[str]) -> int:
    """How long the longer of the parts that differ is, when both are split at some signs."""
    parts = zip(signs.split(one), signs.split(other), strict=False)
    return max((max(len(left), len(right)) for left, right in parts if left != right), default=0)


def _length_in_common(one: str, other: str) -> int:
    return next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other))
    )
