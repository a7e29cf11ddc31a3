"""Every cache in the code is known: one of answers with what it depends on, one of something else with why it stays right.

Each has a bound, or a reason why there is never much in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from caches_in_code import code_of, has_bound, keepers
from test_what_caches_depend_on import OF_ANSWERS, PACKAGE

OF_OTHER_THINGS = {
    "api.console.changes_page.ChangesPage": "by commit and folder: no commit ever changes",
    "casbin_policies.model_shape.other_matcher": "by the text of the model",
    "service.authentication.RateLimit": "counts",
    "service.policy_history.PolicyHistory": "by the ids of trees: what has one never changes",
    "service.recorded_decisions.DecisionsThen": "by the digest of the policies",
    "storage.assignments.bulk_load._Import": "for one import",
    "storage.assignments.row_check.RowCheck": "for one import, under one policy",
    "storage.decision_log.queue.DecisionLog": "by grant, kept alive beside its text; and counts",
    "storage.entities.narrowing._Narrowing": "for one query",
    "storage.git.repository.GitRepository": "by the ids of objects: what has one never changes",
    "storage.sql.database._of_files": "what is open now",
}
"""What else is kept, up to a bound, and why it stays right."""
OF_FEW_THINGS = {
    "api.connections.ConnectionWatch": "what is open now",
    "api.connections.RequestsInProgress": "what is open now",
    "api.console.matrix_page.MatrixPage": "by the actions that the policies in force declare; for those alone",
    "api.openapi.Description": "one for the policy set in force, one without any",
    "api.openapi._parts": "made of the program alone",
    "casbin_policies.engine.CompiledPolicy.meaning_digest": "one of each policy set, which never changes",
    "casbin_policies.engine.within_function": "by the scopes of the rows of one policy set",
    "casbin_policies.stock_export._Written": "for one export",
    "casbin_policies.stock_request.Layout": "for one export",
    "client.clients._trusted": "one of each process",
    "guarding.Guarded": "what the program declares of its classes",
    "in_process.InProcess": "the one service of this process",
    "in_process._INSTANCES": "what is open now",
    "service.authentication.KeyUses": "by the keys that are good and were used within half a minute",
    "service.openid.OpenIdProvider": "one description of the provider, for minutes",
    "service.permissions._Menus": "for one request, under one policy",
    "service.playground.cursor_told": "for one request",
    "service.stored_properties.Reach": "for one request",
    "service.policy_in_force.LivePolicy": "one count for operators, for as long as it says",
    "service.refused_commits.RefusedCommits": "for one command, by the names and ids of folders, and the model",
    "service.stored_properties.StoredOfSubjects": "for one search, of those read ahead",
    "service.tally.Tally": "counts, by what the program counts",
    "service.tally._OfThread": "counts, by what the program counts",
    "storage.assignments.subject_reader.SubjectReader": "itself, as one of those that are open now",
    "storage.assignments.subject_reader._of_files": "what is open now",
    "storage.decision_log.newest_first.UnpackedFiles": "by the files that are there, for one reading",
    "storage.sql.file_check.FileCheck": "one file",
    "storage.sql.open_file.OpenFile": "three files",
    "storage.sql.wal_header._mapped": "what is open now",
    "storage.git.kept_answers.KeptAnswers": "for one command, by commit; its file starts again when it is full",
    "storage.git.line_history.LineHistory": "for one answer, by the files of one commit",
}
"""What is kept without a bound, and why there are never many of it."""


def unknown(package: Path) -> list[str]:
    """A sentence for each cache that is in neither list."""
    return [
        f"{name} keeps something by a key; where that is an answer about people or entities, say in its class what can make it "
        f"wrong (depends_on), and add it to OF_ANSWERS with a scenario for each; else say in OF_OTHER_THINGS what it keeps, or "
        "in OF_FEW_THINGS why that is never much"
        for name in sorted(keepers(package).keys() - OF_ANSWERS.keys() - OF_OTHER_THINGS.keys() - OF_FEW_THINGS.keys())
    ]


def test_every_cache_is_known() -> None:
    assert not unknown(PACKAGE), "\n".join(unknown(PACKAGE))
    assert {*OF_ANSWERS, *OF_OTHER_THINGS, *OF_FEW_THINGS} <= keepers(PACKAGE).keys(), (
        "a name here is none of a cache any more"
    )


@pytest.mark.parametrize("name", [*OF_ANSWERS, *OF_OTHER_THINGS])
def test_a_cache_has_a_bound(name: str) -> None:
    assert has_bound(code_of(PACKAGE, name)), (
        f"{name} grows without end: before it keeps one more, compare how much it holds with the most (MOST_…, max_…), and "
        "forget what is oldest; of what is no answer about people or entities say in OF_FEW_THINGS why it is never much"
    )


def test_what_needs_no_bound_has_none() -> None:
    bounded = [name for name in OF_FEW_THINGS if has_bound(code_of(PACKAGE, name))]
    assert not bounded, f"{bounded[0]} has a bound: its row belongs into OF_OTHER_THINGS"
