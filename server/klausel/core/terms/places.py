"""Places: how policies say where something holds, the same in every file, output and row.

Each part of a place is the id of a domain, or `*` for every id there. A place is what its parts name, and all below it:
`acme`, `acme/support`, `acme/*` (all that lies below `acme`, not `acme` itself), `*/support`, `*/*`; `*` is everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

EVERY = "*"
EVERYWHERE = EVERY
_SIGNS = frozenset("*/\\?,:")
_QUOTES = frozenset("“”„‟«»")
_ESCAPE = re.compile("%[0-9a-fA-F]{2}")


def covers(place: str, domain: str) -> bool:
    """Whether a domain lies in a place."""
    if EVERY not in place:
        return domain == place or domain.startswith(place + "/")
    ids = domain.split("/")
    positions, named, length = _named_ids(place)
    return len(ids) >= length and [ids[position] for position in positions] == named


@lru_cache(maxsize=4096)
def _named_ids(place: str) -> tuple[list[int], list[str], int]:
    """The positions of the ids that a place names, these ids, and how many parts it has."""
    parts = place.split("/")
    positions = [position for position, part in enumerate(parts) if part != EVERY]
    return positions, [parts[position] for position in positions], len(parts)


def is_inside(place: str, other: str) -> bool:
    """Whether all that lies in a place lies in the other one, too."""
    return other == EVERYWHERE or covers(other, place)


def fault_in_place(place: str) -> tuple[str, str] | None:
    """What shows that a text is no one place, as the end of a sentence, and how to write it; None where it may be one."""
    if "**" in place:
        return "has a `**`; a place has no such sign", "write `*` for every id in one part; a place is all below it anyway"
    if "," in place:
        names = [part.strip(" []{}") for part in place.split(",")]
        return "is several places in one", f"write a list: [{', '.join(_quoted(name) for name in names if name)}]"
    if ":" in place:
        return "has a `:`, which no place has", "write the ids from the top level down, joined by `/`"
    if any(unicodedata.category(character) == "Zs" for character in place):
        return "has a blank, which no place has", "write the ids from the top level down, joined by `/`, without blanks"
    for sign in place:
        ordinary = unicodedata.normalize("NFKC", sign)
        if ordinary != sign and ordinary in _SIGNS:
            return f"has a `{sign}`, which only looks like `{ordinary}`", "write the ordinary sign"
    if "\\" in place:
        return "has a backslash, which no place has", "write the ids from the top level down, joined by `/`"
    quote = next((sign for sign in place if sign in _QUOTES), None)
    if quote is not None:
        return f"has a `{quote}`, which no place has", "write it without quotes, or the whole of it in straight ones"
    if "?" in place:
        return "has a `?`, which stands for nothing in a place", "write `*` for a whole id, or a list of the ids"
    if _ESCAPE.search(place):
        return "has an escape of web addresses, which is none here", "write the ids as they are, joined by `/`"
    if any(EVERY in part and part != EVERY for part in place.split("/")):
        return "has a `*` beside other letters; it stands for a whole id", "write `*`, or a list of the ids meant"
    return None


def _quoted(name: str) -> str:
    return f'"{name}"' if EVERY in name else name


class NamedParts:
    """The ids that some places name, in domains of all levels; those below a `*` are named below every id."""

    def __init__(self, places: Iterable[str]) -> None:
        self._root: _Node = {}
        for place in places:
            node = self._root
            for part in place.split("/"):
                node = node.setdefault(part, {})

    def below(self, ids: Sequence[str]) -> list[str]:
        """The ids that are named directly below a domain with these ids, from the top; each once.

        An empty id stands for every one that is not named where it stands.
        """
        return list(dict.fromkeys(part for node in self._nodes(ids) for part in node if part != EVERY))

    def name(self, ids: Sequence[str]) -> bool:
        """Whether the last of these ids is named where it stands."""
        return any(ids[-1] in node for node in self._nodes(ids[:-1]))

    def _nodes(self, ids: Sequence[str]) -> list[_Node]:
        nodes = [self._root]
        for id_ in ids:
            nodes = [node[part] for node in nodes for part in (id_, EVERY) if part in node]
        return nodes

    def at_depth(self, depth: int) -> set[str]:
        """The ids that are named in a part, the first being 1, wherever it is."""
        nodes = [self._root]
        for _ in range(depth - 1):
            nodes = [below for node in nodes for below in node.values()]
        return {part for node in nodes for part in node if part != EVERY}


_Node = dict[str, "_Node"]
