"""Why a service would have refused the commits of a history: found before, or now, where there are many by several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from klausel.cli.options import accepted_models, open_history
from klausel.cli.processes import work_on
from klausel.core.loading.cache import LoadCache
from klausel.service.refused_commits import RefusedCommits
from klausel.storage.git.kept_answers import KeptAnswers
from klausel.storage.git.objects import GitCommit
from klausel.storage.git.repository import GitRepository

FEWEST_FOR_PROCESSES = 250
"""Below so many commits, starting processes takes longer than one needs for all."""
AT_ONCE = 40
"""Commits beside each other have most in common, so a process takes so many."""

Asked = tuple[str, str]
"""The id of a commit, and the name of the folder of the policies there."""


class Refusals:
    """Tells, commit by commit in their order, why a service would have refused them; who is done closes it."""

    def __init__(
        self,
        policies: Path,
        at: str | None,
        repository: GitRepository,
        commits: Sequence[tuple[GitCommit, str]],
        kept: Callable[[str], KeptAnswers],
        cache: LoadCache,
    ) -> None:
        """`kept` are the answers from before, by the name of the folder; `cache` may be that of who loads the same commits."""
        self._kept = kept
        asked = [(commit, folder) for commit, folder in commits if self._known(commit, folder) is None]
        processes = min(os.cpu_count() or 1, 8) if len(asked) >= FEWEST_FOR_PROCESSES else 1
        self._found = (
            _found(RefusedCommits(repository, accepted_models(), cache), asked)
            if processes == 1
            else _found_by(processes, (policies, at, accepted_models()), [(commit.id, folder) for commit, folder in asked])
        )

    def of(self, commit: GitCommit, folder: str) -> list[str]:
        """Why a service would have refused the next commit; empty where it would have taken it."""
        known = self._known(commit, folder)
        if known is not None:
            return known
        found = next(self._found)
        self._kept(folder).keep(commit.id, {"problems": found})
        return found

    def _known(self, commit: GitCommit, folder: str) -> list[str] | None:
        kept = self._kept(folder)
        if commit.id not in kept:
            return None
        answer = kept[commit.id]
        return None if answer is None else answer["problems"]

    def close(self) -> None:
        """Ends what works on commits that nobody asks about any more."""
        self._found.close()


def _found(refused: RefusedCommits, asked: Sequence[tuple[GitCommit, str]]) -> Generator[list[str]]:
    for commit, folder in asked:
        yield [str(one) for one in refused.problems(commit, folder)]


def _found_by(processes: int, start: tuple[object, ...], asked: Sequence[Asked]) -> Generator[list[str]]:
    waiting = iter(asked)
    blocks: Iterator[list[Asked]] = iter(lambda: list(islice(waiting, AT_ONCE)), [])
    yield from chain.from_iterable(work_on(blocks, _looking, start, processes))


def _looking(policies: Path, at: str | None, accepted: tuple[str, ...]) -> Callable[[list[Asked]], list[list[str]]]:
    repository, _, _ = open_history(policies, at)
    refused = RefusedCommits(repository, accepted)
    return lambda asked: list(_found(refused, [(repository.commit(id_), folder) for id_, folder in asked]))
