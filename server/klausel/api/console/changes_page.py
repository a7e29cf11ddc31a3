"""The page of changes: what each commit changed in what is allowed, two versions compared, and files that were refused."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Lock

from klausel.api.console.fields import read_page_number
from klausel.api.console.pages import Page, pages_around
from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.difference.commit_changes import Topic
from klausel.core.difference.compare import difference_between
from klausel.core.difference.formats import MOST_SHOWN, rows_for_people
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, as_json
from klausel.core.loading.load import SourceFile, is_test_file, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.moment import instant_text
from klausel.core.terms.problem import problem_as_json
from klausel.core.text.decoding import decode
from klausel.service.decision_service import Service
from klausel.service.policy_history import PolicyHistory, open_history
from klausel.service.policy_in_force import Refusal
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.git.moved_folder import folder_at
from klausel.storage.git.objects import GitCommit, GitError, commit_as_json
from klausel.storage.git.repository import GitRepository

FIELDS = ("before", "after")
COMMITS_ON_A_PAGE = 10
MOST_COMMITS_KEPT = 200
LINES_AROUND = 2
SECONDS_TO_WAIT = 5.0
_TITLE = "Changes"
# No option of git, nothing of the reflog, no search through messages, no path.
_REVISION = re.compile(r"\w[\w./@~^:+-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Told:
    """What one commit changed: as programs and as people read it."""

    twin: Json
    shown: Json


class ChangesPage:
    """The history of the policies of one service; what commits changed is kept, for no commit ever changes.

    One page at a time is worked out: comparing keeps a processor busy.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._turn = Lock()

    def page(self, given: Mapping[str, str], is_twin: bool) -> Page:
        """Ten commits, or two versions compared where one is named; above them, what was refused.

        The twin raises `ApiError` (400) where the page shows a fault. Both raise `ApiError` (503) where other pages are being
        worked out for long.
        """
        in_force = self._service.policy
        refusal = self._service.live.refusal
        shown: Json = {
            "given": {name: given.get(name, "") for name in FIELDS},
            "fault": None,
            "compared": None,
            "no_history": None,
        }
        shown |= {"commits": [], "pages": {"before": None, "behind": None}}
        with self._one_at_a_time():
            refused = None if refusal is None else _refused(refusal, in_force.compiled.policy)
            twin: Json = {"files_digest": in_force.files_digest, "refused": None if refused is None else refused.twin}
            shown |= {"refused": None if refused is None else refused.shown}
            status = 200
            try:
                if any(given.get(name) for name in FIELDS):
                    report = self._compared(given)
                    twin |= {"compared": {"before": report.before, "after": report.after, **as_json(report)}}
                    shown |= {"compared": rows_for_people(report)}
                else:
                    number = read_page_number(given.get("page", ""))
                    told, following = self._commits(number)
                    twin |= {"commits": [one.twin for one in told], "next": following}
                    shown |= {"commits": [one.shown for one in told], "pages": pages_around({}, number, following)}
            except GitError as error:
                if is_twin:
                    raise ApiError(409, f"the history of the policies cannot be read: {error}") from None
                shown |= {"no_history": str(error)}
            except ApiError as error:
                if is_twin or error.status != 400:
                    raise
                status = 400
                shown |= {"fault": error.message}
        return Page("changes.html", _TITLE, shown, twin, status)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=SECONDS_TO_WAIT):
            raise ApiError(503, "other changes are being worked out; ask again", {"Retry-After": "1"})
        try:
            yield
        finally:
            self._turn.release()

    def _commits(self, number: int) -> tuple[list[_Told], int | None]:
        repository, newest, folder = open_history(self._service.settings.policies)
        with closing(repository):
            history = PolicyHistory(repository, folder)
            commits = history.commits(newest)
            start = (number - 1) * COMMITS_ON_A_PAGE
            told = [self._told(history, *one) for one in commits[start : start + COMMITS_ON_A_PAGE]]
            return told, number + 1 if start + COMMITS_ON_A_PAGE < len(commits) else None

    def _told(self, history: PolicyHistory, commit: GitCommit, folder: str) -> _Told:
        kept = self._kept.get((commit.id, folder))
        if kept is None:
            kept = self._kept[commit.id, folder] = _commit_told(history, commit, folder)
            if len(self._kept) > MOST_COMMITS_KEPT:
                self._kept.popitem(last=False)
        return kept

    def _compared(self, given: Mapping[str, str]) -> DifferenceReport:
        repository, _, folder = open_history(self._service.settings.policies)
        with closing(repository):
            history = PolicyHistory(repository, folder)
            sides = [self._side(repository, history, folder, given.get(name, "")) for name in FIELDS]
        (before_name, before), (after_name, after) = sides
        return DifferenceReport(difference_between(before, after), before_name, after_name, renames_between(before, after))

    def _side(self, repository: GitRepository, history: PolicyHistory, folder: str, revision: str) -> tuple[str, PolicySet]:
        """A version by its name, and the policy set then; without a name, what is in force."""
        if not revision:
            return "in force", self._service.policy.compiled.policy
        if not _REVISION.fullmatch(revision):
            raise ApiError(
                400, f'"{revision}" names no version; write a commit, a tag, a branch or a date such as 2026-03-01'
            )
        try:
            commit = repository.commit(revision)
        except GitError as error:
            raise ApiError(400, str(error)) from None
        edition = history.edition(commit, folder_at(repository, commit, folder))
        name = commit.named(revision)
        if edition is None:
            raise ApiError(400, f"there are no policies at {name}")
        if edition.policy is None:
            first = next(one for one in edition.problems if one.severity == "error")
            raise ApiError(400, f"the policies at {name} do not load: {first}")
        return name, edition.policy


