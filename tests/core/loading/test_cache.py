"""Loading with a cache gives what loading afresh gives, and reads only what changed."""

from __future__ import annotations

import random
from pathlib import Path

from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import grants_by_question

FOLDER = Path(__file__).parents[3] / "policies"
FILES = {
    path.relative_to(FOLDER).as_posix(): path.read_text()
    for path in [*FOLDER.glob("*.yaml"), *FOLDER.glob("features/*.yaml"), *FOLDER.glob("tests/[dp]*_test.yaml")]
} | {"features/more.csv": "p, agent, *, quiz, take, , deny\n"}
EDITS = [
    ("roles.yaml", "contains: lead", "contains: [lead]"),
    ("roles.yaml", "contains: lead", "contains: agent"),
    ("conditions.yaml", '"published"', '"open"'),
    ("conditions.yaml", "owner_is_self", "owner_is_me"),
    ("features/quizzes.yaml", "archive", "archives"),
    ("features/quizzes.yaml", "allow: lead", "allow: leed"),
    ("features/quizzes.yaml", "description", "\ndescription"),
    ("features/pins.yaml", "  pin:", "  pins:"),
    ("features/pins.yaml", "  pin:", "  quiz:"),
    ("features/disputes.yaml", "grants:\n  - ", "grants:\n    "),
    ("features/more.csv", "quiz, take", "pin, view"),
    ("features/groups.yaml", "allow: manager", "deny: agent"),
    ("features/more.csv", "agent, *", "lead, acme"),
    ("features/more.csv", "p, agent", "g, reviewer, user, *\np, agent"),
]


def sources(files: dict[str, str]) -> list[SourceFile]:
    return [SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items()]


def test_a_cached_loading_equals_a_fresh_one_after_any_edits() -> None:
    chance = random.Random(4)
    cache = LoadCache()
    refused = 0
    for _ in range(60):
        files = dict(FILES)
        for name, old, new in chance.sample(EDITS, chance.randint(0, 2)):
            assert old in FILES[name]
            files[name] = files[name].replace(old, new)
        fresh = load_policy(sources(files))
        again = load_policy(sources(files), (), cache)
        assert again == fresh
        if again.policy is not None:
            assert fresh.policy is not None
            assert list(again.policy.questions) == list(fresh.policy.questions)
            assert list(again.policy.resource_types) == list(fresh.policy.resource_types)
            by_question = grants_by_question(again.policy.grants)
            assert {asked: again.policy.grants_about(*asked) for asked in again.policy.questions} == by_question
        refused += fresh.policy is None
    assert 10 < refused < 50


def test_grants_of_unchanged_files_are_the_same_objects() -> None:
    cache = LoadCache()
    before = load_policy(sources(FILES), (), cache).or_raise()
    edited = FILES | {"features/pins.yaml": FILES["features/pins.yaml"].replace("allow: user", "allow: account_manager")}
    after = load_policy(sources(edited), (), cache).or_raise()
    anew = [grant for grant in after.grants if not any(grant is known for known in before.grants)]
    assert [str(grant) for grant in anew] == ["allow account_manager to create pin"]
