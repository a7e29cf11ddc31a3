"""odd-time: a time that is most often a slip: one that the clock never shows exactly, or one in a year far off.

The clock never stands still, so no request is asked at exactly one instant: what asks for it with `==` is as good as never
true, and with `!=` as good as always. And years before 1900, or more than 25 years from now, are most often misspelt: a
grant that should end in 2026 then ends when nobody remembers it, or never started. Only `klausel check` knows what year it is.

    when: context.now == time("2026-12-31T00:00:00Z")      # a day has a start and an end: >= and <
    until: 2206-03-01T00:00:00Z                            # 2026
    when: time_of_day(context.now, "EST") < clock("17:00") # "America/New_York"

To keep it: `# klausel: off odd-time because <reason>` behind its line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from klausel.core.conditions.functions import WITH_A_ZONE
from klausel.core.conditions.tree import (
    CONTEXT_NOW,
    AllOf,
    AnyOf,
    Atom,
    Comparison,
    Computed,
    Condition,
    Literal,
    Operand,
    Term,
    atoms,
    attributes_in,
    kind_of_operand,
    operands_of,
    terms_of,
)
from klausel.core.conditions.values import literal_text
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Place, Problem
from klausel.core.terms.request import NOW

ID = "odd-time"
_TURNED_ROUND = re.compile(r"Etc/GMT(?P<sign>[+-])(?P<count>[1-9]\d?)")
_FIRST_YEAR = 1900
_YEARS_AHEAD = 25
_WITHOUT_SUMMER = {"EST": "America/New_York", "MST": "America/Denver", "HST": "Pacific/Honolulu"}
_EXACT = ("==", "!=", "in", "not in")


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule; years are looked at only where the time is known."""
    for place, tree in survey.conditions_written:
        for atom in dict.fromkeys(atoms(tree)):
            if isinstance(atom, Comparison) and _is_exact(atom):
                always = "false" if atom.operator in ("==", "in") else "true"
                message = f"{atom} is {always} at every time but one instant, for the clock never stands still"
                yield warning(place, ID, message, "ask for a start and an end, with >= and <")
        yield from (warning(place, ID, *said) for said in _odd_zones(tree))
    yield from _far_off(survey)


def _is_exact(atom: Comparison) -> bool:
    return atom.operator in _EXACT and any(
        _follows_the_clock(side) and kind_of_operand(side) in ("time", "duration", "clock") for side in operands_of(atom)
    )


def _follows_the_clock(operand: Operand) -> bool:
    return isinstance(operand, Term) and CONTEXT_NOW in attributes_in(operand)


def _odd_zones(tree: Condition) -> Iterator[tuple[str, str]]:
    """What is odd about the zones of a condition, with what to do."""
    zones = dict.fromkeys(zone for atom in atoms(tree) for zone in _zones_in(atom))
    for zone in zones:
        if zone in _WITHOUT_SUMMER:
            yield f'"{zone}" has no summer time', f'write "{_WITHOUT_SUMMER[zone]}", if its clock is meant'
        elif match := _TURNED_ROUND.fullmatch(zone):
            message = f'"{zone}" is {match["count"]} h {"behind" if match["sign"] == "+" else "ahead of"} UTC'
            yield message, 'write a place, such as "Europe/Berlin"'
    for part in _joined_by_and(tree):
        together = list(
            dict.fromkeys(zone for atom in part.parts if not isinstance(atom, AllOf | AnyOf) for zone in _zones_in(atom))
        )
        if len(together) > 1:
            yield f"one condition goes by the clocks of {' and '.join(together)}", "write the one zone that is meant"


def _joined_by_and(tree: Condition) -> Iterator[AllOf]:
    if isinstance(tree, AllOf):
        yield tree
    for part in tree.parts if isinstance(tree, AllOf | AnyOf) else ():
        yield from _joined_by_and(part)


def _zones_in(atom: Atom) -> Iterator[str]:
    for term in terms_of(atom):
        if isinstance(term, Computed) and term.function in WITH_A_ZONE:
            yield from (str(one.value) for one in term.arguments if isinstance(one, Literal))


def _far_off(survey: Survey) -> Iterator[Problem]:
    if survey.now is None:
        return
    last = survey.now.year + _YEARS_AHEAD
    for place, moment in dict.fromkeys(_times(survey)):
        if not _FIRST_YEAR <= moment.year <= last:
            message = f"the year {moment.year:04} is far off, in {literal_text(moment)}"
            yield warning(place, ID, message, "write the year that is meant")


def _times(survey: Survey) -> Iterator[tuple[Place, datetime]]:
    for place, tree in survey.conditions_written:
        for atom in atoms(tree):
            yield from ((place, moment) for operand in operands_of(atom) for moment in _times_in(operand))
    for test in survey.tests:
        for expectation in test.expectations:
            now = expectation.request.context.get(NOW)
            if isinstance(now, datetime):
                yield test.place, now


def _times_in(operand: Operand) -> Iterator[datetime]:
    if isinstance(operand, Literal) and isinstance(operand.value, datetime):
        yield operand.value
    for inner in operand.arguments if isinstance(operand, Computed) else ():
        yield from _times_in(inner)
