"""What `provisioning.yaml` says: who the people are that an identity provider sends, and which roles their groups give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from klausel.core.terms.problem import Place

SubjectFrom = Literal["userName", "externalId", "email"]
Leavers = Literal["memberships", "everything"]

CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""What stands in the name of a group for the id of a domain, and in domains for what was there."""


@dataclass(frozen=True, slots=True)
class GroupRoles:
    """The roles that each group of a name gives, as (role, domain); a name with a capture is that of many groups."""

    name: str
    roles: tuple[tuple[str, str], ...]
    place: Place

    def roles_of(self, group: str) -> Iterator[tuple[str, str]]:
        """The roles that a group of this name gives; none where it is called otherwise."""
        capture = CAPTURE.search(self.name)
        if capture is None:
            yield from self.roles if group == self.name else ()
            return
        before, after = self.name[: capture.start()], self.name[capture.end() :]
        found = group[len(before) : len(group) - len(after)]
        if found and "/" not in found and f"{before}{found}{after}" == group:
            yield from ((role, domain.replace(capture[0], found)) for role, domain in self.roles)


@dataclass(frozen=True, slots=True)
class Provisioning:
    """How people and groups of an identity provider become subjects, groups and role assignments.

    `subject_from` is what of a person is the id of the subject, which is of type `subject_type`. Who leaves loses the memberships
    that came by the provider, or `everything`.
    """

    subject_from: SubjectFrom
    subject_type: str
    leavers_lose: Leavers
    groups: tuple[GroupRoles, ...]

    def roles_of(self, group: str) -> tuple[tuple[str, str], ...]:
        """The roles that a group gives by all the names that it fits, each once, as (role, domain), sorted."""
        return tuple(sorted({pair for one in self.groups for pair in one.roles_of(group)}))
