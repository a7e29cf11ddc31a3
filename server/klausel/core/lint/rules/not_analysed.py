"""not-analysed: conditions that can turn out in too many ways to tell which grants are needless.

The grants of one action are compared in every way in which their conditions can turn out. Where these are too many (more
than 30 different comparisons, 10,000 choices of values or 20,000 ways together), grants are compared only
with those of the same condition and of none. So a grant that never applies, or that others cover, may not be found there.

    grants:
      - allow: lead
        to: view
        resource: quiz
        when: resource.a == "1" and resource.b == resource.a and resource.c in [resource.a, …]   # and many more

Compare fewer values with each other, or put what is not about each other into grants about different actions.

To keep it: `# klausel: off not-analysed because <reason>` behind the first line of the grant or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "not-analysed"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for resource_type, action in survey.cases:
        if all(states.is_exact for view in survey.tables.views(resource_type, action) for states in view.states):
            continue
        with_condition = (grant for grant in survey.policy.grants_about(resource_type, action) if grant.condition)
        first = min(with_condition, key=lambda grant: grant.place)
        message = (
            f"the conditions about {action} {resource_type} can turn out in too many ways to tell which grants are needless"
        )
        yield warning(first.place, ID, message, "compare fewer values with each other, or in fewer grants about one action")
