"""Pairs of small policy sets that differ in anything: levels, roles, inheritance, types, places, grants, conditions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain, combinations
from random import Random

from klausel.core.terms.request import Action, Request, Resource, Subject

LEVELS = ("company", "site", "team")
IDS = ("acme", "red")
ROLES = ("boss", "clerk", "guide", "guest")
ATOMS = (
    "resource.open",
    "not resource.open",
    "resource.count < 5",
    "resource.count == 5",
    'resource.kind in ["a", "b"]',
    'resource.kind == "a"',
    "resource.owner == subject.id",
    "resource.owner != subject.id",
    'subject.type == "user"',
    'context.channel == "web"',
    'resource.team == "red"',
    'resource.company in ["red", "zoo"]',
    "has resource.owner",
    'starts_with(resource.kind, "a")',
    'resource.tags overlaps ["a", "b"]',
    "context.now < resource.until",
    'context.now >= time("2026-03-01T00:00:00Z")',
    'resource.id == "acme"',
)
PLACES_OF_GRANTS = ("acme", "acme", "*/red", "acme/*", "*/*", "acme/red", "red/*", "*/acme/*", "*/*/red")
MOMENTS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5))
ACTIONS = {"doc": ("view", "make"), "site": ("view",)}


class Side:
    """The parts of one policy set, which can be changed and written out."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.levels = list(LEVELS[-random.choice((1, 2, 2, 2, 3)) :])
        self.named_by = {level: level for level in LEVELS}
        self.constants = {level for level in LEVELS if random.random() < 0.1}
        self.identified = {level for level in LEVELS if random.random() < 0.3}
        self.requires = {level for level in LEVELS if random.random() < 0.5}
        self.roles = {role: random.choice(self.levels) for role in ROLES[: random.randint(2, 4)]}
        self.contains = {role for role in combinations(ROLES, 2) if random.random() < 0.4}
        self.asked_in = random.choice((None, None, *self.levels))
        self.grants = [self.new_grant() for _ in range(random.randint(2, 5))]

    def new_grant(self) -> dict[str, str]:
        random = self.random
        role = random.choice(list(self.roles))
        type_ = random.choice(("doc", "doc", "site"))
        grant = {
            "grantee": random.choice((role, role, role, f"any {role}", "anyone")),
            "effect": "deny" if random.random() < 0.25 else "allow",
            "to": random.choice(ACTIONS[type_]),
            "resource": type_,
        }
        if random.random() < 0.6:
            atoms = sorted(random.sample(ATOMS, random.randint(1, 2)))
            grant["when"] = random.choice((" and ", " or ")).join(atoms)
        if random.random() < 0.3:
            grant["in"] = random.choice(PLACES_OF_GRANTS)
        if random.random() < 0.2:
            grant["at_level"] = random.choice(self.levels)
        return grant

    def change(self) -> None:
        """One change of any kind."""
        random = self.random
        kind = random.randrange(9)
        if kind == 0:
            self.roles[random.choice(ROLES)] = random.choice(self.levels)
        elif kind == 1 and len(self.roles) > 1:
            del self.roles[random.choice(list(self.roles))]
        elif kind == 2:
            self.contains ^= {random.choice(list(combinations(ROLES, 2)))}
        elif kind == 3:
            self.requires ^= {random.choice(LEVELS)}
        elif kind == 4:
            self.asked_in = random.choice((None, *self.levels))
        elif kind == 5:
            self.identified ^= {random.choice(LEVELS)}
        elif kind == 6 and self.grants:
            self.grants.pop(random.randrange(len(self.grants)))
        else:
            self.grants.append(self.new_grant())

    def texts(self) -> dict[str, str]:
        """The files; whatever no longer fits is left out."""
        depth = {level: number for number, level in enumerate(self.levels)}
        roles = {role: level for role, level in self.roles.items() if level in depth}
        lines = ["levels:"]
        for level in self.levels:
            named = f"constant: {IDS[0]}" if level in self.constants else f"named_by: {self.named_by[level]}"
            identified = f", identified_by: {level}" if level in self.identified and level == "site" else ""
            identified = "" if level in self.constants else identified
            requires = ", requires_role_above: true" if level in self.requires and depth[level] else ""
            lines.append(f"  {level}: {{{named}{identified}{requires}}}")
        lines.append("roles:")
        for role, level in roles.items():
            inner = [low for up, low in self.contains if up == role and low in roles and depth[roles[low]] >= depth[level]]
            containing = f", contains: [{', '.join(sorted(inner))}]" if inner else ""
            lines.append(f"  {role}: {{level: {level}{containing}}}")
        asked = f", asked_in: {{make: {self.asked_in}}}" if self.asked_in in depth else ""
        feature = ["resource_types:", f"  doc: {{actions: [view, make]{asked}}}", "  site: {actions: [view]}", "grants:"]
        seen = set()
        for grant in self.grants:
            role = grant["grantee"].removeprefix("any ")
            if role != "anyone" and role not in roles:
                continue
            if grant["grantee"].startswith("any ") and not depth[roles[role]]:
                continue
            if grant.get("at_level", self.levels[0]) not in depth:
                continue
            parts = grant.get("in", "*").split("/")
            if len(parts) > depth.get(grant.get("at_level", self.levels[-1]), 0) + 1:
                continue
            if any(part == "red" for part, level in zip(parts, self.levels, strict=False) if level in self.constants):
                continue
            same = tuple(sorted((key, value) for key, value in grant.items() if key != "effect"))
            if same in seen:
                continue
            seen.add(same)
            rest = "".join(f", {key}: {value!r}" for key, value in grant.items() if key not in ("grantee", "effect"))
            feature.append(f"  - {{{grant['effect']}: {grant['grantee']}{rest}}}")
        return {"roles.yaml": "\n".join(lines) + "\n", "features/one.yaml": "\n".join(feature) + "\n"}


