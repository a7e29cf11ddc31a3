"""What a condition means: truth is 1, 0, or 0.5 for unknown, so that Kleene's and, or, not are min, max, 1 - x."""

import operator
import re

from klausel.core.conditions.tree import AllOf, AnyOf, Attribute, ListOf, Match, Truth

OWN = ("subject.id", "subject.type", "resource.id", "resource.type", "action.name")
ORDER = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
KINDS = {str: "text", bool: "truth", int: "number", float: "number"}


def truth(condition, request):
    match condition:
        case AllOf(parts):
            return min(truth(part, request) for part in parts)
        case AnyOf(parts):
            return max(truth(part, request) for part in parts)
        case Truth(attribute, wanted):
            return compare("==", value(attribute, request), wanted)
        case Match(matcher, attribute, pattern, wanted):
            text = value(attribute, request)
            return int(fits(matcher, text, pattern) is wanted) if type(text) is str else 0.5
    return compare(condition.operator, value(condition.left, request), value(condition.right, request))


def compare(sign, left, right):
    if sign == "not in":
        return 1 - compare("in", left, right)
    if sign == "in":
        is_possible = type(left) in KINDS and type(right) is list
        return max([0, *(compare("==", left, item) for item in right)]) if is_possible else 0.5
    is_possible = KINDS.get(type(left)) == KINDS.get(type(right), "") and (type(left) is not bool or sign in ("==", "!="))
    return int(ORDER[sign](left, right)) if is_possible else 0.5


def value(operand, request):
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
