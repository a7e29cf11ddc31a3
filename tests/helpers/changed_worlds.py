"""Small worlds beside the same worlds after some changes, sets of roles to hold, and promises to prove."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from random import Random

import oracle_of_worlds
from policy_sets import policy_of
from worlds import Expr, Maker, World
from worlds_as_files import _Writer, files_of

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Request

Held = tuple[tuple[str, str], ...]


@dataclass
class Promise:
    """An invariant as it is written."""

    kind: str
    who: list[str]
    actions: list[str] | str
    types: list[str] | str
    places: list[str]
    at_level: str | None
    when: Expr | None

    def is_kept(self, world: World, held: Held, request: Request, now: object) -> bool:
        """By definition, for one case."""
        person = of_holder(world, held, f"user:{request.subject.id}")
        resource, action = request.resource, request.action.name
        place = oracle_of_worlds.place_of(person, resource, action)
        if place is None or (self.types != "*" and resource.type not in self.types):
            return True
        if self.actions != "*" and action not in self.actions:
            return True
        if self.at_level not in (None, world.level_names[len(place) - 1] if place else "nowhere"):
            return True
        if not any(oracle_of_worlds.is_inside(place, limit) for limit in self.places or ["*"]):
            return True
        if self.when is not None and oracle_of_worlds.truth(world, self.when, request, now) != 1:
            return True
        names = oracle_of_worlds.names_held(person, f"user:{request.subject.id}", place, now)
        is_one = bool(names & {*self.who})
        if self.kind == "never":
            is_one = any(speaks_of(world, who, names) for who in self.who)
        is_allowed = oracle_of_worlds.allows(person, request, now)
        return {
            "never": not (is_one and is_allowed),
            "always": is_allowed or not is_one,
            "at_most": is_one or not is_allowed,
        }[self.kind]


def speaks_of(world: World, who: str, names: set[str]) -> bool:
    """Whether `never: who` is about somebody with these names: they hold it, and no role that contains it."""
    if who == "outsider":
        return names == {"anyone"}
    role = who.removeprefix("any ")
    stronger = {name for name in world.roles if name != role and role in reached_from(world, name)}
    holds = who in names if who != role else bool(names & {role, f"any {role}"})
    return holds and not names & (stronger | {f"any {name}" for name in stronger})


def reached_from(world: World, role: str) -> set[str]:
    return {role}.union(*(reached_from(world, inner) for inner in world.roles[role].contains))


def small_world(seed: int) -> tuple[Maker, World]:
    """A small world, and its maker, who can change it; it has no people of its own."""
    maker = Maker(Random(seed), is_small=True)
    world = maker.make(30)
    world.stores, world.rows, world.entities = False, [], []
    for role in world.roles.values():
        role.was = []
    world.requests = [asked_by_ann(request) for request in world.requests]
    return maker, world


def asked_by_ann(request: Request) -> Request:
    return request._replace(subject=request.subject._replace(type="user", id="ann"))


def changed(maker: Maker, world: World, number: int) -> World:
    """The world after so many changes of any kind."""
    random, after = maker.random, deepcopy(world)
    maker.world = after
    for _ in range(number):
        grant = random.choice(after.grants) if after.grants else None
        kind = random.randrange(9)
        if kind == 0 and grant:
            after.grants.remove(grant)
        elif kind == 1:
            file = random.choice(("0/features/one.yaml", "0/features/deep/two.yaml"))
            after.grants.append(maker.grant(file, after.heads.get(file, [""])[0]))
        elif kind == 2 and grant:
            grant.when = random.choice((None, maker.condition(1, named=True)))
        elif kind == 3 and grant and not grant.file.endswith("csv"):
            first, last = sorted(random.sample(maker.edges, 2))
            grant.starts, grant.ends = maker.written(first), maker.written(last)
        elif kind == 4 and grant:
            grant.places, grant.at_level = [], None
        elif kind == 5 and grant:
            grant.effect = "deny" if grant.effect == "allow" else "allow"
        elif kind == 6:
            at = random.randrange(len(after.levels))
            after.levels[at] = replace(after.levels[at], requires=at > 0 and not after.levels[at].requires)
        elif kind == 7:
            role = random.choice(list(after.roles.values()))
            role.contains = {} if role.contains else role.contains
        else:
            after.types["doc"].asked_in = {} if after.types["doc"].asked_in else {"make": random.choice(after.level_names)}
    after.heads = {file: head for file, head in after.heads.items() if any(grant.file == file for grant in after.grants)}
    return after


def loaded(world: World, seed: int, promises: list[Promise] = ()) -> PolicySet | None:  # type: ignore[assignment]
    """The policy set of a world with one folder; None where two of its grants contradict each other."""
    (texts,) = files_of(world, seed)
    if promises:
        texts["invariants.yaml"] = invariants_of(world, promises, seed)
    try:
        return policy_of(texts)
    except PolicyError as error:
        ids = {one.id for one in error.problems if one.severity == "error"}
        assert ids <= {"contradiction"}, f"world {seed}: {error}"
        return None


def invariants_of(world: World, promises: list[Promise], seed: int) -> str:
    writer = _Writer(world, Random(seed))
    lines = ["invariants:"]
    for number, one in enumerate(promises):
        lines.append(f"  - name: promise {number}")
        lines.append(f"    {one.kind}: {json.dumps(one.who)}")
        lines.append(f"    to: {json.dumps(one.actions)}")
        lines.append(f"    resource: {json.dumps(one.types)}")
        lines += [f"    in: {json.dumps(one.places)}"] if one.places else []
        lines += [f"    at_level: {one.at_level}"] if one.at_level else []
        lines += [f"    when: {writer.quoted(one.when)}"] if one.when else []
    return "".join(f"{line}\n" for line in lines)


def promise(maker: Maker) -> Promise:
    random, world = maker.random, maker.world
    deep = [f"any {name}" for name, role in world.roles.items() if role.level != world.level_names[0]]
    kind = random.choice(("never", "always", "at_most"))
    who = random.sample([*world.roles, *deep], random.choice((1, 1, 2)))
    who = random.choice((who, ["outsider"])) if kind == "never" else who
    types = [name for name, one in world.types.items() if "view" in one.actions]
    asked = random.choice(((["view"], random.sample(types, 1)), ("*", "*"), (["view"], "*"), (["edit"], ["doc"])))
    depth = len(world.levels) - 1
    at_level = random.choice((None, None, world.level_names[depth]))
    places = [maker.place(depth)] if random.random() < 0.3 else []
    when = maker.condition(0, named=True) if random.random() < 0.4 else None
    return Promise(kind, who, *asked, places, at_level, when)


def of_holder(world: World, held: Held, who: str = "user:ann") -> World:
    """The world in which somebody holds this, always, and nothing else is held."""
    return replace(world, rows=[Assignment(who, role, domain) for role, domain in held])


def held_sets(world: World, random: Random, number: int) -> list[Held]:
    """Nothing, each role alone in some place, and some sets of two and three."""
    pairs = [(role, domain) for role, one in world.roles.items() for domain in domains(world, one.level)]
    found: list[Held] = [(), *((pair,) for pair in pairs)]
    found += [tuple(random.sample(pairs, min(len(pairs), size))) for size in (2, 3) for _ in range(number)]
    return random.sample(found, min(number, len(found)))


def domains(world: World, level: str) -> list[str]:
    found = [""]
    for one in world.levels[: world.level_names.index(level) + 1]:
        found = [f"{above}/{name}" for above in found for name in ([one.constant] if one.constant else ["a", "b"])]
    return [domain[1:] for domain in found]
