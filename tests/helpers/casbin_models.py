"""Small models of the kinds that Casbin's own documentation shows, each with rows, roles and what is asked of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import casbin

ALLOW = "some(where (p.eft == allow))"
NOT_DENY = "!some(where (p.eft == deny))"
ALLOW_AND_NOT_DENY = f"{ALLOW} && {NOT_DENY}"
PRIORITY = "priority(p.eft) || deny"
SUBJECT_PRIORITY = "subjectPriority(p.eft) || deny"


@dataclass(frozen=True)
class Person:
    """A subject with attributes, as in Casbin's examples for attribute rules."""

    name: str
    age: int


@dataclass(frozen=True)
class Thing:
    """A resource with an owner."""

    owner: str


@dataclass(frozen=True)
class Example:
    """A model with its rows; every combination of `values` is a request."""

    request: str
    policy: str
    matcher: str
    rows: str
    values: tuple[tuple[Any, ...], ...]
    effect: str = ALLOW
    roles: dict[str, str] = field(default_factory=dict)
    """By role definition (`g = _, _`): its rows."""
    more: str = ""
    """Further definitions, as `section key = value` lines."""

    def model(self) -> casbin.Model:
        """The Casbin model without its rows."""
        model = casbin.Model()
        model.add_def("r", "r", self.request)
        model.add_def("p", "p", self.policy)
        for definition in self.roles:
            name, _, value = definition.partition(" = ")
            model.add_def("g", name, value)
        model.add_def("e", "e", self.effect)
        model.add_def("m", "m", self.matcher)
        for line in self.more.strip().splitlines():
            key, _, value = line.strip().partition(" = ")
            model.add_def(key[0], key, value)
        return model

    def lines(self) -> str:
        """The rows as Casbin's policy files write them."""
        lines = [f"p, {row}" if not row.startswith("p2, ") else row for row in _rows(self.rows)]
        for definition, rows in self.roles.items():
            lines += [f"{definition.partition(' = ')[0]}, {row}" for row in _rows(rows)]
        return "\n".join(lines)

    def enforcer(self, kind: type[Any]) -> Any:
        """An enforcer of this kind, loaded by Casbin's adapter for texts."""
        lines = self.lines()
        return kind(self.model(), casbin.persist.adapters.StringAdapter(lines) if lines else None)

    def requests(self) -> list[tuple[Any, ...]]:
        """Every request that the values make."""
        return list(itertools.product(*self.values))


