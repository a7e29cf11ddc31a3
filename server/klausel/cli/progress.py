"""Bars for what takes long: on standard error, where somebody watches a terminal, and gone at the end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress(
    items: Iterable[Any] | None = None,
    *,
    unit: str,
    total: int | None = None,
    name: str = "",
    is_short: bool = True,
    is_quiet: bool = False,
) -> tqdm[Any]:
    """A bar over items, or one to be moved on by `update`; numbers stand there `is_short`: 12.3k."""
    # Most commands draw none, and it would be a tenth of what `klausel check` takes.
    from tqdm import tqdm

    is_off = True if is_quiet else None
    return tqdm(items, total=total, unit=unit, unit_scale=is_short, disable=is_off, leave=False, desc=name)


def lines_in(file: Path) -> int | None:
    """How many lines a file has, the total of a bar over them; None for what can be read only once, or not at all."""
    with suppress(OSError):
        if file.is_file():
            with file.open("rb") as raw:
                return sum(chunk.count(b"\n") for chunk in iter(lambda: raw.read(1 << 20), b""))
    return None
