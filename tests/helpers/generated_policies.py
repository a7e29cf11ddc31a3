"""Policy sets of all kinds, as the texts of their files, with people and requests; the same seed gives the same."""

from __future__ import annotations

import json
from datetime import datetime
from random import Random
from typing import NamedTuple

from klausel.core.terms.request import Action, Request, Resource, Subject

LEVELS = ("company", "site", "team")
IDS = ("a", "ab")
SUBJECTS = ("user:ann", "user:bob", "service:ann", "user:ghost")
TEXTS = ("ann", "bob", "user", "night", "a/b/c", "p.sub && !r.obj", 'quote " and \\', "#1", "")
ATTRIBUTES = (
    "subject.id",
    "subject.type",
    "subject.team",
    "resource.id",
    "resource.owner",
    "resource.owner",
    "resource.count",
    "resource.flag",
    "resource.tags",
    "resource.deep.er",
    'resource["odd p.name"]',
    "action.name",
    "action.channel",
    "context.time",
)
WORDS = (
    "has resource.owner",
    "not has resource.flag",
    "has resource.deep",
    'resource.tags contains "ann"',
    "resource.tags contains subject.id",
    'resource.tags overlaps ["ann", 1]',
    'resource.tags subset of ["ann", "bob"]',
    "subject.team overlaps resource.tags",
    'starts_with(resource.owner, "an")',
    "ends_with(resource.owner, subject.team)",
    'in_network(context.time, ["10.0.0.0/8", "::1/128"])',
    "context.now < resource.count",
    'context.now >= time("2026-03-01T00:00:00Z")',
    "time(resource.owner) < time(resource.count)",
)
MOMENTS = ("2026-02-28T23:00:00-02:00", "2026-03-01T00:00:00Z", "2026-07-01T12:00:00.5+02:00")
ADDRESSES = ("10.1.2.3", "::ffff:10.1.2.3", "11.1.1.1", "::1")
TIMES = tuple(datetime.fromisoformat(text) for text in MOMENTS)
OWN = ("subject.id", "subject.type", "resource.id", "action.name")
PATTERNS = ("a*", "*", "?nn", "**/c", "a/*/c", "a/**", "*n*", "night", "*&&*")


class Generated(NamedTuple):
    """The files of a policy set, role assignments as (subject, role, domain), and requests."""

    texts: dict[str, str]
    assignments: list[tuple[str, str, str]]
    requests: list[Request]

    @property
    def held(self) -> dict[str, list[tuple[str, str]]]:
        return {key: [(role, domain) for who, role, domain in self.assignments if who == key] for key in SUBJECTS}

    def __str__(self) -> str:
        files = "\n".join(f"--- {name}\n{text}" for name, text in self.texts.items())
        return f"{files}\n--- people\n{self.assignments}"


def generate(seed: int, requests: int = 30) -> Generated:
    """The policy set of a seed. Hardly any holds a contradiction, which the loader refuses."""
    return _Generator(Random(seed)).generate(requests)


