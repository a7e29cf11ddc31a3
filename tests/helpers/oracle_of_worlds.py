"""Decides about a generated world by definition, from what was generated: no loader, no parser, no class of the service."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from oracle import is_good_id
from plain_conditions import OWN, RFC_3339, called, compare


class Unlike:
    """What is sent and is not of its declared type: nothing compares with it."""

    def __init__(self, sent=None):
        self.is_scalar = type(sent) in (str, bool, int, float)


UNITS = {name: timedelta(**{name: 1}) for name in ("days", "hours", "minutes", "seconds")}


def allows(world, request, now):
    """Whether a request is allowed at that time, after what is stored joined it."""
    request = joined(world, request)
    place = place_of(world, request.resource, request.action.name)
    if place is None:
        return False
    names = names_held(world, f"{request.subject.type}:{request.subject.id}", place, now)
    effects = {grant.effect for grant in world.grants if holds(world, grant, names, place, request, now)}
    return effects == {"allow"}


def holds(world, grant, names, place, request, now):
    type_, action = request.resource.type, request.action.name
    if type_ not in world.types or action not in world.types[type_].actions:
        return False
    if grant.types != "*" and type_ not in grant.types:
        return False
    if grant.actions != "*" and action not in grant.actions:
        return False
    if not any(names.issuperset(together) for together in grant.grantees):
        return False
    if grant.at_level not in (None, world.level_names[len(place) - 1] if place else "nowhere"):
        return False
    if not any(is_inside(place, limit) for limit in grant.places or world.heads.get(grant.file) or ["*"]):
        return False
    since, until = (datetime.fromisoformat(text) if text else None for text in (grant.starts, grant.ends))
    certainties = [] if grant.when is None else [truth(world, grant.when, request, now)]
    certainties += [int(since <= now) if now else 0.5] if since else []
    certainties += [int(now < until) if now else 0.5] if until else []
    certainty = min([1, *certainties])
    return certainty == 1 or (certainty == 0.5 and grant.effect == "deny")


def is_inside(place, limit):
    parts = [] if limit == "*" else limit.split("/")
    return len(parts) <= len(place) and all(part in ("*", place[at]) for at, part in enumerate(parts))


def place_of(world, resource, action):
    """The domain as a tuple, () where none is named, None where it is not clear."""
    place, type_ = (), world.types.get(resource.type)
    asked_in = type_.asked_in.get(action) if type_ else None
    for depth, level in enumerate(world.levels):
        names = [level.constant] if level.constant else []
        if level.is_named and level.name in resource.properties:
            names.append(resource.properties[level.name])
        if level.is_identified and resource.type == level.name and not asked_in:
            names.append(resource.id)
        if any(name != names[0] or not is_good_id(name) for name in names):
            return None
        if len(place) == depth:
            place += tuple(names[:1])
        elif names and not level.constant:
            return None
        if level.name == asked_in:
            break
    return place


def names_held(world, who, place, now):
    depth = {role: world.level_names.index(one.level) + 1 for role, one in world.roles.items()}
    mine = {(role, where) for role, where in rows_of(world, who, now) if depth.get(role) == len(where)}
    for number, level in enumerate(world.levels, start=1):
        if level.requires:
            places = {where for _, where in mine}
            mine = {(role, where) for role, where in mine if len(where) != number or where[:-1] in places}
    names = {"anyone"}
    for role, where in everywhere_held(world, mine):
        if place[: len(where)] == where:
            names.add(role)
        if depth[role] > 1 and place[:1] == where[:1]:
            names.add(f"any {role}")
    return names


def rows_of(world, who, now):
    """The roles and places of somebody, by a chain of rows each of which counts at that time."""
    rows = [row for row in world.rows if counts(row, now)]
    reached, grown = {who}, [who]
    while grown:
        member = grown.pop()
        for row in rows:
            if row.subject == member and not row.domain and row.role not in reached:
                reached.add(row.role)
                grown.append(row.role)
    today = {old: role for role, one in world.roles.items() for old in one.was}
    return {
        (today.get(row.role, row.role), tuple(row.domain.split("/")))
        for row in rows
        if row.subject in reached and row.domain
    }


def counts(row, now):
    starts, ends = (text and datetime.fromisoformat(text) for text in (row.starts, row.ends))
    return (not starts or starts <= now) and (not ends or now < ends)


def everywhere_held(world, mine):
    """Each role that somebody has, and where: their own, and what these contain, everywhere or in one place."""
    found, grown = set(mine), list(mine)
    while grown:
        role, where = grown.pop()
        for inner, places in world.roles[role].contains.items():
            for below in [where] if places is None else [placed(where, place.split("/")) for place in places]:
                if below is not None and (inner, below) not in found:
                    found.add((inner, below))
                    grown.append((inner, below))
    return found


def placed(where, parts):
    fits = all(part in ("*", where[at]) for at, part in enumerate(parts[: len(where)]))
    return where + tuple(parts[len(where) :]) if fits else None


def joined(world, request):
    """What is stored wins over what was sent, and a stored null says that there is none."""
    subject, resource = request.subject, request.resource
    for entity in world.entities:
        if (entity.kind, entity.type, entity.id) == ("subject", subject.type, subject.id) and world.stores:
            subject = subject._replace(properties=over(subject.properties, entity.properties))
        if (entity.kind, entity.type, entity.id) == ("resource", *resource[:2]) and world.stores:
            properties = over(resource.properties, entity.properties)
            if entity.domain:
                parts = dict(zip(world.level_names, entity.domain.split("/"), strict=False))
                named = [level.name for level in world.levels if level.is_named]
                properties = {name: value for name, value in properties.items() if name not in named}
                properties |= {name: parts[name] for name in named if name in parts}
            resource = resource._replace(properties=properties)
    return request._replace(subject=subject, resource=resource)


def over(sent, stored):
    merged = {**sent, **stored}
    return {name: value for name, value in merged.items() if stored.get(name, "") is not None}


def truth(world, condition, request, now):
    """1, 0, or 0.5 for unknown."""
    match condition:
        case ("and", parts):
            return min(truth(world, part, request, now) for part in parts)
        case ("or", parts):
            return max(truth(world, part, request, now) for part in parts)
        case ("not", part):
            return 1 - truth(world, part, request, now)
        case ("named", name):
            return truth(world, world.named[name], request, now)
        case ("true", operand):
            return compare("==", value(world, operand, request, now), True)
        case ("cmp", sign, left, right):
            return compare(sign, value(world, left, request, now), value(world, right, request, now))
        case ("call", function, *operands):
            values = [value(world, operand, request, now) for operand in operands]
            if function == "contains":
                return compare("in", values[1], values[0])
            items = [item for one in values for item in (one if type(one) is list else [one])]
            if function == "has" and (isinstance(values[0], Unlike) or any(is_odd(item) for item in items)):
                return 0.5
            if function in ("overlaps", "subset of") and any(isinstance(item, Unlike) for item in items):
                return 0.5
            return called(function, *values)
    raise AssertionError(condition)


def is_odd(item):
    return isinstance(item, Unlike) and not item.is_scalar


def value(world, operand, request, now):
    match operand:
        case ("lit", text):
            return text
        case ("now",):
            return now
        case ("attr", *names):
            return attribute(world, names, request)
        case ("time" | "implied", inner):
            found = value(world, inner, request, now)
            is_text = type(found) is str and RFC_3339.fullmatch(found)
            return datetime.fromisoformat(found.upper()) if is_text else found if type(found) is datetime else None
        case ("-", left, right):
            ends = [value(world, side, request, now) for side in (left, right)]
            return ends[0] - ends[1] if all(type(end) is datetime for end in ends) else None
        case ("days" | "hours" | "minutes" | "seconds" as unit, inner):
            number = value(world, inner, request, now)
            return number * UNITS[unit] if type(number) in (int, float) else None
        case ("clock", inner):
            found = value(world, inner, request, now)
            is_clock = type(found) is str and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", found, re.ASCII)
            return time.fromisoformat(found) if is_clock else None
        case ("time_of_day" | "weekday" as function, inner, zone):
            moment = value(world, inner, request, now)
            if type(moment) is not datetime:
                return None
            there = moment.astimezone(ZoneInfo(zone))
            return there.time() if function == "time_of_day" else calendar.day_name[there.weekday()].lower()
    raise AssertionError(operand)


def attribute(world, names, request):
    root, *path = names
    holder = getattr(request, root)
    if f"{root}.{'/'.join(path)}" in OWN:
        return getattr(holder, path[0])
    found = getattr(holder, "properties", holder)
    kinds = world.kinds.get(root, {})
    for name in path:
        kind, kinds = (kinds.get(name), {}) if isinstance(kinds, dict) else (None, {})
        found = found.get(name) if isinstance(found, dict) else None  # what has no parts lacks them
        if isinstance(kind, dict):
            kinds = kind
        elif found is not None and kind is not None and world.declares:
            found = as_kind(world, kind, found)
    return found


def as_kind(world, kind, sent):
    """What is sent as its declared type has it."""
    is_of = {
        "text": type(sent) is str,
        "id": type(sent) is str,
        "number": type(sent) in (int, float),
        "boolean": type(sent) is bool,
        "choice": type(sent) is str and sent in world.choices,
        "choices": type(sent) is list and all(type(item) is str and item in world.choices for item in sent),
    }
    if kind in ("texts", "numbers"):
        return [as_kind(world, kind[:-1], item) for item in sent] if type(sent) is list else Unlike()
    if kind == "time":
        is_time = type(sent) is str and RFC_3339.fullmatch(sent)
        return datetime.fromisoformat(sent.upper()) if is_time else Unlike()
    return sent if is_of[kind] else Unlike(sent)
