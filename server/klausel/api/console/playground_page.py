"""The playground: a copy of the policies, edited in the browser and judged while one types. The service stores nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from flask import Blueprint, Response

from klausel.api.console.cookies import Cookies
from klausel.api.console.forms import read_form
from klausel.api.console.pages import HEADERS, Page, answer, format_asked, html_answer, twin_answer
from klausel.api.errors import ApiError
from klausel.api.http import json_answer, query_parameters
from klausel.api.request_shapes import DEEDS
from klausel.core.terms.problem import PolicyError
from klausel.service.decision_service import Service
from klausel.service.playground import (
    NotEditable,
    Playground,
    changed_files,
    digest_of,
    editable_files,
    new_file,
    text_of,
    with_changes,
)
from klausel.service.playground_work import Busy, Judgement, Workbench
from klausel.storage.policy_files.folder import PolicyFiles
from klausel.storage.policy_files.saving import ChangedMeanwhile

ADDRESS = "/console/playground"
FIELDS = ("token", "file", "base", "text", "changes", "open", "back", "new", "line", "column", "do")
MOST_BYTES = 2_000_000
"""The bytes of one form, in which all changed texts come."""
MOST_CHANGED = 200
_GONE = "This file is deleted in your copy"
_TITLE = "Playground"


@dataclass(frozen=True, slots=True)
class _Text:
    """What somebody wrote in place of a file, None where it is deleted, and by its digest what stood there; empty: nothing."""

    text: str | None
    base: str


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of the policy set: what it is made of, every text that is another one, and which file is open."""

    found: PolicyFiles
    texts: Mapping[str, _Text]
    open: str

    def files(self) -> PolicyFiles:
        return with_changes(self.found, {name: one.text for name, one in self.texts.items()})


def playground_of(service: Service) -> Playground:
    """The playground of a running service: its copies are of what is in force, and nothing is saved."""
    settings = service.settings
    return Playground(
        lambda: service.live.files, settings.policies, "in force", settings.accept_model, settings.max_analysis_steps
    )


def playground_routes(blueprint: Blueprint, page: PlaygroundPage) -> None:
    """Adds the routes of the page."""

    @blueprint.get(ADDRESS, provide_automatic_options=False)
    def show_playground() -> Response:
        return page.show(query_parameters("file", "format"))

    @blueprint.post(ADDRESS, provide_automatic_options=False)
    def play() -> Response:
        return page.play()


