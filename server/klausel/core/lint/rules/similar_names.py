"""similar-names: a name that differs from another only in case, or by one letter.

Roles, resource types, conditions and actions are compared with their like, and so are attributes, such as `resource.owner` and
`resource.ownr`, and the texts that conditions compare one attribute with; these also with what the tests beside the policies
and `entities.yaml` say, in lists too; the property by which requests name a level is compared with the level, and a domain in
`in:` with the names of levels; the ids in `entities.yaml` with those of the people and things of the tests. A file with grants
may not be called like a copy of another (`quizzes (1).yaml`, `quizzes_old.yaml`).

One letter more, less or other, or two in the wrong order, is most often a slip. What nobody sends makes no
allow hold, and a deny that asks for a value which nothing has denies nothing.

    owner_is_self: resource.owner == subject.id
    creator_is_self: resource.creater == subject.id     # and resource.creator elsewhere

    context: {shift: [ady, night]}                      # in a test; and context.shift contains "day" in a condition

Not reported: two actions of one type, of several types each, or that no slip of a finger makes of each other (`watch`,
`patch`); names under five letters, unless they differ only in case; digits (`step_1`, `step_2`); where the part that
differs has one or two letters (`view_a`, `view_b`); and what tests send of an attribute that no condition compares with
written texts. Of a value that is sent three letters are enough, where they changed their places or one is missing or too many.

If both are meant: `# klausel: off similar-names because <reason>` behind the line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from klausel.core.conditions.tree import (
    Attribute,
    Comparison,
    atoms,
    attributes_of,
    holds_a_list,
    literals_of,
    terms_of,
)
from klausel.core.lint.similarity import is_misspelt_value, is_similar, is_slip, odd_letter, spellings
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.entity import EntityKey
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import Declarations, ListOf, OneOf
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
    attributes, values, of_other_values = _in_conditions(survey)
    sent = _sent(survey)
    yield from _look_alike("attribute", attributes, sent.attributes)
    for attribute, compared in values.items():
        yield from _look_alike(f"value of {attribute}", compared, sent.values.get(attribute, {}), '"{}"')
        yield from _sent_but_not_asked_for(attribute, sent, compared, attribute in of_other_values)
    yield from _entities_that_tests_call_otherwise(survey)
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


def _entities_that_tests_call_otherwise(survey: Survey) -> Iterator[Problem]:
    """A finding for each entity in files that no test has, and whose id looks like one that a test has and no file."""
    entities = survey.policy.entities
    if not entities:
        return
    in_tests: dict[EntityKey, Place] = {}
    for test in survey.tests:
        for one in test.expectations:
            subject, _, resource, _ = one.request
            in_tests.setdefault(("subject", subject.type, subject.id), one.place_of("subject", "roles"))
            in_tests.setdefault(("resource", resource.type, resource.id), one.place_of("resource", "type"))
    for (kind, type_, id_), written in entities.items():
        if (kind, type_, id_) in in_tests:
            continue
        others = (key for key in in_tests if key[:2] == (kind, type_) and key not in entities)
        near = next((key for key in others if is_misspelt_value(key[2], id_)), None)
        if near is not None:
            odd = odd_letter(id_, near[2])
            message = f"no test has {type_} {id_}, but it looks like {type_} {near[2]} ({in_tests[near]}){odd}"
            yield warning(
                written.place, ID, message, "if that is meant, write it alike; else choose an id that differs more"
            )


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


def _sent_but_not_asked_for(attribute: str, sent: _Sent, asked: Names, has_other_values: bool) -> Iterator[Problem]:
    """A finding for each value that is sent, that no condition asks for, and that looks like one that some do.

    Or like one that was sent before, unless the attribute may have other values than those that conditions name.
    """
    values = sent.values.get(attribute, {})
    known = dict(asked)
    for value, place in values.items():
        if value in asked or (attribute, value) in sent.checked:
            continue
        # What no test sends, and looks like this at any length, was found where it stands in its condition.
        others = (one for one in known if is_misspelt_value(value, one) and (one in values or not is_similar(value, one)))
        near = next(others, None)
        if near is not None:
            odd = odd_letter(value, near) or odd_letter(near, value)
            message = f'no condition asks for "{value}" of {attribute}, but it looks like "{near}" ({known[near]}){odd}'
            yield warning(place, ID, message, "if that is meant, write it alike; else choose a value that differs more")
        elif not has_other_values:
            known[value] = place


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


def _in_conditions(survey: Survey) -> tuple[dict[str, Place], dict[str, dict[str, Place]], set[str]]:
    """The attributes that conditions use, and the texts that each is compared with, with where each stands first.

    At last the attributes that are compared with something else than texts that are written.
    """
    policy = survey.policy
    attributes = {f"resource.{level.named_by}": level.place for level in policy.roles.levels if level.named_by}
    values: dict[str, dict[str, Place]] = {}
    of_other_values: set[str] = set()
    trees = [(condition.tree, condition.place) for condition in policy.conditions.values()]
    trees += [(grant.condition, grant.place) for grant in policy.grants if grant.condition]
    trees += [(rule.condition, rule.place) for rule in policy.invariants if rule.condition]
    seen: set[int] = set()
    for tree, place in trees:
        if id(tree) in seen:
            continue
        seen.add(id(tree))
        for atom in atoms(tree):
            named = attributes_of(atom)
            for name in named:
                attributes.setdefault(str(name), place)
            asks_for_values = isinstance(atom, Comparison) or any(holds_a_list(name, atom) for name in named)
            if asks_for_values and len(named) == 1 and terms_of(atom) == named:
                for literal in literals_of(atom):
                    if isinstance(literal.value, str):
                        values.setdefault(str(named[0]), {}).setdefault(literal.value, place)
            else:
                of_other_values.update(map(str, named))
    return attributes, values, of_other_values


@dataclass(slots=True)
class _Sent:
    """What tests and entities send, with where each stands first: attributes, and the texts of each, those in lists too.

    `checked` are the attributes and texts of which declarations say which texts there are: the loader compared them.
    """

    attributes: dict[str, Place] = field(default_factory=dict)
    values: dict[str, dict[str, Place]] = field(default_factory=dict)
    checked: set[tuple[str, str]] = field(default_factory=set)

    def add(self, attribute: Attribute, value: object, place: Place, declarations: Declarations) -> None:
        """Notes one property, and its parts."""
        self.attributes.setdefault(str(attribute), place)
        if isinstance(value, Mapping):
            for name, part in value.items():
                self.add(Attribute(attribute.root, (*attribute.path, name)), part, place, declarations)
            return
        type_ = declarations.type_of(attribute)
        is_checked = isinstance(type_.items if isinstance(type_, ListOf) else type_, OneOf)
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str):
                self.values.setdefault(str(attribute), {}).setdefault(text, place)
                if is_checked:
                    self.checked.add((str(attribute), text))


def _sent(survey: Survey) -> _Sent:
    """What tests and entities send: that of one person or thing once, for many tests share them."""
    sent = _Sent()
    policy = survey.policy
    seen: set[tuple[int, str]] = set()
    for test in survey.tests:
        for expectation in test.expectations:
            type_ = expectation.request.resource.type
            for root, properties in sent_with(expectation.request):
                if (id(properties), type_) not in seen:
                    seen.add((id(properties), type_))
                    for name, value in properties.items():
                        place = expectation.place_of(root, name)
                        sent.add(Attribute(root, (name,)), value, place, policy.declarations(type_))
    for one in policy.entities.values():
        for name, value in one.entity.properties.items():
            attribute = Attribute(one.entity.kind, (name,))
            sent.add(attribute, value, one.places.get(name, one.place), policy.declarations(one.entity.type))
    return sent
