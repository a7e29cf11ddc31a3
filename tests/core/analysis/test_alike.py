"""Things that are alike are gone through once, and the verdicts are those of a prover that goes through each."""

from __future__ import annotations

import sys
import time
from itertools import count
from random import Random

import pytest

from klausel.core.analysis.alike import Shapes
from klausel.core.analysis.proof import Verdict, prove_all
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROLES = """levels:
  account: {named_by: account, identified_by: account}
  workspace: {named_by: workspace, requires_role_above: true}
roles:
  boss: {level: account, contains: [clerk]}
  clerk: {level: account}
  lead: {level: workspace, contains: [agent]}
  agent: {level: workspace}
"""
TYPES = ("account", "quiz", "note", "memo", "card", "list")
DECLARED = ("", ", properties: {open: boolean, owner: user id, status: text}", ", asked_in: {view: account}")
GRANTEES = ("clerk", "lead", "agent", "any lead", "anyone", "{all: [clerk, agent]}")
CONDITIONS = (
    *("", "", "resource.open", "resource.owner == subject.id", 'starts_with(resource.status, "op")'),
    *('resource.type == "quiz"', 'action.name in ["view", "pay"]', 'resource.id == "a1"', 'resource.account == "acme"'),
)
SCOPES = ("", "", "acme", "acme/support")
INVARIANTS = (
    "{name: outsiders, never: outsider, to: '*', resource: '*'}",
    "{name: clerks, never: clerk, to: view, resource: '*', when: resource.open}",
    "{name: quizzes, never: clerk, to: '*', resource: '*', when: 'resource.type == \"note\"'}",
    "{name: bosses, always: boss, to: view, resource: '*'}",
    "{name: acme, always: boss, to: view, resource: '*', in: acme}",
    "{name: few, at_most: [boss, lead], to: pay, resource: '*'}",
    "{name: grows, monotone: true}",
    "{name: apart, separate: [boss, lead]}",
)


def random_policy(random: Random) -> PolicySet | None:
    """A small policy set in which many types have the same grants, by another name."""
    kinds = []
    for _ in range(random.randrange(1, 4)):
        grants = []
        for _ in range(random.randrange(1, 3)):
            effect, action = random.choice(("allow", "allow", "deny")), random.choice(("view", "pay"))
            grant = f"{effect}: {random.choice(GRANTEES)}, to: {action}"
            condition, scope = random.choice(CONDITIONS), random.choice(SCOPES)
            grants.append(grant + (f", in: {scope}" if scope else "") + (f", when: '{condition}'" if condition else ""))
        kinds.append((random.choice(DECLARED), grants))
    types, grants = "", ""
    for name in TYPES:
        declared, of_kind = random.choice(kinds)
        types += f"  {name}: {{actions: [view, pay]{declared}}}\n"
        grants += "".join(f"  - {{{one}, resource: {name}}}\n" for one in of_kind)
    invariants = "".join(f"  - {one}\n" for one in random.sample(INVARIANTS, 3))
    feature = f"resource_types:\n{types}grants:\n{grants}"
    files = {"roles.yaml": ROLES, "features/some.yaml": feature, "invariants.yaml": f"invariants:\n{invariants}"}
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).policy


def one_by_one(policy: PolicySet, most_steps: int) -> tuple[Verdict, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shapes, "shape", lambda *_: None)
        return tuple(prove_all(policy, most_steps))


def compare(seed: int) -> tuple[int, int]:
    """How many things a random policy set has that are alike with others, and how many verdicts are bad; 0 where it is faulty."""
    random = Random(seed)
    policy = random_policy(random)
    if policy is None:
        return 0, 0
    shapes = Shapes(policy)
    things = {thing for invariant in policy.invariants for thing in invariant.things}
    found = [shapes.shape(thing.resource_type, thing.action, None) for thing in things]
    bad = 0
    for most_steps in (1_000_000, random.randrange(50, 3000)):
        verdicts = one_by_one(policy, most_steps)
        assert tuple(prove_all(policy, most_steps)) == verdicts, seed
        bad += sum(not verdict.holds for verdict in verdicts)
    return len(found) - len(set(found) - {None}) - found.count(None), bad


def test_the_verdicts_are_those_of_going_through_each_thing() -> None:
    alike, bad = zip(*(compare(seed) for seed in range(6)), strict=True)
    assert sum(alike) > 6 and sum(bad) > 6


if __name__ == "__main__":
    # More, by hand: so many minutes.
    ends = time.monotonic() + 60 * float(sys.argv[1])
    for number in count(1000):
        compare(number)
        if time.monotonic() > ends:
            print(f"{number - 999:,} policy sets compared")
            break
