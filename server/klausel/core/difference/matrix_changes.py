"""What changed in the matrix, by role and by person, as sheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter

from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import Cell, Row, columns_of, matrix_rows, same_cell, same_permission, verdict_in_words
from klausel.core.analysis.matrix_table import Facts, lines_of, questions_in, roles_held
from klausel.core.analysis.permission import NEVER
from klausel.core.analysis.table import Sheet
from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.policy.policy_set import NamedCondition, PolicySet
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.identifiers import split_subject_key

Holders = Callable[[str, str, str], int | None]
"""How many people who hold a role gain or lose by what changed for an action, by resource type, action and role.

None where nobody can tell.
"""
_UNKNOWN = "not known"


def sheet_of_changes(before: PolicySet, after: PolicySet, facts: Facts, holders: Holders | None = None) -> Sheet:
    """The cells of the matrix by role that allow something else than they did; a row for each cell.

    With `holders` each row says how many people it concerns.
    """
    columns = tuple(dict.fromkeys((*columns_of(after), *columns_of(before))))
    names = _alike(before, after)
    old, new = (
        {(row.resource_type, row.action): row for row in matrix_rows(policy, (columns, names))} for policy in (before, after)
    )
    changes: list[tuple[str, ...]] = []
    for thing in dict.fromkeys((*new, *old)):
        for column in columns:
            was, now = _cell_in(old.get(thing), column), _cell_in(new.get(thing), column)
            if not same_cell(was, now):
                lines = lines_of(new[thing].grants if thing in new else ())
                people = () if holders is None else (_people_cell(holders(*thing, column)),)
                changes.append((*thing, column, was.text if was else "no", now.text if now else "no", lines, *people))
    return Sheet(
        "What changed in who may do what",
        facts,
        (_concerned(changes, holders is not None),),
        ("resource type", "action", "role", "before", "now", "lines now", *(() if holders is None else ("people",))),
        [("", changes)] if changes else (),
        lambda notes: [(one.name, one.text) for one in names_used(notes, names)],
        nothing="",
    )


def _alike(before: PolicySet, after: PolicySet) -> dict[str, NamedCondition]:
    """The named conditions that mean one thing: what a name means otherwise now is written out, or the change were hidden."""
    both = {**before.conditions, **after.conditions}
    return {name: one for name, one in both.items() if before.conditions.get(name, one).tree == one.tree}


def _concerned(changes: Sequence[tuple[str, ...]], are_counted: bool) -> str:
    """How many of the changes concern people present, and how many nobody."""
    if not changes:
        return "Nothing changed."
    told = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
    if not are_counted:
        return f"{told}; people were not counted: --people says which of them concern anybody who holds the role today."
    nobody, unknown = (sum(change[-1] == cell for change in changes) for cell in ("0", _UNKNOWN))
    some = f"{told}: {len(changes) - nobody - unknown} for people who hold the role today, {nobody} for nobody at present"
    return f"{some}, {unknown} {_UNKNOWN}, for too many cases." if unknown else f"{some}."


def _people_cell(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)


def _cell_in(row: Row | None, column: str) -> Cell | None:
    return None if row is None else row.cells.get(column)


def sheet_of_personal_changes(
    before: PolicySet,
    after: PolicySet,
    domain: str,
    people: tuple[Iterable[tuple[str, EffectiveRoles]], Iterable[tuple[str, EffectiveRoles]]],
    facts: Facts,
) -> Sheet:
    """What each person may do in a domain otherwise than before, by other policies or other roles; a row for each action.

    `people` are those of before and of now, each sorted by subject. What changed for everybody is told of `anyone` alone.
    """
    sides = (questions_in(before, domain), questions_in(after, domain))
    names = _alike(before, after)

    def rows() -> Iterator[tuple[str, ...]]:
        for asked in dict.fromkeys((*sides[1], *sides[0])):
            yield from row_of(ANYONE, asked, (NOBODY, NOBODY), None)
        for key, resolved_roles in _side_by_side(*people):
            subject = split_subject_key(key)
            if subject is not None:
                for asked in dict.fromkeys((*sides[1], *sides[0])):
                    yield from row_of(key, asked, resolved_roles, subject)

    def row_of(
        key: str,
        asked: tuple[str, str],
        resolved_roles: tuple[EffectiveRoles, EffectiveRoles],
        subject: tuple[str, str] | None,
    ) -> Iterator[tuple[str, ...]]:
        questions = [side.get(asked) for side in sides]
        was, now = (
            NEVER if question is None else question.permission(effective_roles.roles_in(question.domain), subject)
            for question, effective_roles in zip(questions, resolved_roles, strict=True)
        )
        if same_permission(was, now):
            return
        of_all = [NEVER if question is None else question.permission({ANYONE}, subject) for question in questions]
        if subject is not None and same_permission(was, of_all[0]) and same_permission(now, of_all[1]):
            return
        words = verdict_in_words(was, names), verdict_in_words(now, names)
        yield (key, *asked, *words, *(roles_held(effective_roles, domain) for effective_roles in resolved_roles))

    return Sheet(
        f"What changed in who may do what in {domain}, by person",
        facts,
        ("Each row is one change, made by other policies, other roles, or both.",),
        ("subject", "resource type", "action", "before", "now", "roles before", "roles now"),
        [("", rows())],
        lambda notes: [(one.name, one.text) for one in names_used(notes, names)],
        nothing="Nothing changed.",
    )


def _side_by_side(
    before: Iterable[tuple[str, EffectiveRoles]], now: Iterable[tuple[str, EffectiveRoles]]
) -> Iterator[tuple[str, tuple[EffectiveRoles, EffectiveRoles]]]:
    """Each subject once, with its effective roles in either of two sorted streams."""
    both = merge(((key, 0, held) for key, held in before), ((key, 1, held) for key, held in now), key=itemgetter(0, 1))
    for key, found in groupby(both, key=itemgetter(0)):
        resolved_roles = {side: held for _, side, held in found}
        yield key, (resolved_roles.get(0, NOBODY), resolved_roles.get(1, NOBODY))
