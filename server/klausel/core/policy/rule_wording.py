"""The rules of role assignments in plain sentences, as somebody reads them before giving a role."""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.policy.roles import RoleModel


def rules_in_words(roles: RoleModel) -> Iterator[str]:
    """What a policy set demands of whoever holds roles, a sentence each."""
    for level in roles.levels:
        above = roles.level_at(level.depth - 1)
        if level.requires_role_above and above is not None:
            yield (
                f"Who gets a role of level {level.name} needs one of level {above.name} first, and keeps one as long as "
                f"the other counts."
            )
    for role in roles.roles.values():
        if role.keep_one:
            yield f"Each {role.level} with people in it keeps one {role.name} without an end date, so the last one stays."
    for first, second in roles.separate:
        yield f"Nobody holds both {first} and {second} inside one {roles.levels[0].name}."
