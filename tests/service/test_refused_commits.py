"""Why a service would have refused a commit is the same, whatever was gone through for other commits before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from random_history import OTHER_MODEL, RandomHistory

from klausel.casbin_policies.model_shape import model_digest
from klausel.core.terms.problem import PolicyError, Problem
from klausel.service.pipeline import load_checked
from klausel.service.refused_commits import RefusedCommits
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import read_at

ACCEPTED = (model_digest(OTHER_MODEL),)


def by_itself(repository: GitRepository, id: str, folder: str) -> tuple[Problem, ...]:
    try:
        load_checked(read_at(repository, id, folder), accepted_models=ACCEPTED)
    except PolicyError as error:
        return tuple(problem for problem in error.problems if problem.severity == "error")
    return ()


@pytest.mark.parametrize("seed", range(3))
def test_a_commit_is_judged_after_others_as_by_itself(seed: int, tmp_path: Path) -> None:
    asked = RandomHistory(seed).make(tmp_path, 24)
    with GitRepository.containing(tmp_path) as repository:
        seen, refused = Counter[str](), RefusedCommits(repository, ACCEPTED)
        # Newest first, as the log is told, and then some in any order.
        for id_, folder in [*reversed(asked), *Random(seed).sample(asked, 6)]:
            told = refused.problems(repository.commit(id_), folder)
            assert told == by_itself(repository, id_, folder), (seed, id_)
            seen.update(problem.id for problem in told)
    assert seen["policy-test-failed"] or seen["invariant-broken"]
