"""Whatever a provider sends, in whichever order: role assignments are what a few lines of Python say of it."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from doors import ROOT
from identity_provider import GROUP, LETTERS, ROLES, USER, Provider

from klausel.app import create_service
from klausel.settings import Settings

STEPS = int(os.environ.get("KLAUSEL_TEST_PROVISIONING_STEPS", "50"))
NAMES = ("Clerks", "north-mail-helpers", "Others", "clerks", "north-post-helpers")
MAPPINGS: tuple[tuple[str, dict[str, set[tuple[str, str]]]], ...] = (
    (
        'subject_from: userName\ngroups: {Clerks: {north: clerk}, "north-{t}-helpers": {north: clerk, "north/{t}": helper}}\n',
        {
            "Clerks": {("clerk", "north")},
            "north-mail-helpers": {("clerk", "north"), ("helper", "north/mail")},
            "north-post-helpers": {("clerk", "north"), ("helper", "north/post")},
        },
    ),
    (
        'subject_from: userName\ngroups: {Others: {south: clerk}, "north-mail-{x}": {north: clerk, north/post: helper}}\n',
        {"Others": {("clerk", "south")}, "north-mail-helpers": {("clerk", "north"), ("helper", "north/post")}},
    ),
)


class World:
    """What the provider has sent, and what must follow from it."""

    def __init__(self) -> None:
        self.people: dict[str, tuple[str, bool]] = {}
        self.groups: dict[str, tuple[str, set[str]]] = {}
        self.roles = MAPPINGS[0][1]

    def rows(self) -> list[tuple[str, str, str]]:
        found = set()
        for name, members in self.groups.values():
            active = {self.people[one][0] for one in members if self.people[one][1]}
            found |= {(f"user:{one}", f"group:{name}", "") for one in active}
            found |= {(f"group:{name}", *pair) for pair in self.roles.get(name, ()) if active}
        return sorted(found)

    def is_taken(self, names: list[str], name: str) -> bool:
        return name.lower() in [one.lower() for one in names]


def step(random: Random, world: World, provider: Provider) -> None:
    people, groups = sorted(world.people), sorted(world.groups)
    some = set(random.sample(people, min(len(people), random.randrange(4))))
    values = [{"value": one} for one in sorted(some)]
    group, person = random.choice(groups or [""]), random.choice(people or [""])
    what = random.choice(
        ("person", "group", "add", "remove", "leave", "put", "active", "name", "rename", "end", "end group")
    )
    name = random.choice(NAMES)
    taken = world.is_taken([one for id_, (one, _) in world.groups.items() if id_ != group], name)
    if what == "person" and len(people) < 6:
        login, is_active = random.choice(("ann", "Bob", "cy", "dee", "eve")), random.random() < 0.8
        refused = world.is_taken([one for one, _ in world.people.values()], login)
        told = provider.person(login, 409 if refused else 201, active=is_active)
        if not refused:
            world.people[told] = (login, is_active)
    elif what == "group":
        refused = world.is_taken([one for one, _ in world.groups.values()], name)
        told = provider.group(name, *some, expected=409 if refused else 201)
        if not refused:
            world.groups[told] = (name, some)
    elif what in ("add", "remove") and group and values:
        provider.patch(f"/Groups/{group}", {"op": random.choice((what, what.title())), "path": "members", "value": values})
        members = world.groups[group][1]
        world.groups[group] = (world.groups[group][0], members | some if what == "add" else members - some)
    elif what == "leave" and group and person:
        provider.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{person}"]'})
        world.groups[group][1].discard(person)
    elif what == "put" and group:
        body = {"schemas": [GROUP], "displayName": name, "members": values}
        provider.ask("PUT", f"/Groups/{group}", body, 409 if taken else 200)
        if not taken:
            world.groups[group] = (name, some)
    elif what == "name" and group:
        value = {"op": "replace", "value": {"displayName": name}}
        provider.patch(f"/Groups/{group}", value, expected=409 if taken else 204)
        if not taken:
            world.groups[group] = (name, world.groups[group][1])
    elif what == "active" and person:
        is_active = random.random() < 0.5
        okta = {"op": "replace", "value": {"active": is_active}}
        entra = {"op": "Replace", "path": "active", "value": str(is_active)}
        provider.patch(f"/Users/{person}", random.choice((okta, entra)))
        world.people[person] = (world.people[person][0], is_active)
    elif what == "rename" and person:
        login = random.choice(("ann", "Bob", "cy", "dee", "fay"))
        refused = world.is_taken([one for id_, (one, _) in world.people.items() if id_ != person], login)
        body = {"schemas": [USER], "userName": login, "active": world.people[person][1]}
        provider.ask("PUT", f"/Users/{person}", body, 409 if refused else 200)
        if not refused:
            world.people[person] = (login, world.people[person][1])
    elif what == "end" and person:
        provider.ask("DELETE", f"/Users/{person}", expected=204)
        del world.people[person]
        for _, members in world.groups.values():
            members.discard(person)
    elif what == "end group" and group:
        provider.ask("DELETE", f"/Groups/{group}", expected=204)
        del world.groups[group]


def test_role_assignments_follow_from_whatever_is_sent(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES.replace("keep_one: true, ", ""))
    (policies / "features" / "letters.yaml").write_text(LETTERS)
    (policies / "provisioning.yaml").write_text(MAPPINGS[0][0])
    settings = Settings(policies=str(policies), model=str(ROOT / "model.conf"), database="sqlite://")
    service = create_service(settings)
    provider, world, random = Provider(service, policies), World(), Random(20260101)
    for number in range(STEPS):
        before, revision = world.rows(), service.store.revision()
        if number % 30 == 29:
            text, world.roles = MAPPINGS[number // 30 % 2 == 0]
            provider.map(text)
        else:
            step(random, world, provider)
        assert provider.rows() == world.rows(), number
        # A record in the change log, where something changed, and none where nothing did.
        assert (service.store.revision() == revision) == (world.rows() == before), number
    service.store.close()
