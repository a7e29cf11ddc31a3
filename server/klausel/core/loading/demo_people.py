"""The demo people beside a policy set: rows that could never be stored, or that most often mean somebody else, as problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from klausel.core.policy.assignment import Assignment, Violation, fault_in_assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.escaping import shown
from klausel.core.terms.problem import Place, Problem

_TOGETHER = {
    "requires-role-above": "; add a row before it that gives one",
    "separate-roles": "; leave one of the two rows out",
}
"""How to fix what the rules forbid, where the message does not say it, by rule."""
_QUOTES = frozenset("“”„‟«»\"'")
_HINT = "klausel serve --demo would not start; write subject,role,domain, such as user:ann,{role},acme"


Rules = Callable[[Sequence[Assignment]], Iterable[Violation]]
"""What the rules forbid where these are all role assignments."""


def faulty_demo_people(roles: RoleModel, rows: Iterable[tuple[Assignment | str, Place]], rules: Rules) -> Iterator[Problem]:
    """A warning for each row that can be no role assignment, that could not be read (then it is a sentence, why), or is odd.

    Where each can be, one for each thing that the rules forbid of all together.
    """
    read: dict[Assignment, Place] = {}
    can_all_be = True
    hint = _HINT.format(role=next(iter(roles.roles), "role"))
    for row, place in rows:
        fault = row if isinstance(row, str) else fault_in_assignment(roles, row)
        can_all_be &= fault is None
        if fault is not None:
            yield Problem(place, "demo-people", fault, hint, "warning")
        elif not isinstance(row, str):
            read[row] = place
            if (odd := _odd_end(row)) is not None:
                yield Problem(place, "demo-people", odd, "write it without", "warning")
    for violation in rules(tuple(read)) if can_all_be else ():
        hint = f"klausel serve --demo would not start{_TOGETHER.get(violation.rule, '')}"
        yield Problem(_place_of(violation, read), "demo-people", violation.message, hint, "warning")


def _place_of(violation: Violation, read: Mapping[Assignment, Place]) -> Place:
    """The first row that brings a violation about, or stands for the domain at fault; else the first of all."""
    key = (violation.subject, violation.role, violation.domain)
    domain = violation.domain
    for row, place in read.items():
        if row.key == key or (violation.subject is None and (row.domain == domain or row.domain.startswith(f"{domain}/"))):
            return place
    return next(iter(read.values()))


def _odd_end(row: Assignment) -> str | None:
    """What stands at an end of the subject or the domain of a row, and is most often no part of it; None where nothing."""
    for name, text in (("subject", row.subject), ("domain", row.domain)):
        if text != text.strip():
            return f'the {name} "{shown(text)}" begins or ends with a blank, which is a part of it'
        if text and {text[0], text[-1]} & _QUOTES:
            return f"the {name} {text} begins or ends with a quote, which is a part of it"
    return None
