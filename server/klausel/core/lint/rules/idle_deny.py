"""idle-deny: a deny that denies nothing.

What nothing allows is denied anyway, so this grant decides nothing: in no case does any allow hold where it does. Either the
allow that it should narrow is missing or named otherwise, or it stands guard against allows to come.

    grants:
      - deny: agent
        to: delete
        resource: quiz     # and nothing lets an agent delete a quiz

Remove it; or, if it must stay so whatever others write, say it in `invariants.yaml` (`never: agent`), where it is proved.

To keep it: `# klausel: off idle-deny because <reason>` behind its first line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, by_entry, warning
from klausel.core.terms.problem import Problem

ID = "idle-deny"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, what, is_one, _ in by_entry(one for one in survey.redundant if one.why == "denies nothing"):
        message = f"{what} den{'ies' if is_one else 'y'} nothing, since no allow ever holds there"
        yield warning(place, ID, message, "remove it; what must stay so is written as an invariant, never:")
