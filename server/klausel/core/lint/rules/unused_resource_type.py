"""unused-resource-type: a resource type on which nothing is granted.

Nobody may ever do anything with it, which is what an undeclared type gives, too.

    resource_types:
      report:
        actions: [view]     # and no grant with `resource: report`

Write its grants, or remove the type.

To keep it: `# klausel: off unused-resource-type because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "unused-resource-type"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    granted = {grant.resource_type for grant in survey.policy.grants}
    for declared in survey.policy.resource_types.values():
        if declared.name not in granted:
            message = f"no grant is about resource type {declared.name}, so nobody may do anything with it"
            yield warning(declared.place, ID, message, "write its grants, or remove it")
