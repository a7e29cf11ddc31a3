"""What every contestant in one process offers, and those that need no package of their own: stock pycasbin and the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import casbin

from benchmarks.measuring import Round, caller
from benchmarks.workload import Question, model_text
from klausel.casbin import CompiledEnforcer
from klausel.casbin_policies.engine import compile_policy, join_enforcer
from klausel.core.decisions.decide import decide
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Resource, Subject


class Contestant(Protocol):
    """Answers questions, and measures itself on them."""

    def answers(self, questions: Sequence[Question]) -> Iterator[bool]:
        """The decisions, one by one, in the order of the questions."""

    def round(self, questions: Sequence[Question], seconds: float) -> Round:
        """A measurement of the seconds that a decision takes."""


class InPython:
    """A contestant that is a Python function of values that are made ready before the clock starts."""

    def __init__(self, function: Callable[..., Any], ready: Callable[[Question], tuple[Any, ...]]) -> None:
        self.function = function
        self._ready = ready

    def answers(self, questions: Sequence[Question]) -> Iterator[bool]:
        """See `Contestant`."""
        for question in questions:
            yield bool(self.function(*self._ready(question)))

    def round(self, questions: Sequence[Question], seconds: float) -> Round:
        """See `Contestant`."""
        return caller(self.function, [self._ready(question) for question in questions], seconds)


def compiled(policy: PolicySet) -> InPython:
    """`CompiledEnforcer.enforce`."""
    return InPython(join_enforcer(CompiledEnforcer, policy, model_text()).enforce, Question.casbin_values)


def stock(policy: PolicySet) -> InPython:
    """`casbin.Enforcer.enforce` over the same model, rows, role manager and functions."""
    return InPython(join_enforcer(casbin.Enforcer, policy, model_text()).enforce, Question.casbin_values)


def whole_decision(policy: PolicySet, roles_held: Callable[[str, str | None], frozenset[str]]) -> InPython:
    """The decision as the service takes it: subject checked, domain read off the resource, roles looked up, enforced."""
    plan = compile_policy(policy, model_text())

    def decide_request(request: Any) -> bool:
        return decide(policy, plan, roles_held, request).allowed

    return InPython(decide_request, lambda question: (question.request,))


def floor(policy: PolicySet) -> InPython:
    """The least that Python can do: one dictionary lookup and one set test in a closure. It does not look at conditions."""
    grantees: dict[tuple[str, str], frozenset[str]] = {
        (name, action): frozenset(grant.grantee for grant in policy.grants_about(name, action))
        for name, declared in policy.resource_types.items()
        for action in declared.actions
    }

    def ask(subject: Subject, domain: str, resource: Resource, action: Action, context: Any) -> bool:
        return not grantees[resource.type, action.name].isdisjoint(subject.roles)

    return InPython(ask, Question.casbin_values)
