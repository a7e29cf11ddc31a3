"""vakt in this process: one policy a grant (or more, where a condition has alternatives), in its memory storage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from benchmarks.contestants import InPython
from benchmarks.peers.packages import python_peer
from benchmarks.peers.translation import Untranslatable, is_own
from benchmarks.workload import Question
from klausel.core.conditions.tree import AllOf, AnyOf, Attribute, Comparison, Condition, ListOf, Literal
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, depth_of

_Needs = list[tuple[str, str, Any]]
"""What one alternative needs: the side (`subject` or `resource`), the key on it, the rule for its value."""


def vakt(policy: PolicySet) -> InPython:
    """`Guard.is_allowed` with vakt's checker of rules; raises `Missing` or `Untranslatable`."""
    python_peer("vakt")
    from vakt import Guard, MemoryStorage, RulesChecker

    storage = MemoryStorage()
    for made in _policies(policy):
        storage.add(made)
    guard = Guard(storage, RulesChecker())
    return InPython(guard.is_allowed, lambda question: (_inquiry(policy, question),))


def _policies(policy: PolicySet) -> Iterator[Any]:
    from vakt import ALLOW_ACCESS, DENY_ACCESS, Policy
    from vakt.rules import AnyIn, Eq

    for number, grant in enumerate(policy.grants):
        if grant.scope.domain is not None or (grant.condition is not None and grant.effect != "allow"):
            raise Untranslatable(f"the grant at {grant.source}")
        for place, needs in enumerate(_alternatives(grant)):
            sides: dict[str, dict[str, Any]] = {"subject": {}, "resource": {"type": Eq(grant.resource_type)}}
            if grant.grantee != ANYONE:
                sides["subject"]["roles"] = AnyIn(grant.grantee)
            for side, key, rule in needs:
                if key in sides[side]:
                    raise Untranslatable(f"two conditions on {key} at {grant.source}")
                sides[side][key] = rule
            yield Policy(
                f"{number}.{place}",
                subjects=[sides["subject"]],
                resources=[sides["resource"]],
                actions=[Eq(grant.action)],
                context={"level": Eq(grant.scope.level)} if grant.scope.level else {},
                effect=ALLOW_ACCESS if grant.effect == "allow" else DENY_ACCESS,
            )


def _alternatives(grant: Grant) -> list[_Needs]:
    return _either(grant.condition) if grant.condition is not None else [[]]


def _either(condition: Condition) -> list[_Needs]:
    """The condition as alternatives, each a list of needs that all must be met."""
    from vakt.rules import Eq, In, SubjectMatch

    match condition:
        case AnyOf(parts):
            return [needs for part in parts for needs in _either(part)]
        case AllOf(parts):
            return [[need for needs in chosen for need in needs] for chosen in product(*map(_either, parts))]
        case Comparison("==", Attribute() as left, Literal(value)):
            return [[(left.root, _key(left), Eq(value))]]
        case Comparison("in", Attribute() as left, ListOf(items)):
            return [[(left.root, _key(left), In(*(item.value for item in items)))]]
        case Comparison("==", Attribute("resource", _) as left, Attribute("subject", _) as right):
            return [[("resource", _key(left), SubjectMatch(_key(right)))]]
        case _:
            raise Untranslatable(f"the comparison {condition}")


def _key(attribute: Attribute) -> str:
    if attribute.root not in ("subject", "resource") or len(attribute.path) > 1:
        raise Untranslatable(f"the attribute {attribute}")
    return attribute.path[0] if is_own(attribute) else f"properties.{attribute.path[0]}"


def _inquiry(policy: PolicySet, question: Question) -> Any:
    from vakt import Inquiry

    subject, action, resource, _ = question.request
    level = None if question.domain is None else policy.roles.level_at(depth_of(question.domain))
    properties = {f"properties.{name}": value for name, value in resource.properties.items()}
    return Inquiry(
        subject={"type": subject.type, "id": subject.id, "roles": sorted(question.roles)},
        action=action.name,
        resource={"type": resource.type, "id": resource.id, **properties},
        context={"level": level.name if level else ""},
    )
