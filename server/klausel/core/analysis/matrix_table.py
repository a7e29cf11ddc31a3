"""The matrix, by role and by person, and its changes, as sheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter

from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import Cell, Row, columns_of, matrix_rows, same_cell, same_permission, verdict_in_words
from klausel.core.analysis.permission import NEVER, Question, question_in
from klausel.core.analysis.table import Sheet
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.decisions.explanation_format import way_text
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.identifiers import split_subject_key

Facts = tuple[tuple[str, str], ...]


def sheet_by_role(policy: PolicySet, facts: Facts, with_lines: bool = True) -> Sheet:
    """What each role gives: actions in rows, in a section for each policy file, roles and the lines of grants in columns."""
    columns = columns_of(policy)

    def cells(row: Row) -> tuple[str, ...]:
        lines = [_lines_of(row.grants)] if with_lines else []
        return (row.resource_type, row.action, *(row.cells[name].text for name in columns), *lines)

    def sections() -> Iterator[tuple[str, Iterable[tuple[str, ...]]]]:
        for file, rows in groupby(matrix_rows(policy), lambda row: policy.resource_types[row.resource_type].place.file):
            yield file, map(cells, rows)

    return Sheet(
        "Who may do what, by role",
        facts,
        _remarks(policy),
        ("resource type", "action", *columns, *(["lines"] if with_lines else [])),
        sections(),
        lambda notes: [(one.name, one.text) for one in names_used(notes, policy.conditions)],
    )


def _remarks(policy: PolicySet) -> tuple[str, ...]:
    remarks = [
        "A column shows what a role gives by itself in the domain where it is held and in those below it. "
        "Who holds several roles may what any of them gives, unless a deny takes it away."
    ]
    for level in policy.roles.levels[1:]:
        if level.requires_role_above:
            above = policy.roles.levels[level.depth - 2]
            remarks.append(f"A role of level {level.name} counts only beside one of level {above.name}.")
    return (" ".join(remarks), "A condition must be certainly true: what a request leaves out is not enough for it.")


def _lines_of(grants: Sequence[Grant]) -> str:
    """The lines of grants, file by file: `quizzes.yaml:8, 13`."""
    by_file: dict[str, dict[int, None]] = {}
    for grant in grants:
        by_file.setdefault(grant.place.file, {})[grant.place.line] = None
    return ", ".join(f"{file.rpartition('/')[2]}:{', '.join(map(str, lines))}" for file, lines in by_file.items())


def sheet_by_person(
    policy: PolicySet, domain: str, people: Iterable[tuple[str, EffectiveRoles]], facts: Facts, in_one_row: bool
) -> Sheet:
    """What each person may do to things in a domain, as they come; those who may nothing are left out.

    First comes `anyone`, where a grant reaches every subject.
    Each is a row, with the actions in columns, or a section, with a row for the actions on a type that have one condition.
    """
    questions = list(_questions(policy, domain).values())

    def answers() -> Iterator[tuple[str, str, list[str]]]:
        of_all = [verdict_in_words(question.permission({ANYONE}), policy.conditions) for question in questions]
        if any(cell != "no" for cell in of_all):
            yield ANYONE, "", of_all
        for key, effective_roles in people:
            subject = split_subject_key(key)
            if subject is None:
                continue
            cells = [_person_cell(policy, question, effective_roles, subject) for question in questions]
            if any(cell != "no" for cell in cells):
                yield key, _roles_held(effective_roles, domain), cells

    sections: Iterable[tuple[str, Iterable[tuple[str, ...]]]]
    if in_one_row:
        columns = ("subject", "roles", *(f"{question.action} {question.resource_type}" for question in questions))
        sections = [("", ((key, roles, *cells) for key, roles, cells in answers()))]
    else:
        columns = ("resource type", "actions", "may")
        sections = ((f"{key}: {roles}" if roles else key, _by_type(questions, cells)) for key, roles, cells in answers())
    return Sheet(
        f"Who may do what in {domain}, by person",
        facts,
        _remarks(policy)[1:],
        columns,
        sections,
        lambda notes: [(one.name, one.text) for one in names_used(notes, policy.conditions)],
    )


def _questions(policy: PolicySet, domain: str) -> dict[tuple[str, str], Question]:
    """All that can be asked in a domain, by type and action."""
    found = {
        (declared.name, action): question_in(policy, declared.name, action, domain)
        for declared in policy.resource_types.values()
        for action in declared.actions
    }
    return {asked: question for asked, question in found.items() if not isinstance(question, BadDomain)}


def _roles_held(effective_roles: EffectiveRoles, domain: str) -> str:
    held = effective_roles.inside(domain).held
    return ", ".join(f"{role} in {where}{way_text(effective_roles.way_to(role, where))}" for role, where in held)


def _by_type(questions: Sequence[Question], cells: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The actions that have one answer, of each resource type."""
    actions: dict[tuple[str, str], list[str]] = {}
    for question, cell in zip(questions, cells, strict=True):
        if cell != "no":
            actions.setdefault((question.resource_type, cell), []).append(question.action)
    for (resource_type, cell), some in actions.items():
        yield resource_type, ", ".join(some), cell


