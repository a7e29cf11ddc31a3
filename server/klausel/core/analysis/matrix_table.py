"""The matrix, by role and by person, as sheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import Row, columns_of, matrix_rows, verdict_in_words
from klausel.core.analysis.permission import Question, question_in
from klausel.core.analysis.table import Sheet
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explanation_format import way_text
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.identifiers import split_subject_key

Facts = tuple[tuple[str, str], ...]


def sheet_by_role(policy: PolicySet, facts: Facts, with_lines: bool = True) -> Sheet:
    """What each role gives: actions in rows, in a section for each policy file, roles and the lines of grants in columns."""
    columns = columns_of(policy)

    def cells(row: Row) -> tuple[str, ...]:
        lines = [lines_of(row.grants)] if with_lines else []
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


def lines_of(grants: Sequence[Grant]) -> str:
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
    questions = list(questions_in(policy, domain).values())

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
                yield key, roles_held(effective_roles, domain), cells

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
        nothing=f"Nobody may do anything in {domain}.",
    )


def questions_in(policy: PolicySet, domain: str) -> dict[tuple[str, str], Question]:
    """All that can be asked in a domain, by type and action."""
    found = {
        (declared.name, action): question_in(policy, declared.name, action, domain)
        for declared in policy.resource_types.values()
        for action in declared.actions
    }
    return {asked: question for asked, question in found.items() if not isinstance(question, BadDomain)}


def roles_held(effective_roles: EffectiveRoles, domain: str) -> str:
    """The roles held inside the top domain that a domain lies in, each with its way, as one text."""
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
