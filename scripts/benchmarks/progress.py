"""Shows on standard error what is being measured."""

from __future__ import annotations

import sys

from tqdm import tqdm

_WIDTH = 60


class Progress:
    """A bar over the parts of a run; where there is no terminal, one line a part."""

    def __init__(self, parts: int) -> None:
        self._is_terminal = sys.stderr.isatty()
        layout = "{desc}: {n}/{total} parts [{elapsed}] {postfix}"
        self._bar = tqdm(total=parts, disable=not self._is_terminal, file=sys.stderr, bar_format=layout, leave=False)

    def part(self, name: str) -> None:
        """A new part begins."""
        if self._is_terminal:
            self._bar.set_description_str(name)
        else:
            print(f"{name} ...", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """What happens inside the part."""
        if self._is_terminal:
            self._bar.set_postfix_str(text[:_WIDTH])

    def done(self) -> None:
        """The part is done."""
        self._bar.update()

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()