def _commit_told(history: PolicyHistory, commit: GitCommit, folder: str) -> _Told:
    step = history.step(commit, folder)
    problems = [one for one in step.problems if one.severity == "error"]
    changes = step.changes(Topic())
    twin = {
        **commit_as_json(commit),
        "loads": not problems,
        "problems": [str(problem) for problem in problems],
        "broken_commits_before": step.skipped,
        "clone_ends_here": step.is_cut,
        "model_changed": step.has_other_model,
        **changes.as_json(),
    }
    remarks = [
        *([f"does not load: {problems[0]}"] if problems else []),
        *([f"and {len(problems) - 1} more problems"] if len(problems) > 1 else []),
        *([f"compared with the last that loads, {step.skipped + 1} commits before"] if step.skipped else []),
        *(["the clone ends here: what was there before counts as gained"] if step.is_cut else []),
        *(["the policies are gone"] if step.after is None else []),
        *(["the model is another one, so its matcher may decide otherwise"] if step.has_other_model else []),
        *map(str, changes.rules),
    ]
    shown = {
        "id": commit.id,
        "date": f"{commit.date:%Y-%m-%d}",
        "author": commit.author,
        "subject": commit.subject,
        "parent": commit.parents[0] if commit.parents else None,
        "remarks": remarks,
        "removed": changes.removed,
        "added": changes.added,
        "changed": rows_for_people(changes.report) if changes.report is not None and changes.has_changes else None,
        "is_nothing": not (changes or remarks),
    }
    return _Told(twin, shown)


def _refused(refusal: Refusal, in_force: PolicySet) -> _Told:
    """Why the files are not in force: each problem with the lines around its place, and what the files would change."""
    texts = {file.shown_as: (decode(file.content, file.shown_as)[0] or "").splitlines() for file in refusal.files}
    problems = [
        {**problem_as_json(one), "lines": _lines_around(texts.get(one.place.file, []), one.place.line)}
        for one in refusal.problems[:MOST_SHOWN]
    ]
    since = instant_text(refusal.since_unix_seconds)
    told: Json = {"since": since, "count": len(refusal.problems), "problems": problems}
    wanted = _policy_in(refusal.files)
    if wanted is None:
        return _Told({**told, "changes": None}, {**told, "changed": None})
    report = DifferenceReport(
        difference_between(in_force, wanted), "in force", "the refused files", renames_between(in_force, wanted)
    )
    return _Told({**told, "changes": as_json(report)}, {**told, "changed": rows_for_people(report)})


def _policy_in(files: Sequence[SourceFile]) -> PolicySet | None:
    """The policy set that files say, where they say one, though it was refused for what it allows."""
    return (
        load_policy(file for file in files if not is_test_file(file.name) and file.name != MODEL_NAME).policy
        if files
        else None
    )


def _lines_around(lines: Sequence[str], line: int) -> list[Json]:
    first = max(1, line - LINES_AROUND)
    return [
        {"number": number, "text": text, "is_at_fault": number == line}
        for number, text in enumerate(lines[first - 1 : line + LINES_AROUND], first)
    ]
