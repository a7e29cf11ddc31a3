"""Witnesses of a key of a grant: all that has to follow it, and what has to hold of it, each with the file where that is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import oracle
from policy_sets import MODEL, Asked, policy_of

from klausel.casbin_policies.rows import grant_rows
from klausel.casbin_policies.stock_export import NotExpressible, stock_pair
from klausel.core.analysis.alike import Shapes
from klausel.core.analysis.decision_table import PartedTables
from klausel.core.analysis.matrix import matrix_row
from klausel.core.analysis.proved import Proved
from klausel.core.conditions.values import read_time
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import explain
from klausel.core.difference.compare import difference_between
from klausel.core.difference.equivalence import compare
from klausel.core.editing.hover import about_grant
from klausel.core.filters.derive import filter_of
from klausel.core.filters.tree import holds
from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.pictures.feature_picture import feature_picture
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.records.decision_record import grant_id
from klausel.core.terms.problem import Problem
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.gate import Rerun
from klausel.core.testing.mutants import mutants
from klausel.service.permissions import _Menus

ROLES = """
levels: {account: {named_by: account}, team: {named_by: team}}
roles: {lead: {level: account}, agent: {level: team}}
"""
TYPES = {"page": {"actions": ["view", "edit"]}, "note": {"actions": ["view", "edit"]}}
INVARIANTS = "invariants: [{always: lead, to: view, resource: page}, {never: lead, to: view, resource: page}]"
TESTS = """
people: {ann: {roles: {acme: lead}}}
resources: {one: {type: page, account: acme, team: red, is_open: false}}
tests: [{name: seen, resource: one, now: "2026-06-01T00:00:00Z", allowed: {ann: view}}]
"""
HELD = (("lead", "acme"),)
ASSIGNMENTS = [("user:ann", *pair) for pair in HELD]
ROLES_HELD = {"user:ann": HELD}
PAGE = Resource("page", "1", {"account": "acme", "team": "red", "is_open": False})
QUESTION = Request(Subject("user", "ann"), Action("view"), PAGE, {"now": read_time("2026-06-01T00:00:00Z")})
QUESTIONS = [
    Request(QUESTION.subject, Action(action), Resource(type_, "1", {**place, "is_open": is_open}), {"now": read_time(now)})
    for type_ in TYPES
    for action in ("view", "edit")
    for place in (
        {"account": "acme"},
        *({"account": "acme", "team": team} for team in ("red", "blue")),
        {"account": "zed"},
        {},
    )
    for is_open in (True, False)
    for now in ("2020-06-01T00:00:00Z", "2026-06-01T00:00:00Z", "2032-06-01T00:00:00Z")
]
"""On these all ways of deciding are compared: elsewhere, earlier and later, about something else."""
GrantText = Mapping[str, str]


@dataclass(frozen=True)
class Sides:
    """A grant without a key, or with another value of it, and with it; each `beside` the same others, as two policy sets."""

    grants_without: GrantText
    grant_with_it: GrantText
    beside: tuple[GrantText, ...] = ()

    @cached_property
    def without(self) -> PolicySet:
        return policy_with(*self.beside, self.grants_without)

    @cached_property
    def with_it(self) -> PolicySet:
        return policy_with(*self.beside, self.grant_with_it)

    def __iter__(self) -> Iterator[PolicySet]:
        return iter((self.without, self.with_it))

    def differ_by(self, answer: Callable[[PolicySet], object]) -> bool:
        """Whether something comes out otherwise on the two sides."""
        return answer(self.without) != answer(self.with_it)

    def differ_by_grant(self, answer: Callable[[Grant], object]) -> bool:
        """Whether something of the grant itself comes out otherwise."""
        return self.differ_by(lambda policy: answer(policy.grants[-1]))


DECIDES: dict[str, Callable[[Sides], bool]] = {
    "what is decided (core/decisions/decide.py)": lambda sides: sides.differ_by(
        lambda policy: asked(policy).allows(QUESTION)
    ),
    "its Casbin row (casbin_policies/rows.py)": lambda sides: sides.differ_by(
        lambda policy: [row.fields for row in grant_rows(policy)]
    ),
    "what stock Casbin decides by its row (casbin_policies/rows.py)": lambda sides: sides.differ_by(
        lambda policy: asked(policy).stock_allows(QUESTION)
    ),
    "the filter over resources (core/filters/derive.py)": lambda sides: sides.differ_by(
        lambda policy: is_taken_by_the_filter(policy, QUESTION)
    ),
    "the decision table (core/analysis/decision_table.py)": lambda sides: (
        compare(*sides, [("page", "view")]).difference is not None
    ),
    "what the oracle of the tests says (tests/helpers/oracle.py)": lambda sides: sides.differ_by(
        lambda policy: oracle.allows(policy, ASSIGNMENTS, QUESTION)
    ),
    "its cells of the matrix (core/analysis/matrix.py)": lambda sides: sides.differ_by(
        lambda policy: {name: cell.text for name, cell in matrix_row(policy, "page", "view").cells.items()}
    ),
    "what lint takes it to cover (core/analysis/decision_table.py, in parts)": lambda sides: sides.differ_by(
        lambda policy: [(view.by_grantee, view.states) for view in PartedTables(policy).views("page", "view")]
    ),
    "what klausel diff tells of it (core/difference/causes.py)": lambda sides: difference_between(*sides).changes != (),
    "what klausel export writes of it (casbin_policies/stock_export.py)": lambda sides: sides.differ_by(as_stock_pair),
    "its id in records of decisions (core/records/decision_record.py)": lambda sides: sides.differ_by_grant(grant_id),
    "its words (Grant.__str__ in core/policy/policy_set.py)": lambda sides: sides.differ_by_grant(str),
}
"""What comes out otherwise with a key than without, unless the key is a remark."""
IS_TOLD: dict[str, Callable[[Sides], bool]] = {
    "what an editor shows of it (core/editing/hover.py)": lambda sides: sides.differ_by(
        lambda policy: about_grant(policy, policy.grants[-1].place.file, policy.grants[-1].place.line)
    ),
    "its picture (core/pictures/feature_picture.py)": lambda sides: sides.differ_by(
        lambda policy: feature_picture(policy, "pages")
    ),
}
"""What people read of a grant: each key, remarks too."""
HOLDS: dict[str, Callable[[Sides], bool]] = {
    "oracle, decisions, stock Casbin, filters and menus agree (tests/helpers/key_witnesses.py)": lambda sides: all(
        map(all_agree, sides)
    ),
    "a refusal names what the grant lacks (core/decisions/explain.py)": lambda sides: all(map(says_what_lacks, sides)),
    "a second proof, after the change, is as a first (core/analysis/proved.py)": lambda sides: is_as_at_first(
        sides, Proved, lambda proved, result: [(one.invariant.name, one.holds) for one in proved.broken(result.or_raise())]
    ),
    "tests that are run again, after the change, give what a first run gives (core/testing/gate.py)": lambda sides: (
        is_as_at_first(sides, Rerun, failed)
    ),
    "questions that only this key sets apart are not alike (core/analysis/alike.py)": lambda sides: not are_alike(sides),
    "its opposite without the key contradicts nothing (core/loading/feature_files.py)": lambda sides: bool(
        policy_with(sides.grants_without, opposite(sides.grant_with_it)).grants
    ),
    "dropping it is a mutant (core/testing/mutants.py)": lambda sides: any(
        not compare(sides.without, one.changed, [("page", "view")]).difference for one in mutants(sides.with_it)
    ),
}
"""What is true of a key that decides, by its two sides."""


def asked(policy: PolicySet) -> Asked:
    return Asked(policy, ROLES_HELD)


def all_agree(policy: PolicySet) -> bool:
    """Whether each way of deciding answers each question alike."""
    by_casbin, effective_roles = asked(policy), EffectiveRoles.of(policy.roles, HELD)
    for question in QUESTIONS:
        expected = oracle.allows(policy, ASSIGNMENTS, question)
        menus = _Menus(policy, by_casbin.compiled, effective_roles, question, None, None)
        answers = (
            by_casbin.allows(question),
            by_casbin.stock_allows(question),
            is_taken_by_the_filter(policy, question),
            question.action.name in menus.menu(question.resource, False).allowed,
        )
        if any(answer is not expected for answer in answers):
            return False
    return True


def is_taken_by_the_filter(policy: PolicySet, question: Request) -> bool:
    about_all = question._replace(resource=Resource(question.resource.type, ""))
    return holds(filter_of(policy, EffectiveRoles.of(policy.roles, HELD), about_all), question.resource)


def as_stock_pair(policy: PolicySet) -> object:
    try:
        pair = stock_pair(policy, [Assignment(*one) for one in ASSIGNMENTS], MODEL, most_questions=100)
    except NotExpressible as error:
        return str(error)
    return pair.model, pair.policy


def says_what_lacks(policy: PolicySet) -> bool:
    """Whether, where nothing allows the question, each grant that came near lacks something."""
    found = explain(policy, asked(policy).compiled, lambda _: EffectiveRoles.of(policy.roles, HELD), QUESTION)
    return all(near.lacks for near in found.nearest)


def is_as_at_first(sides: Sides, make: Callable[[], Any], answer: Callable[[Any, LoadResult], object]) -> bool:
    """Whether a machine that saw one side says of the other what a new one says; both ways round."""
    results = [loaded(*sides.beside, grant) for grant in (sides.grants_without, sides.grant_with_it)]
    machine = make()
    return all(answer(machine, result) == answer(make(), result) for result in (*results, *results))


def failed(rerun: Rerun, result: LoadResult) -> list[Problem]:
    policy = result.or_raise()
    return rerun.failed(policy, asked(policy).compiled, result.tests, MODEL)


def are_alike(sides: Sides) -> bool:
    """Whether a grant on one type without the key, and on another with it, are taken for the same."""
    if sides.grants_without["resource"] != sides.grant_with_it["resource"]:
        return False
    about_notes = [{**grant, "resource": "note"} for grant in (*sides.beside, sides.grant_with_it)]
    shapes = Shapes(policy_with(*sides.beside, sides.grants_without, *about_notes))
    shape = shapes.shape("page", "view", None)
    return shape is not None and shape == shapes.shape("note", "view", None)


def opposite(grant: GrantText) -> GrantText:
    effect, other = ("allow", "deny") if "allow" in grant else ("deny", "allow")
    return {other if key == effect else key: value for key, value in grant.items()}


def policy_with(*grants: GrantText) -> PolicySet:
    return policy_of({"roles.yaml": ROLES, "features/pages.yaml": feature(*grants)})


def loaded(*grants: GrantText) -> LoadResult:
    texts = {
        "roles.yaml": ROLES,
        "features/pages.yaml": feature(*grants),
        "invariants.yaml": INVARIANTS,
        "tests/pages_test.yaml": TESTS,
    }
    return load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()])


def feature(*grants: GrantText) -> str:
    # What is JSON is YAML.
    return json.dumps({"resource_types": TYPES, "grants": grants})
