"""What a condition means: truth is 1, 0, or 0.5 for unknown, so that Kleene's and, or, not are min, max, 1 - x."""

import calendar
import datetime
import ipaddress
import operator
import re
import zoneinfo

from klausel.core.conditions.tree import AllOf, AnyOf, Attribute, Call, Computed, ListOf, Truth

OWN = ("subject.id", "subject.type", "resource.id", "resource.type", "action.name")
ORDER = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
KINDS = {str: "text", bool: "truth", int: "number", float: "number"}
KINDS |= {datetime.datetime: "time", datetime.timedelta: "duration", datetime.time: "clock"}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
NETWORKS = ipaddress.IPv4Network, ipaddress.IPv6Network


def truth(condition, request):
    match condition:
        case AllOf(parts):
            return min(truth(part, request) for part in parts)
        case AnyOf(parts):
            return max(truth(part, request) for part in parts)
        case Truth(attribute, wanted):
            return compare("==", value(attribute, request), wanted)
        case Call(function, arguments, wanted):
            certainty = called(function, *(value(argument, request) for argument in arguments))
            return certainty if wanted else 1 - certainty
    return compare(condition.operator, value(condition.left, request), value(condition.right, request))


def compare(sign, left, right):
    if sign == "not in":
        return 1 - compare("in", left, right)
    if sign == "in":
        is_possible = type(left) in KINDS and type(right) is list
        return max([0, *(compare("==", left, item) for item in right)]) if is_possible else 0.5
    is_possible = KINDS.get(type(left)) == KINDS.get(type(right), "") and (
        type(left) not in (bool, str) or sign in ("==", "!=")
    )
    return int(ORDER[sign](left, right)) if is_possible else 0.5


def called(function, *values):
    one, other = (*values, None)[:2]
    if function == "has":
        return int(one is not None)
    if function in ("overlaps", "subset of"):
        if type(one) is not list or type(other) is not list:
            return 0.5
        inside = [compare("in", item, other) for item in one]
        return max([0, *inside]) if function == "overlaps" else min([1, *inside])
    if function == "in_network":
        return is_inside(one, other if type(other) is list else [other])
    if function not in ("starts_with", "ends_with", "matches_glob", "matches_path"):
        raise NotImplementedError(f"write here what {function} means, in other words than the server")
    if type(one) is not str or type(other) is not str:
        return 0.5
    if function == "starts_with":
        return int(one[: len(other)] == other)
    if function == "ends_with":
        return int(one[len(one) - len(other) :] == other if len(other) <= len(one) else False)
    return int(fits(function, one, other))


def is_inside(text, networks):
    try:
        address = ipaddress.ip_address(text) if type(text) is str else None
    except ValueError:
        address = None
    if address is None:
        return 0.5
    if text.lower().startswith("::ffff:") and "." in text:
        address = ipaddress.ip_address(text[7:])
    found = [ipaddress.ip_network(network) for network in networks]
    return int(any(address in network for network in found if network.version == address.version))


def computed(function, *values):
    if function == "-":
        return values[0] - values[1] if all(type(one) is datetime.datetime for one in values) else None
    if function == "time":
        if type(values[0]) is datetime.datetime or type(values[0]) is not str or not RFC_3339.fullmatch(values[0]):
            return values[0] if type(values[0]) is datetime.datetime else None
        return datetime.datetime.fromisoformat(values[0].upper())
    moment, zone = values
    if type(moment) is not datetime.datetime:
        return None
    there = moment.astimezone(zoneinfo.ZoneInfo(zone))
    return there.time() if function == "time_of_day" else calendar.day_name[there.weekday()].lower()


def value(operand, request):
    if isinstance(operand, Computed):
        return computed(operand.function, *(value(argument, request) for argument in operand.arguments))
    if not isinstance(operand, Attribute):
        return [item.value for item in operand.items] if isinstance(operand, ListOf) else operand.value
    holder = getattr(request, operand.root)
    if f"{operand.root}.{'/'.join(operand.path)}" in OWN:
        return getattr(holder, operand.path[0])
    found = getattr(holder, "properties", holder)
    for name in operand.path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def fits(matcher, text, pattern):
    if matcher == "matches_glob":
        return re.fullmatch(wildcards(pattern, "."), text, re.DOTALL) is not None
    segments = ["(?:[^/]*/)*" if part == "**" else wildcards(part, "[^/]") + "/" for part in pattern.split("/")]
    return re.fullmatch("".join(segments), text + "/") is not None


def wildcards(pattern, character):
    return re.escape(pattern).replace(r"\*", character + "*").replace(r"\?", character)
