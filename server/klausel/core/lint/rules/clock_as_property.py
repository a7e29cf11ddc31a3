"""clock-as-property: a condition that takes the time from what the caller sends.

`context.time` is a member of the context that the application sends with the request. Whoever may write the request says there
what time it is.

    when: context.time < time("2026-12-31T00:00:00Z")      # true for whoever sends an early time

Write `context.now`, which is the clock of the service.

To keep it: `# klausel: off clock-as-property because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tree import CONTEXT_NOW, atoms, attributes_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "clock-as-property"
_NAMES = frozenset({"now", "time", "date", "datetime", "timestamp", "today", "current_time", "current_date", "request_time"})


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, tree in survey.conditions_written:
        for attribute in dict.fromkeys(name for atom in atoms(tree) for name in attributes_of(atom)):
            if attribute.root == "context" and attribute != CONTEXT_NOW and attribute.path[0].lower() in _NAMES:
                message = f"{attribute} is what the caller sends, not the clock of the service"
                yield warning(place, ID, message, f"write {CONTEXT_NOW}, if the present is meant")
