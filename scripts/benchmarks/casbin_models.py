"""The models that pycasbin documents, with rows and requests for any number of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_ALLOW = "some(where (p.eft == allow))"
_TEXT = """
[request_definition]
r = {request}
[policy_definition]
p = {policy}
{roles}
[policy_effect]
e = {effect}
[matchers]
m = {matcher}
"""


class Person:
    """A subject with attributes, for the model with rules on them."""

    def __init__(self, name: str, age: int) -> None:
        self.name = name
        self.age = age


@dataclass(frozen=True, slots=True)
class ModelCase:
    """One model: its text, its rows by type for so many rules, and requests, of which about half are allowed."""

    name: str
    text: str
    rows: Callable[[int], dict[str, list[list[str]]]]
    requests: Callable[[int], list[tuple[object, ...]]]


def _text(
    matcher: str, request: str = "sub, obj, act", policy: str = "sub, obj, act", roles: str = "", effect: str = _ALLOW
) -> str:
    section = f"[role_definition]\n{roles}" if roles else ""
    return _TEXT.format(request=request, policy=policy, roles=section, effect=effect, matcher=matcher)


def _users(rules: int) -> list[list[str]]:
    """As many users as rules, ten to a role."""
    return [[f"user{number}", f"role{number // 10}"] for number in range(rules)]


def _grants(rules: int, *more: str) -> list[list[str]]:
    """Ten objects for each role."""
    return [[f"role{number // 10}", f"data{number}", "read", *more] for number in range(rules)]


def _asked(rules: int, ask: Callable[[int, bool], tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Forty requests evenly over the rules, every second one for something that nothing allows."""
    return [ask(number * rules // 40, number % 2 == 0) for number in range(40)]


def _plain(rules: int) -> list[tuple[object, ...]]:
    return _asked(rules, lambda at, good: (f"user{at}", f"data{at}", "read" if good else "write"))


def _with_effects(rules: int) -> dict[str, list[list[str]]]:
    rows = _grants(rules, "allow")
    for number in range(0, rules, 10):
        rows[number][3] = "deny"
    return {"p": rows, "g": _users(rules)}


_RBAC = "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act"
CASES = (
    ModelCase(
        "basic",
        _text("r.sub == p.sub && r.obj == p.obj && r.act == p.act"),
        lambda rules: {"p": [[f"user{number}", f"data{number}", "read"] for number in range(rules)]},
        _plain,
    ),
    ModelCase("RBAC", _text(_RBAC, roles="g = _, _"), lambda rules: {"p": _grants(rules), "g": _users(rules)}, _plain),
    ModelCase(
        "RBAC with domains",
        _text(
            "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
            "sub, dom, obj, act",
            "sub, dom, obj, act",
            "g = _, _, _",
        ),
        lambda rules: {
            "p": [[row[0], f"domain{number % 10}", *row[1:]] for number, row in enumerate(_grants(rules))],
            "g": [[*row, f"domain{number % 10}"] for number, row in enumerate(_users(rules))],
        },
        lambda rules: _asked(
            rules, lambda at, good: (f"user{at}", f"domain{at % 10}", f"data{at}", "read" if good else "write")
        ),
    ),
    ModelCase(
        "RBAC with deny",
        _text(
            _RBAC,
            policy="sub, obj, act, eft",
            roles="g = _, _",
            effect="some(where (p.eft == allow)) && !some(where (p.eft == deny))",
        ),
        _with_effects,
        _plain,
    ),
    ModelCase(
        "RBAC with resource roles",
        _text("g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act", roles="g = _, _\ng2 = _, _"),
        lambda rules: {
            "p": [[f"role{number // 10}", f"group{number}", "read"] for number in range(rules)],
            "g": _users(rules),
            "g2": [[f"data{number}", f"group{number}"] for number in range(rules)],
        },
        _plain,
    ),
    ModelCase(
        "priority",
        _text(_RBAC, policy="sub, obj, act, eft", roles="g = _, _", effect="priority(p.eft) || deny"),
        _with_effects,
        _plain,
    ),
    ModelCase(
        "keyMatch",
        _text("r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)"),
        lambda rules: {"p": [[f"user{number}", f"/data{number}/*", "(GET)|(POST)"] for number in range(rules)]},
        lambda rules: _asked(rules, lambda at, good: (f"user{at}", f"/data{at}/resource", "GET" if good else "PUT")),
    ),
    ModelCase(
        "ABAC rule with eval",
        _text("eval(p.sub_rule) && r.obj == p.obj && r.act == p.act", policy="sub_rule, obj, act"),
        lambda rules: {
            "p": [[f"r.sub.age > {18 + number % 40} && r.sub.age < 80", f"data{number}", "read"] for number in range(rules)]
        },
        lambda rules: _asked(rules, lambda at, good: (Person("alice", 70 if good else 10), f"data{at}", "read")),
    ),
)
