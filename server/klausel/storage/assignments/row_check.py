"""Judging very many role assignments row by row, and what each needs of the others."""

from __future__ import annotations

from collections.abc import Sequence

from klausel.core.policy.assignment import GROUP_PREFIX, Assignment, fault_in_assignment, fault_in_times
from klausel.core.policy.keepers import kept_roles_and_domains
from klausel.core.policy.roles import RoleModel, depth_of, parent_domain
from klausel.core.terms.identifiers import fault_in_subject_key
from klausel.storage.assignments.store_answers import RowFault

MOST_DOMAINS_REMEMBERED = 200_000

# A domain's depth (0 for a bad one); the domains above in which its people need a role, with their levels, nearest
# first; whether people below may need a role in it.
_Placement = tuple[int, tuple[tuple[str, str], ...], bool]
Need = tuple[str, str, str, str, str]
"""(subject, role, domain) needs that the subject has a role of the level in the domain above."""


class RowCheck:
    """Judges rows one by one, and gathers what the whole must fulfil."""

    def __init__(self, roles: RoleModel) -> None:
        self._roles = roles
        self._depth_of_role = {name: roles.level_of(name).depth for name in roles.roles}
        self._placements: dict[str, _Placement] = {}
        self.kept: set[tuple[str, str]] = set()
        self.has_times = False
        self.has_groups = False

    def faults_and_needs(self, rows: Sequence[Assignment], first_index: int) -> tuple[list[RowFault], list[Need]]:
        """The faults of some rows, and what they need that is not among them."""
        faults = []
        needs: list[Need] = []
        present: set[tuple[str, str]] = set()
        good_subject = None
        placements = self._placements
        depth_of_role = self._depth_of_role
        for index, row in enumerate(rows, first_index):
            subject, role, domain, starts, ends = row
            if starts is not None or ends is not None or not domain or subject.startswith(GROUP_PREFIX):
                message = self._fault_in_unusual_row(row)
                if message is not None:
                    faults.append(RowFault("grant", index, row, message))
                    continue
                if row.is_membership:
                    continue
            placement = placements.get(domain)
            if placement is None:
                placement = placements[domain] = self._placement(domain)
            depth, needed, may_be_needed = placement
            if depth_of_role.get(role) != depth or (subject != good_subject and not _is_good_subject(subject)):
                message = fault_in_assignment(self._roles, row)
                assert message is not None
                faults.append(RowFault("grant", index, row, message))
                continue
            good_subject = subject
            if subject.startswith(GROUP_PREFIX):
                # A group needs nothing; its members do.
                continue
            if may_be_needed and starts is ends is None:
                present.add((subject, domain))
            for above, level in needed:
                if (subject, above) not in present:
                    needs.append((subject, role, domain, above, level))
        if len(placements) > MOST_DOMAINS_REMEMBERED:
            placements.clear()
        return faults, [need for need in needs if (need[0], need[3]) not in present]

    def needed_above(self, role: str, domain: str) -> tuple[tuple[str, str], ...] | None:
        """The domains, with their levels, in which a holder of a role needs another; None where nobody can have it there."""
        depth, needed, _ = self._placements.get(domain) or self._placement(domain)
        return needed if self._depth_of_role.get(role) == depth else None

    def _fault_in_unusual_row(self, row: Assignment) -> str | None:
        """Why a row with times or groups can never be, as far as an ordinary one is not looked at for it."""
        self.has_times |= row.starts is not None or row.ends is not None
        if row.role.startswith(GROUP_PREFIX) or not row.domain:
            self.has_groups = True
            return fault_in_assignment(self._roles, row)
        self.has_groups |= row.subject.startswith(GROUP_PREFIX)
        return fault_in_times(row.starts, row.ends)

    def _placement(self, domain: str) -> _Placement:
        levels = self._roles.levels
        depth = depth_of(domain)
        fitting = next((role for role, its_depth in self._depth_of_role.items() if its_depth == depth), None)
        if fitting is None or fault_in_assignment(self._roles, Assignment("x:x", fitting, domain)):
            return 0, (), False
        self.kept.update(kept_roles_and_domains(self._roles, domain))
        needed = []
        above = parent_domain(domain)
        while above is not None and levels[depth_of(above)].requires_role_above:
            needed.append((above, levels[depth_of(above) - 1].name))
            above = parent_domain(above)
        return depth, tuple(needed), depth < len(levels) and levels[depth].requires_role_above


def _is_good_subject(subject: str) -> bool:
    return fault_in_subject_key(subject) is None
