"""What literal patterns can be of one text together: exactly, by reading every text that there is through all of them at once.

No text is like both `a*` and `b*`, and each that ends with `/.ssh/id` is like `*/.ssh/*`. A pattern is a small machine: some
places in it, and the places to which a character brings one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_STATES = 2_000
"""Ways of standing in all patterns at once, beyond which nobody looks further."""
_SLASH = "/"
_ANY = "any"
_IN_PART = "in part"
"""Any character but a slash."""
_MANY, _MANY_IN_PART, _PARTS = "many", "many in part", "parts"
_REPEATED = {_MANY: _ANY, _MANY_IN_PART: _IN_PART}
Step = tuple[str, int]
"""A character, or one of the kinds of characters above, and the place to which it leads."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The steps from each place, the places to which one comes without a character, and the place at which a text fits.

    What asks for parts between slashes reads one slash more, behind the end.
    """

    steps: tuple[tuple[Step, ...], ...]
    skips: tuple[tuple[int, ...], ...]
    reads_parts: bool

    def after(self, places: frozenset[int], character: str) -> frozenset[int]:
        """The places behind a character."""
        return self.skipped(
            to
            for place in places
            for wanted, to in self.steps[place]
            if wanted in (character, _ANY) or (wanted == _IN_PART and character != _SLASH)
        )

    def skipped(self, places: Iterable[int]) -> frozenset[int]:
        """These places, and those to which one comes from them without a character."""
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += self.skips[place]
        return frozenset(found)

    def fits(self, places: frozenset[int]) -> bool:
        """Whether a text that ends in these places is like the pattern."""
        last = self.after(places, _SLASH) if self.reads_parts else places
        return len(self.steps) - 1 in last


def start_of(text: str) -> Pattern:
    """Every text that starts with this one."""
    return _signs([*text, _MANY])


def end_of(text: str) -> Pattern:
    """Every text that ends with this one."""
    return _signs([_MANY, *text])


def glob(pattern: str) -> Pattern:
    """Every text that `meanings.matches_glob` finds like this one."""
    return _signs([{"*": _MANY, "?": _ANY}.get(sign, sign) for sign in pattern])


def path(pattern: str) -> Pattern:
    """Every text that `meanings.matches_path` finds like this one."""
    signs: list[str] = []
    for part in pattern.split(_SLASH):
        if part == "**":
            signs.append(_PARTS)
        else:
            signs += [{"*": _MANY_IN_PART, "?": _IN_PART}.get(sign, sign) for sign in part]
            signs.append(_SLASH)
    return _signs(signs, reads_parts=True)


def patterns_together(patterns: Sequence[Pattern]) -> Mapping[tuple[bool | None, ...], Sequence[str]] | None:
    """Every way in which one text can be like each of these, or not, with a short such text; None where that takes too long."""
    return _ways(tuple(patterns))


@lru_cache(maxsize=256)
def _ways(patterns: tuple[Pattern, ...]) -> Mapping[tuple[bool | None, ...], Sequence[str]] | None:
    characters = {sign for pattern in patterns for steps in pattern.steps for sign, _ in steps if len(sign) == 1} | {_SLASH}
    other = next(chr(code) for code in range(ord("a"), 0x110000) if chr(code) not in characters)
    start = tuple(pattern.skipped([0]) for pattern in patterns)
    after = [lru_cache(maxsize=None)(pattern.after) for pattern in patterns]
    found, waiting = {start: ""}, deque([start])
    while waiting:
        places = waiting.popleft()
        for character in (*sorted(characters), other):
            then = tuple([then_at(one, character) for then_at, one in zip(after, places, strict=True)])
            if then not in found:
                if len(found) >= MOST_STATES:
                    return None
                found[then] = found[places] + character
                waiting.append(then)
    ways: dict[tuple[bool | None, ...], list[str]] = {}
    for places, text in found.items():
        way = tuple(pattern.fits(one) for pattern, one in zip(patterns, places, strict=True))
        # The empty text is the shortest, but one of some length says more.
        if ways.get(way, [""]) == [""]:
            ways[way] = [text]
    return ways


def _signs(signs: Iterable[str], reads_parts: bool = False) -> Pattern:
    """The machine that reads these one after the other: characters, kinds of them, and what may be repeated."""
    steps: list[list[Step]] = [[]]
    skips: list[list[int]] = [[]]
    for sign in signs:
        here = len(steps) - 1
        if sign in _REPEATED:
            steps[here].append((_REPEATED[sign], here))
            continue
        if sign == _PARTS:
            # Part after part: back here at each slash, and on from here.
            inside = here + 1
            steps[here] += [(_IN_PART, inside), (_SLASH, here)]
            steps.append([(_IN_PART, inside), (_SLASH, here)])
            skips[here].append(here + 2)
            skips.append([])
        else:
            steps[here].append((sign, here + 1))
        steps.append([])
        skips.append([])
    return Pattern(tuple(map(tuple, steps)), tuple(map(tuple, skips)), reads_parts)
