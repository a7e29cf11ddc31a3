"""nothing-called-so: a type or an action that is named and that nothing else knows.

A condition asks whether somebody is of a type, whether a thing is of a type, or what the action is called; a property is
declared as the id of a type; a person of a policy test is of a type. Where nothing else speaks of such a type or action, the
name is most often misspelt: what asks for it is never true, and what asks for all others is always true.

    when: subject.type == "usr"                       # user
    deny: anyone
    when: resource.type != "quizz"                    # always true
    properties: {owner: usr id}                       # user id

Types of those who ask are known when they are declared under `subject_types` in properties.yaml, when a policy test has
somebody of them, or when properties of them are stored; `user` and `group` always are.

Write it as it is called elsewhere; or declare it: `subject_types: [user, service]`.

To keep it: `# klausel: off nothing-called-so because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from klausel.core.conditions.tree import (
    ACTION_NAME,
    RESOURCE_TYPE,
    SUBJECT_TYPE,
    Attribute,
    atoms,
    literals_compared_with,
)
from klausel.core.lint.similarity import is_similar
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Place, Problem, did_you_mean

ID = "nothing-called-so"
_SHORTEST = 3
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
                yield warning(place, ID, message, f"{did_you_mean(of, sorted(others))}{_DECLARE}")
        why = 'nothing else knows a type "{}" of those who ask'
        known |= {of for of in policy.types_of_ids if not _similar(of, known)}
        yield from _conditions(survey, SUBJECT_TYPE, known, why, _DECLARE)
    why = 'there is no resource type "{}", so resource.type is never that'
    yield from _conditions(survey, RESOURCE_TYPE, policy.resource_types, why, "name a declared type")
    actions = {action for one in policy.resource_types.values() for action in one.actions}
    why = 'there is no action "{}", so action.name is never that'
    yield from _conditions(survey, ACTION_NAME, actions, why, "name an action of a resource type")


def _people(in_tests: dict[str, Place], known: Collection[str]) -> Iterator[Problem]:
    """The people of tests whose type is like one that is known; any other may well be meant to be unknown."""
    for type_, place in in_tests.items():
        similar = _similar(type_, known)
        if type_ not in known and similar is not None:
            message = f'this test asks as somebody of a type "{type_}", which looks like "{similar}"'
            yield warning(place, ID, message, _DECLARE)


def _similar(type_: str, known: Collection[str]) -> str | None:
    return next((one for one in sorted(known) if is_similar(type_, one, _SHORTEST)), None)


def _conditions(survey: Survey, attribute: Attribute, known: Collection[str], why: str, cure: str) -> Iterator[Problem]:
    for named, place in dict(reversed([*_compared(survey, attribute)])).items():
        if named not in known:
            yield warning(place, ID, why.format(named), f"{did_you_mean(named, sorted(known))}{cure}")


def _compared(survey: Survey, attribute: Attribute) -> Iterator[tuple[str, Place]]:
    """The texts that conditions ask an attribute to be or not to be, with where each stands."""
    for place, tree in survey.conditions_written:
        for atom in dict.fromkeys(atoms(tree)):
            yield from ((str(literal.value), place) for literal in literals_compared_with(attribute, atom))


def _types_in_tests(survey: Survey) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for test in survey.tests:
        for expectation in test.expectations:
            found.setdefault(expectation.request.subject.type, expectation.place)
    return found
