"""Decides by definition, slowly and plainly: the answer that every other way of deciding has to give."""

from plain_conditions import truth


def allows(policy, assignments, request):
    place = place_of(policy, request)
    if place is None:
        return False
    names = names_held(policy, assignments, request.subject, place)
    effects = set()
    for grant in policy.grants:
        if names.issuperset(grant.grantee.removeprefix("all of ").split(" and ")) and reaches(policy, grant, place, request):
            certainty = truth(grant.condition, request) if grant.condition else 1
            if certainty == 1 or (certainty == 0.5 and grant.effect == "deny"):
                effects.add(grant.effect)
    return effects == {"allow"}


def place_of(policy, request):
    """The domain as a tuple, () where none is named, None where it is not clear."""
    resource, place = request.resource, ()
    type_ = policy.resource_types.get(resource.type)
    asked_in = type_.asked_in.get(request.action.name) if type_ else None
    for level in policy.roles.levels:
        names = [level.constant] if level.constant else []
        names += [value for name, value in resource.properties.items() if name == level.named_by]
        names += [resource.id] if resource.type == level.identified_by and not asked_in else []
        if any(name != names[0] or not is_good_id(name) for name in names):
            return None
        if len(place) == level.depth - 1:
            place += tuple(names[:1])
        elif names and not level.constant:
            return None
        if level.name == asked_in:
            break
    return place


def is_good_id(name):
    return type(name) is str and name not in ("", "*") and name.isprintable() and "/" not in name


def names_held(policy, assignments, subject, place):
    roles, key = policy.roles.roles, f"{subject.type}:{subject.id}"
    depth = {role: level.depth for role in roles for level in policy.roles.levels if roles[role].level == level.name}
    mine = {(role, tuple(domain.split("/"))) for holder, role, domain in assignments if holder == key}
    mine = {(role, where) for role, where in mine if depth.get(role) == len(where)}
    for level in policy.roles.levels:
        if level.requires_role_above:
            places = {where for _, where in mine}
            mine = {(role, where) for role, where in mine if len(where) != level.depth or where[:-1] in places}
    names = {"anyone"}
    mine |= held_in_one_place(roles, mine)
    for role, where in mine:
        contained = closure(roles, role)
        if place[: len(where)] == where:
            names |= contained
        if place[:1] == where[:1]:
            names |= {f"any {name}" for name in contained if depth[name] > 1}
    return names


def held_in_one_place(roles, mine):
    """What is held in one domain below another, because a role held there contains it in that place alone."""
    found, grown = set(), set(mine)
    while grown:
        role, where = grown.pop()
        for name in closure(roles, role):
            for inner, place in roles[name].contains_in:
                parts = tuple(place.split("/"))
                if len(parts) > len(where) and all(part in ("*", where[at]) for at, part in enumerate(parts[: len(where)])):
                    below = (inner, where + parts[len(where) :])
                    grown |= {below} - found
                    found.add(below)
    return found


def closure(roles, role):
    return {role}.union(*(closure(roles, inner) for inner in roles[role].contains))


def reaches(policy, grant, place, request):
    limit = tuple(grant.scope.domain.split("/")) if grant.scope.domain else ()
    levels = [None, *(level.name for level in policy.roles.levels)]
    starts_so = len(limit) <= len(place) and all(part in ("*", place[at]) for at, part in enumerate(limit))
    is_in_scope = starts_so and grant.scope.level in (None, levels[len(place)])
    return is_in_scope and (grant.resource_type, grant.action) == (request.resource.type, request.action.name)
