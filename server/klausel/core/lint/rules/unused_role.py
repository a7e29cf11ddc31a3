"""unused-role: a role that changes nothing for whoever holds it.

No grant names it, with or without `any`, nor a role that it contains; and nobody needs it to hold a role below. Or nobody can
hold it, because its level requires a role above and there is none. People are given it and wonder why they may do nothing.

    roles:
      auditor: {level: account}     # and no grant names auditor

Grant it something, let it contain a role, or remove it.

To keep it: `# klausel: off unused-role because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "unused-role"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for name, why in survey.unused_roles.items():
        place = survey.policy.roles.roles[name].place
        yield warning(place, ID, f"role {name} {why}", "grant it something, let it contain a role, or remove it")