def _person_cell(policy: PolicySet, question: Question, effective_roles: EffectiveRoles, subject: tuple[str, str]) -> str:
    return verdict_in_words(question.permission(effective_roles.roles_in(question.domain), subject), policy.conditions)


Holders = Callable[[str, str, str], int | None]
"""How many people who hold a role gain or lose by what changed for an action, by resource type, action and role.

None where nobody can tell.
"""
_UNKNOWN = "not known"


def sheet_of_changes(before: PolicySet, after: PolicySet, facts: Facts, holders: Holders | None = None) -> Sheet:
    """The cells of the matrix by role that allow something else than they did; a row for each cell.

    With `holders` each row says how many people it concerns.
    """
    old = {(row.resource_type, row.action): row for row in matrix_rows(before)}
    new = {(row.resource_type, row.action): row for row in matrix_rows(after)}
    changes: list[tuple[str, ...]] = []
    for thing in dict.fromkeys((*new, *old)):
        for column in dict.fromkeys((*columns_of(after), *columns_of(before))):
            was, now = _cell_in(old.get(thing), column), _cell_in(new.get(thing), column)
            if not same_cell(was, now):
                lines = _lines_of(new[thing].grants if thing in new else ())
                people = () if holders is None else (_people_cell(holders(*thing, column)),)
                changes.append((*thing, column, was.text if was else "no", now.text if now else "no", lines, *people))
    names = {**before.conditions, **after.conditions}
    return Sheet(
        "What changed in who may do what",
        facts,
        (_concerned(changes, holders is not None),),
        ("resource type", "action", "role", "before", "now", "lines now", *(() if holders is None else ("people",))),
        [("", changes)] if changes else (),
        lambda notes: [(one.name, one.text) for one in names_used(notes, names)],
    )


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
    sides = (_questions(before, domain), _questions(after, domain))
    names = {**before.conditions, **after.conditions}

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
        words = verdict_in_words(was, before.conditions), verdict_in_words(now, after.conditions)
        yield (key, *asked, *words, *(_roles_held(effective_roles, domain) for effective_roles in resolved_roles))

    return Sheet(
        f"What changed in who may do what in {domain}, by person",
        facts,
        ("Each row is one change, made by other policies, other roles, or both.",),
        ("subject", "resource type", "action", "before", "now", "roles before", "roles now"),
        [("", rows())],
        lambda notes: [(one.name, one.text) for one in names_used(notes, names)],
    )


def _side_by_side(
    before: Iterable[tuple[str, EffectiveRoles]], now: Iterable[tuple[str, EffectiveRoles]]
) -> Iterator[tuple[str, tuple[EffectiveRoles, EffectiveRoles]]]:
    """Each subject once, with its effective roles in either of two sorted streams."""
    both = merge(((key, 0, held) for key, held in before), ((key, 1, held) for key, held in now), key=itemgetter(0, 1))
    for key, found in groupby(both, key=itemgetter(0)):
        resolved_roles = {side: held for _, side, held in found}
        yield key, (resolved_roles.get(0, NOBODY), resolved_roles.get(1, NOBODY))
