"""Generated policy sets of a few grants about one type, of which many are redundant; the same seed gives the same."""

from __future__ import annotations

from random import Random

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANYONE

ROLE_FILES = (
    """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, requires_role_above: true}
roles:
  owner: {level: company, contains: [member, head]}
  member: {level: company}
  head: {level: team, contains: worker}
  worker: {level: team}
""",
    """
levels:
  company: {named_by: company}
  site: {constant: main}
  team: {named_by: team, requires_role_above: true}
roles:
  owner: {level: company}
  keeper: {level: site, contains: worker}
  head: {level: team}
  worker: {level: team}
""",
    """
levels:
  company: {named_by: company}
  site: {named_by: site, requires_role_above: true}
  team: {named_by: team, identified_by: task, requires_role_above: true}
roles:
  owner: {level: company, contains: [worker]}
  helper: {level: company}
  keeper: {level: site, contains: head}
  head: {level: team}
  worker: {level: team}
""",
    """
levels:
  place: {constant: here}
  team: {identified_by: task, requires_role_above: true}
roles:
  head: {level: team, contains: worker}
  worker: {level: team}
""",
    """
levels:
  shop: {named_by: shop}
roles:
  owner: {level: shop, contains: [seller]}
  seller: {level: shop}
  buyer: {level: shop}
""",
)
CONDITIONS = (
    "resource.open",
    "not resource.open",
    "resource.open or resource.size < 3",
    "resource.open and resource.size < 3",
    "resource.size < 5",
    "resource.size >= 5",
    "resource.size < 3 and resource.size > 7",
    "resource.open or not resource.open",
    'subject.type == "user"',
    'resource.kind in ["a", "b"]',
    'resource.kind == "a"',
    'resource.kind != "a"',
    'resource.type == "task"',
    'resource.company == "acme"',
)
TYPES = "resource_types:\n  task: {actions: [view, make], asked_in: {make: LEVEL}}\n"


def generated(seed: int) -> PolicySet:
    """A policy set of a few grants about two questions, so that many are redundant."""
    random = Random(seed)
    roles = random.choice(ROLE_FILES)
    model = load_files(roles, TYPES.replace(", asked_in: {make: LEVEL}", "")).roles
    names = list(model.roles)
    grantees = [ANYONE, *names, *(f"any {name}" for name in names if model.is_earned_anywhere(name))]
    lines = []
    chosen = random.sample(CONDITIONS, 3)
    for _ in range(random.randint(2, 6)):
        effect = "deny" if random.random() < 0.3 else "allow"
        parts = [f"{effect}: {random.choice(grantees)}", f"to: {random.choice(['view', 'view', 'make'])}", "resource: task"]
        if random.random() < 0.5:
            parts.append(f"when: '{random.choice(chosen)}'")
        if random.random() < 0.15 and model.levels[0].constant is None:
            nested = ["acme/*", "*/red", "acme/red", "*/*"] if len(model.levels) > 1 and not model.levels[1].constant else []
            place = random.choice(["acme", "acme", *nested])
            parts.append(f"in: '{place}'")
            reachable = model.levels[place.count("/") :]
        else:
            reachable = model.levels
        if random.random() < 0.25:
            parts.append(f"at_level: {random.choice(reachable).name}")
        lines.append(f"  - {{{', '.join(parts)}}}\n")
    types = TYPES.replace("LEVEL", random.choice(model.levels).name)
    return load_files(roles, f"{types}grants:\n{''.join(dict.fromkeys(lines))}")


def load_files(roles: str, feature: str) -> PolicySet:
    files = {"roles.yaml": roles, "features/tasks.yaml": feature}
    result = load_policy(SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items())
    if {problem.id for problem in result.problems if problem.severity == "error"} == {"contradiction"}:
        return load_files(roles, TYPES.replace(", asked_in: {make: LEVEL}", ""))
    return result.or_raise()
