"""The rows of `klausel log` as CSV and as a page: one for each thing that a commit changed, with all about the commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from klausel.core.difference.commit_changes import CommitChanges
from klausel.core.difference.compare import Change
from klausel.core.difference.report import rules_in_words, where_in_words
from klausel.core.terms.problem import Problem
from klausel.storage.git.objects import GitCommit

OTHER_MODEL = "the model is another one, so its matcher may decide otherwise"
_OF_COMMIT = ("commit", "date", "author", "email", "committer", "committed", "trailers", "signature", "merged by", "subject")
_OF_CHANGE = ("kind", "who", "where", "resource type", "action", "before", "after", "relation")
COLUMNS = (*_OF_COMMIT, *_OF_CHANGE)
_WITHIN_OTHERS = ("committed", "where", "relation")


def for_reading(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a page, where a place stands with who has it, a relation with what is now, a day with the committer."""
    return tuple(column for column in columns if column not in _WITHIN_OTHERS)


def stated(kind: str, text: str) -> list[str]:
    """The cells of what is one sentence."""
    return [kind, *("" for _ in _OF_CHANGE[1:-2]), text, ""]


def cells_of(
    changes: CommitChanges, remarks: Iterable[str], has_other_model: bool, problems: Iterable[Problem]
) -> Iterator[list[str]]:
    """The cells of each thing that a commit changed, those about the commit left out."""
    sentences: tuple[tuple[str, Iterable[str]], ...] = (
        ("does not load", [str(one) for one in problems if one.severity == "error"]),
        ("note", remarks),
        ("removed", changes.removed),
        ("added", changes.added),
        ("rule", map(str, changes.rules)),
        ("entity", changes.entities),
        ("model", [OTHER_MODEL] if has_other_model else []),
        ("note", changes.notes),
    )
    for kind, texts in sentences:
        yield from (stated(kind, text) for text in texts)
    report = changes.report
    if report is None:
        return
    for position, change in enumerate(report.difference.changes):
        kind = "gain and loss" if change.gain and change.loss else "gain" if change.gain else "loss"
        before, after = rules_in_words(change)
        about = (_who(change), where_in_words(change), change.resource_type, change.action, before, after, change.relation)
        people = [str(report.people[position])] if report.people is not None else []
        yield [kind, *about, *people]


def _who(change: Change) -> str:
    """All who have a change, one behind the other; or those of whom each must be held."""
    who = " together with ".join(change.who) if change.together else ", ".join((*change.who, *change.with_it))
    return who if change.counts_with is None else f"{who}, together with {change.counts_with}"


def row_for_programs(
    commit: GitCommit, merged_by: str | None, cells: Sequence[str], columns: Sequence[str]
) -> tuple[str, ...]:
    """A row in which everything stands in full, as wide as the columns."""
    about = (
        *(commit.id, commit.date.isoformat(), commit.author, commit.email, commit.committer, commit.committed.isoformat()),
        *(_trailers(commit), commit.signature or "none", merged_by or "", commit.subject),
    )
    return _as_wide((*about, *cells), columns)


def row_for_reading(
    commit: GitCommit, merged_by: str | None, cells: Sequence[str], columns: Sequence[str]
) -> tuple[str, ...]:
    """A row as people read it: ids as short as in the text, days, and nothing that goes without saying."""
    kind, who, where, resource_type, action, before, after, relation, *people = cells
    told = (
        *(commit.id[:12], f"{commit.date:%Y-%m-%d}", commit.author, commit.email, _committed(commit), _trailers(commit)),
        *(commit.signature or "", (merged_by or "")[:12], commit.subject),
        *(kind, f"{who} ({where})" if where else who, resource_type, action, before),
        after if relation in ("", "gained", "lost") else f"{after} ({relation})",
    )
    return _as_wide((*told, *people), columns)


def _committed(commit: GitCommit) -> str:
    """Who committed it, and when, where that is somebody else, or another day."""
    is_other = (commit.committer, commit.committer_email) != (commit.author, commit.email)
    if not is_other and commit.committed.date() == commit.date.date():
        return ""
    return f"{commit.committer if is_other else ''} {commit.committed:%Y-%m-%d}".strip()


def _trailers(commit: GitCommit) -> str:
    return "; ".join(f"{key}: {value}" for key, value in commit.trailers)


def _as_wide(row: tuple[str, ...], columns: Sequence[str]) -> tuple[str, ...]:
    return row + ("",) * (len(columns) - len(row))
