"""What the words of conditions cost: one warm decision with each beside one that compares two texts, all in one run.

`scripts/python -m benchmarks.sections.words`. Processor time, the best of the rounds; rounds take turns, so the
ratios hold on a busy machine, too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

from benchmarks.workload import model_text
from klausel.casbin_policies.engine import compile_policy
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.request import Action, Request, Resource, Subject

ROUNDS = 15
DECISIONS = 10_000
ROLES = "levels:\n  account: {named_by: account}\nroles:\n  agent: {level: account}\n"
FEATURE = """resource_types:
  doc:
    actions: [read]
    properties: {account: text, status: text, owner: text, amount: number, teams: list of text, created: time}
grants:
  - {allow: agent, to: read, resource: doc, when: 'WHEN'}
"""
PLAIN = "a text"
CONDITIONS = {
    PLAIN: 'resource.status == "open"',
    "now": 'context.now < time("2999-01-01T00:00:00Z")',
    "a number": "resource.amount < 1000",
    "a list": "resource.teams contains subject.id",
    "the start of a text": 'starts_with(resource.status, "op")',
    "how long ago": "context.now - resource.created < days(30)",
    "how long ago is more": "context.now - resource.created > days(0)",
    "has": "has resource.owner",
    "not has": 'not has resource.teams or resource.status == "open"',
    "owner": "resource.owner == subject.id",
}


def main() -> None:
    """Prints the time of one decision for each condition, and how many times that of the plain one it is."""
    now = datetime.now(UTC)
    properties = {"account": "acme", "status": "open", "amount": 5, "owner": "ann", "teams": ["bob", "ann"]}
    properties["created"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    somebody = Subject("user", "ann", {}, frozenset({"agent", "anyone"}))
    request = Request(somebody, Action("read"), Resource("doc", "1", properties), {"now": now})
    plans = {}
    for name, condition in CONDITIONS.items():
        files = {"roles.yaml": ROLES, "features/docs.yaml": FEATURE.replace("WHEN", condition)}
        policy = load_policy(SourceFile(file, file, text.encode()) for file, text in files.items()).or_raise()
        plans[name] = compile_policy(policy, model_text()).decide
        if not plans[name](request, "acme")[0]:
            raise RuntimeError(f"{name}: the workload is wrong")
    best = dict.fromkeys(plans, float("inf"))
    for _ in range(ROUNDS):
        for name, decide in plans.items():
            started = process_time()
            for _ in range(DECISIONS):
                decide(request, "acme")
            best[name] = min(best[name], (process_time() - started) / DECISIONS)
    for name, seconds in best.items():
        print(f"{name}: {seconds * 1e9:,.0f} ns, {seconds / best[PLAIN]:.2f} × {PLAIN}")


if __name__ == "__main__":
    main()
