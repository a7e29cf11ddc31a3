"""What patterns can be of one text together, beside every short text; and what proofs make of it."""

from __future__ import annotations

import itertools
import random

import pytest
from policy_sets import policy_of

from klausel.core.analysis.proof import prove_all
from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.outcomes import TooManyCases, truth_space
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.patterns_together import patterns_together

NAMES = ("starts_with", "ends_with", "matches_glob", "matches_path")
PARTS = ("**", "/**", "**/a", "a/**/b", "/**/a", "**/", "*/**", "**/**", "/")
TEXTS = ["".join(signs) for length in range(7) for signs in itertools.product("ab/", repeat=length)]
TEXTS += ["c", "c/c", "cc", "ac", "ca", "a/c", "c/a", "/c", "c/", "a/c/b", "ccc", "a/cc/b", "c" * 9]


def some_pattern(choose: random.Random, name: str) -> str:
    if name == "matches_path" and choose.random() < 0.5:
        return choose.choice(PARTS)
    signs = "ab/" if name in ("starts_with", "ends_with") else "ab/*?*"
    return "".join(choose.choice(signs) for _ in range(choose.randint(1, 3)))


def ways(*asked: tuple[str, str]) -> frozenset[tuple[bool, ...]]:
    found = together(*asked)
    assert found is not None
    return found


def together(*asked: tuple[str, str]) -> frozenset[tuple[bool, ...]] | None:
    found = patterns_together([FUNCTIONS[name].reads(pattern) for name, pattern in asked])
    return None if found is None else frozenset(found)


@pytest.mark.parametrize("seed", range(40))
def test_they_are_what_some_text_makes_them_and_nothing_else(seed: int) -> None:
    choose = random.Random(seed)
    asked = [(name, some_pattern(choose, name)) for name in choose.choices(NAMES, k=choose.randint(1, 2))]
    assert ways(*asked) == {tuple(FUNCTIONS[name].meaning(text, pattern) for name, pattern in asked) for text in TEXTS}


def test_some_follow_from_each_other_and_some_exclude_each_other() -> None:
    assert (True, False) not in ways(("ends_with", "/.ssh/id_rsa"), ("matches_glob", "*/.ssh/*"))
    assert (True, True) not in ways(("starts_with", "a"), ("matches_glob", "b*"))
    assert (True, False) not in ways(("matches_path", "/teams/*/x"), ("starts_with", "/teams/"))
    assert ways(("matches_glob", "*"), ("ends_with", "x")) == {(True, True), (True, False)}


def test_what_takes_too_long_to_find_is_taken_as_free() -> None:
    few, many = (tuple(("matches_glob", f"*{sign * 9}?b?b?b?b?b*") for sign in "abcdefgh"[:number]) for number in (1, 8))
    assert together(*few) == {(True,), (False,)}
    assert together(*many) is None
    text = " and ".join(f'not matches_glob(resource.path, "{pattern}")' for _, pattern in many)
    assert verdicts(text, 'ends_with(resource.path, "/x")') == ["BROKEN"]


def test_more_ways_than_can_be_gone_through_are_told_before_each_was_tried() -> None:
    texts = [f'matches_glob(resource.path, "*{sign * 9}?b?b?b?b?b*")' for sign in "cdefghijklmnopqrstuvwxyz"]
    with pytest.raises(TooManyCases, match="24 different comparisons"):
        truth_space(parse_condition(text, lambda _: None, {}) for text in texts)


def verdicts(allowed: str, never: str) -> list[str]:
    policy = policy_of(
        {
            "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
            "features/files.yaml": "resource_types:\n  file: {actions: [open]}\ngrants:\n"
            f"  - {{allow: editor, to: open, resource: file, when: '{allowed}'}}\n",
            "invariants.yaml": f"invariants:\n  - {{never: anyone, to: open, resource: file, when: '{never}'}}\n",
        }
    )
    return ["holds" if verdict.holds else "BROKEN" for verdict in prove_all(policy)]


@pytest.mark.parametrize(
    ("allowed", "never", "verdict"),
    [
        ('not matches_glob(resource.path, "*/.ssh/*")', 'ends_with(resource.path, "/.ssh/id_rsa")', "holds"),
        ('not matches_glob(resource.path, "*/.ssh/*")', 'ends_with(resource.path, ".ssh/id_rsa")', "BROKEN"),
        ('matches_path(resource.path, "/team/**")', 'starts_with(resource.path, "/home/")', "holds"),
        ("starts_with(resource.path, subject.home)", 'starts_with(resource.path, "/home/")', "BROKEN"),
        (
            'starts_with(resource.path, "/team/")',
            'matches_glob(resource.path, "/team*") and resource.path != "/team/a"',
            "BROKEN",
        ),
    ],
)
def test_proofs_know_what_one_text_can_be(allowed: str, never: str, verdict: str) -> None:
    assert verdicts(allowed, never) == [verdict]
