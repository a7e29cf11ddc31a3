"""The objects of a git repository: commits and trees taken apart, and read through one long-lived process of git."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from threading import Lock
from typing import IO, Literal
from weakref import finalize

LARGEST_OBJECT = 64 * 1024 * 1024
NO_GIT = "git is not installed, or not on the PATH; the history of policies is read with it"
_CHUNK = 1024 * 1024
_PERSON = re.compile(rb"(?P<name>[^<]*)<(?P<email>[^>]*)>(?: (?P<seconds>-?\d{1,18}))?(?: (?P<zone>[+-]\d{4}))?")

_TRAILER_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_SIGNATURES = ((b"SSH SIGNATURE", "ssh"), (b"PGP ", "openpgp"), (b"SIGNED MESSAGE", "x509"))

Kind = Literal["file", "link", "folder", "submodule"]
_KINDS: Mapping[int, Kind] = {0o100000: "file", 0o120000: "link", 0o040000: "folder", 0o160000: "submodule"}


class GitError(Exception):
    """Git cannot answer; the text says why and what helps, for a person."""


@dataclass(frozen=True, slots=True)
class GitCommit:
    """One commit: who wrote it when, the first paragraph of its message on one line, and its parents, main line first.

    Texts hold printable characters only. `tree` is the id of its folder, `committed` when it was made as it is, by `committer`.
    `trailers` are the pairs at the end of its message, such as `("Reviewed-by", "Bo <bo@example.com>")`. `signature` says what
    kind of signature it carries (None: none), which nobody has checked.
    """

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    date: datetime
    committed: datetime
    subject: str
    committer: str = ""
    committer_email: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    signature: str | None = None

    def named(self, revision: str) -> str:
        """What to call it for who named it by a revision: that with the start of its id, or this alone."""
        short = self.id[:10]
        return short if self.id.startswith(revision) else f"{revision} ({short})"


@dataclass(frozen=True, slots=True)
class GitObject:
    """An object as git keeps it: `kind` is commit, tree, blob or tag; `content` is None where it was too large to read."""

    id: str
    kind: str
    content: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One thing in a folder of a commit: its name there, what it is, and the id of its object."""

    name: str
    kind: Kind
    id: str


