"""Files and what was made of them as a patch that `git apply` takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", 9: "\\t", 10: "\\n", 13: "\\r"}


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a file was, and what it is to be, None where there is none; `path` is where it lies in the repository."""

    path: str
    before: bytes | None
    after: bytes | None


def patch_of(changes: Iterable[FileChange]) -> bytes:
    """The changes as a unified diff, sorted by path; empty where nothing is changed."""
    parts = [_part(change) for change in sorted(changes, key=lambda one: one.path) if change.before != change.after]
    return "".join(parts).encode("utf-8", "surrogateescape")


def _part(change: FileChange) -> str:
    old, new = _quoted(f"a/{change.path}"), _quoted(f"b/{change.path}")
    head = f"diff --git {old} {new}\n"
    head += "new file mode 100644\n" if change.before is None else ""
    head += "deleted file mode 100644\n" if change.after is None else ""
    from_name = "/dev/null" if change.before is None else _ended(old)
    to_name = "/dev/null" if change.after is None else _ended(new)
    hunks = unified_diff(_lines(change.before or b""), _lines(change.after or b""), from_name, to_name)
    return head + "".join(map(_whole, hunks))


def _lines(content: bytes) -> list[str]:
    """The lines with their ends; nothing but a line feed ends one, as for git."""
    text = content.decode("utf-8", "surrogateescape")
    found = [f"{line}\n" for line in text.split("\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]


def _whole(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _ended(name: str) -> str:
    """A name in the lines of names, where a tab says that a space before it belongs to the name."""
    return f"{name}\t" if " " in name else name


def _quoted(path: str) -> str:
    """A path as git writes it: in quotes where it has others than plain characters."""
    if all(" " <= character <= "~" and character not in '"\\' for character in path):
        return path
    content = path.encode("utf-8", "surrogateescape")
    return (
        '"'
        + "".join(
            chr(one) if 32 <= one < 127 and one not in _ESCAPES else _ESCAPES.get(one, f"\\{one:03o}") for one in content
        )
        + '"'
    )
