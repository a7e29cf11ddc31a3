"""An explanation beside a decision, and how soon a change of the rules is live."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.contestants import whole_decision
from benchmarks.measuring import Comparison, Reading, Section, Target, alternate, at_most, caller, shown
from benchmarks.scale import Scale
from benchmarks.sections.rules import enlarged, other_types
from benchmarks.workload import MODEL, POLICIES, Question, model_text
from klausel.casbin import CompiledEnforcer
from klausel.casbin_policies.engine import compile_policy, join_enforcer
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import explain
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.policy_in_force import LivePolicy
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.policy_files.watched_folder import PolicyFolder
from klausel.storage.schema import open_database

RULES_A_FILE = 100
LIVE_SECONDS = 0.05
FILE_ROUNDS = 5


def measure_explanation(
    policy: PolicySet,
    questions: Sequence[Question],
    resolved_roles: Mapping[str, EffectiveRoles],
    scale: Scale,
    step: Callable[[str], None],
) -> Section:
    """The explanation of a decision, beside the decision itself."""
    plan = compile_policy(policy, model_text())
    decided = whole_decision(policy, lambda subject, domain: resolved_roles[subject].roles_in(domain))
    explained = caller(
        lambda request: explain(policy, plan, resolved_roles.__getitem__, request),
        [(question.request,) for question in questions],
        scale.seconds,
    )
    contestants = {"klausel": decided.round(questions, scale.seconds), "explanation": explained}
    comparison = Comparison("decision and explanation", alternate(contestants, scale.rounds, step))
    section = Section("Explanation", "Both with domain and roles; of allows and denies alike.", comparisons=[comparison])
    section.targets.append(at_most("explanation: × the decision", comparison.ratio("explanation"), 20))
    return section


def measure_changes(policy: PolicySet, folder: Path, scale: Scale, step: Callable[[str], None]) -> Section:
    """From a change of one rule to the first decision by it."""
    section = Section(
        f"Change of one rule among {scale.changed_rules:,}",
        "From the call, or the edit of one file of a hundred, to the first decision by it: read, checked, tested, proved and "
        "compiled as the service does it.",
    )
    step("management calls")
    calls = _management_calls(enlarged(policy, scale.changed_rules, other_types), scale.changes)
    files, role = _edited_files(policy, folder / "edited", scale, step)
    readings = {"management call": calls, "one file edited": files, "a role added": role}
    section.comparisons.append(Comparison("live after", readings, base=""))
    section.remarks.append(
        "With a role more, every invariant is proved again; types with the same grants are gone through once."
    )
    for name, reading in (("a management call", calls), ("one file edited", files)):
        section.targets.append(
            Target(
                f"{name}, {scale.changed_rules:,} rules: live",
                f"≤ {shown(LIVE_SECONDS, 's')}",
                shown(reading.median, "s"),
                reading.median <= LIVE_SECONDS,
            )
        )
    return section


def _management_calls(policy: PolicySet, changes: int) -> Reading:
    """`add_policy` or `remove_policy`, and the first `enforce` by it, in turn."""
    enforcer = join_enforcer(CompiledEnforcer, policy, model_text())
    lead = Subject("user", "somebody", roles=frozenset({"lead", "anyone"}))
    question = (lead, "account0", Resource("changed", "r1"), Action("use"), {})
    row = ("lead", "*", "changed", "use", "True", "allow")
    enforcer.enforce(*question)
    seconds = []
    for number in range(changes):
        is_added = number % 2 == 0
        started = perf_counter()
        (enforcer.add_policy if is_added else enforcer.remove_policy)(*row)
        if enforcer.enforce(*question) != is_added:
            raise RuntimeError("a change was not live")
        seconds.append(perf_counter() - started)
    return Reading(tuple(seconds))


def _edited_files(policy: PolicySet, folder: Path, scale: Scale, step: Callable[[str], None]) -> tuple[Reading, Reading]:
    """The service's own way from an edit of one of many files to the first decision, and to one with a new role.

    Read, checked, compiled, its policy tests run, its invariants proved, taken into force; but not the wait for further edits.
    """
    step(f"writing {scale.changed_rules:,} rules to files")
    shutil.copytree(POLICIES, folder)
    shutil.copy(MODEL, folder.parent / MODEL.name)
    first = _write_features(folder, max(1, scale.changed_rules - len(policy.grants)))
    text = first.read_text(encoding="utf-8")
    store = AssignmentStore(open_database(f"sqlite:///{folder.parent}/changes.db"))
    live = LivePolicy(PolicyFolder(folder, folder.parent / MODEL.name), partial(EffectiveRolesCache, store))
    # As a worker does when it has started.
    gc.collect()
    gc.freeze()
    lead = Subject("user", "somebody", roles=frozenset({"lead", "anyone"}))
    question = Request(lead, Action("use"), Resource("generated_0_0", "r1"))
    seconds = []
    for number in range(FILE_ROUNDS):
        step(f"file edited, round {number + 1} of {FILE_ROUNDS}")
        is_open = number % 2 == 0
        first.write_text(text.replace("[agent]", "[lead]", 1) if is_open else text, encoding="utf-8")
        started = perf_counter()
        live.refresh()
        if live.in_force.policy.compiled.decide(question, "account0")[0] != is_open:
            raise RuntimeError("a change was not live")
        seconds.append(perf_counter() - started)
    step("role added")
    with (folder / "roles.yaml").open("a", encoding="utf-8") as roles:
        roles.write("\n  newcomer: {level: workspace}\n")
    started = perf_counter()
    if live.refresh() != "taken":
        raise RuntimeError("a change was not live")
    role_seconds = perf_counter() - started
    store.close()
    gc.unfreeze()
    return Reading(tuple(seconds)), Reading((role_seconds,))


def _write_features(folder: Path, rules: int) -> Path:
    """So many grants in files of their own, each file with its resource type; returns the first file."""
    names = []
    for start in range(0, rules, RULES_A_FILE):
        lines = ["resource_types:"]
        count = min(RULES_A_FILE, rules - start)
        number = start // RULES_A_FILE
        lines += [f"  generated_{number}_{at}: {{actions: [use]}}" for at in range(count)]
        lines.append("grants:")
        lines += [
            f"  - allow: [agent]\n    to: use\n    resource: generated_{number}_{at}\n    when: owner_is_self or is_published"
            for at in range(count)
        ]
        if number == 0:
            lines[lines.index("grants:") + 1] = "  - allow: [agent]\n    to: use\n    resource: generated_0_0"
        path = folder / "features" / f"generated_{number}.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        names.append(path)
    return names[0]
