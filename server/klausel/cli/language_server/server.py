"""The handlers of the Language Server Protocol; each asks the core, and turns places into those of the protocol and back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

import klausel
from klausel.cli.language_server.open_policies import Checked, OpenPolicies, folder_of
from klausel.core.editing.completion import OfferKind, offers_at
from klausel.core.editing.fixes import fixes_of
from klausel.core.editing.hover import about_what_stands_at, mention_under
from klausel.core.editing.mentions import Mention
from klausel.core.editing.renaming import CannotRename, Edit, edits_in_rows, edits_to_rename
from klausel.core.formatting.files import can_be_formatted, format_file
from klausel.core.loading.load import SourceFile
from klausel.core.terms.counted import counted
from klausel.core.terms.problem import FormatLossError, Place, PolicyError, Problem
from klausel.storage.file_rules import DEMO_FILE
from klausel.storage.git.line_history import LineHistory
from klausel.storage.git.objects import GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import shown

SECONDS_OF_QUIET = 0.2
"""So long nothing must be typed before the folder is looked at again."""
_KINDS: dict[OfferKind, lsp.CompletionItemKind] = {
    "key": lsp.CompletionItemKind.Property,
    "role": lsp.CompletionItemKind.Class,
    "level": lsp.CompletionItemKind.Enum,
    "resource type": lsp.CompletionItemKind.Struct,
    "action": lsp.CompletionItemKind.Method,
    "condition": lsp.CompletionItemKind.Function,
    "property": lsp.CompletionItemKind.Field,
    "word": lsp.CompletionItemKind.Keyword,
    "place": lsp.CompletionItemKind.Folder,
    "value": lsp.CompletionItemKind.Value,
}


class PolicyServer(LanguageServer):
    """One editor's server; `folders` are the policy sets of the files that were opened, by their folders.

    `joined` are policy folders that make one set; a relative one lies in the folder that the editor has open, if it is there.
    """

    def __init__(self, joined: tuple[Path, ...] = ()) -> None:
        super().__init__("klausel", klausel.__version__)
        self.joined = joined
        self.folders: dict[Path, OpenPolicies] = {}
        self.checked: dict[Path, Checked] = {}
        self.waiting: dict[Path, asyncio.Task[None]] = {}

    def policies_of(self, uri: str) -> tuple[OpenPolicies, Path] | None:
        """The policy folder that a document belongs to, and its path; None for a document of something else."""
        path = path_of(uri)
        joined = tuple(map(self._where_opened, self.joined))
        if any(path.is_relative_to(folder) for folder in joined):
            folder: Path | None = Path(os.pathsep.join(map(str, joined)))
        else:
            folder = folder_of(path)
        if folder is None:
            return None
        return self.folders.setdefault(folder, OpenPolicies(folder)), path

    def _where_opened(self, folder: Path) -> Path:
        root = self.workspace.root_path
        inside = folder if root is None else Path(root) / folder
        return Path(os.path.abspath(inside if inside.is_dir() else folder))

    def look_again(self, policies: OpenPolicies, wait: bool = True) -> None:
        """Checks a folder when nothing was typed for a moment, and tells the editor."""
        running = self.waiting.pop(policies.folder, None)
        if running is not None:
            running.cancel()
        self.waiting[policies.folder] = asyncio.get_running_loop().create_task(
            self._check(policies, SECONDS_OF_QUIET if wait else 0)
        )

    async def _check(self, policies: OpenPolicies, seconds: float) -> None:
        await asyncio.sleep(seconds)
        checked = await asyncio.to_thread(policies.check)
        self.checked[policies.folder] = checked
        texts = dict(policies.texts())
        by_file: dict[Path, list[Problem]] = {path: [] for path in (*texts, *policies.typed)}
        for problem in checked.problems:
            by_file.setdefault(policies.path_of(problem.place.file), []).append(problem)
        for path, problems in by_file.items():
            lines = texts.get(path, "").split("\n")
            self.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(path.as_uri(), [_diagnostic(problem, lines) for problem in problems])
            )


def make_server(joined: tuple[Path, ...] = ()) -> PolicyServer:
    """A language server with all its handlers; `joined` are policy folders that make one set."""
    server = PolicyServer(joined)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        take(params.text_document.uri, wait=False)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        take(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        take(params.text_document.uri, wait=False)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        found = server.policies_of(params.text_document.uri)
        if found is not None:
            found[0].typed.pop(found[1], None)
            server.look_again(found[0])

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def changed_on_disk(params: lsp.DidChangeWatchedFilesParams) -> None:
        for policies in server.folders.values():
            server.look_again(policies)

    def take(uri: str, wait: bool = True) -> None:
        found = server.policies_of(uri)
        if found is not None:
            policies, path = found
            policies.typed[path] = server.workspace.get_text_document(uri).source
            server.look_again(policies, wait)

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[" ", ".", "[", ",", "/"]))
    async def complete(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        found = server.policies_of(params.text_document.uri)
        if found is None:
            return []
        policies, path = found
        text = policies.typed.get(path, "")
        line, column = params.position.line, _from_utf16(text, params.position)
        names, mentions, _ = policies.names()
        offers = offers_at(text, policies.name_of(path), line, column, names, mentions, policies.last_good)
        return [
            lsp.CompletionItem(
                label=offer.text.removesuffix(": "),
                kind=_KINDS[offer.kind],
                documentation=offer.about or None,
                sort_text=f"{position:04}",
                filter_text=offer.text,
                text_edit=lsp.TextEdit(lsp.Range(_to_utf16(text, line, offer.start), params.position), offer.text),
            )
            for position, offer in enumerate(offers)
        ]

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hover(params: lsp.HoverParams) -> lsp.Hover | None:
        found = server.policies_of(params.text_document.uri)
        if found is None:
            return None
        policies, path = found
        text = policies.typed.get(path, "")
        line, column = params.position.line, _from_utf16(text, params.position)
        name = policies.name_of(path)
        told = about_what_stands_at(policies.last_good, policies.names()[1], text, name, shown(path), line, column)
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, told)) if told else None

    def mention_at(policies: OpenPolicies, path: Path, position: lsp.Position) -> Mention | None:
        text = policies.typed.get(path, "")
        return mention_under(policies.names()[1], shown(path), position.line, _from_utf16(text, position))

    def mention_in(uri: str, position: lsp.Position) -> tuple[OpenPolicies, Path, Mention] | None:
        found = server.policies_of(uri)
        mention = mention_at(*found, position) if found is not None else None
        return None if found is None or mention is None else (*found, mention)

    def same_things(uri: str, position: lsp.Position) -> tuple[list[Mention], OpenPolicies] | None:
        found = mention_in(uri, position)
        if found is None:
            return None
        policies, _, mention = found
        return [one for one in policies.names()[1] if one.is_same(mention)], policies

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def definition(params: lsp.DefinitionParams) -> list[lsp.Location]:
        found = same_things(params.text_document.uri, params.position)
        return [] if found is None else list(locations([one for one in found[0] if one.is_declaration], found[1]))

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def references(params: lsp.ReferenceParams) -> list[lsp.Location]:
        found = same_things(params.text_document.uri, params.position)
        if found is None:
            return []
        wanted = [one for one in found[0] if params.context.include_declaration or not one.is_declaration]
        return list(locations(wanted, found[1]))

    def locations(mentions: Iterable[Mention], policies: OpenPolicies) -> Iterator[lsp.Location]:
        texts = dict(policies.texts())
        for one in mentions:
            path = policies.path_of(one.place.file)
            yield lsp.Location(path.as_uri(), _range(texts.get(path, ""), one.place, one.length))

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepare_rename(params: lsp.PrepareRenameParams) -> lsp.PrepareRenamePlaceholder | None:
        found = mention_in(params.text_document.uri, params.position)
        if found is None:
            return None
        policies, path, mention = found
        text = policies.typed.get(path, "")
        return lsp.PrepareRenamePlaceholder(_range(text, mention.place, mention.length), mention.name)

    @server.feature(lsp.TEXT_DOCUMENT_RENAME)
    async def rename(params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        found = mention_in(params.text_document.uri, params.position)
        if found is None:
            return None
        policies, _, mention = found
        _, mentions, files = policies.names()
        try:
            edits = edits_to_rename(files, mentions, mention, params.new_name)
        except CannotRename as error:
            raise JsonRpcInvalidParams(str(error)) from error
        for demo in (folder / DEMO_FILE for folder in policies.folders):
            if mention.kind == "role" and demo.is_file():
                edits += edits_in_rows(demo.read_text(encoding="utf-8"), shown(demo), mention.name, params.new_name)
        return edit_of(edits, policies)

    def edit_of(edits: Iterable[Edit], policies: OpenPolicies) -> lsp.WorkspaceEdit:
        texts = dict(policies.texts())
        changes: dict[str, list[lsp.TextEdit]] = {}
        for edit in edits:
            path = policies.path_of(edit.file)
            place = Place(edit.file, edit.line, edit.column)
            changes.setdefault(path.as_uri(), []).append(
                lsp.TextEdit(_range(texts.get(path, ""), place, edit.length), edit.text)
            )
        return lsp.WorkspaceEdit(changes=dict(changes))

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix]))
    async def code_actions(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        found = server.policies_of(params.text_document.uri)
        checked = server.checked.get(found[0].folder) if found is not None else None
        if found is None or checked is None:
            return []
        policies, path = found
        text = policies.typed.get(path, "")
        names, mentions, _ = policies.names()
        lines = range(params.range.start.line + 1, params.range.end.line + 2)
        actions = []
        for problem in checked.problems:
            if problem.place.file == shown(path) and problem.place.line in lines:
                for fix in fixes_of(problem, text, policies.name_of(path), names, mentions):
                    edit = edit_of([fix.edit], policies)
                    told = [_diagnostic(problem, text.split("\n"))]
                    kind = lsp.CodeActionKind.QuickFix
                    actions.append(lsp.CodeAction(fix.title, kind, told, fix.is_preferred or None, edit=edit))
        return actions

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    async def formatting(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        found = server.policies_of(params.text_document.uri)
        if found is None or not can_be_formatted(found[0].name_of(found[1])):
            return []
        policies, path = found
        text = policies.typed.get(path, "")
        try:
            new = format_file(SourceFile(policies.name_of(path), shown(path), text.encode())).decode()
        except (PolicyError, FormatLossError) as error:
            first = error.problems[0] if isinstance(error, PolicyError) else error
            told = f"The file is left as it is: {first}"
            server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, told))
            return []
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(text.count("\n") + 1, 0))
        return [lsp.TextEdit(whole, new)] if new != text else []

    @server.feature(lsp.TEXT_DOCUMENT_CODE_LENS)
    async def code_lenses(params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        found = server.policies_of(params.text_document.uri)
        checked = server.checked.get(found[0].folder) if found is not None else None
        if found is None or checked is None or checked.policy is None:
            return []
        return await asyncio.to_thread(lambda: list(_lenses(checked, found[1])))

    return server


def path_of(uri: str) -> Path:
    """The file of an address."""
    return Path(unquote(urlsplit(uri).path)).absolute()


def _lenses(checked: Checked, path: Path) -> Iterator[lsp.CodeLens]:
    """Above each grant: how many tests touch it, and the last commit that wrote it."""
    assert checked.policy is not None
    lines = dict.fromkeys(grant.place for grant in checked.policy.grants if grant.place.file == shown(path))
    try:
        repository = GitRepository.containing(path.parent)
    except GitError:
        for place in lines:
            yield _lens(place, _tests(checked, place))
        return
    with repository:
        history = LineHistory(repository, None)
        for place in lines:
            commit = history.writer_of(place.file, place.line)
            when = f"{commit.id[:10]} {commit.author}, {commit.date:%Y-%m-%d}" if commit else "not committed"
            yield _lens(place, f"{_tests(checked, place)}; {when}")


def _tests(checked: Checked, place: Place) -> str:
    number = len(checked.tests.get(place, ()))
    return counted(number, "test") if number else "no test touches this"


def _lens(place: Place, title: str) -> lsp.CodeLens:
    start = lsp.Position(place.line - 1, 0)
    return lsp.CodeLens(lsp.Range(start, start), lsp.Command(title, ""))


def _diagnostic(problem: Problem, lines: list[str]) -> lsp.Diagnostic:
    place = problem.place
    row = lines[place.line - 1] if place.line <= len(lines) else ""
    rest = row[place.column - 1 :]
    length = next((at for at, sign in enumerate(rest) if sign in " ,:]}\"'"), len(rest)) or 1
    return lsp.Diagnostic(
        _range("\n".join(lines), place, length),
        message=problem.message + (f"\n{problem.hint}" if problem.hint else ""),
        severity=lsp.DiagnosticSeverity.Error if problem.severity == "error" else lsp.DiagnosticSeverity.Warning,
        code=problem.id,
        source="klausel",
    )


def _range(text: str, place: Place, length: int) -> lsp.Range:
    line, column = place.line - 1, place.column - 1
    return lsp.Range(_to_utf16(text, line, column), _to_utf16(text, line, column + length))


def _to_utf16(text: str, line: int, column: int) -> lsp.Position:
    """A place of the protocol, which counts in units of UTF-16."""
    lines = text.split("\n")
    before = lines[line][:column] if line < len(lines) else ""
    return lsp.Position(line, column + sum(ord(sign) > 0xFFFF for sign in before))


def _from_utf16(text: str, position: lsp.Position) -> int:
    """The column of a place of the protocol, in characters."""
    lines = text.split("\n")
    row = lines[position.line] if position.line < len(lines) else ""
    units = 0
    for column, sign in enumerate(row):
        if units >= position.character:
            return column
        units += 2 if ord(sign) > 0xFFFF else 1
    return len(row)
