"""The fenced examples of the documentation, and how each is completed to something that can be loaded or run.

A `console` block holds commands (`$ `, continued while a quote is open) and the output that must come; a line `…` stands for
any lines, and `…` inside a line for any text. A command without output shown may print anything.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "policies" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


RECIPES = ROOT / "docs" / "recipes.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"


class Block(NamedTuple):
    """One fenced block: `page:line`, the word behind its fence, and what it holds."""

    place: str
    kind: str
    text: str

    def __str__(self) -> str:
        return self.place


class Example(NamedTuple):
    """One command of a console block, with the output shown; None where none is."""

    command: str
    output: str | None


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(f"{page.relative_to(ROOT).as_posix()}:{line}", match["kind"], textwrap.dedent(match["text"]))


def blocks(*kinds: str) -> list[Block]:
    """All blocks of these kinds, of all pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.kind in kinds]


def changes() -> list[tuple[str, list[Block]]]:
    """The recipes by their headings, each with its steps; they follow each other in a folder of their own."""
    lines = RECIPES.read_text(encoding="utf-8").splitlines()
    starts = [(number, line) for number, line in enumerate(lines, 1) if line.startswith("## ")]
    found = []
    for (start, heading), (end, _) in zip(starts, [*starts[1:], (len(lines) + 1, "")], strict=True):
        steps = [block for block in blocks_of(RECIPES) if start < int(block.place.rpartition(":")[2]) < end]
        found.append((heading.removeprefix("## "), steps))
    return found


def examples_of(block: Block) -> list[Example]:
    """The commands of a console block, in order."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if found and not found[-1][1] and _goes_on("\n".join(found[-1][0])):
            found[-1][0].append(line)
        elif line.startswith("$ "):
            found.append(([line.removeprefix("$ ")], []))
        else:
            found[-1][1].append(line)
    return [Example("\n".join(command), "\n".join(output) if output else None) for command, output in found]


def _goes_on(command: str) -> bool:
    return command.count("'") % 2 == 1 or command.endswith("\\")


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what is shown."""
    lines = [re.escape(line).replace("…", ".*") for line in shown.strip("\n").split("\n")]
    pattern = "".join(r"(?:\n.*)*" if line == ".*" else f"\n{line}" for line in lines)
    return re.fullmatch(pattern, "\n" + printed.strip("\n")) is not None
