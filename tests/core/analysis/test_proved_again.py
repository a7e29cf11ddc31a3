"""Proving again after a change: the verdicts are those of a whole proof, and what did not change is not gone through."""

from __future__ import annotations

from random import Random

import pytest
from small_policies import load

from klausel.core.analysis.proof import Part, PartProof, Proof, Verdict, prove_all
from klausel.core.analysis.proved import Proved
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROLES = """levels:
  account: {named_by: account}
  workspace: {named_by: workspace, requires_role_above: true}
roles:
  boss: {level: account, contains: [clerk]}
  clerk: {level: account}
  lead: {level: workspace, contains: [agent]}
  agent: {level: workspace}
"""
GRANTEES = ("boss", "clerk", "lead", "agent", "any lead", "anyone", "{all: [clerk, agent]}")
CONDITIONS = ("", "resource.open", "resource.owner == subject.id", 'resource.status in ["open", "new"]')
SCOPES = ("", "acme", "acme/support")
INVARIANTS = (
    "{name: outsiders, never: outsider, to: '*', resource: '*'}",
    "{name: clerks, never: clerk, to: delete, resource: '*', when: resource.open}",
    "{name: bosses, always: boss, to: view, resource: [quiz]}",
    "{name: few, at_most: [boss, lead], to: delete, resource: [quiz, note]}",
    "{name: grows, monotone: true}",
    "{name: two, separate: [{to: pay, resource: quiz}, {to: view, resource: note}]}",
    "{name: apart, separate: [boss, lead]}",
)


class Edited:
    """The texts of a small policy set, edited at random."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._types = {"quiz": ["view", "pay", "delete"], "note": ["view", "delete"]}
        self._grants = [self._grant() for _ in range(3)]
        self._remarks = ""
        self._invariants = random.sample(INVARIANTS, 4)

    def edit(self) -> None:
        random = self._random
        match random.randrange(9):
            case 7:
                self._remarks = "# A remark.\n" * random.randrange(4)
            case 0 | 1 | 2:
                self._grants.insert(random.randrange(len(self._grants) + 1), self._grant())
            case 3 | 4 | 5 if len(self._grants) > 1:
                del self._grants[random.randrange(len(self._grants))]
            case 6:
                self._types.pop("memo", None) or self._types.update(memo=["view", "delete"])
                self._grants = [one for one in self._grants if "memo" not in one or "memo" in self._types]
            case _:
                self._invariants = random.sample(INVARIANTS, random.randrange(1, 5))

    def policy(self) -> PolicySet | None:
        types = "".join(f"  {name}: {{actions: [{', '.join(actions)}]}}\n" for name, actions in self._types.items())
        grants = f"{self._remarks}resource_types:\n{types}grants:\n" + "".join(f"  - {{{one}}}\n" for one in self._grants)
        invariants = "invariants:\n" + "".join(f"  - {one}\n" for one in self._invariants)
        files = {"roles.yaml": ROLES, "features/some.yaml": grants, "invariants.yaml": invariants}
        return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).policy

    def _grant(self) -> str:
        random = self._random
        name = random.choice(list(self._types))
        grantee = random.choice(GRANTEES)
        said = f"{random.choice(('allow', 'allow', 'deny'))}: {grantee}, to: {random.choice(self._types[name])}, resource: {name}"
        condition, scope = random.choice(CONDITIONS), random.choice(SCOPES)
        said += f", in: {scope}" if scope else ""
        return said + (f", when: '{condition}'" if condition else "")


def broken(policy: PolicySet, most_steps: int) -> tuple[Verdict, ...]:
    return tuple(verdict for verdict in prove_all(policy, most_steps) if not verdict.holds)


@pytest.mark.parametrize("most_steps", [1_000_000, 700])
@pytest.mark.parametrize("seed", range(4))
def test_after_random_edits_the_verdicts_are_those_of_a_whole_proof(seed: int, most_steps: int) -> None:
    edited, again, compared = Edited(Random(seed)), Proved(), 0
    for _ in range(12):
        edited.edit()
        policy = edited.policy()
        if policy is not None:
            assert again.broken(policy, most_steps) == broken(policy, most_steps)
            compared += 1
    assert compared > 3


TYPES = "resource_types:\n  quiz: {actions: [view, pay]}\n  note: {actions: [view]}\ngrants:\n"
ALL = "invariants:\n  - {name: outsiders, never: outsider, to: '*', resource: '*'}\n"
FIRST = "  - {allow: agent, to: view, resource: note}\n"


def asked_of(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> tuple[tuple[Verdict, ...], list[str]]:
    """What does not hold after an edit, and the things that were gone through for that."""
    again, things = Proved(), []
    assert again.broken(load("", TYPES + before, roles=ROLES, invariants=ALL).or_raise()) == ()
    prove = Proof._part

    def noted(proof: Proof, part: Part) -> PartProof:
        things.extend(map(str, part))
        return prove(proof, part)

    monkeypatch.setattr(Proof, "_part", noted)
    return again.broken(load("", TYPES + after, roles=ROLES, invariants=ALL).or_raise()), things


def test_only_the_things_whose_grants_changed_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    more = FIRST + "  - {allow: agent, to: pay, resource: quiz}\n"
    assert asked_of(monkeypatch, FIRST, more) == ((), ["pay quiz"])
    assert asked_of(monkeypatch, more, more) == ((), [])


def test_what_a_change_breaks_is_found_and_shown_as_by_a_whole_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    found, things = asked_of(monkeypatch, FIRST, FIRST + "  - {allow: anyone, to: pay, resource: quiz}\n")
    assert [verdict.invariant.name for verdict in found] == ["outsiders"]
    assert things == ["pay quiz"]


ALIKE = "grants:\n  - {allow: anyone, to: view, resource: quiz}\n  - {allow: anyone, to: view, resource: note}\n"
ONE_AFTER_THE_OTHER = {
    "the first of two that are alike is good now": [
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n"
        + ALIKE.replace("{allow: anyone, to: view, resource: quiz}", "{allow: boss, to: view, resource: quiz}"),
    ],
    "the second of two that are alike is the first now": [
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
        "resource_types:\n  note: {actions: [view]}\n  quiz: {actions: [view]}\n" + ALIKE,
    ],
    "the first of two that are alike is gone": [
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
        "resource_types:\n  note: {actions: [view]}\ngrants:\n  - {allow: anyone, to: view, resource: note}\n",
    ],
    "it is asked in another place": [
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
        "resource_types:\n  quiz: {actions: [view], asked_in: {view: account}}\n  note: {actions: [view]}\n" + ALIKE,
    ],
    "it stands on other lines": [
        "resource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
        "# A remark.\nresource_types:\n  quiz: {actions: [view]}\n  note: {actions: [view]}\n" + ALIKE,
    ],
}


@pytest.mark.parametrize("texts", ONE_AFTER_THE_OTHER.values(), ids=ONE_AFTER_THE_OTHER)
def test_what_was_broken_before_is_shown_as_by_a_whole_proof(texts: list[str]) -> None:
    few = "invariants:\n  - {name: few, at_most: [boss], to: view, resource: '*'}\n"
    again = Proved()
    for text in texts:
        policy = load("", text, roles=ROLES, invariants=few).or_raise()
        assert again.broken(policy) == broken(policy, 1_000_000) != ()
