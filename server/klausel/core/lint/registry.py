"""All rules of lint: one a module, whose docstring is its manual page, and whose `find` gives its findings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType, ModuleType

from klausel.core.lint.rules import (
    any_never_earned,
    clock_as_property,
    covered_grant,
    ended_grant,
    idle_deny,
    never_applies,
    not_analysed,
    nothing_called_so,
    odd_number,
    odd_text,
    odd_time,
    role_as_property,
    same_permissions,
    settled_condition,
    similar_names,
    similar_places,
    switch_off,
    type_not_asked,
    undeclared_property,
    unused_action,
    unused_condition,
    unused_resource_type,
    unused_role,
)
from klausel.core.lint.survey import DomainSeen, Survey
from klausel.core.loading.problem_pages import PROBLEM_PAGES
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.terms.problem import Problem

_MODULES: Sequence[ModuleType] = (
    covered_grant,
    never_applies,
    ended_grant,
    idle_deny,
    any_never_earned,
    role_as_property,
    type_not_asked,
    clock_as_property,
    odd_text,
    odd_number,
    odd_time,
    nothing_called_so,
    settled_condition,
    unused_condition,
    unused_role,
    unused_resource_type,
    unused_action,
    same_permissions,
    similar_names,
    similar_places,
    not_analysed,
    undeclared_property,
)
RULES: Mapping[str, ModuleType] = MappingProxyType({module.ID: module for module in (*_MODULES, switch_off)})
"""Every rule by its id, in the order in which help shows them."""

_OF_THE_LOADER = ("cut-text", "deny-reaches-stronger-role", "invisible-character", "unknown-resource-type")
WARNINGS = frozenset({*(module.ID for module in _MODULES), *_OF_THE_LOADER})
"""The id of every warning that a comment can switch off."""


def lint(
    policy: PolicySet, tests: Sequence[PolicyTest] = (), people_in: Iterable[DomainSeen] = (), now: datetime | None = None
) -> list[Problem]:
    """The findings of all rules, as warnings sorted by place; `tests` are those beside the policies.

    `people_in` are further domains in which people hold roles, `now` is the time, for what has ended. Comments that switch
    warnings off are not looked at.
    """
    survey = Survey(policy, tests, people_in, now)
    return sorted({problem for module in _MODULES for problem in module.find(survey)})


def page(id_: str) -> str:
    """The manual page of a problem, an error or a warning; KeyError for an id that there is not."""
    if id_ in RULES:
        return inspect.cleandoc(RULES[id_].__doc__ or "")
    return f"{id_}\n\n{inspect.cleandoc(PROBLEM_PAGES[id_])}"


PAGES: Sequence[str] = tuple(sorted({*RULES, *PROBLEM_PAGES}))
"""The id of every problem that has a manual page."""
