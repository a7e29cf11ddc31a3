"""type-not-asked: a condition that takes the id of one type of who asks for that of another.

Ids are told apart by their type: `user:tom` and `service:tom` are two. `subject.id` is the id alone. So a condition that
compares it with the ids of users, and does not ask who asks, is also true for a service that is called like a user.

    properties: {owner: user id}                                # in a feature file
    subject_types: [user, service]                              # in properties.yaml

    when: resource.owner == subject.id                            # true for service:tom, too, where tom owns it
    when: subject.type == "user" and resource.owner == subject.id # for user:tom alone

It comes where the policies know of several types of those who ask: declared under `subject_types`, stored, named by a
condition, or of a person of a policy test.

Ask for the type; or declare the property as a `text`, where the same id is the same one whatever its type.

To keep it: `# klausel: off type-not-asked because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tree import (
    SUBJECT_TYPE,
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Comparison,
    Condition,
    atoms,
    attributes_of,
    literals_compared_with,
    negate,
)
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.properties import Declarations, IdOf, ListOf
from klausel.core.terms.problem import Problem

ID = "type-not-asked"
_SUBJECT_ID = Attribute("subject", ("id",))
_GROUP = "group"
"""Never asks for itself: its members do."""


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    policy = survey.policy
    asking = _types_of_who_asks(survey)
    for grant in policy.grants:
        if grant.written is None:
            continue
        # A deny spares those for whom its condition is false.
        lets = grant.written if grant.effect == "allow" else negate(grant.written)
        named = policy.conditions.get(grant.condition_text)
        for atom, type_ in _compared(lets, policy.declarations(grant.resource_type), is_asked=False):
            others = sorted(asking - {type_})
            if others:
                text = atom if grant.effect == "allow" else negate(atom)
                message = f"`{text}` compares the id alone, so {others[0]}:x counts as {type_}:x"
                hint = f'write `subject.type == "{type_}"` beside it'
                yield warning(named.place if named else grant.place, ID, message, hint)


def _types_of_who_asks(survey: Survey) -> set[str]:
    policy = survey.policy
    if policy.subject_types is not None:
        return {*policy.subject_types} - {_GROUP}
    found = set(policy.stored_subjects)
    for _, tree in survey.conditions_written:
        found.update(str(one.value) for atom in atoms(tree) for one in literals_compared_with(SUBJECT_TYPE, atom))
    found.update(expectation.request.subject.type for test in survey.tests for expectation in test.expectations)
    return found - {_GROUP}


def _compared(condition: Condition, declarations: Declarations, is_asked: bool) -> Iterator[tuple[Atom, str]]:
    """The comparisons that are true where the id is one of those of a type, with the type; not beside one of who asks."""
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.parts:
            others = (other for other in condition.parts if isinstance(condition, AllOf) and other is not part)
            yield from _compared(part, declarations, is_asked or any(map(_asks_for_type, others)))
    elif isinstance(condition, Comparison) and condition.operator in ("==", "in") and not is_asked:
        for side, other in ((condition.left, condition.right), (condition.right, condition.left)):
            type_ = declarations.type_of(other) if side == _SUBJECT_ID and isinstance(other, Attribute) else None
            ids = type_.items if isinstance(type_, ListOf) else type_
            if isinstance(ids, IdOf) and ids.type:
                yield condition, ids.type


def _asks_for_type(condition: Condition) -> bool:
    return any(SUBJECT_TYPE in attributes_of(atom) for atom in atoms(condition))