def _rows(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


_USERS = ("alice", "bob", "carol", "admin", "")
_DATA = ("data1", "data2", "other")
_ACTIONS = ("read", "write")
_BY_NAME = "r.sub == p.sub && r.obj == p.obj && r.act == p.act"
_BY_ROLE = "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act"
_IN_DOMAIN = "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act"

EXAMPLES = {
    "basic": Example(
        "sub, obj, act",
        "sub, obj, act",
        _BY_NAME,
        """
        alice, data1, read
        bob, data2, write
        """,
        (_USERS, _DATA, _ACTIONS),
    ),
    "basic with root": Example(
        "sub, obj, act",
        "sub, obj, act",
        f'{_BY_NAME} || r.sub == "root"',
        """
        alice, data1, read
        bob, data2, write
        """,
        ((*_USERS, "root"), _DATA, _ACTIONS),
    ),
    "rbac": Example(
        "sub, obj, act",
        "sub, obj, act",
        _BY_ROLE,
        """
        alice, data1, read
        bob, data2, write
        admin, data2, read
        admin, data2, write
        """,
        (_USERS, _DATA, _ACTIONS),
        roles={"g = _, _": "alice, admin"},
    ),
    "rbac with domains": Example(
        "sub, dom, obj, act",
        "sub, dom, obj, act",
        _IN_DOMAIN,
        """
        admin, domain1, data1, read
        admin, domain1, data1, write
        admin, domain2, data2, read
        """,
        (_USERS, ("domain1", "domain2", ""), _DATA, _ACTIONS),
        roles={
            "g = _, _, _": """
            alice, admin, domain1
            bob, admin, domain2
            """
        },
    ),
    "rbac with deny": Example(
        "sub, obj, act",
        "sub, obj, act, eft",
        _BY_ROLE,
        """
        alice, data1, read, allow
        bob, data2, write, allow
        admin, data2, read, allow
        admin, data2, write, allow
        alice, data2, write, deny
        """,
        (_USERS, _DATA, _ACTIONS),
        effect=ALLOW_AND_NOT_DENY,
        roles={"g = _, _": "alice, admin"},
    ),
    "rbac with not deny": Example(
        "sub, obj, act",
        "sub, obj, act, eft",
        _BY_ROLE,
        """
        alice, data1, read, allow
        alice, data2, write, deny
        admin, data2, write, allow
        """,
        (_USERS, _DATA, _ACTIONS),
        effect=NOT_DENY,
        roles={"g = _, _": "bob, admin"},
    ),
    "rbac with resource roles": Example(
        "sub, obj, act",
        "sub, obj, act",
        "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act",
        """
        alice, data1, read
        bob, data2, write
        admin, group, write
        """,
        (_USERS, _DATA, _ACTIONS),
        roles={
            "g = _, _": "alice, admin",
            "g2 = _, _": """
            data1, group
            data2, group
            """,
        },
    ),
    "priority": Example(
        "sub, obj, act",
        "sub, obj, act, eft",
        _BY_ROLE,
        """
        alice, data1, read, allow
        group, data1, read, deny
        admin, data1, write, deny
        alice, data1, write, allow
        bob, data2, read, maybe
        group, data2, read, allow
        """,
        (_USERS, _DATA, _ACTIONS),
        effect=PRIORITY,
        roles={
            "g = _, _": """
            alice, admin
            bob, group
            carol, group
            """
        },
    ),
    "explicit priority": Example(
        "sub, obj, act",
        "priority, sub, obj, act, eft",
        _BY_ROLE,
        """
        10, group, data1, read, deny
        10, group, data2, read, allow
        1, alice, data1, read, allow
        1, bob, data2, read, deny
        """,
        (_USERS, _DATA, _ACTIONS),
        effect=PRIORITY,
        roles={
            "g = _, _": """
            alice, group
            bob, group
            carol, group
            """
        },
    ),
    "subject priority": Example(
        "sub, obj, act",
        "sub, obj, act, eft",
        _BY_ROLE,
        """
        root, data1, read, deny
        admin, data1, read, deny
        editor, data1, read, deny
        alice, data1, read, allow
        bob, data2, read, deny
        editor, data2, read, allow
        """,
        (_USERS, _DATA, _ACTIONS),
        effect=SUBJECT_PRIORITY,
        roles={
            "g = _, _": """
            admin, root
            editor, admin
            alice, editor
            bob, editor
            """
        },
    ),
    "keymatch": Example(
        "sub, obj, act",
        "sub, obj, act",
        "r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)",
        """
        alice, /alice/*, GET
        alice, /alice/one, POST
        bob, /bob/*, (GET)|(POST)
        """,
        (_USERS, ("/alice/one", "/alice", "/bob/x", "/"), ("GET", "POST", "PUT")),
    ),
    "keymatch2, glob and ip": Example(
        "sub, obj, act",
        "sub, obj, act",
        "ipMatch(r.sub, p.sub) && (keyMatch2(r.obj, p.obj) || globMatch(r.obj, p.obj)) && r.act == p.act",
        """
        10.0.0.0/8, /book/:id, GET
        10.1.2.3, /pen/*, GET
        """,
        (("10.1.2.3", "10.9.9.9", "192.168.0.1"), ("/book/1", "/book/1/2", "/pen/1"), ("GET", "PUT")),
    ),
    "attribute rule": Example(
        "sub, obj, act",
        "sub_rule, obj, act",
        "eval(p.sub_rule) && r.obj == p.obj && r.act == p.act",
        """
        r.sub.age > 18 && r.sub.age < 60, data1, read
        r.sub.age < 60, data2, write
        r.sub.name == "alice", data2, read
        """,
        ((Person("alice", 16), Person("bob", 30), Person("alice", 70)), _DATA, _ACTIONS),
    ),
    "two attribute rules": Example(
        "sub, obj, act",
        "rule, rule2, obj, act",
        "r.obj == p.obj && r.act == p.act && eval(p.rule) && eval(p.rule2)",
        """
        r.sub.age > 18, r.sub.name == "alice", data1, read
        r.sub.age < 60, r.sub.name == "bob", data2, write
        """,
        ((Person("alice", 16), Person("alice", 30), Person("bob", 20)), _DATA, _ACTIONS),
    ),
    "attributes without a policy": Example(
        "sub, obj, act",
        "sub, obj, act",
        "r.sub == r.obj.owner",
        "",
        (_USERS, ({"owner": "alice"}, Thing("bob"), {"owner": None}), _ACTIONS),
    ),
    "in operator": Example(
        "sub, obj, act",
        "sub, obj, act",
        f"{_BY_ROLE} || r.obj in ['data2', 'data3']",
        """
        alice, data1, read
        admin, data2, read
        """,
        (_USERS, _DATA, _ACTIONS),
        roles={"g = _, _": "bob, admin"},
    ),
    "wildcards in rows": Example(
        "sub, dom, obj, act",
        "sub, dom, obj, act, eft",
        '(p.sub == "*" || g(r.sub, p.sub, r.dom)) && (p.dom == "*" || r.dom == p.dom) && r.obj == p.obj && r.act == p.act',
        """
        *, *, data1, read, allow
        admin, *, data2, write, allow
        *, domain1, data1, read, deny
        """,
        (_USERS, ("domain1", "domain2"), _DATA, _ACTIONS),
        effect=ALLOW_AND_NOT_DENY,
        roles={"g = _, _, _": "alice, admin, domain2"},
    ),
}
