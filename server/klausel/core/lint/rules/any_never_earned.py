"""any-never-earned: an `any` role that nobody can earn.

`any lead` reaches whoever is a lead somewhere below the same top domain. Where the level of that role requires a role above,
and the level above has no role that anybody can hold, nobody can be a lead, and no role contains one. So the grant reaches
nobody. (`any` before a role of the top level is an error, `any-of-top-level`.)

    levels:
      account: {named_by: account}
      workspace: {named_by: workspace, requires_role_above: true}
    roles:
      lead: {level: workspace}     # and no role of level account
    # …
    grants:
      - allow: any lead
        to: create
        resource: quiz

Declare a role of the level above, or take `requires_role_above` away.

To keep it: `# klausel: off any-never-earned because <reason>` behind its first line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.lint.survey import Survey, role_of, warning
from klausel.core.policy.roles import ANY_PREFIX
from klausel.core.terms.problem import Problem

ID = "any-never-earned"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for grant in {(grant.place, grant.grantee): grant for grant in survey.policy.grants}.values():
        if grant.grantee.startswith(ANY_PREFIX) and grant.grantee not in survey.names_reached:
            role = role_of(grant.grantee)
            message = f'"{grant.grantee}" is earned by nobody: {survey.unheld_roles[role]}'
            yield warning(grant.place, ID, message, "declare a role of the level above, or remove requires_role_above")
