"""Names that use each other: an order in which each stands behind what it uses, and the circles that forbid one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Link = TypeVar("Link")


def used_first(uses: Mapping[str, Mapping[str, Link]], report_cycle: Callable[[list[str], Link], None]) -> list[str]:
    """All names, each behind those that it uses, but for the links that close a cycle; in time linear in the links.

    Every used name is a key of `uses`. `report_cycle` is told each cycle that is met, as the names from the first to the
    first again, and the link that closes it; without those links there is no cycle.
    """
    ordered: dict[str, None] = {}
    for start in uses:
        if start in ordered:
            continue
        path = {start: iter(uses[start].items())}
        while path:
            name = next(reversed(path))
            for used, link in path[name]:
                if used in path:
                    members = list(path)
                    report_cycle([*members[members.index(used) :], used], link)
                elif used not in ordered:
                    path[used] = iter(uses[used].items())
                    break
            else:
                ordered[name] = None
                del path[name]
    return list(ordered)