def read_commit(id: str, content: bytes) -> GitCommit:
    """A commit from the bytes of its object."""
    head, _, message = content.partition(b"\n\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        fields.setdefault(key, []).append(value)
    encoding = fields.get(b"encoding", [b"utf-8"])[0].decode("ascii", "replace")
    name, email, date = _person(fields.get(b"author", [b""])[0], encoding)
    committer, committer_email, committed = _person(fields.get(b"committer", [b""])[0], encoding)
    text = _text(message, encoding).lstrip("\n")
    lines = text.partition("\n\n")[0].split("\n")
    signed = next((fields[key][0] for key in (b"gpgsig", b"gpgsig-sha256") if key in fields), None)
    parents = tuple(parent.decode("ascii") for parent in fields.get(b"parent", ()))
    subject = " ".join(line.strip() for line in lines).strip()
    return GitCommit(
        id,
        fields[b"tree"][0].decode("ascii"),
        parents,
        name,
        email,
        date,
        committed,
        printable(subject),
        committer,
        committer_email,
        tuple(_trailers(text)),
        None if signed is None else _kind_of_signature(signed),
    )


def _trailers(message: str) -> Iterator[tuple[str, str]]:
    """The pairs of the last paragraph, where every line of it is one, or goes on with the one before."""
    _, separator, last = message.rstrip().rpartition("\n\n")
    found: list[tuple[str, str]] = []
    for line in last.split("\n") if separator else ():
        key, colon, value = line.partition(":")
        if found and line[:1] in " \t" and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {printable(line.strip())}")
        elif colon and _TRAILER_KEY.fullmatch(key) and value.strip():
            found.append((key, printable(value.strip())))
        else:
            return
    yield from found


def _kind_of_signature(first_line: bytes) -> str:
    return next((kind for mark, kind in _SIGNATURES if mark in first_line), "unknown")


def _person(written: bytes, encoding: str) -> tuple[str, str, datetime]:
    found = _PERSON.match(written)
    if found is None:
        return printable(_text(written, encoding)), "", datetime.fromtimestamp(0, UTC)
    name, email = (printable(_text(found[part], encoding).strip()) for part in ("name", "email"))
    zone = int(found["zone"] or 0)
    offset = timedelta(hours=abs(zone) // 100, minutes=abs(zone) % 100) * (1 if zone >= 0 else -1)
    try:
        return name, email, datetime.fromtimestamp(int(found["seconds"] or 0), timezone(offset))
    except (ValueError, OverflowError, OSError):
        return name, email, datetime.fromtimestamp(0, UTC)


def _text(written: bytes, encoding: str) -> str:
    try:
        return written.decode(encoding, "replace")
    except (LookupError, ValueError):
        return written.decode("utf-8", "replace")


def printable(text: str) -> str:
    """A text in which what a terminal would not show, or would obey, is replaced."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def read_tree(content: bytes, id_bytes: int) -> Iterator[TreeEntry]:
    """The entries of a tree from the bytes of its object; raises `GitError` for what is no tree.

    Names are those of files, so bytes that are not UTF-8 are kept as in `os.fsdecode`.
    """
    position = 0
    seen = set()
    while position < len(content):
        space, end = content.find(b" ", position), content.find(b"\0", position)
        after = end + 1 + id_bytes
        if not position < space < end or after > len(content):
            raise GitError("a tree of the repository is damaged; git fsck says more")
        name = content[space + 1 : end].decode("utf-8", "surrogateescape")
        try:
            kind = _KINDS[int(content[position:space], 8) & 0o170000]
        except (ValueError, KeyError):
            kind = "submodule"
        if name in ("", ".", "..") or "/" in name or name in seen:
            raise GitError("a tree of the repository holds a name that no folder can hold; git fsck says more")
        seen.add(name)
        yield TreeEntry(name, kind, content[end + 1 : after].hex())
        position = after


class ObjectReader:
    """Objects by name or id, from one `git cat-file --batch`, started when first needed; safe to share between threads."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [*command, "cat-file", "--batch"]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._end: finalize[..., ObjectReader] | None = None
        self._lock = Lock()

    def read(self, name: str, largest: int = LARGEST_OBJECT) -> GitObject | None:
        """The object of a name, without its content when that has more than `largest` bytes; None when no one object has it.

        The name is only ever data: no name is an option of git. Raises `GitError` when git fails.
        """
        asked = name.encode("utf-8", "surrogateescape")
        if not asked or b"\n" in asked or b"\0" in asked:
            return None
        with self._lock:
            try:
                return self._ask(asked, largest)
            except FileNotFoundError as error:
                raise GitError(NO_GIT) from error
            except (OSError, ValueError) as error:
                self._stop()
                raise GitError(f"git cat-file failed: {error}") from error

    def _ask(self, asked: bytes, largest: int) -> GitObject | None:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(asked + b"\n")
        process.stdin.flush()
        header = process.stdout.readline()
        if not header.endswith(b"\n"):
            raise OSError("it ended without an answer")
        if header == asked + b" missing\n" or header == asked + b" ambiguous\n":
            return None
        id, kind, length = header.decode("ascii").split()
        size = int(length)
        content = None
        if size <= largest:
            content = process.stdout.read(size)
        else:
            _pass_over(process.stdout, size)
        if process.stdout.read(1) != b"\n" or (content is not None and len(content) != size):
            raise OSError("it ended in the middle of an object")
        return GitObject(id, kind, content, size)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environment),
            )
            self._end = finalize(self, _end, self._process)
        return self._process

    def close(self) -> None:
        """Ends the process; the next reading starts another. Who forgets the reader ends it too."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        self._process = None
        if self._end is not None:
            self._end()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _pass_over(stream: IO[bytes], size: int) -> None:
    while size > 0:
        passed = len(stream.read(min(size, _CHUNK)))
        if passed == 0:
            return
        size -= passed


def commit_as_json(commit: GitCommit) -> dict[str, object]:
    """A commit as programs read it."""
    return {
        "id": commit.id,
        "author": commit.author,
        "email": commit.email,
        "date": commit.date.isoformat(),
        "subject": commit.subject,
        "committer": commit.committer,
        "committer_email": commit.committer_email,
        "committed": commit.committed.isoformat(),
        "trailers": [{"key": key, "value": value} for key, value in commit.trailers],
        "signature": commit.signature,
    }
