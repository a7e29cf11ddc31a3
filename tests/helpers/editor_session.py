"""An editor: a client that starts `klausel lsp` and speaks its protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from command_line import INSTALLED
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

SECONDS = 60
Result = TypeVar("Result")


class Editor:
    """One editor with a workspace; diagnostics are kept by the path of their file."""

    def __init__(self, client: LanguageClient, root: Path) -> None:
        self.client = client
        self.root = root
        self.told: dict[Path, list[lsp.Diagnostic]] = {}
        self.news = asyncio.Event()
        self._versions: dict[Path, int] = {}

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def document(self, name: str) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri(name))

    def open(self, name: str, text: str | None = None) -> str:
        """Opens a file, with this text in place of what is saved."""
        path = self.root / name
        text = path.read_text(encoding="utf-8") if text is None else text
        item = lsp.TextDocumentItem(self.uri(name), "yaml", 1, text)
        self._versions[path] = 1
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return text

    def type(self, name: str, text: str) -> None:
        """The whole file becomes this, unsaved."""
        path = self.root / name
        self._versions[path] += 1
        document = lsp.VersionedTextDocumentIdentifier(self._versions[path], self.uri(name))
        change = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))

    async def until(self, holds: Callable[[], Result]) -> Result:
        """Waits for diagnostics until something holds."""
        async with asyncio.timeout(SECONDS):
            while not (found := holds()):
                self.news.clear()
                await self.news.wait()
        return found

    def problems(self, name: str) -> list[tuple[int, str]]:
        """The line, counted from 0, and the id of each diagnostic of a file."""
        return [(one.range.start.line, str(one.code)) for one in self.told.get(self.root / name, [])]


def position_of(text: str, word: str, occurrence: int = 0, after: int = 0) -> lsp.Position:
    """Where a word stands; texts of one unit a character only."""
    at = -1
    for _ in range(occurrence + 1):
        at = text.index(word, at + 1)
    at += after
    return lsp.Position(text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1))


def edited(text: str, edits: list[Any]) -> str:
    """A text with the edits of the protocol done; texts of one unit a character only."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)

    def at(position: lsp.Position) -> int:
        return min(starts[min(position.line, len(starts) - 1)] + position.character, len(text))

    for edit in sorted(edits, key=lambda one: (one.range.start.line, one.range.start.character), reverse=True):
        text = text[: at(edit.range.start)] + edit.new_text + text[at(edit.range.end) :]
    return text


class Session:
    """One `klausel lsp` for several scenes, each in a workspace of its own; close it at the end."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._editors: list[Editor] = []
        self._client = self._done(self._start(folder, arguments))

    def play(self, root: Path, scene: Callable[[Editor], Coroutine[None, None, None]]) -> None:
        """Plays a scene in an editor whose workspace is this folder."""
        editor = Editor(self._client, root)
        self._editors.append(editor)
        self._done(asyncio.wait_for(scene(editor), SECONDS))

    def close(self) -> None:
        """Ends the server as the protocol says."""
        self._done(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _done(self, work: Coroutine[None, None, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS + 10)

    async def _start(self, folder: Path, arguments: tuple[str, ...]) -> LanguageClient:
        client = LanguageClient("test", "1")

        @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def keep(params: lsp.PublishDiagnosticsParams) -> None:
            for editor in self._editors:
                editor.told[Path(unquote(params.uri.removeprefix("file://")))] = list(params.diagnostics)
                editor.news.set()

        await client.start_io(INSTALLED, "lsp", *arguments, cwd=folder)
        await client.initialize_async(lsp.InitializeParams(lsp.ClientCapabilities(), root_uri=folder.as_uri()))
        client.initialized(lsp.InitializedParams())
        return client

    async def _end(self) -> None:
        await self._client.shutdown_async(None)
        self._client.exit(None)
        await self._client.stop()
