"""The page of roles: the hierarchy drawn, and as a table what each role contains and how many role assignments it has."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from klausel.api.console.pages import Page
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.policy.roles import ANY_PREFIX
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service
from klausel.storage.assignments.stored_roles import stored_roles


def roles_page(service: Service, caller: Caller | None) -> Page:
    """All roles; how often each is stored is not told to a caller that is limited to some accounts.

    Raises `PoliciesTooOld` and `StorageError`.
    """
    loaded = service.in_force_now().policy
    roles = loaded.compiled.policy.roles
    counts: Counter[str] | None = None
    if caller is None or caller.accounts is None:
        counts = Counter()
        for stored, depth, number in stored_roles(service.store.engine):
            # Rows of another depth count for nothing, so they make nobody a holder.
            if roles.stored_depths.get(stored) == depth:
                counts[roles.name_now(stored)] += number
    told = [
        {
            "role": role.name,
            "level": role.level,
            "contains": list(role.contains),
            "contains_in": [{"role": inner, "place": place} for inner, place in role.contains_in],
            "stands_for": [name for name in roles.roles if name in roles.closure[role.name] and name != role.name],
            "anywhere": sorted(
                name.removeprefix(ANY_PREFIX) for name in roles.closure[role.name] if name.startswith(ANY_PREFIX)
            ),
            **({} if counts is None else {"role_assignments": counts[role.name]}),
        }
        for role in roles.roles.values()
    ]
    levels = [{"name": level.name, "requires_role_above": level.requires_role_above} for level in roles.levels]
    twin = {"files_digest": loaded.files_digest, "levels": levels, "roles": told}
    # Its writer escapes every text of the policies.
    picture = Markup("\n".join(as_svg(role_picture(loaded.compiled.policy), with_style=False)))
    return Page("roles.html", "Roles", {"told": twin, "picture": picture, "counted": counts is not None}, twin)
