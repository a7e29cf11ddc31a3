"""covered-grant: a grant that others already cover.

Without it, every decision stays as it is: whoever it reaches, wherever and however its condition turns out, another grant
says the same. This is exact: every combination of roles, places and conditions is gone through. Such a line misleads
whoever reads the file, and it stays behind when the other is taken back.

    grants:
      - allow: agent
        to: view
        resource: quiz
      - allow: lead        # covered: lead contains agent
        to: view
        resource: quiz

Remove the grant, or the one that covers it if that is the mistake. Of grants that cover each other, the first is kept. Where
the conditions of one question can turn out in too many ways (more than 10,000), grants are compared with those of the
same condition and of none.

To keep it: `# klausel: off covered-grant because <reason>` behind its first line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, by_entry, warning
from klausel.core.terms.problem import Problem

ID = "covered-grant"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, what, is_one, by in by_entry(one for one in survey.redundant if one.why == "covered"):
        message = f"{what} change{'s' if is_one else ''} no decision, covered by {by}"
        yield warning(place, ID, message, "remove what is covered, or fix what covers it")
