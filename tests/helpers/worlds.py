"""Generated worlds with every word of the language at once: policies as plain data, people, what is stored, requests.

A condition is a nested tuple, as `oracle_of_worlds` reads it. `worlds_as_files` writes the files of a world.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.terms.request import Action, Request, Resource, Subject

Expr = tuple[Any, ...]
IDS = ("a", "b")
PEOPLE = ("user:ann", "user:bob", "service:ann")
GROUPS = ("group:a", "group:b", "group:c", "group:d")
CHOICES = ("draft", "open", "on")
TEXTS = ("ann", "bob", "draft", "on", "10:30", "")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
DAYS = ("monday", "saturday", "sunday")
CLOCKS = ("09:00", "10:30", "23:30", "00:00")
ADDRESSES = ("10.1.2.3", "::ffff:10.1.2.3", "11.0.0.1", "::1")
KINDS: dict[str, Any] = {
    "resource": {
        "owner": "id",
        "count": "number",
        "limit": "number",
        "urgent": "boolean",
        "status": "choice",
        "tags": "texts",
        "labels": "choices",
        "due": "time",
        "since": "time",
        "opens": "text",
        "name": "text",
        "address": {"city": "text", "floor": "number"},
    },
    "subject": {"team": "text", "teams": "texts", "age": "number", "hired": "time", "id": "id"},
    "action": {"channel": "choice", "soft-delete": "boolean"},
    "context": {"ip": "text", "at": "time", "region": "choice", "wait": "number"},
}


@dataclass(frozen=True)
class Level:
    name: str
    constant: str | None
    is_named: bool
    is_identified: bool
    requires: bool


@dataclass
class Role:
    level: str
    folder: int
    contains: dict[str, list[str] | None] = field(default_factory=dict)
    was: list[str] = field(default_factory=list)


@dataclass
class Type:
    actions: list[str]
    asked_in: dict[str, str]
    folder: int = 0


@dataclass
class Grant:
    """An entry as it is written: lists, `*` and all."""

    effect: str
    grantees: list[list[str]]
    actions: list[str] | str
    types: list[str] | str
    file: str
    when: Expr | None = None
    starts: str | None = None
    ends: str | None = None
    places: list[str] = field(default_factory=list)
    at_level: str | None = None


@dataclass
class World:
    """A policy set as it was meant, with its people. Files are named by their folder: `0/features/one.yaml`."""

    levels: list[Level]
    roles: dict[str, Role] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)
    named: dict[str, Expr] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    heads: dict[str, list[str]] = field(default_factory=dict)
    rows: list[Assignment] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)
    declares: bool = False
    stores: bool = False
    kinds = KINDS
    choices = CHOICES

    @property
    def level_names(self) -> list[str]:
        return [level.name for level in self.levels]


BASE = datetime(2026, 3, 28, 12, tzinfo=UTC)


def make_world(seed: int, requests: int, base: datetime = BASE) -> World:
    """The world of a seed, whose times lie around a base; the same seed gives the same."""
    return Maker(Random(seed), base).make(requests)


class Maker:
    """Makes worlds; a small one has one folder, and few enough grants for an analysis of all cases."""

    def __init__(self, random: Random, base: datetime = BASE, is_small: bool = False) -> None:
        self.random, self.is_small = random, is_small
        self.edges = [base + timedelta(days=days, hours=hours) for days, hours in ((-40, 0), (-3, 5), (2, -1), (30, 9))]
        pick = random.random
        names = ("company", "site", "team")[-random.choice((1, 2, 2, 3)) :]
        levels = []
        for number, name in enumerate(names):
            constant = f"the-{name}" if pick() < 0.1 else None
            is_identified = constant is None and pick() < 0.4
            is_named = constant is None and (not is_identified or pick() < 0.8)
            levels.append(Level(name, constant, is_named, is_identified, number > 0 and pick() < 0.4))
        self.world = World(levels, declares=pick() < 0.5, stores=pick() < 0.4)
        self.is_joined = not is_small and pick() < 0.35

    def make(self, requests: int) -> World:
        world, random = self.world, self.random
        self.make_roles()
        world.types = {"doc": Type(["view", "edit", "make"], {}), "task": Type(["view", "close"], {})}
        if random.random() < 0.4:
            world.types["doc"].asked_in["make"] = random.choice(world.level_names)
        world.types |= {level.name: Type(["view"], {}) for level in world.levels if level.is_identified}
        if self.is_joined:
            world.types["extra"] = Type(["view", "edit"], {}, folder=1)
        for number in range(random.randint(0, 3)):
            world.named[f"named{number}"] = self.condition(0 if self.is_small else 2)
        self.make_grants()
        self.make_people()
        world.requests = [self.request() for _ in range(requests)]
        edges = [datetime.fromisoformat(row.ends) for row in world.rows if row.ends] + self.edges
        beside = [timedelta(0), timedelta(seconds=-1), timedelta(days=1, hours=3), timedelta(days=-1, hours=11)]
        world.moments = sorted(random.choice(edges) + random.choice(beside) for _ in range(3))
        return world

    def make_roles(self) -> None:
        world, random = self.world, self.random
        names = [f"role{number}" for number in range(random.randint(2, 3 if self.is_small else 6))]
        for name in names:
            later = self.is_joined and random.random() < 0.3
            world.roles[name] = Role(random.choice(world.level_names), int(later))
            if random.random() < 0.2:
                world.roles[name].was.append(f"old-{name}")
        depth = {name: world.level_names.index(role.level) for name, role in world.roles.items()}
        is_contained_above = set()
        for at, name in enumerate(names):
            role = world.roles[name]
            for other in names[at + 1 :]:
                is_later = world.roles[other].folder > role.folder
                if depth[other] >= depth[name] and not is_later and random.random() < 0.3:
                    role.contains[other] = None
                    if depth[other] > depth[name]:
                        is_contained_above.add(other)
        for name, role in world.roles.items():
            below = [other for other in names if depth[other] > depth[name] and other not in role.contains]
            below = [other for other in below if world.roles[other].folder <= role.folder]
            # What is contained everywhere from a higher level has no places of its own.
            if below and random.random() < 0.5 and not is_contained_above & {name, *self.contained(name)}:
                inner = random.choice(below)
                parts = self.domain(world.roles[inner].level).split("/")
                tops = ["*" if random.random() < 0.6 else part for part in parts[: depth[name] + 1]]
                role.contains[inner] = ["/".join([*tops, *parts[depth[name] + 1 :]])]

    def contained(self, name: str) -> set[str]:
        inner = [other for other, places in self.world.roles[name].contains.items() if places is None]
        return {*inner}.union(*(self.contained(other) for other in inner))

    def domain(self, level: str) -> str:
        levels = self.world.levels[: self.world.level_names.index(level) + 1]
        return "/".join(one.constant or self.random.choice(IDS) for one in levels)

    def place(self, lowest: int, inside: str = "") -> str:
        """A place down to that level at most, inside of another where one is named."""
        if not inside and self.random.random() < 0.1:
            return "*"
        given = inside.split("/") if inside else []
        depth = self.random.randint(max(1, len(given)), lowest + 1)
        parts = self.domain(self.world.level_names[depth - 1]).split("/")
        own = ["*" if self.random.random() < 0.35 else part for part in parts]
        return "/".join([own[at] if given[at] == "*" else given[at] for at in range(len(given))] + own[len(given) :])

    def make_grants(self) -> None:
        world, random = self.world, self.random
        files = ["0/features/one.yaml", "0/features/deep/two.yaml", "0/features/three.csv"]
        files += ["1/features/more.yaml", "1/features/more.yaml"] * self.is_joined
        heads = {file: [self.place(len(world.levels) - 1)] for file in files[:2] + files[3:4] if random.random() < 0.25}
        seen: dict[object, str] = {}
        for _ in range(random.randint(2, 4) if self.is_small else random.randint(4, 12)):
            file = random.choice(files)
            grant = self.grant(file, heads.get(file, [""])[0])
            limits = grant.places or heads.get(file) or ["*"]
            said = [
                (tuple(sorted(together)), type_, action, limit, grant.at_level)
                for together in grant.grantees
                for type_, one in world.types.items()
                for action in one.actions
                for limit in limits
                if (grant.types == "*" or type_ in grant.types) and (grant.actions == "*" or action in grant.actions)
            ]
            conditions = str((grant.when, grant.starts, grant.ends))
            if said and all(seen.get((*key, conditions), grant.effect) == grant.effect for key in said):
                seen |= {(*key, conditions): grant.effect for key in said}
                world.grants.append(grant)
        world.heads = {file: head for file, head in heads.items() if any(grant.file == file for grant in world.grants)}

    def grant(self, file: str, head: str) -> Grant:
        world, random, is_csv = self.world, self.random, file.endswith(".csv")
        folder = int(file[0])
        roles = [name for name, role in world.roles.items() if role.folder <= folder]
        deep = [name for name in roles if world.roles[name].level != world.level_names[0]]
        grantees = ["anyone", *roles, *roles, *roles, *(f"any {name}" for name in deep)]
        together = [random.choice(grantees)]
        if random.random() < 0.15 and len(grantees) > 3:
            together = random.sample(sorted({*grantees} - {"anyone"}), min(len({*grantees}) - 1, random.choice((2, 2, 3))))
        is_alone = is_csv or len({*grantees}) == 1 or random.random() < 0.8
        chosen = [together] if is_alone else [[name] for name in random.sample(sorted({*grantees}), 2)]
        types = [name for name, one in world.types.items() if one.folder <= folder]
        type_ = random.choice(types)
        actions = world.types[type_].actions
        kind = random.random()
        if is_csv or kind < 0.5:
            asked: tuple[Any, Any] = ([random.choice(actions)], [type_])
        elif kind < 0.65:
            asked = (random.sample(actions, random.randint(1, len(actions))), [type_])
        elif kind < 0.75:
            asked = (["view"], random.sample(types, random.randint(1, min(3, len(types)))))
        elif kind < 0.85:
            asked = (random.choice((["view"], ["edit"])), "*")
        else:
            asked = ("*", random.choice(([type_], "*")))
        grant = Grant("deny" if random.random() < 0.22 else "allow", chosen, *asked, file)
        depth = len(world.levels) - 1
        if random.random() < 0.2:
            grant.at_level = random.choice(world.level_names)
            depth = world.level_names.index(grant.at_level)
        if head != "*" and len(head.split("/")) > depth + 1:
            grant.at_level, depth = None, len(world.levels) - 1
        if random.random() < 0.35 and head != "*":
            many = 1 if is_csv else random.choice((1, 1, 2))
            grant.places = list(dict.fromkeys(self.place(depth, head) for _ in range(many)))
            if len(grant.places) > 1 and "*" in grant.places:
                grant.places = ["*"]
        if random.random() < 0.6:
            grant.when = self.condition(1 if self.is_small else 2, named=True)
        if random.random() < 0.2 and not is_csv:
            first, last = sorted(random.sample(self.edges, 2))
            starts, ends = random.choice(((first, None), (None, last), (first, last)))
            grant.starts, grant.ends = (self.written(one) if one else None for one in (starts, ends))
        return grant

    def written(self, moment: datetime) -> str:
        """A moment as RFC 3339, in some zone."""
        if self.random.random() < 0.5:
            return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
        there = moment + timedelta(hours=2)
        return f"{there:%Y-%m-%dT%H:%M:%S}+02:00"

    # --- Conditions -------------------------------------------------------------------------------------------------

    def condition(self, depth: int, named: bool = False) -> Expr:
        random = self.random
        if depth and random.random() < 0.4:
            parts = [self.condition(depth - 1, named) for _ in range(random.randint(2, 3))]
            return random.choice(("and", "or")), parts
        if depth and random.random() < 0.2:
            return "not", self.condition(depth - 1, named)
        if named and self.world.named and random.random() < 0.3:
            return "named", random.choice(list(self.world.named))
        return self.atom()

    def of_kind(self, kind: str) -> Expr:
        """An attribute that is meant to have this kind."""
        found = [("attr", root, name) for root, names in KINDS.items() for name, its in names.items() if its == kind]
        if kind in ("text", "number"):
            found.append(("attr", "resource", "address", "city" if kind == "text" else "floor"))
        if self.world.declares or self.random.random() < 0.9:
            return self.random.choice(found)
        roots = [("attr", root, name) for root, names in KINDS.items() for name, its in names.items() if its != "id"]
        return self.random.choice(roots)

    def literal(self, kind: str) -> Expr:
        return "lit", self.of(kind)

    def of(self, kind: str) -> Any:
        random = self.random
        values: dict[str, Any] = {
            "text": TEXTS[:-1],
            "id": ("ann", "bob"),
            "number": (0, 1, 2, 1.5),
            "boolean": (True, False),
            "choice": CHOICES,
        }
        if kind in ("texts", "choices", "numbers"):
            return [self.of(kind[:-1]) for _ in range(random.randint(0, 2))]
        if kind == "time":
            return self.written(random.choice(self.edges) + timedelta(hours=random.choice((-1, 0, 0, 1))))
        return random.choice(values[kind])

    def moment(self) -> Expr:
        """What is a time for sure, and not always the same."""
        return self.random.choice((("now",), ("now",), ("time", self.of_kind("time"))))

    def time_or_property(self) -> Expr:
        return self.random.choice((("implied", self.of_kind("time")), self.moment()))

    def any_moment(self) -> Expr:
        return self.random.choice((self.time_or_property(), ("time", self.literal("time"))))

    def duration(self) -> Expr:
        choice = self.random.choice
        inner = choice((("lit", choice((0, 1, 3, 30, 1.5))), self.of_kind("number")))
        return choice((("days", inner), ("hours", inner), ("minutes", inner), ("seconds", inner)))

    def atom(self) -> Expr:
        random, choice = self.random, self.random.choice
        order = choice(("<", "<=", ">", ">=", "==", "!="))
        same = choice(("==", "!="))
        kind = choice(
            ("id", "number", "choice", "text", "text", "texts", "choices", "boolean", "time", "zone", "since", "ip", "has")
        )
        match kind:
            case "boolean":
                return choice((("true", self.of_kind(kind)), ("cmp", same, self.of_kind(kind), self.literal(kind))))
            case "number":
                return "cmp", order, self.of_kind(kind), choice((self.literal(kind), self.of_kind(kind)))
            case "time":
                sides = [self.moment(), self.any_moment()]
                random.shuffle(sides)
                return "cmp", order, *sides
            case "since":
                ends = [self.time_or_property(), self.any_moment()]
                random.shuffle(ends)
                return "cmp", order, ("-", *ends), self.duration()
            case "zone":
                zone = choice(ZONES)
                if random.random() < 0.5:
                    day = ("weekday", self.time_or_property(), zone)
                    return choice((("cmp", same, day, ("lit", choice(DAYS))), ("cmp", "in", day, ("lit", list(DAYS[1:])))))
                clock = ("clock", choice((("lit", choice(CLOCKS)), self.of_kind("text"))))
                return "cmp", order, ("time_of_day", self.time_or_property(), zone), clock
            case "ip":
                networks = choice(("10.0.0.0/8", ["10.0.0.0/8", "::1/128"], ["11.0.0.0/24"]))
                return "call", "in_network", ("attr", "context", "ip"), ("lit", networks)
            case "has":
                return "call", "has", self.of_kind(choice(("id", "number", "texts", "choice", "time")))
            case "texts" | "choices":
                one, items = kind[:-1], ("lit", sorted({self.of(kind[:-1]) for _ in range(2)}))
                other = choice((items, self.of_kind(kind)))
                contained = choice((self.literal(one), self.of_kind(one)))
                return choice(
                    (
                        ("call", "contains", self.of_kind(kind), contained),
                        ("cmp", choice(("in", "not in")), contained, self.of_kind(kind)),
                        ("call", choice(("overlaps", "subset of")), self.of_kind(kind), other),
                    )
                )
        if kind == "text" and random.random() < 0.6:
            function = choice(("starts_with", "ends_with", "matches_glob"))
            pattern = choice(("a*", "*n", "?nn*")) if function == "matches_glob" else choice(("a", "n", "10"))
            return "call", function, self.of_kind("text"), ("lit", pattern)
        if random.random() < 0.4:
            return "cmp", choice(("in", "not in")), self.of_kind(kind), ("lit", sorted({self.of(kind) for _ in range(2)}))
        return "cmp", same, self.of_kind(kind), choice((self.literal(kind), self.of_kind(kind)))

    # --- People and requests ----------------------------------------------------------------------------------------

    def make_people(self) -> None:
        world, random = self.world, self.random
        rows = []
        for who in (*PEOPLE, *GROUPS):
            for _ in range(random.randint(1, 4) if who in PEOPLE else random.randint(0, 3)):
                name = random.choice(list(world.roles))
                level = world.roles[name].level if random.random() < 0.95 else random.choice(world.level_names)
                name = random.choice([name, *world.roles[name].was])
                name = name if random.random() < 0.98 else "retired"
                rows.append(Assignment(who, name, self.domain(level), *self.span()))
            for group in GROUPS[GROUPS.index(who) + 1 :] if who in GROUPS else GROUPS:
                if random.random() < 0.35:
                    rows.append(Assignment(who, group, "", *self.span()))
        world.rows = list({row.key: row for row in rows}.values())
        for name in ("x", "a", "b") if random.random() < 0.7 else ():
            type_ = random.choice(("doc", "task"))
            domain = self.domain(random.choice(world.level_names)) if random.random() < 0.7 else ""
            world.entities.append(Entity("resource", type_, name, domain, self.sent(KINDS["resource"], 0.4)))
        for name in ("ann", "bob"):
            if random.random() < 0.5:
                world.entities.append(Entity("subject", "user", name, "", self.sent(KINDS["subject"], 0.4)))

    def span(self) -> tuple[str | None, str | None]:
        first, last = (f"{edge:%Y-%m-%dT%H:%M:%S}Z" for edge in sorted(self.random.sample(self.edges, 2)))
        return self.random.choice(((None, None), (None, None), (first, None), (None, last), (first, last)))

    def request(self) -> Request:
        world, random = self.world, self.random
        asked, grant = random.choice(list(world.types)), random.choice(world.grants or [None])
        action = random.choice([*world.types[asked].actions, "view"])
        if grant and random.random() < 0.8:
            asked = random.choice(list(world.types)) if grant.types == "*" else random.choice(grant.types)
            action = random.choice(world.types[asked].actions if grant.actions == "*" else grant.actions)
        if random.random() < 0.02:
            asked, action = random.choice((("other", "view"), (asked, "fly")))
        properties = self.sent(KINDS["resource"], 0.85)
        depth = random.choice((1, len(world.levels), len(world.levels), len(world.levels)))
        domain = self.domain(world.level_names[depth - 1]).split("/")
        for level, part in zip(world.levels, domain, strict=False):
            if level.is_named or random.random() < 0.05:
                properties[level.name] = part
        if random.random() < 0.08:
            level = random.choice(world.levels)
            properties[level.name] = random.choice((None, 5, "a/b", "", "*", ["a"], True, "b", "the-site"))
        type_, _, id_ = random.choice((*PEOPLE, "user:ghost")).partition(":")
        return Request(
            Subject(type_, id_, self.sent(KINDS["subject"], 0.8)),
            Action(action, self.sent(KINDS["action"], 0.7)),
            Resource(asked, random.choice((*IDS, *domain, "x")), properties),
            {**self.sent(KINDS["context"], 0.8)},
        )

    def sent(self, kinds: dict[str, Any], chance: float) -> dict[str, Any]:
        """Some of these properties; a few are of another kind, or null."""
        random, found = self.random, {}
        for name, kind in kinds.items():
            if random.random() >= chance or name == "id":
                continue
            if isinstance(kind, dict):
                found[name] = self.sent(kind, 0.8) if random.random() < 0.9 else random.choice(("draft", None, [1]))
            elif random.random() < (0.2 if self.world.declares else 0.1):
                found[name] = random.choice(
                    (None, *map(self.of, ("text", "number", "boolean", "texts", "time")), "zoe", ["zoe", 1])
                )
            else:
                found[name] = random.choice(CLOCKS) if name == "opens" else self.of(kind)
                found[name] = random.choice(ADDRESSES) if name == "ip" else found[name]
        return found
