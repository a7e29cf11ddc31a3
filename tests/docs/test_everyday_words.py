"""Messages, help and pages are in everyday English: one word for a thing, and none that people have to look up."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT

RARE = re.compile(
    r"\b(mend(s|ed|ing)?|anew|hindrance|whence|hitherto|henceforth|heretofore|there(of|in|to|upon)|here(by|in|with)|lest|whilst|"
    r"albeit|amongst|aforesaid)\b",
    re.IGNORECASE,
)
STARTER = ROOT / "server" / "klausel" / "starter"


def texts_of(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module with their lines: messages, help and manual pages."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("room", ["api", "casbin_policies", "cli", "core", "enforcer", "service", "starter", "storage"])
def test_messages_have_no_rare_word(room: str) -> None:
    folder = ROOT / "server" / "klausel" / room
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text[:80]}"
        for file in folder.rglob("*.py")
        for line, text in texts_of(file)
        if RARE.search(text)
    ]
    assert found == []


@pytest.mark.parametrize("page", [*PAGES, *STARTER.rglob("*.md")], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_have_no_rare_word(page: Path) -> None:
    assert RARE.findall(page.read_text(encoding="utf-8")) == []