class _Generator:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.levels = LEVELS[-random.randint(1, 3) :]
        rarely = 0.4 if len(self.levels) == 1 else 0.15
        self.constants = {level: f"the-{level}" for level in self.levels if random.random() < rarely}
        self.identified = {level for level in self.levels if level not in self.constants and random.random() < 0.5}
        self.roles = {f"role{number}": random.choice(self.levels) for number in range(random.randint(2, 6))}
        self.types = {
            "doc": ["view", "edit", "make"],
            "task": ["view"],
            **{name: ["view"] for name in sorted(self.identified)},
        }
        self.conditions = [f"named{number}" for number in range(random.randint(0, 3))]

    def generate(self, requests: int) -> Generated:
        contains = {role: self._contained(role) for role in self.roles}
        self.placed = {role: link for role in self.roles if (link := self._placed(role, contains))}
        grants = self._grants()
        split = len(grants) // 2 if self.random.random() < 0.3 else len(grants)
        texts = {
            "roles.yaml": self._roles_yaml(contains, in_csv=split < len(grants)),
            "conditions.yaml": "".join(f"{name}: {json.dumps(self._condition(2, []))}\n" for name in self.conditions),
            "features/one.yaml": self._feature_yaml(grants[:split]),
        }
        if split < len(grants):
            texts["features/two.csv"] = self._csv(grants[split:], contains)
        asked = [(grant["resource"], grant["to"]) for grant in grants]
        return Generated(texts, self._assignments(), [self._request(asked) for _ in range(requests)])

    def _contained(self, role: str) -> list[str]:
        depth = self.levels.index(self.roles[role])
        later = list(self.roles)[list(self.roles).index(role) + 1 :]
        return [other for other in later if self.levels.index(self.roles[other]) >= depth and self.random.random() < 0.4]

    def _placed(self, role: str, contains: dict[str, list[str]]) -> tuple[str, str] | None:
        """A role of a lower level, and a place in which alone a role contains it; hardly ever."""
        depth = self.levels.index(self.roles[role])
        deeper = [other for other, level in self.roles.items() if self.levels.index(level) > depth]
        wider = [other for other, level in self.roles.items() if self.levels.index(level) < depth]
        if not deeper or any(contains[other] for other in wider) or self.random.random() < 0.75:
            return None
        inner = self.random.choice(deeper)
        parts = self._domain(self.roles[inner]).split("/")
        above = ["*" if self.random.random() < 0.6 else part for part in parts[: depth + 1]]
        return inner, "/".join([*above, *parts[depth + 1 :]])

    def _roles_yaml(self, contains: dict[str, list[str]], *, in_csv: bool) -> str:
        lines = ["levels:"]
        for level in self.levels:
            lines.append(f"  {level}:")
            if level in self.constants:
                lines.append(f"    constant: {self.constants[level]}")
            else:
                lines.append(f"    named_by: {level}")
            if level in self.identified:
                lines.append(f"    identified_by: {level}")
            if level != self.levels[0] and self.random.random() < 0.5:
                lines.append("    requires_role_above: true")
        lines.append("roles:")
        for role, level in self.roles.items():
            inner = [] if in_csv else contains[role]
            containing = f", contains: [{', '.join(inner)}]" if inner else ""
            if role in self.placed and not in_csv:
                keys = [*(f"{name}: {{}}" for name in inner if name != self.placed[role][0])]
                keys.append(f'{self.placed[role][0]}: {{in: "{self.placed[role][1]}"}}')
                containing = f", contains: {{{', '.join(keys)}}}"
            lines.append(f"  {role}: {{level: {level}{containing}}}")
        return "\n".join(lines) + "\n"

    def _feature_yaml(self, grants: list[dict[str, str]]) -> str:
        lines = ["resource_types:"]
        for name, actions in self.types.items():
            asked_in = f", asked_in: {{make: {self.random.choice(self.levels)}}}" if "make" in actions else ""
            lines.append(f"  {name}: {{actions: [{', '.join(actions)}]{asked_in}}}")
        lines.append("grants:")
        for grant in grants:
            together = grant["grantee"].removeprefix("all of ").split(" and ")
            grantee = {"all": together} if len(together) > 1 else grant["grantee"]
            lines.append(f"  - {grant['effect']}: {json.dumps(grantee)}")
            lines += [f"    {key}: {json.dumps(value)}" for key, value in grant.items() if key not in ("effect", "grantee")]
        return "\n".join(lines) + "\n"

    def _csv(self, grants: list[dict[str, str]], contains: dict[str, list[str]]) -> str:
        rows = [["g", role, inner, "*"] for role, inners in contains.items() for inner in inners]
        rows += [["g", role, *link] for role, link in self.placed.items()]
        for grant in grants:
            sign = self.random.choice(("//", " at level "))
            scope = grant.get("in", "*") + (f"{sign}{grant['at_level']}" if "at_level" in grant else "")
            fields = [grant["grantee"], scope, grant["resource"], grant["to"], grant.get("when", "true"), grant["effect"]]
            rows.append(["p", *fields])
        return "".join(", ".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows)

    def _grants(self) -> list[dict[str, str]]:
        grantees = ["anyone", *self.roles, *self.roles]
        grantees += [f"any {role}" for role, level in self.roles.items() if level != self.levels[0]]
        grants: dict[tuple[str, ...], dict[str, str]] = {}
        for _ in range(self.random.randint(3, 12)):
            type_ = self.random.choice(list(self.types))
            together = sorted({*self.random.choices(grantees[1:], k=self.random.randint(2, 3))})
            is_joint = len(together) > 1 and self.random.random() < 0.15
            grant = {
                "effect": "deny" if self.random.random() < 0.25 else "allow",
                "grantee": f"all of {' and '.join(together)}" if is_joint else self.random.choice(grantees),
                "to": self.random.choice(self.types[type_]),
                "resource": type_,
            }
            if self.random.random() < 0.3:
                grant["in"] = self._place(self.random.choice(self.levels))
            if self.random.random() < 0.2:
                lowest = grant.get("in", "").count("/")
                grant["at_level"] = self.random.choice(self.levels[lowest:])
            if self.random.random() < 0.6:
                grant["when"] = self._condition(2, self.conditions)
            grants.setdefault(tuple(f"{key}={value}" for key, value in grant.items() if key != "effect"), grant)
        return list(grants.values())

    def _domain(self, level: str) -> str:
        levels = self.levels[: self.levels.index(level) + 1]
        return "/".join(self.constants.get(name) or self.random.choice(IDS) for name in levels)

    def _place(self, level: str) -> str:
        parts = self._domain(level).split("/")
        return "/".join("*" if self.random.random() < 0.35 else part for part in parts)

    def _condition(self, depth: int, named: list[str]) -> str:
        if depth and self.random.random() < 0.5:
            parts = [self._condition(depth - 1, named) for _ in range(self.random.randint(2, 3))]
            return f"({self.random.choice((' and ', ' or ')).join(parts)})"
        if depth and self.random.random() < 0.25:
            return f"not ({self._condition(depth - 1, named)})"
        if named and self.random.random() < 0.3:
            return self.random.choice(named)
        return self._atom()

    def _atom(self) -> str:
        attribute = self.random.choice(ATTRIBUTES)
        kind = self.random.randrange(7)
        if kind == 0:
            return attribute
        if kind == 6:
            return self.random.choice(WORDS)
        if kind == 1:
            matcher = self.random.choice(("matches_glob", "matches_path"))
            return f"{matcher}({attribute}, {json.dumps(self.random.choice(PATTERNS))})"
        if kind == 2:
            items = ", ".join(json.dumps(self._scalar()) for _ in range(self.random.randint(1, 3)))
            return f"{attribute} {self.random.choice(('in', 'not in'))} [{items}]"
        if kind == 3:
            sign = self.random.choice(("==", "!=", "<", "in", "not in"))
            other = self.random.choice(ATTRIBUTES)
            return f"{attribute} {'!=' if sign == '<' and {attribute, other} & set(OWN) else sign} {other}"
        literal = self._scalar()
        signs = (
            ("==", "!=")
            if isinstance(literal, bool | str) or attribute in OWN
            else ("==", "==", "==", "!=", "<", "<=", ">", ">=")
        )
        return f"{attribute} {self.random.choice(signs)} {json.dumps(literal)}"

    def _scalar(self) -> str | int | float | bool:
        return self.random.choice((*TEXTS, "ann", "ann", "bob", "user", 0, 1, 2, 1.0, 1.5, -3, True, False))

    def _assignments(self) -> list[tuple[str, str, str]]:
        assignments = []
        for subject in SUBJECTS[:-1]:
            for _ in range(self.random.randint(1, 6)):
                role = self.random.choice(list(self.roles))
                level = self.roles[role] if self.random.random() < 0.95 else self.random.choice(self.levels)
                assignments.append((subject, role if self.random.random() < 0.98 else "retired", self._domain(level)))
        return assignments

    def _request(self, asked: list[tuple[str, str]]) -> Request:
        type_, _, id_ = self.random.choice((*SUBJECTS[:-1], *SUBJECTS)).partition(":")
        resource_type, action = self.random.choice(asked)
        if self.random.random() < 0.15:
            resource_type, action = self.random.choice([*self.types, "other"]), self.random.choice(("view", "make", "fly"))
        properties = self._properties(("owner", "count", "flag", "tags", "deep", "odd p.name", "id", "type"))
        for level in self.levels:
            if self.random.random() < 0.85:
                properties[level] = self.random.choice(IDS)
            elif self.random.random() < 0.3:
                properties[level] = self.random.choice((None, 5, "a/b", "", "a\n", ["a"], True))
        resource = Resource(resource_type, self.random.choice((*IDS, "ann", "a/b/c")), properties)
        return Request(
            Subject(type_, id_, self._properties(("team", "id"))),
            Action(action, self._properties(("channel", "name"))),
            resource,
            {**self._properties(("time",)), "now": self.random.choice(TIMES)},
        )

    def _properties(self, names: tuple[str, ...]) -> dict[str, object]:
        return {name: self._value() for name in names if self.random.random() < 0.75}

    def _value(self) -> object:
        if self.random.random() < 0.15:
            return self.random.choice((*MOMENTS, *ADDRESSES))
        if self.random.random() < 0.75:
            return self._scalar()
        inner = [self._scalar() for _ in range(self.random.randint(0, 3))]
        return self.random.choice((None, inner, [*inner, None], {"er": self._scalar()}, {"er": None}, {}, [inner]))
