"""Who in the database gains and loses by a change of the policies: counted exactly, named on request, found by index."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from storage_people import row

from klausel.cli.main import main
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.compare import difference_between
from klausel.core.difference.people import Concerned
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.storage.assignments.people_of_roles import people_holding
from klausel.storage.assignments.store import AssignmentStore

ROOT = Path(__file__).parents[3]
EARLIER = ROOT / "tests" / "cases" / "editions" / "earlier"

PEOPLE = [
    row("ada", "admin", "acme"),
    row("max", "user", "acme"),
    row("max", "manager", "acme/support"),
    row("amy", "user", "acme"),
    row("amy", "agent", "acme/support"),
    row("amy", "agent", "acme/sales"),
    row("una", "user", "acme"),
    Assignment("service:bot", "user", "acme"),
    Assignment("service:bot", "agent", "acme/support"),
]

TAKES = "to: take\n    resource: quiz"


@pytest.fixture
def peopled(store: AssignmentStore, put_behind_the_back: object) -> AssignmentStore:
    put_behind_the_back(*PEOPLE)  # type: ignore[operator]
    return store


def test_people_are_found_by_their_roles_each_once_with_all_they_hold(peopled: AssignmentStore) -> None:
    agents = {subject: sorted(held) for subject, held in people_holding(peopled.engine, {"agent"})}
    assert agents == {
        "service:bot": [("agent", "acme/support"), ("user", "acme")],
        "user:amy": [("agent", "acme/sales"), ("agent", "acme/support"), ("user", "acme")],
    }
    everybody = dict(people_holding(peopled.engine, None))
    assert sorted(everybody) == ["service:bot", "user:ada", "user:amy", "user:max", "user:una"]
    assert sum(map(len, everybody.values())) == len(PEOPLE)
    assert list(people_holding(peopled.engine, {"nobody"})) == []


def test_each_change_counts_the_people_who_gain_by_it(peopled: AssignmentStore, database_url: str) -> None:
    arguments = ["diff", str(EARLIER), str(ROOT / "policies"), "--database", database_url, "--format", "json"]
    found = json.loads(CliRunner().invoke(main, [*arguments, "--names"]).stdout)
    gains = {
        (change["resource_type"], change["action"], tuple(change["who"])): change["people"]["who_gains"]
        for change in found["changes"]
    }
    # A lead is nobody yet; a service owns nothing, so no condition on itself can hold for it.
    assert gains["dispute", "view", ("agent",)] == ["user:amy"]
    assert gains["dispute", "view", ("lead",)] == ["user:ada", "user:max"]
    assert gains["dispute", "configure", ("lead",)] == []
    assert found["people"]["who_gains"] == ["user:ada", "user:amy", "user:max"]
    assert (found["people"]["gain"], found["people"]["lose"]) == (3, 0)
    counted = CliRunner().invoke(main, [*arguments[:-2], "--people"]).stdout
    assert "people: 3 gain" in counted
    assert "user:ada" not in counted


def test_groups_are_counted_apart_from_people(
    peopled: AssignmentStore, put_behind_the_back: object, database_url: str, tmp_path: Path
) -> None:
    put_behind_the_back(  # type: ignore[operator]
        *(Assignment("group:all", "user", "acme"), Assignment("group:all", "agent", "acme/support")),
        *(Assignment("group:none", "user", "acme"), Assignment("group:none", "agent", "acme/support")),
    )
    with peopled.engine.begin() as connection:
        connection.execute(text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('gm', 'user:gil', 'group:all', '')"))
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    file = tmp_path / "policies" / "features" / "quizzes.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("to: take\n    resource: quiz\n    when: is_published", TAKES))
    arguments = ["diff", str(ROOT / "policies"), str(tmp_path / "policies"), "--database", database_url, "--names"]
    everybody = json.loads(CliRunner().invoke(main, [*arguments, "--format", "json"]).stdout)["people"]
    assert everybody["who_gains"] == ["service:bot", "user:ada", "user:amy", "user:gil", "user:max"]
    assert everybody["which_groups_gain"] == ["group:all", "group:none"]
    counts = [everybody[name] for name in ("gain", "lose", "groups_gain", "groups_lose")]
    assert counts == [5, 0, 2, 0]
    for format_, sign in (("text", "people: "), ("markdown", "People: "), ("html", "People: ")):
        told = CliRunner().invoke(main, [*arguments, "--format", format_]).stdout
        assert f"{sign}5 gain; 2 groups gain" in told, format_
        assert "group:all" in told.replace("&#58;", ":"), format_


def test_the_headline_counts_what_concerns_people_present_apart(peopled: AssignmentStore, database_url: str) -> None:
    arguments = ["diff", str(EARLIER), str(ROOT / "policies"), "--database", database_url]
    changes = json.loads(CliRunner().invoke(main, [*arguments, "--names", "--format", "json"]).stdout)["changes"]
    concerning = sum(bool(change["people"]["who_gains"]) for change in changes)
    assert 0 < concerning < len(changes)
    told = (
        f"{concerning} of them are for people who hold a role today, {len(changes) - concerning} concern nobody at present"
    )
    for format_ in ("text", "markdown", "html"):
        assert told in CliRunner().invoke(main, [*arguments, "--people", "--format", format_]).stdout, format_
    assert "present" not in CliRunner().invoke(main, arguments).stdout


def policy(*grants: str) -> PolicySet:
    texts = {
        "roles.yaml": "levels:\n  house: {named_by: house}\n  room: {named_by: room, requires_role_above: true}\n"
        "roles:\n  boss: {level: house, contains: guard}\n  clerk: {level: house}\n"
        "  guard: {level: room}\n  guest: {level: room}\n",
        "features/doors.yaml": "resource_types:\n  door: {actions: [open, close]}\ngrants:\n"
        + "".join(f"  - {{{grant}}}\n" for grant in grants),
    }
    return load_policy(SourceFile(name, name, text.encode()) for name, text in texts.items()).or_raise()


GRANTS = [
    "allow: guard, to: open, resource: door",
    "allow: any guest, to: open, resource: door",
    "allow: guest, to: open, resource: door, in: home/attic",
    "allow: clerk, to: open, resource: door, in: home",
    "allow: any guard, to: open, resource: door, in: '*/barn'",
    "deny: guard, to: open, resource: door, in: home/*",
    "deny: clerk, to: open, resource: door, in: '*/*'",
    "allow: guest, to: open, resource: door, in: [farm, '*/hall']",
    "deny: guest, to: open, resource: door",
    "allow: anyone, to: close, resource: door, when: subject.type == 'service'",
    "allow: boss, to: close, resource: door, at_level: house",
    "deny: any guard, to: open, resource: door, when: subject.id == 'u1'",
]
DOMAINS = (
    None,
    "home",
    "farm",
    "wood",
    *(f"{top}/{part}" for top in ("home", "farm", "wood") for part in ("attic", "hall", "barn", "new")),
)


def by_trying(policies: tuple[PolicySet, PolicySet], subject: str, held: list[tuple[str, str]]) -> tuple[bool, bool]:
    """Whether a subject gains, and whether it loses, anything in any of the domains."""
    type_, _, id_ = subject.partition(":")
    flips = set()
    for action in ("open", "close"):
        for domain in DOMAINS:
            answers = []
            for side in policies:
                names = EffectiveRoles.of(side.roles, held).roles_in(domain)
                holding = [
                    grant.effect
                    for grant in side.grants_about("door", action)
                    if grant.grantee in names
                    and grant.scope.covers(domain, side.roles)
                    and (not grant.condition_text or grant.condition_text.endswith((f'"{type_}"', f"'{type_}'", f"'{id_}'")))
                ]
                answers.append("allow" in holding and "deny" not in holding)
            flips.add(tuple(answers))
    return (False, True) in flips, (True, False) in flips


@pytest.mark.parametrize("seed", range(40))
def test_who_is_concerned_is_what_trying_every_domain_finds(seed: int) -> None:
    random_ = random.Random(seed)
    sides = policy(*random_.sample(GRANTS, 3)), policy(*random_.sample(GRANTS, 3))
    concerned = Concerned(difference_between(*sides))
    wanted = concerned.roles()
    pairs = [(role, place) for role in ("boss", "clerk") for place in ("home", "farm")]
    pairs += [(role, place) for role in ("guard", "guest") for place in ("home/attic", "home/hall", "farm/barn")]
    for number in range(40):
        held = random_.sample(pairs, random_.randint(0, 4))
        subject = random_.choice(("user:u1", "user:u2", "service:s"))
        gain, loss = concerned.flips(subject, held)
        assert (bool(gain), bool(loss)) == by_trying(sides, subject, held), (number, subject, held)
        assert not gain | loss or wanted is None or wanted & {role for role, _ in held}