class PlaygroundPage:
    """The page of one playground."""

    def __init__(self, playground: Playground, cookies: Cookies) -> None:
        self._playground = playground
        self._cookies = cookies
        self._workbench = Workbench(playground)

    def show(self, given: Mapping[str, str]) -> Response:
        """The files as they are, one of them open; the twin has the text of one that is named. Raises `ApiError` (400, 404)."""
        is_twin = format_asked("html", "json") == "json"
        found = self._read()
        copy = _Copy(found, {}, _first(found, given.get("file", "")))
        twin: dict[str, object] = {"files": list(editable_files(found))}
        if is_twin and given.get("file"):
            try:
                text = text_of(editable_files(found)[copy.open])
            except NotEditable as error:
                raise ApiError(400, str(error)) from None
            twin |= {"file": copy.open, "text": text, "base": digest_of(text)}
        return answer(Page("playground.html", _TITLE, self._shown(copy), twin))

    def play(self) -> Response:
        """Judges the copy that the form holds, opens another file of it, or makes a patch of it; raises `ApiError`.

        The page keeps what was written, whatever is wrong; the twin answers with the judgement.
        """
        is_twin = format_asked("html", "json") == "json"
        fields = read_form(*FIELDS, most_bytes=MOST_BYTES)
        self._cookies.check_change(fields["token"])
        if fields["do"] not in DEEDS:
            raise ApiError(400, f"the field do is none of {', '.join(filter(None, DEEDS))}")
        position = _position(fields)
        copy = _copy_in(fields, self._read())
        try:
            return self._done(copy, fields, is_twin, position)
        except (NotEditable, ApiError) as error:
            told = error if isinstance(error, ApiError) else ApiError(409, str(error))
            if is_twin or fields["do"] in ("live", "offers", "about"):
                raise told from None
            shown = {**self._shown(copy), "fault": told.message}
            return html_answer(Page("playground.html", _TITLE, shown, status=told.status), told.headers)

    def _done(self, copy: _Copy, fields: Mapping[str, str], is_twin: bool, position: tuple[int, int]) -> Response:
        deed = fields["do"]
        if fields["open"]:
            return answer(Page("playground.html", _TITLE, self._shown(_opened(copy, fields["open"]))))
        if fields["back"]:
            texts = {name: one for name, one in copy.texts.items() if name != fields["back"]}
            found = _Copy(copy.found, texts, fields["back"])
            return answer(Page("playground.html", _TITLE, self._shown(_reopened(found))))
        if deed in ("new", "rename", "delete"):
            return answer(Page("playground.html", _TITLE, self._shown(_with_files(copy, deed, fields["new"].strip()))))
        if deed in ("offers", "about"):
            return self._at_cursor(copy, deed, *position)
        if deed == "patch":
            return self._patch(copy)
        if deed == "save":
            return self._save(copy, is_twin)
        return self._judged(copy, deed == "live", is_twin)

    def _judged(self, copy: _Copy, is_live: bool, is_twin: bool) -> Response:
        with _refused_while_busy():
            judgement = self._workbench.judge(copy.found, copy.files())
        if is_twin:
            return twin_answer(judgement.as_json())
        if not is_live:
            return answer(Page("playground.html", _TITLE, {**self._shown(copy), "result": _result(copy, judgement)}))
        response = html_answer(Page("judgement.html", _TITLE, {"result": _result(copy, judgement)}))
        # Whoever writes for hours keeps the secret that the form is bound to.
        self._cookies.keep_form_secret(response, self._cookies.form_secret())
        return response

    def _at_cursor(self, copy: _Copy, deed: str, line: int, column: int) -> Response:
        """What may be written at a cursor, or what the name there means."""
        with _refused_while_busy():
            told = self._workbench.at_cursor(copy.found, copy.files(), copy.open, line, column, deed)
        return json_answer({deed: told}, headers=dict(HEADERS))

    def _patch(self, copy: _Copy) -> Response:
        with _refused_while_busy():
            patch = self._workbench.patch(copy.found, copy.files())
        if isinstance(patch, str):
            raise ApiError(503, f"there is no patch: {patch}", {"Retry-After": "1"})
        if not patch:
            raise ApiError(409, "nothing is changed, so there is no patch")
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="policies.patch"'}
        return Response(patch, 200, headers, content_type="text/x-patch; charset=utf-8")

    def _save(self, copy: _Copy, is_twin: bool) -> Response:
        if self._playground.save is None:
            raise ApiError(403, "this service stores no policies; download a patch, and bring it to where they are kept")
        stale = _stale(copy)
        try:
            if stale:
                raise ChangedMeanwhile(stale)
            wanted = changed_files(copy.found, copy.files())
            self._playground.save({one.file.name: (one.before, one.after) for one in wanted})
        except ChangedMeanwhile as error:
            message = f"nothing was saved, for somebody else changed {error} meanwhile; download a patch, or open it again"
            raise ApiError(409, message) from None
        except OSError as error:
            raise ApiError(500, f"not all was saved: {error.strerror or error}") from None
        saved = [one.file.shown_as for one in wanted]
        if is_twin:
            return twin_answer({"saved": saved})
        found = self._read()
        opened = _reopened(_Copy(found, {}, copy.open))
        said = f"Saved: {', '.join(saved)}" if saved else "Nothing was changed, so nothing was saved"
        return answer(Page("playground.html", _TITLE, {**self._shown(opened), "said": said}))

    def _read(self) -> PolicyFiles:
        try:
            return self._playground.read()
        except PolicyError as error:
            raise ApiError(503, f"the policies cannot be read: {error.problems[0]}") from None

    def _shown(self, copy: _Copy) -> dict[str, object]:
        """What the template writes: every file, and the text of the open one."""
        here = editable_files(copy.found)
        names = [*here, *sorted(name for name in copy.texts if name not in here)]
        why_not, text, base = None, "", ""
        if copy.open in copy.texts:
            text, base = copy.texts[copy.open].text or "", copy.texts[copy.open].base
            why_not = _GONE if copy.texts[copy.open].text is None else None
        elif copy.open in here:
            try:
                text = text_of(here[copy.open])
                base = digest_of(text)
            except NotEditable as error:
                why_not = str(error)
        others = {
            name: {"text": one.text, "base": one.base}
            for name, one in copy.texts.items()
            if name != copy.open or one.text is None
        }
        return {
            "files": [
                {"name": name, "is_open": name == copy.open, "told": _change_of(copy.texts.get(name))} for name in names
            ],
            "is_changed": copy.open in copy.texts,
            "open": copy.open,
            "text": text,
            "base": base,
            "why_not": why_not,
            "changes": orjson.dumps(others).decode(),
            "may_save": self._playground.save is not None,
            "called": self._playground.called,
            "fault": None,
            "said": None,
            "result": None,
        }


@contextmanager
def _refused_while_busy() -> Iterator[None]:
    try:
        yield
    except Busy as error:
        raise ApiError(503, str(error), {"Retry-After": "1"}) from None


def _first(found: PolicyFiles, wanted: str) -> str:
    """The file that is opened: the one that is wanted, else the first. Raises `ApiError` (404)."""
    names = editable_files(found)
    if wanted and wanted not in names:
        raise ApiError(404, f'there is no file "{wanted}" in this policy set')
    return wanted or next(iter(names), "")


