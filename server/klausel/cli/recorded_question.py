"""`klausel explain --record`: why a recorded decision was as it was, by the policies and the role assignments of then."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import click

from klausel.cli.options import fail, load_or_exit, open_policies
from klausel.cli.output import say
from klausel.core.decisions.explain import Explanation
from klausel.core.records.recorded import BadRecord, Dropped, Recorded, read_recorded
from klausel.core.terms.problem import PolicyError
from klausel.service.pipeline import LoadedPolicy
from klausel.service.policy_history import commit_with, is_cut_off
from klausel.service.recorded_decisions import explained_by
from klausel.storage.decision_log.files import UnreadableLog, blocks_of, good_values_of
from klausel.storage.git.objects import GitError


def explain_record(record: str, policies: Path, model: Path | None, at: str | None, **question: object) -> Explanation:
    """The explanation of a record, given as FILE:LINE or as JSON; exits with 1 where it cannot be given.

    Without `at`, the policies are those of the commit in the record, else those here or of the newest commit behind them
    whose files are the very same.
    """
    _refuse_question(question)
    value = _record_of(record)
    try:
        recorded = read_recorded(value)
    except BadRecord as error:
        fail(f"the record {error}")
    if isinstance(recorded, Dropped) or recorded.request is None:
        fail("there was no question in this record, so nothing was decided by a policy")
    loaded = _policies_of(value.get("policy"), policies, model, at)
    return _explained(recorded, loaded)


def _refuse_question(question: dict[str, object]) -> None:
    for name in ("subject", "action", "resource", "assumed", "domain", "values", "moment", "now"):
        if question[name] not in ("", None, ()):
            raise click.UsageError(
                "--record takes the place of the question; leave out SUBJECT, --as, --in, --set and the times"
            )


def _record_of(text: str) -> Mapping[str, Any]:
    place, number = "the record", 0
    data: bytes | None = text.encode()
    if not text.lstrip().startswith("{"):
        place = text
        file, line, number = _place_in(text)
        data = _line(file, line)
    records = [] if data is None else good_values_of(data)
    if not records:
        fail(f"{place} is no record of a decision; write FILE:LINE, as `klausel decisions find` prints it")
    if number > len(records):
        fail(f"{place} holds {len(records)} decisions; name one of them by its number, from 1")
    if not number and len(records) > 1:
        how = f"name one as {place}:1 to {place}:{len(records)}" if place == text else "name its file and line instead"
        fail(f"{place} holds {len(records)} decisions; {how}, as `klausel decisions find` prints it")
    return records[max(number - 1, 0)]


def _place_in(text: str) -> tuple[str, int, int]:
    """The file, the line, and the number of the decision on it (0 where none is named); a usage error for other texts."""
    file, _, last = text.rpartition(":")
    above, _, line = file.rpartition(":")
    if above and _is_number(last) and _is_number(line) and not Path(file).is_file():
        return above, int(line), int(last)
    if not file or not _is_number(last):
        message = f'"{text}" is neither FILE:LINE nor FILE:LINE:NUMBER nor a record as JSON'
        raise click.BadParameter(message, param_hint="--record")
    return file, int(last), 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text) > 0


def _line(file: str, number: int) -> bytes | None:
    try:
        for block in blocks_of([file]):
            lines = block.data.split(b"\n")
            if number < block.first_line + len(lines):
                return next(islice(lines, number - block.first_line, None), None)
    except UnreadableLog as error:
        fail(str(error))
    return None


def _policies_of(version: object, policies: Path, model: Path | None, at: str | None) -> LoadedPolicy:
    told = version if isinstance(version, dict) else {}
    digest, commit = told.get("digest"), told.get("commit")
    loaded: LoadedPolicy | None = None
    if at is None and isinstance(commit, str):
        with suppress(GitError, PolicyError):
            loaded = open_policies(policies, model, at=commit)
        if loaded is not None and loaded.files_digest == digest:
            say(f"klausel: policies as of commit {commit[:12]}", err=True)
            return loaded
    loaded = load_or_exit(policies, model, at=at)
    if loaded.files_digest == digest:
        return loaded
    if at is not None:
        say(f"klausel: the policies at {at} are not those that decided then, {digest}", err=True)
        return loaded
    with suppress(GitError):
        found = commit_with(str(digest), str(policies), model)
        if found is not None:
            say(f"klausel: policies as of commit {found[:12]}, whose files are those of the record", err=True)
            return load_or_exit(policies, model, at=found)
    tried = f"commit {commit[:12]}, nor of a commit before those" if isinstance(commit, str) else "a commit before them"
    where = "name another branch with --at"
    with suppress(GitError):
        if is_cut_off(str(policies)):
            where = "this clone begins later; git fetch --unshallow brings the rest"
    fail(f"the policies that decided then, {digest}, are neither those here nor of {tried}; {where}")


def _explained(recorded: Recorded, loaded: LoadedPolicy) -> Explanation:
    try:
        told = explained_by(recorded, loaded)
    except BadRecord as error:
        fail(f"the record {error}")
    assert told.explanation is not None
    say(f"klausel: asked at {recorded.now}, with the role assignments of then", err=True)
    for remark in told.remarks:
        say(f"klausel: {remark[:1].lower()}{remark[1:].removesuffix('.')}", err=True)
    return told.explanation
