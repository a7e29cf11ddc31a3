"""The demo people beside a policy set: rows that could never be stored, as problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.problem import Place, Problem

_HINT = "klausel serve --demo would not start; write subject,role,domain, such as user:ann,{role},acme"


def faulty_demo_people(roles: RoleModel, rows: Iterable[tuple[Assignment | str, Place]]) -> Iterator[Problem]:
    """A warning for each row that can be no role assignment, or that could not be read: then it is a sentence, why."""
    hint = _HINT.format(role=next(iter(roles.roles), "role"))
    for row, place in rows:
        fault = row if isinstance(row, str) else fault_in_assignment(roles, row)
        if fault:
            yield Problem(place, "demo-people", fault, hint, "warning")
