"""Where the boxes and lines of the drawing of all roles stand: a band for each level, stronger roles above weaker ones."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.policy.roles import RoleModel

_CHARACTER, _MARGIN, _GAP, _BOX_HEIGHT, _ROW_HEIGHT, _HEADING = 9, 12, 24, 32, 72, 28


@dataclass(frozen=True, slots=True)
class Box:
    """A role; x and y are those of its upper left corner, in pixels, as all numbers here."""

    name: str
    x: int
    y: int
    width: int
    height: int = _BOX_HEIGHT

    @property
    def middle(self) -> int:
        """The x of the middle of the box."""
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        """The y of the lower edge."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Line:
    """A role contains another; `place` where it does so in one domain alone, else empty."""

    upper: Box
    lower: Box
    place: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A level, with the y of its upper edge."""

    name: str
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is to be drawn, and how large it is."""

    width: int
    height: int
    bands: tuple[Band, ...]
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def drawing_of(roles: RoleModel) -> Drawing:
    """The drawing of a role model; the same model gives the same drawing."""
    ranks = _ranks(roles)
    boxes: dict[str, Box] = {}
    bands = []
    y, width = 0, 0
    for level in roles.levels:
        inside = [name for name, role in roles.roles.items() if role.level == level.name]
        by_rank: dict[int, list[str]] = {}
        for name in inside:
            by_rank.setdefault(ranks[name], []).append(name)
        top = y
        y += _HEADING
        for rank in sorted(by_rank):
            x = _MARGIN
            for name in by_rank[rank]:
                boxes[name] = Box(name, x, y, len(name) * _CHARACTER + 2 * _MARGIN)
                x += boxes[name].width + _GAP
            width = max(width, x)
            y += _ROW_HEIGHT
        width = max(width, len(level.name) * _CHARACTER + 2 * _MARGIN)
        bands.append(Band(level.name, top, y - top))
    lines = [
        Line(boxes[name], boxes[inner], place)
        for name, role in roles.roles.items()
        for inner, place in (*((inner, "") for inner in role.contains), *role.contains_in)
    ]
    return Drawing(width, y, tuple(bands), tuple(boxes.values()), tuple(lines))


def _ranks(roles: RoleModel) -> dict[str, int]:
    """How many roles of its own level stand above each role, along the longest chain."""
    ranks = dict.fromkeys(roles.roles, 0)
    moved = True
    # Roles form no circle, so this ends after as many rounds as the longest chain has roles.
    while moved:
        moved = False
        for name, role in roles.roles.items():
            for inner in role.contains:
                if roles.roles[inner].level == role.level and ranks[inner] <= ranks[name]:
                    ranks[inner] = ranks[name] + 1
                    moved = True
    return ranks