def _change_of(text: _Text | None) -> str:
    """What became of a file, in a word; empty where nothing did."""
    if text is None:
        return ""
    return "deleted" if text.text is None else "changed" if text.base else "new"


def _reopened(copy: _Copy) -> _Copy:
    """With another file open where the open one is no longer there."""
    names = {*editable_files(copy.found), *copy.texts}
    return copy if copy.open in names else _Copy(copy.found, copy.texts, next(iter(editable_files(copy.found)), ""))


def _with_files(copy: _Copy, deed: str, wanted: str) -> _Copy:
    """With a new file, or with the open one deleted or renamed; raises `NotEditable` and `ApiError` (400)."""
    texts = dict(copy.texts)
    name = copy.open
    if deed != "new":
        if not copy.open:
            raise ApiError(409, "no file is open that could be renamed or deleted")
        was = texts.pop(name, None) or _as_it_is(copy.found, name)
        if was.base:
            texts[name] = _Text(None, was.base)
    if deed != "delete":
        name = _new_name(copy, wanted)
        if deed == "rename":
            if name in copy.texts and copy.texts[name].text is not None:
                raise NotEditable(f"{name} is there already; choose another name")
            texts[name] = _Text(was.text, texts[name].base if name in texts else "")
        elif name not in texts or texts[name].text is None:
            texts[name] = _Text("", texts[name].base if name in texts else "")
    return _reopened(_Copy(copy.found, texts, name))


def _as_it_is(found: PolicyFiles, name: str) -> _Text:
    text = text_of(editable_files(found)[name])
    return _Text(text, digest_of(text))


def _new_name(copy: _Copy, wanted: str) -> str:
    """The name of a file to be made, which may stand in place of one that was deleted in the copy; raises `NotEditable`."""
    gone = (name for name, one in copy.texts.items() if one.text is None)
    return next((name for name in gone if name == wanted or name.endswith(f"/{wanted}")), None) or new_file(
        copy.found, wanted
    )


def _opened(copy: _Copy, wanted: str) -> _Copy:
    if wanted not in copy.texts:
        _first(copy.found, wanted)
    return _Copy(copy.found, copy.texts, wanted)


def _position(fields: Mapping[str, str]) -> tuple[int, int]:
    """Where the cursor stands: line and column; raises `ApiError` (400), also where nothing asks for it."""
    line, column = (fields[name] or "0" for name in ("line", "column"))
    if not all(place.isascii() and place.isdigit() and len(place) < 8 for place in (line, column)):
        raise ApiError(400, "the fields line and column are numbers, from 0")
    return int(line), int(column)


def _copy_in(fields: Mapping[str, str], found: PolicyFiles) -> _Copy:
    """The copy that a form holds; a text that nobody touched is left out. Raises `ApiError` (400)."""
    fault = ApiError(
        409, 'the field changes is a JSON object of changed files, each {"text": …, "base": …}; the text null deletes one'
    )
    try:
        given = orjson.loads(fields["changes"] or "{}")
        texts = {name: _Text(one["text"], one["base"]) for name, one in given.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise fault from None
    if not all(isinstance(one.text, str | None) and isinstance(one.base, str) for one in texts.values()):
        raise fault
    if fields["file"]:
        texts[fields["file"]] = _Text(fields["text"], fields["base"])
    if len(texts) > MOST_CHANGED:
        raise ApiError(400, f"more than {MOST_CHANGED} files are changed; make several patches")
    here = editable_files(found)
    touched = {
        name: one if one.text is None else _Text(one.text.replace("\r\n", "\n"), one.base)
        for name, one in texts.items()
        if one.text is None or digest_of(one.text) != one.base
    }
    return _Copy(found, touched, fields["file"] if fields["file"] in {*here, *touched} else next(iter(here), ""))


def _stale(copy: _Copy) -> list[str]:
    """The changed files that are others now than when they were opened."""
    here = editable_files(copy.found)
    found = []
    for name, one in copy.texts.items():
        try:
            now = digest_of(text_of(here[name])) if name in here else ""
        except NotEditable:
            now = "other bytes"
        if now != one.base:
            found.append(name)
    return found


def _result(copy: _Copy, judgement: Judgement) -> dict[str, object]:
    difference = judgement.difference or {}
    remarks = [f"{name} was changed meanwhile; your text is taken in its place" for name in _stale(copy)]
    return {
        "open": copy.open,
        "remarks": remarks,
        "problems": judgement.problems,
        "tests": judgement.tests,
        "invariants": judgement.invariants,
        "proofs": judgement.proofs,
        "changed": difference.get("shown"),
        "why_not": difference.get("why_not"),
        "unknown": judgement.unknown,
    }
