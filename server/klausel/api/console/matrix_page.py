"""The front page: features by roles, or what one subject may in a domain, with the grants behind each row; page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from klausel.api.console.fields import read_domain, read_subject
from klausel.api.console.pages import Page, pages_around
from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import Row, columns_of, matrix_row, verdict_in_words
from klausel.core.analysis.permission import given_values, question_in
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.explanation_format import grant_as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import asked_at
from klausel.service.decision_service import Service
from klausel.service.grant_commits import GrantCommits
from klausel.storage.git.objects import GitCommit

FIELDS = ("feature", "role", "subject", "domain")
ROWS_ON_A_PAGE = 50
_Action = tuple[str, str]


class MatrixPage:
    """The matrix of one service; rows of the policy set in force are kept once they were shown, for they change only with it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: tuple[PolicySet | None, dict[_Action, Row]] = (None, {})
        self._commits = GrantCommits(service.settings)

    def page(self, given: Mapping[str, str], number: int) -> Page:
        """One page of the rows whose type and action hold the words of `feature`, for a role, a subject, or all roles.

        Raises `ApiError` (400), `PoliciesTooOld` and `StorageError`.
        """
        loaded = self._service.in_force_now().policy
        policy = loaded.compiled.policy
        columns = columns_of(policy)
        role, subject = given.get("role", ""), given.get("subject", "")
        if role and role not in columns:
            raise ApiError(400, f'there is no role "{role}"; choose one of the list')
        if given.get("domain") and not subject:
            raise ApiError(400, "the field domain is for one subject; fill in the subject, or empty it")
        chosen = (subject,) if subject else (role,) if role else columns
        words = given.get("feature", "").casefold().split()
        actions = [
            (declared.name, action)
            for declared in policy.resource_types.values()
            for action in declared.actions
            if all(word in f"{declared.name} {action}".casefold() for word in words)
        ]
        start = (number - 1) * ROWS_ON_A_PAGE
        here = actions[start : start + ROWS_ON_A_PAGE]
        cells_of = (
            self._cells_of_subject(policy, subject, given.get("domain", "")) if subject else self._cells_of_roles(policy)
        )
        rows = [(key, {name: text for name, text in cells_of(key).items() if name in chosen}) for key in here]
        named = list(names_used((text for _, cells in rows for text in cells.values()), policy.conditions))
        commits = self._commits.of(loaded)
        about_model = {} if loaded.compiled.other_model is None else {"not_for_model": loaded.compiled.other_model}
        twin: Json = {
            "files_digest": loaded.files_digest,
            **about_model,
            **({"subject": subject, "domain": given.get("domain") or None} if subject else {}),
            "roles": [] if subject else list(chosen),
            "count": len(actions),
            "rows": [
                {
                    "type": type_,
                    "action": action,
                    "cells": cells,
                    "grants": [
                        {
                            **grant_as_json(grant),
                            "condition": grant.condition_text or None,
                            "commit": _commit(commits.get(grant.source)),
                        }
                        for grant in policy.grants_about(type_, action)
                    ],
                }
                for (type_, action), cells in rows
            ],
            "conditions": {one.name: one.text for one in named},
            "next": number + 1 if start + ROWS_ON_A_PAGE < len(actions) else None,
        }
        # A text that stands in many cells is written once, below the table.
        notes = list(dict.fromkeys(text for _, cells in rows for text in cells.values() if text not in ("yes", "no")))
        asked = {name: given[name] for name in FIELDS if given.get(name)}
        shown = {
            "told": twin,
            "columns": chosen,
            "all_roles": columns,
            "given": {name: given.get(name, "") for name in FIELDS},
            "notes": {text: place for place, text in enumerate(notes, 1)},
            "first": start + 1,
            "pages": pages_around(asked, number, twin["next"]),
        }
        return Page("matrix.html", f"What {subject} may do" if subject else "Who may do what, by role", shown, twin)

    def _cells_of_roles(self, policy: PolicySet) -> Callable[[_Action], Mapping[str, str]]:
        kept = self._kept[1] if self._kept[0] is policy else {}
        self._kept = (policy, kept)

        def cells(key: _Action) -> Mapping[str, str]:
            row = kept.get(key)
            if row is None:
                row = kept[key] = matrix_row(policy, *key)
            return {name: cell.text for name, cell in row.cells.items()}

        return cells

    def _cells_of_subject(self, policy: PolicySet, key: str, domain: str) -> Callable[[_Action], Mapping[str, str]]:
        subject = read_subject(key)
        where = read_domain(policy.roles, domain)
        moment = self._service.clock()
        effective_roles = self._service.in_force_now().effective_roles_of(key, moment)
        given = asked_at(given_values("", {}), moment)

        def cells(asked: _Action) -> Mapping[str, str]:
            question = question_in(policy, *asked, where, given)
            if isinstance(question, BadDomain):
                return {key: "no"}
            permission = question.permission(effective_roles.roles_in(question.domain), subject)
            return {key: verdict_in_words(permission, policy.conditions)}

        return cells


def _commit(commit: GitCommit | None) -> Json | None:
    if commit is None:
        return None
    return {"id": commit.id, "date": f"{commit.date:%Y-%m-%d}", "author": commit.author, "subject": commit.subject}
