"""settled-condition: a condition, or a part of one, that turns out the same whatever is asked.

What is always true asks for nothing: the grant holds as if it had no condition. What is never true lets nothing through. This is
exact: every way in which the comparisons can turn out is gone through. A grant whose whole condition is never true is named by
`never-applies`.

    is_ours: has resource.team or not has resource.team                      # always true
    is_open: resource.status == "open" and resource.status == "reopened"     # never both
    is_small: resource.amount < 100 or resource.amount >= 100                # any amount
    own_team: resource.team == resource.team                                 # subject.team

Write what is meant, most often the other of `and` and `or`, another property or another value. Do not just leave out what is
never true: a grant whose condition is gone holds always.

To keep it: `# klausel: off settled-condition because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.simplify import small_space
from klausel.core.conditions.tree import AllOf, AnyOf, Comparison, Condition, atoms, attributes_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "settled-condition"
_NEVER = "is never true"
_ALWAYS = "is always true"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    named = {condition.place for condition in survey.policy.conditions.values()}
    seen: set[Condition] = set()
    for place, tree in survey.conditions_written:
        for part, how in _settled(tree):
            if part in seen:
                continue  # said where the condition stands that has a name
            seen.add(part)
            if part is tree and how == _NEVER and place not in named:
                continue  # what grants and invariants ask by themselves is looked at by never-applies, with types and places
            what = "this condition" if part is tree else f"the part ({part})"
            # Leaving out what is never true would allow more.
            hint = "write what is meant, or leave it out: it asks for nothing" if how == _ALWAYS else "write what is meant"
            yield warning(place, ID, f"{what} {how}", hint)


def _settled(condition: Condition) -> Iterator[tuple[Condition, str]]:
    """The parts that turn out the same whatever is asked, none inside of another; with how."""
    if isinstance(condition, Comparison) and condition.left == condition.right:
        yield condition, f"compares {condition.left} with itself"
    if not isinstance(condition, AllOf | AnyOf):
        return
    how = _how(condition)
    if how:
        yield condition, how
        return
    for part in condition.parts:
        yield from _settled(part)


def _how(condition: Condition) -> str:
    space = small_space(atoms(condition))
    if space is None:
        return ""
    true, false = space.true_and_false(condition)
    if true == space.everything:
        return _ALWAYS
    if not true:
        return _NEVER
    if not false:
        read = ", ".join(dict.fromkeys(str(one) for atom in atoms(condition) for one in attributes_of(atom)))
        return f"is true for every value of {read}, so it only asks whether there is one"
    return ""
