"""The page of all problems: `python tests/helpers/problem_pages.py` rewrites it from what `check --explain` prints."""

from __future__ import annotations

import re
from pathlib import Path

from klausel.core.lint.registry import PAGES, page

TARGET = Path(__file__).parents[2] / "docs" / "problems.md"
_HEAD = """\
# Every problem, what it means and how to fix it

`klausel check --explain ID` prints the same; [policies.md](policies.md#problems) has them in one table, which says which are
warnings. All others refuse the policies.
"""


def text() -> str:
    """The whole page."""
    return _HEAD + "".join(f"\n## {id_}\n\n{_body(id_)}\n" for id_ in PAGES)


def _body(id_: str) -> str:
    body = page(id_).removeprefix(id_).lstrip(":\n ")
    # A rule says in its first line what it is about: a sentence that starts small.
    return re.sub(r"^\w", lambda first: first[0].upper(), body)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
