"""role-as-property: a condition that takes a role from what the caller sends.

`subject.role` is a property that the application sends with the request. It says nothing about the role assignments that
Klausel keeps, and whoever may write the request may write it.

    when: subject.role == "admin"                  # true for whoever sends it
    when: context.roles contains "admin"           # and so are these
    when: subject.is_admin                         # where a role is called admin

Name the role as the grantee, `allow: admin`, so that the role assignments decide.

To keep it: `# klausel: off role-as-property because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from klausel.core.conditions.tree import Attribute, atoms, attributes_of
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "role-as-property"
_ROLES = frozenset({"role", "roles"})
_NAMES = _ROLES | {"permission", "permissions", "privileges", "scope", "scopes"}


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, tree in survey.conditions_written:
        for attribute in dict.fromkeys(name for atom in atoms(tree) for name in attributes_of(atom)):
            if _tells_a_role(attribute, survey.policy.roles.roles):
                message = f"{attribute} is what the caller sends, not a role that is assigned here"
                yield warning(place, ID, message, "name the role as grantee, such as allow: <role>")


def _tells_a_role(attribute: Attribute, roles: Container[str]) -> bool:
    """Whether a property of who asks, or of the context, is called like what role assignments say."""
    first, *further = (name.lower() for name in attribute.path)
    if attribute.root == "context":
        return first in _ROLES
    if attribute.root != "subject":
        return False
    is_role = attribute.path[0].startswith("is") and attribute.path[0][2:].lstrip("_-").lower() in roles
    return first in _NAMES or not _ROLES.isdisjoint(further) or is_role
