"""How long the first page of `klausel who-can` takes among a million role assignments, in broad domains and small ones.

Fills an empty database first: `scripts/python -m benchmarks.sections.search_pages postgresql://postgres@127.0.0.1/search_pages`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from klausel.core.analysis.permission import Question, question_in
from klausel.core.analysis.search import holders_that_matter, who_can
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import Assignment
from klausel.service.pipeline import open_policy
from klausel.storage.assignments.holders import people_who_hold
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

ROOT = Path(__file__).parents[3]
PAGE = 100
REPETITIONS = 5
WORKSPACE_ROLES = ("agent", "reviewer", "lead", "manager")
QUESTIONS = (
    ("view", "conversation", "big/w7"),
    ("view", "coaching_session", "big"),
    ("create", "quiz", "big"),
    ("edit", "quiz", "big/w7"),
    ("delete", "account", "big"),
    ("create", "quiz", "a20"),
    ("view", "conversation", "a21/w3"),
)


def role_assignments(random: Random) -> Iterator[Assignment]:
    """One account with 100,000 people in 300 workspaces, and 300 accounts of about a thousand people in 12."""
    for account, people, workspaces, roles in [("big", 100_000, 300, 2), *((f"a{n}", 1_050, 12, 1) for n in range(300))]:
        yield Assignment(f"user:{account}-root", "admin", account)
        for number in range(people):
            # In every other account the people stand together in the order of subjects.
            scattered = account == "big" or int(account[1:]) % 2
            who = f"user:{random.getrandbits(48):012x}" if scattered else f"user:{account}-{number}"
            yield Assignment(who, "user", account)
            for workspace in random.sample(range(workspaces), roles):
                role = random.choices(WORKSPACE_ROLES, (80, 15, 4, 1))[0]
                yield Assignment(who, role, f"{account}/w{workspace}")


def main(url: str) -> None:
    """Fills the database if it is empty, and prints the median time of each first page."""
    policy = open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy
    store = AssignmentStore(open_database(url))
    if store.is_empty():
        store.import_rows(policy.roles, role_assignments(Random(1)))
    print(f"{store.count()} role assignments")
    for action, type_, domain in QUESTIONS:
        times = []
        for _ in range(REPETITIONS):
            start = time.perf_counter()
            question = question_in(policy, type_, action, domain)
            assert isinstance(question, Question)
            holders = holders_that_matter(policy.roles, question)
            people = (
                (key, EffectiveRoles.of_held(policy.roles, held)) for key, held in people_who_hold(store.engine, holders)
            )
            found = list(islice(who_can(policy.roles, question, people), PAGE))
            times.append((time.perf_counter() - start) * 1_000)
        print(f"{action} {type_} in {domain}: {len(found)} in {statistics.median(times):.1f} ms (worst {max(times):.1f})")
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
