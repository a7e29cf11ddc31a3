"""Numbers with the noun that they count."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`; `many` is the plural of what does not end with an s then."""
    return f"{number} {plural(number, one, many)}"


def plural(number: int, one: str, many: str = "") -> str:
    """The noun as it stands behind a number."""
    return one if number == 1 else many or f"{one}s"