def pair(seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """The files of two policy sets: one, and the same with some changes, or another altogether."""
    random = Random(seed)
    side = Side(random)
    before = side.texts()
    if seed % 5 == 0:
        return before, Side(random).texts()
    for _ in range(random.randint(1, 3)):
        side.change()
    return before, side.texts()


PLACES = ("acme", "red", "acme/red", "acme/acme", "red/red", "acme/red/acme", "acme/red/red", "acme/acme/red")


def everyone_held() -> list[tuple[tuple[str, str], ...]]:
    """Every set of up to two role assignments, and some of three."""
    pairs = [(role, place) for role in ROLES for place in PLACES]
    random = Random(0)
    three = [tuple(random.sample(pairs, 3)) for _ in range(150)]
    return [
        *chain.from_iterable(combinations(pairs, size) for size in range(2)),
        *three,
        *random.sample(list(combinations(pairs, 2)), 150),
    ]


def requests(random: Random, number: int) -> list[Request]:
    """Requests with good, bad, missing and unlike values of everything that conditions and levels look at."""
    found = []
    for _ in range(number):
        type_, action = random.choice((("doc", "view"), ("doc", "make"), ("site", "view")))
        properties: dict[str, object] = {
            name: random.choice(values)
            for name, values in {
                "open": (True, False, "yes"),
                "count": (1, 5, 9, True),
                "kind": ("a", "b", "c", 1),
                "owner": ("ann", "bob", 3),
                "tags": (["a"], ["c"], [], ["c", 1], "a"),
                "until": ("2026-02-01T00:00:00Z", "2026-03-01T23:00:00+01:00", "2026-04-01T00:00:00Z", "soon"),
            }.items()
            if random.random() < 0.8
        }
        for level in LEVELS:
            if random.random() < 0.6:
                properties[level] = random.choice((*IDS, *IDS, *IDS, "zoo", "x/y", None, 5))
        found.append(
            Request(
                Subject(random.choice(("user", "user", "service")), "ann"),
                Action(action),
                Resource(type_, random.choice((*IDS, "zoo", "x/y")), properties),
                {"channel": random.choice(("web", "app")), "now": random.choice(MOMENTS)},
            )
        )
    return found
