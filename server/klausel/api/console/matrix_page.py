"""The front page: features by roles, with the grants behind each row."""

from __future__ import annotations

from klausel.api.console.pages import Page
from klausel.api.errors import ApiError
from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import Row, columns_of, matrix_rows
from klausel.core.decisions.explanation_format import grant_as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.service.decision_service import Service


class MatrixPage:
    """The matrix of one service; the rows of the policy set in force are kept, for they change only with it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: tuple[PolicySet, tuple[Row, ...]] | None = None

    def page(self, feature: str, role: str) -> Page:
        """The rows whose type and action hold `feature`, for the role, or all; raises `ApiError` (400), `PoliciesTooOld`."""
        loaded = self._service.in_force_now().policy
        policy = loaded.compiled.policy
        columns = columns_of(policy)
        if role and role not in columns:
            raise ApiError(400, f'there is no role "{role}"; choose one of the list')
        chosen = (role,) if role else columns
        words = feature.casefold().split()
        rows = [
            row
            for row in self._rows(policy)
            if all(word in f"{row.resource_type} {row.action}".casefold() for word in words)
        ]
        named = list(names_used((row.cells[name].text for row in rows for name in chosen), policy.conditions))
        about_model = {} if loaded.compiled.other_model is None else {"not_for_model": loaded.compiled.other_model}
        twin = {
            "files_digest": loaded.files_digest,
            **about_model,
            "roles": list(chosen),
            "rows": [
                {
                    "type": row.resource_type,
                    "action": row.action,
                    "cells": {name: row.cells[name].text for name in chosen},
                    "grants": [{**grant_as_json(grant), "condition": grant.condition_text or None} for grant in row.grants],
                }
                for row in rows
            ],
            "conditions": {one.name: one.text for one in named},
        }
        shown = {"told": twin, "all_roles": columns, "feature": feature, "role": role}
        return Page("matrix.html", "Who may do what, by role", shown, twin)

    def _rows(self, policy: PolicySet) -> tuple[Row, ...]:
        kept = self._kept
        if kept is None or kept[0] is not policy:
            kept = self._kept = (policy, tuple(matrix_rows(policy)))
        return kept[1]
