"""nothing-called-so: a type, an action, a role or a grant that is named and that nothing else knows.

A condition asks whether somebody is of a type, whether a thing is of a type, or what the action is called; a condition about
giving roles (`grant` and `revoke` of `role_assignment`) asks for a role or a level; a property is declared as the id of a
type; a person of a policy test is of a type. Where nothing else speaks of such a type, action, role or level, the
name is most often misspelt: what asks for it is never true, and what asks for all others is always true. A policy test may
quote the grant that decides; where no grant reads so, it fails.

    when: subject.type == "usr"                       # user
    when: resource.role != "admn"                     # admin; as it stands, every role may be given
    deny: anyone
    when: resource.type != "quizz"                    # always true
    properties: {owner: usr id}                       # user id
    decided_by: {ann: {edit: allow user to edt quiz}}  # a test quotes a grant as it stands: allow user to edit quiz

Types of those who ask are known when they are declared under `subject_types` in properties.yaml, when a policy test has
somebody of them, or when properties of them are stored; `user` and `group` always are.

Write it as it is called elsewhere; or declare it: `subject_types: [user, service]`.

To keep it: `# klausel: off nothing-called-so because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from klausel.core.conditions.tree import (
    ACTION_NAME,
    RESOURCE_TYPE,
    SUBJECT_TYPE,
    Atom,
    Attribute,
    atoms,
    literals_compared_with,
)
from klausel.core.decisions.role_giving import GRANT, REVOKE, ROLE_ASSIGNMENT
from klausel.core.lint.similarity import is_similar
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_test import grant_text
from klausel.core.terms.problem import Place, Problem, did_you_mean

ID = "nothing-called-so"
_SHORTEST = 3
_ROLE, _LEVEL = Attribute("resource", ("role",)), Attribute("resource", ("level",))
_GIVING = frozenset({(ROLE_ASSIGNMENT, GRANT), (ROLE_ASSIGNMENT, REVOKE)})
_ALWAYS_KNOWN = ("user", "group")
_DECLARE = "write it as elsewhere; or declare it under subject_types in properties.yaml"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    policy = survey.policy
    if policy.subject_types is None:
        in_tests = _types_in_tests(survey)
        in_conditions = dict(_compared(survey, SUBJECT_TYPE))
        known = {*_ALWAYS_KNOWN, *policy.stored_subjects}
        yield from _people(in_tests, {*known, *policy.types_of_ids, *in_conditions})
        known |= in_tests.keys()
        for of, place in policy.types_of_ids.items():
            others = {*known, *policy.resource_types}
            if of not in others and (of not in in_conditions or _similar(of, known)):
                message = f'nothing else knows a type "{of}", so nothing has such an id'
                yield warning(place, ID, message, _near(of, others, _DECLARE))
        why = 'nothing else knows a type "{}" of those who ask'
        known |= {of for of in policy.types_of_ids if not _similar(of, known)}
        yield from _conditions(survey, SUBJECT_TYPE, known, why, _DECLARE)
    why = 'there is no resource type "{}", so resource.type is never that'
    yield from _conditions(survey, RESOURCE_TYPE, policy.resource_types, why, "name a declared type")
    actions = {action for one in policy.resource_types.values() for action in one.actions}
    why = 'there is no action "{}", so action.name is never that'
    yield from _conditions(survey, ACTION_NAME, actions, why, "name an action of a resource type")
    yield from _roles_given(survey)
    yield from _grants_quoted(survey)


def _people(in_tests: dict[str, Place], known: Collection[str]) -> Iterator[Problem]:
    """The people of tests whose type is like one that is known; any other may well be meant to be unknown."""
    for type_, place in in_tests.items():
        similar = _similar(type_, known)
        if type_ not in known and similar is not None:
            message = f'this test asks as somebody of a type "{type_}", which looks like "{similar}"'
            yield warning(place, ID, message, _DECLARE)


def _grants_quoted(survey: Survey) -> Iterator[Problem]:
    """The grants that policy tests quote and that there are not, each told once."""
    texts: dict[tuple[str, str], list[str]] = {}
    told: set[Place] = set()
    for test in survey.tests:
        for one in test.expectations:
            if one.decided_by is None or one.place in told:
                continue
            if one.question not in texts:
                texts[one.question] = [grant_text(str(grant)) for grant in survey.policy.grants_about(*one.question)]
            if one.decided_by not in texts[one.question]:
                told.add(one.place)
                hint = _near(one.decided_by, texts[one.question], "quote a grant as it stands in its feature file")
                yield warning(one.place, ID, f'no grant reads "{one.decided_by}", so none such decides here', hint)


def _similar(type_: str, known: Collection[str]) -> str | None:
    return next((one for one in sorted(known) if is_similar(type_, one, _SHORTEST)), None)


def _roles_given(survey: Survey) -> Iterator[Problem]:
    """The roles and levels in conditions about giving roles, where the service itself says which role it is."""
    policy = survey.policy
    rules = [grant.written for grant in policy.grants if (grant.resource_type, grant.action) in _GIVING]
    rules += [
        one.condition
        for one in policy.invariants
        if not _GIVING.isdisjoint((thing.resource_type, thing.action) for thing in one.things)
    ]
    within = frozenset(atom for tree in rules if tree is not None for atom in atoms(tree))
    roles = policy.roles
    why = 'there is no role "{}", so resource.role is never that'
    before = {old: f'it is called "{now}" now; ' for old, now in roles.names_now.items()}
    yield from _conditions(survey, _ROLE, roles.roles, why, "name a role of roles.yaml", within, before)
    levels = [level.name for level in roles.levels]
    why = 'there is no level "{}", so resource.level is never that'
    yield from _conditions(survey, _LEVEL, levels, why, "name a level of roles.yaml", within)


def _conditions(
    survey: Survey,
    attribute: Attribute,
    known: Collection[str],
    why: str,
    cure: str,
    within: Collection[Atom] | None = None,
    meant: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Problem]:
    for named, place in dict(reversed([*_compared(survey, attribute, within)])).items():
        if named not in known:
            hint = meant[named] + cure if named in meant else _near(named, known, cure)
            yield warning(place, ID, why.format(named), hint)


def _near(name: str, known: Collection[str], cure: str) -> str:
    near = did_you_mean(name, sorted(known))
    return f"{near}{cure[0].upper()}{cure[1:]}" if near else cure


def _compared(survey: Survey, attribute: Attribute, within: Collection[Atom] | None = None) -> Iterator[tuple[str, Place]]:
    """The texts that conditions, or only these comparisons, ask an attribute to be or not to be, with where each stands."""
    for place, tree in survey.conditions_written:
        for atom in dict.fromkeys(atoms(tree)):
            if within is None or atom in within:
                yield from ((str(literal.value), place) for literal in literals_compared_with(attribute, atom))


def _types_in_tests(survey: Survey) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for test in survey.tests:
        for expectation in test.expectations:
            found.setdefault(expectation.request.subject.type, expectation.place)
    return found
