"""similar-names: a name that differs from another only in case, or by one letter.

Roles, resource types, conditions and actions are compared with their like, and so are attributes, such as `resource.owner` and
`resource.ownr`, and the texts that conditions compare one attribute with; these also with what the tests beside the policies
send; the property by which requests name a level is compared with the level, and a domain in `in:` with the names of
levels. A file with grants may not be called like a copy of another (`quizzes (1).yaml`, `quizzes_old.yaml`). One letter
more, less or other, or two in the wrong order, is most often a slip, and a decision that
depends on an attribute which nobody sends is a deny.

    owner_is_self: resource.owner == subject.id
    creator_is_self: resource.creater == subject.id     # and resource.creator elsewhere

Not reported: two actions of one type, of several types each, or that no slip of a finger makes of each other (`watch`,
`patch`); names under five letters, unless they differ only in case; digits (`step_1`, `step_2`); and where the part that
differs has one or two letters (`view_a`, `view_b`).

If both are meant: `# klausel: off similar-names because <reason>` behind the line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from klausel.core.conditions.tree import Attribute, Comparison, atoms, attributes_of, literals_of, terms_of
from klausel.core.lint.similarity import is_similar, is_slip, odd_letter, spellings
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import Place, Problem
from klausel.core.terms.request import sent_with

ID = "similar-names"
_COPY = re.compile(
    r"^(copy[ _-]of|kopie[ _-]von|copie[ _-]de)[ _-]|[ _.-]+(copy|kopie|copie|old|backup|bak)([ _-]*\(?\d+\)?)?$| ?\(\d+\)$"
)
"""What programs and people add to the name of a file that they copy."""
Names = Mapping[str, Place]
"""Names with the place of each, in the order in which they stand."""


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    policy = survey.policy
    actions: dict[str, Place] = {}
    for declared in policy.resource_types.values():
        for action in declared.actions:
            actions.setdefault(action, declared.action_places.get(action, declared.place))
    yield from _look_alike("role", {role.name: role.place for role in policy.roles.roles.values()})
    yield from _look_alike("resource type", {declared.name: declared.place for declared in policy.resource_types.values()})
    yield from _look_alike("condition", {condition.name: condition.place for condition in policy.conditions.values()})
    yield from _look_alike("action", actions, are_both_meant=_actions_that_are_both_meant(policy))
    attributes, values = _in_conditions(survey)
    sent_attributes, sent_values = _in_tests(survey)
    yield from _look_alike("attribute", attributes, sent_attributes)
    for attribute, compared in values.items():
        yield from _look_alike(f"value of {attribute}", compared, sent_values.get(attribute, {}), '"{}"')
    yield from _domains_named_like_levels(survey)
    yield from _files_that_look_like_copies(policy)
    for level in policy.roles.levels:
        if level.named_by and level.named_by != level.name and is_similar(level.named_by, level.name):
            message = f"level {level.name} is named_by {level.named_by}, which looks like it"
            yield warning(level.place, ID, message, "write them alike if requests do")


def _domains_named_like_levels(survey: Survey) -> Iterator[Problem]:
    """A finding for each entry that is limited to a domain with the name of a level, where all of that level are meant."""
    for domain, place in survey.limited_to_names_of_levels:
        above = survey.policy.roles.levels[0].name
        message = f"in: {domain} is the one {above} called so, and {domain} is also the name of a level"
        yield warning(place, ID, message, f"write the id of the {domain} that is meant")


def _files_that_look_like_copies(policy: PolicySet) -> Iterator[Problem]:
    """A finding for each file with grants that is called like a copy of another one: what is taken out there still counts."""
    first: dict[str, Place] = {}
    for grant in policy.grants:
        first.setdefault(grant.place.file, grant.place)
    by_name = {file.rpartition(".")[0].casefold(): file for file in first}
    for name, file in by_name.items():
        folder, slash, own = name.rpartition("/")
        of = by_name.get(folder + slash + _COPY.sub("", own))
        if of is not None and of != file:
            message = f"{file} is called like a copy of {of}, and its grants count, too"
            yield warning(first[file], ID, message, "remove the file, or give it a name of its own")


def _actions_that_are_both_meant(policy: PolicySet) -> Callable[[str, str], bool]:
    """Whether two actions that look alike are none written wrong: who declares them, or how they differ, tells."""
    types_of: dict[str, set[str]] = {}
    for declared in policy.resource_types.values():
        for action in declared.actions:
            types_of.setdefault(action, set()).add(declared.name)

    def are_both_meant(one: str, other: str) -> bool:
        types, others = types_of[one], types_of[other]
        return bool(types & others) or (len(types) > 1 and len(others) > 1) or not is_slip(one, other)

    return are_both_meant


def _look_alike(
    kind: str,
    names: Names,
    in_tests: Names = MappingProxyType({}),
    form: str = "{}",
    are_both_meant: Callable[[str, str], bool] = lambda *_: False,
) -> Iterator[Problem]:
    """A finding for each name that is similar to one before it, or, when no test has it, to one that a test has."""
    for name, other in _similar({**in_tests, **names}, names, in_tests, are_both_meant):
        place = names.get(other) or in_tests[other]
        odd = odd_letter(name, other) or odd_letter(other, name)
        message = f"{kind} {form.format(name)} looks like {form.format(other)} ({place}){odd}"
        yield warning(names[name], ID, message, "if one is meant, write it alike; else choose names that differ more")


def _similar(
    everything: Names, names: Names, in_tests: Names, are_both_meant: Callable[[str, str], bool]
) -> Iterator[tuple[str, str]]:
    """Each of the names with the first similar one that is not meant, too: they share what is left without one letter."""
    shorter: dict[str, list[str]] = {}
    order = {name: number for number, name in enumerate(everything)}
    for name in order:
        variants = spellings(name)
        near = {other for variant in variants for other in shorter.get(variant, ()) if is_similar(name, other)}
        near = {other for other in near if not are_both_meant(name, other)}
        if name in in_tests:
            near &= names.keys()
        similar = min(near, key=order.__getitem__, default=None)
        if similar and name in names:
            yield name, similar
        for variant in variants:
            shorter.setdefault(variant, []).append(name)


def _in_conditions(survey: Survey) -> tuple[dict[str, Place], dict[str, dict[str, Place]]]:
    """The attributes that conditions use, and the texts that each is compared with, with where each stands first."""
    policy = survey.policy
    attributes = {f"resource.{level.named_by}": level.place for level in policy.roles.levels if level.named_by}
    values: dict[str, dict[str, Place]] = {}
    trees = [(condition.tree, condition.place) for condition in policy.conditions.values()]
    trees += [(grant.condition, grant.place) for grant in policy.grants if grant.condition]
    trees += [(rule.condition, rule.place) for rule in policy.invariants if rule.condition]
    seen: set[int] = set()
    for tree, place in trees:
        if id(tree) in seen:
            continue
        seen.add(id(tree))
        for atom in atoms(tree):
            named = [str(name) for name in attributes_of(atom)]
            for name in named:
                attributes.setdefault(name, place)
            if isinstance(atom, Comparison) and len(named) == 1 and len(terms_of(atom)) == 1:
                for literal in literals_of(atom):
                    if isinstance(literal.value, str) and isinstance(terms_of(atom)[0], Attribute):
                        values.setdefault(named[0], {}).setdefault(literal.value, place)
    return attributes, values


def _in_tests(survey: Survey) -> tuple[dict[str, Place], dict[str, dict[str, Place]]]:
    """The attributes that the requests of tests carry, and the texts that each has, with where each stands first."""
    attributes: dict[str, Place] = {}
    values: dict[str, dict[str, Place]] = {}
    for root, name, value, place in _sent_in_tests(survey):
        attribute = str(Attribute(root, (name,)))
        attributes.setdefault(attribute, place)
        if isinstance(value, str):
            values.setdefault(attribute, {}).setdefault(value, place)
    return attributes, values


def _sent_in_tests(survey: Survey) -> Iterator[tuple[str, str, object, Place]]:
    """The properties that tests send, with where: those of one person or thing once, for many tests share them."""
    seen: set[int] = set()
    for test in survey.tests:
        for expectation in test.expectations:
            for root, properties in sent_with(expectation.request):
                if id(properties) not in seen:
                    seen.add(id(properties))
                    for name, value in properties.items():
                        yield root, name, value, expectation.place_of(root, name)
