"""role-as-property: a condition that takes a role from what the caller sends.

`subject.role` is a property that the application sends with the request. It says nothing about the role assignments that
Klausel keeps, and whoever may write the request may write it.

    when: subject.role == "admin"                  # true for whoever sends it

Name the role as the grantee, `allow: admin`, so that the role assignments decide.

To keep it: `# klausel: off role-as-property because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tree import atoms, attributes_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "role-as-property"
_NAMES = frozenset({"role", "roles", "permission", "permissions", "privileges", "scope", "scopes"})


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, tree in survey.conditions_written:
        for attribute in dict.fromkeys(name for atom in atoms(tree) for name in attributes_of(atom)):
            if attribute.root == "subject" and attribute.path[0].lower() in _NAMES:
                message = f"{attribute} is what the caller sends, not a role that is assigned here"
                yield warning(place, ID, message, "name the role as grantee, such as allow: <role>")
