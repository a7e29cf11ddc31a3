"""unused-action: an action that no grant allows.

Nobody may ever do it. Either its grant is missing, or it is left over. A type without any grant is `unused-resource-type`.

    resource_types:
      quiz:
        actions: [view, archive]     # and nothing allows anybody to archive a quiz

Write its grant, or remove the action.

To keep it: `# klausel: off unused-action because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "unused-action"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    granted = {grant.resource_type for grant in survey.policy.grants}
    allowed = {(grant.resource_type, grant.action) for grant in survey.policy.grants if grant.effect == "allow"}
    for declared in survey.policy.resource_types.values():
        for action in declared.actions:
            if declared.name in granted and (declared.name, action) not in allowed:
                message = f"nothing allows anybody to {action} {declared.name}"
                place = declared.action_places.get(action, declared.place)
                yield warning(place, ID, message, "write its grant, or remove the action")
