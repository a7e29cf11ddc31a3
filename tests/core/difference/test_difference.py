"""What a change of the policies means: who gains and loses, how conditions lie to each other, and what made it."""

from __future__ import annotations

import pytest
from policy_sets import EDITIONS, policy_of, read_policy

from klausel.core.difference.compare import Change, PolicyDifference, difference_between
from klausel.core.difference.formats import as_markdown
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import (
    DifferenceReport,
    People,
    entries,
    notes,
    rules_in_words,
    where_in_words,
    who_in_words,
)
from klausel.core.difference.rules import changed_rules
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team, requires_role_above: true}
roles:
  owner: {level: company, contains: [member, head]}
  member: {level: company}
  head: {level: team, contains: worker}
  worker: {level: team}
  guest: {level: team}
"""
CONDITIONS = 'small: resource.amount < 100\nours: resource.side == "ours"\n'
TYPES = "resource_types:\n  payment: {actions: [create, approve]}\n  team: {actions: [open]}\ngrants:\n"


def policy(*grants: str, roles: str = ROLES, conditions: str = CONDITIONS, types: str = TYPES) -> PolicySet:
    listed = "".join(f"  - {{{grant}}}\n" for grant in grants)
    return policy_of({"roles.yaml": roles, "conditions.yaml": conditions, "features/payments.yaml": types + listed})


def about(name: str, when: str = "") -> str:
    return f"allow: {name}, to: approve, resource: payment" + (f", when: {when}" if when else "")


def shown(change: Change) -> str:
    before, after = rules_in_words(change)
    where = where_in_words(change)
    return f"{change.relation}: {who_in_words(change)}{f' ({where})' if where else ''}: {before} → {after}"


def difference(before: PolicySet, after: PolicySet) -> PolicyDifference:
    return difference_between(before, after)


def changes(before: PolicySet, after: PolicySet) -> list[str]:
    return [shown(change) for change in difference(before, after).changes]


RELATIONS = [
    ("gained", None, "small", "never → when small"),
    ("lost", "small", None, "when small → never"),
    ("widened", "small", "small or ours", "when small → when small or ours"),
    ("widened", "small and ours", "ours", "when small and ours → when ours"),
    ("widened", "resource.amount < 50", "small", "when resource.amount < 50 → when small"),
    ("narrowed", "small", "small and ours", "when small → when small and ours"),
    ("narrowed", "resource.amount != 5", "resource.amount > 5", "when resource.amount != 5 → when resource.amount > 5"),
    ("replaced", "small", "resource.amount >= 100", "when small → when resource.amount >= 100"),
    ("overlaps", "small", "ours", "when small → when ours"),
    ("overlaps", "small", "resource.amount > 50", "when small → when resource.amount > 50"),
]


@pytest.mark.parametrize(("relation", "before", "after", "words"), RELATIONS)
def test_conditions_are_compared_by_what_they_mean(relation: str, before: str | None, after: str | None, words: str) -> None:
    sides = [policy(*([about("head", when)] if when else [])) for when in (before, after)]
    assert changes(*sides) == [f"{relation}: head, and with it owner: {words}"]
    found = difference(*sides)
    expected = {
        "gained": "more permissive",
        "widened": "more permissive",
        "lost": "less permissive",
        "narrowed": "less permissive",
    }
    assert found.verdict == expected.get(relation, "both")
    (change,) = found.changes
    assert [bool(change.gain), bool(change.loss)] == [found.verdict != "less permissive", found.verdict != "more permissive"]


SAME = {
    "spelling of a condition": (about("head", "small"), about("head", "100 > resource.amount")),
    "a condition that another says": (about("head", "small and ours"), about("head", "ours and small")),
    "De Morgan": (about("head", "not (small and ours)"), about("head", "not small or not ours")),
    "a remark": (about("head"), about("head") + ", because: They know."),
    "a grant that a wider one covers": (about("head"), about("head") + "}\n  - {" + about("owner", "small")),
}


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same_is_no_change(name: str) -> None:
    before, after = (policy(side) for side in SAME[name])
    assert difference(before, after).verdict == "same"


def test_order_layout_and_the_names_of_files_conditions_and_levels_are_no_change() -> None:
    before = policy(about("head", "small"), about("guest", "ours"))
    roles = ROLES.replace("team: {named", "squad: {named").replace("level: team", "level: squad")
    renamed = {
        "roles.yaml": "# Roles\n" + roles,
        "conditions.yaml": "theirs: \"(resource.side == 'ours')\"\nlittle: resource.amount < 100\n",
        "features/one.yaml": TYPES.replace("grants:\n", ""),
        "features/two.yaml": f"grants:\n  - {{{about('guest', 'theirs')}}}\n  - {{{about('head', 'little')}}}\n",
    }
    assert difference(before, policy_of(renamed)).verdict == "same"


def test_a_deny_takes_and_its_end_gives_back() -> None:
    deny = "deny: worker, to: approve, resource: payment, when: not small"
    before, after = policy(about("head")), policy(about("head"), deny)
    (lost,) = difference(before, after).changes
    assert shown(lost) == "narrowed: head, and with it owner: always → always, unless not small"
    assert [cause.text for cause in lost.causes] == ["new: deny worker to approve payment when not small"]
    assert lost.causes[0].side == "after"
    (given,) = difference(after, before).changes
    assert [(given.relation, cause.side, cause.text) for cause in given.causes] == [
        ("widened", "before", "removed: deny worker to approve payment when not small")
    ]


def test_roles_that_change_something_only_together_are_named_together() -> None:
    deny = "deny: guest, to: approve, resource: payment"
    (change,) = difference(policy(about("worker")), policy(about("worker"), deny)).changes
    assert shown(change) == "lost: guest together with worker (at level team): always → never"
    assert change.together


def test_a_place_is_named_where_the_change_is_not_everywhere() -> None:
    assert changes(policy(), policy(about("owner") + ", in: acme")) == ["gained: owner (in acme): never → always"]
    assert changes(policy(), policy(about("any head") + ", at_level: company")) == [
        "gained: any head, and with it owner (at level company): never → always"
    ]
    assert changes(policy(), policy(about("anyone"))) == ["gained: anyone: never → always"]
    assert changes(policy(about("any head")), policy(about("head"))) == ["lost: head elsewhere: always → never"]


def test_the_places_that_a_change_leaves_alone_are_named() -> None:
    everywhere, in_red = policy(about("worker")), policy(about("worker") + ", in: acme/red")
    assert changes(everywhere, in_red) == [
        "lost: owner (at level company, at level team but not in acme/red): always → never",
        "lost: worker, and with it head (at level team but not in acme/red): always → never",
    ]
    in_acme = about("worker", "ours") + ", in: acme"
    assert changes(
        policy(about("worker", "small"), in_acme), policy(about("worker", "small") + ", in: acme/red", in_acme)
    ) == [
        "lost: owner (at level company but not in acme, at level team but not in acme/*): when small → never",
        "lost: worker, and with it head (at level team but not in acme/*): when small → never",
        "narrowed: owner (in acme at level company, in acme/* but not in acme/red): when small or ours → when ours",
        "narrowed: worker, and with it head (in acme/* but not in acme/red): when small or ours → when ours",
    ]


CAUSES = [
    (
        "a link",
        ROLES.replace("contains: worker", "contains: [worker, guest]"),
        "new: head contains guest",
        "head, and with it owner",
    ),
    ("a role", ROLES + "  chief: {level: team, contains: guest}\n", "new: role chief", "chief"),
]


@pytest.mark.parametrize(("name", "roles", "cause", "who"), CAUSES)
def test_a_change_of_the_roles_is_blamed_on_its_line(name: str, roles: str, cause: str, who: str) -> None:
    (change,) = difference(policy(about("guest")), policy(about("guest"), roles=roles)).changes
    assert (who_in_words(change), [found.text for found in change.causes]) == (who, [cause])
    assert change.causes[0].place.file == "roles.yaml"


def test_a_named_condition_that_changed_is_written_out_and_blamed() -> None:
    after = policy(about("head", "small and ours"), conditions=CONDITIONS.replace("100", "500"))
    (change,) = difference(policy(about("head", "small and ours")), after).changes
    assert change.relation == "widened"
    assert rules_in_words(change) == (
        'when resource.amount < 100 and resource.side == "ours"',
        'when resource.amount < 500 and resource.side == "ours"',
    )
    assert [(cause.source, cause.text) for cause in change.causes] == [
        ("conditions.yaml:1", "condition small: resource.amount < 500; it was resource.amount < 100")
    ]


def test_a_grant_that_holds_elsewhere_now_is_shown_as_it_was_and_is() -> None:
    grants = [about("worker", "small") + scope for scope in ("", ", at_level: team, in: acme/red", ", in: acme/red")]
    sides = [(0, 1, "everywhere"), (1, 0, "in acme/red at level team"), (2, 0, "in acme/red"), (0, 2, "everywhere")]
    for before, after, was in sides:
        found = difference(policy(grants[before]), policy(grants[after]))
        now = policy(grants[after]).grants[0]
        assert {cause.text for change in found.changes for cause in change.causes} == {f"{now}; it was {was}"}
        assert {cause.side for change in found.changes for cause in change.causes} == {"after"}


def test_where_an_action_is_asked_is_blamed_on_the_type() -> None:
    grant = "allow: member, to: open, resource: team, at_level: company"
    after = policy(grant, types=TYPES.replace("[open]", "[open], asked_in: {open: company}"))
    found = difference(policy(grant), after)
    assert {cause.kind for change in found.changes for cause in change.causes} == {"asked_in"}
    assert found.changes


def test_a_role_that_no_longer_needs_one_above_it_is_blamed_on_the_level() -> None:
    roles = ROLES.replace(", requires_role_above: true", "")
    found = difference(policy(about("worker")), policy(about("worker"), roles=roles))
    assert found.verdict == "more permissive"
    assert {cause.kind for change in found.changes for cause in change.causes} == {"level"}


def test_a_role_that_only_lets_others_count_is_told_in_one_note() -> None:
    before = policy(about("worker"), about("guest", "small"))
    after = policy(about("worker"), about("guest", "small"), roles=ROLES + "  auditor: {level: company}\n")
    found = difference(before, after)
    assert found.verdict == "more permissive"
    assert {change.counts_with for change in found.changes} == {"auditor"}
    report = DifferenceReport(found, "a", "b")
    assert entries(report) == []
    (note,) = notes(report)
    assert note.startswith("auditor now lets the roles below it count, which need one above them")
    assert note.endswith("(roles.yaml:11)")
    assert notes(DifferenceReport(difference(after, before), "a", "b"))[0].startswith("auditor no longer lets")


def test_a_renamed_role_is_a_loss_and_a_gain_and_is_called_a_rename() -> None:
    before = policy(about("head", "small"), about("guest", "ours"))
    after = policy(about("head", "small"), about("visitor", "ours"), roles=ROLES.replace("guest", "visitor"))
    assert changes(before, after) == ["lost: guest: when ours → never", "gained: visitor: never → when ours"]
    assert [(rename.kind, rename.before, rename.after) for rename in renames_between(before, after)] == [
        ("role", "guest", "visitor")
    ]
    other = policy(about("head", "small"), about("visitor"), roles=ROLES.replace("guest", "visitor"))
    assert renames_between(before, other) == ()


def test_a_renamed_type_is_a_loss_and_a_gain_and_is_called_a_rename() -> None:
    grant = about("head", "small")
    after = policy(grant.replace("payment", "bill"), types=TYPES.replace("payment", "bill"))
    assert [change.relation for change in difference(policy(grant), after).changes] == ["lost", "gained"]
    assert [str(rename)[:38] for rename in renames_between(policy(grant), after)] == [
        "resource type payment looks renamed to"
    ]


def test_a_free_pattern_is_said_to_be_free() -> None:
    pattern = 'matches_glob(resource.name, "a*")'
    found = difference(policy(about("head", f"'{pattern}'")), policy(about("head")))
    assert found.has_free_matches
    assert not difference(policy(about("head", "small")), policy(about("head"))).has_free_matches


ADDED_BY_THE_CURRENT_EDITION = {
    ("dispute", "create"): {"manager", "account_manager", "admin", "lead"},
    ("role_assignment", "grant"): {"manager", "account_manager", "admin"},
    ("role_assignment", "revoke"): {"manager", "account_manager", "admin"},
    **{
        ("dispute", action): {"agent", "reviewer", "lead", "manager", "account_manager", "admin"}
        for action in ("view", "send", "escalate")
    },
    ("dispute", "resolve"): {"reviewer", "lead", "manager", "account_manager", "admin"},
    **{
        ("review_assignment", action): {"lead", "manager", "account_manager", "admin"}
        for action in ("view", "create", "edit", "delete")
    },
}
"""Who gains; what is not listed, only `lead` gains, the role that the current edition adds."""


def test_the_two_editions_differ_as_is_known() -> None:
    found = difference(read_policy(EDITIONS["earlier"]), read_policy(EDITIONS["current"]))
    assert found.verdict == "more permissive"
    gaining: dict[tuple[str, str], set[str]] = {}
    for change in found.changes:
        names = {name.removeprefix("any ").removesuffix(" elsewhere") for name in (*change.who, *change.with_it)}
        gaining.setdefault((change.resource_type, change.action), set()).update(names)
    assert {question: who for question, who in gaining.items() if who != {"lead"}} == ADDED_BY_THE_CURRENT_EDITION
    of_leads = {question for question, who in gaining.items() if "lead" in who}
    assert len(of_leads) == 36
    texts = [shown(change) for change in found.changes if (change.resource_type, change.action) == ("quiz", "edit")]
    assert texts == [
        "gained: lead elsewhere: never → when creator_is_self",
        "gained: lead: never → when creator_is_self or is_published",
    ]
    back = difference(read_policy(EDITIONS["current"]), read_policy(EDITIONS["earlier"]))
    assert (back.verdict, len(back.changes)) == ("less permissive", len(found.changes))


def test_rules_that_decide_nothing_are_told_beside_the_difference() -> None:
    def demanding(invariants: str, keep_one: str) -> PolicySet:
        roles = f"levels: {{site: {{constant: main}}}}\nroles: {{editor: {{level: site, keep_one: {keep_one}}}}}\n"
        feature = "resource_types: {page: {actions: [read, write]}}\ngrants: [{allow: editor, to: read, resource: page}]\n"
        files = {"roles.yaml": roles, "features/a.yaml": feature, "invariants.yaml": f"invariants: [{invariants}]\n"}
        return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()

    first = "{name: no writing, never: editor, to: write, resource: page}"
    second = "{name: reading, always: editor, to: read, resource: page}"
    before = demanding(f"{first}, {second}", "true")
    weaker = "{name: no writing, never: outsider, to: write, resource: page}"
    after = demanding(f"{weaker}, {{name: new, at_most: editor, to: write, resource: page}}", "false")
    assert difference_between(before, after).verdict == "same"
    assert [(str(rule), rule.movement) for rule in changed_rules(before, after)] == [
        ("keep_one: the last editor is no longer kept from being revoked (roles.yaml:2)", "weaker"),
        ('the invariant "no writing" demands something else (invariants.yaml:1)', "other"),
        ('the invariant "reading" is demanded no more (it stood at invariants.yaml:1)', "weaker"),
        ('the invariant "new" is new (invariants.yaml:1)', "stronger"),
    ]
    assert changed_rules(before, demanding(f"{second}, {first}", "true")) == ()


@pytest.mark.parametrize("people", [0, 20_000])
@pytest.mark.parametrize("types", [1, 60, 900])
def test_a_comment_is_never_longer_than_a_code_host_takes(types: int, people: int) -> None:
    def policy(effect: str) -> PolicySet:
        roles = "levels: {site: {constant: main}}\nroles: {editor: {level: site}, reader: {level: site}}\n"
        names = [f"type_{number}_{'x' * 40}" for number in range(types)]
        declared = "".join(f"  {name}: {{actions: [read, write]}}\n" for name in names)
        grants = "".join(
            f"  - {{allow: {effect}, to: write, resource: {name}, when: 'resource.a == \"{number}_é_&<|>\"'}}\n"
            for number, name in enumerate(names)
        )
        files = {"roles.yaml": roles, "features/a.yaml": f"resource_types:\n{declared}grants:\n{grants}"}
        return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()

    difference = difference_between(policy("editor"), policy("reader"))
    names = tuple(f"user:{number}" for number in range(people))
    counted = [People(people, people, names, names) for _ in difference.changes] if people else None
    comment = as_markdown(DifferenceReport(difference, "before", "after", people=counted))
    assert len(comment.encode()) <= 59_600
    assert comment.endswith("</details>\n")
    assert comment.count("<details>") == 1
    assert ("… and " in comment) == (types == 900 or (types == 60 and people > 0))


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("resource.x == 1", "resource.x == true", "both"),
        ("resource.x == 1", "resource.x == 1 or resource.x == true", "more permissive"),
        ("resource.x in [0, 2]", "resource.x in [false, 2]", "both"),
        ("resource.x == 1", "resource.x == 1.0", "same"),
    ],
)
def test_one_and_true_are_two_values(before: str, after: str, verdict: str) -> None:
    def policy(condition: str) -> PolicySet:
        roles = "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n"
        grant = f"grants: [{{allow: editor, to: read, resource: page, when: '{condition}'}}]\n"
        files = {"roles.yaml": roles, "features/a.yaml": f"resource_types: {{page: {{actions: [read]}}}}\n{grant}"}
        return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()

    assert difference_between(policy(before), policy(after)).verdict == verdict
