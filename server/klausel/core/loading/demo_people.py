"""The demo people beside a policy set: rows that could never be stored, or that most often mean somebody else, as problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.escaping import shown
from klausel.core.terms.problem import Place, Problem

_QUOTES = frozenset("“”„‟«»\"'")
_HINT = "klausel serve --demo would not start; write subject,role,domain, such as user:ann,{role},acme"


def faulty_demo_people(roles: RoleModel, rows: Iterable[tuple[Assignment | str, Place]]) -> Iterator[Problem]:
    """A warning for each row that can be no role assignment, that could not be read (then it is a sentence, why), or is odd."""
    hint = _HINT.format(role=next(iter(roles.roles), "role"))
    for row, place in rows:
        fault = row if isinstance(row, str) else fault_in_assignment(roles, row)
        if fault:
            yield Problem(place, "demo-people", fault, hint, "warning")
        elif not isinstance(row, str) and (odd := _odd_end(row)) is not None:
            yield Problem(place, "demo-people", odd, "write it without", "warning")


def _odd_end(row: Assignment) -> str | None:
    """What stands at an end of the subject or the domain of a row, and is most often no part of it; None where nothing."""
    for name, text in (("subject", row.subject), ("domain", row.domain)):
        if text != text.strip():
            return f'the {name} "{shown(text)}" begins or ends with a blank, which is a part of it'
        if text and {text[0], text[-1]} & _QUOTES:
            return f"the {name} {text} begins or ends with a quote, which is a part of it"
    return None
