"""The least that a subject can hold to come by a name: one role, with one role at each level above that it requires.

All effective roles are a union of these, so a question that more names can only answer one way is settled by them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from klausel.core.policy.roles import ANY_PREFIX, ANYONE, Level, RoleModel, is_joint, parts_of

MOST_WAYS = 10_000
Names = frozenset[str]


class LeastRoleCombinations:
    """What one role, with what it requires, stands for in a domain of some depth; remembers what it found."""

    def __init__(self, roles: RoleModel) -> None:
        self._roles = roles
        self._by_level = {
            level.name: [role for role in roles.roles.values() if role.level == level.name] for level in roles.levels
        }
        self._found: dict[tuple[int, Names], frozenset[Names]] = {}
        self._pairs: dict[tuple[int, Names], frozenset[Names]] = {}

    def least(self, depth: int, wanted: Names) -> frozenset[Names]:
        """The wanted names that each gives in a domain with so many parts (0: in no domain), and those of nobody.

        Where there are too many ways to hold what roles require, that is taken to give no names.
        """
        found = self._found.get((depth, wanted))
        if found is None:
            inner = self._roles.with_parts(wanted)
            everyone = inner & {ANYONE}
            grown = {
                everyone | names | needed
                for level in self._roles.levels
                for is_above in self.where(level, depth)
                for names in self._names(level, is_above, inner)
                for needed in self._few_required(level, is_above, depth, inner)
            }
            found = frozenset({everyone, *grown})
            joint = [name for name in wanted if is_joint(name)]
            if joint:
                found = self._together(found, joint, depth)
            self._found[depth, wanted] = found = frozenset(names & wanted for names in found)
        return found

    def pairs(self, depth: int, wanted: Names) -> frozenset[Names]:
        """What any two of them give together; one alone is among these."""
        found = self._pairs.get((depth, wanted))
        if found is None:
            least = self.least(depth, wanted)
            self._pairs[depth, wanted] = found = frozenset(one | other for one in least for other in least)
        return found

    def _together(self, least: frozenset[Names], joint: Collection[str], depth: int) -> frozenset[Names]:
        """What so many of them give together as a joint name has parts, so that all effective roles are a union again.

        Where there are too many, each joint name is taken to be there for the asking.
        """
        most = max(len(parts_of(name)) for name in joint)
        if len(least) ** most > MOST_WAYS:
            return least.union(frozenset({name}) for name in joint if depth)
        found = least
        for _ in range(most - 1):
            found = frozenset(one | other for one in found for other in least)
        return frozenset(map(self._roles.with_joint, found))

    def where(self, level: Level, depth: int) -> Iterator[bool]:
        """Where roles of a level are held that count in a domain: at it or above it (True), beside it or below it (False)."""
        if depth == 0:
            return
        if level.depth <= depth:
            yield True
        if self._can_be_aside(level, depth):
            yield False

    def names_of(self, role: str, is_above: bool, wanted: Names) -> Names:
        """The wanted names that a role gives, held at or above the domain, or elsewhere below the same top domain."""
        names = self._roles.closure[role] & wanted if is_above else frozenset()
        return names | (self._roles.closure.get(ANY_PREFIX + role, frozenset()) & wanted)

    def required(self, level: Level, is_above: bool, depth: int, wanted: Names) -> frozenset[Names]:
        """The wanted names of each way to hold what a role of this level requires; empty when there is no way."""
        if not level.requires_role_above:
            return frozenset({frozenset()})
        above = self._roles.levels[level.depth - 2]
        places = [True] if is_above else [place for place in self.where(above, depth) if self._is_below(level, place, depth)]
        return frozenset(
            names | needed
            for place in places
            for names in self._names(above, place, wanted)
            for needed in self.required(above, place, depth, wanted)
        )

    def _few_required(self, level: Level, is_above: bool, depth: int, wanted: Names) -> frozenset[Names]:
        found = self.required(level, is_above, depth, wanted)
        is_few = len(found) * len(self._by_level[level.name]) <= MOST_WAYS
        return found if is_few else frozenset({frozenset()})

    def _names(self, level: Level, is_above: bool, wanted: Names) -> set[Names]:
        found = {self.names_of(role.name, is_above, wanted) for role in self._by_level[level.name]}
        if self._roles.places_of_links:
            # Where a role contains another in one place alone, that is taken to be here, or elsewhere, or not there at all.
            for role in self._by_level[level.name]:
                more = (self._roles.reach[role.name] - self._roles.closure[role.name]) & wanted
                own = self.names_of(role.name, is_above, wanted)
                found |= {own | {name for name in more if name.startswith(ANY_PREFIX)}, *({own | more} if is_above else ())}
        return found

    def _can_be_aside(self, level: Level, depth: int) -> bool:
        if level.depth == 1:
            return False
        above = self._roles.levels[level.depth - 2]
        return any(self._is_below(level, place, depth) for place in self.where(above, depth))

    def _is_below(self, level: Level, above_is_above: bool, depth: int) -> bool:
        """Whether a domain aside lies right below one at or above the asked one; below one aside it always may."""
        return not above_is_above or level.depth > depth or level.constant is None
