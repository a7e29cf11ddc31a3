"""What the holder of some names may do in one place: always, never, or when a condition holds; exactly as `decide` decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Literal

from klausel.core.analysis.decision_table import covering_grants
from klausel.core.analysis.question_space import Placement, placement_in
from klausel.core.conditions.outcomes import Known, TruthSpace
from klausel.core.conditions.simplify import Folded, all_of, any_of, small_space, with_known_atoms
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    Condition,
    atoms,
    attributes_of,
    negate,
    value_of,
)
from klausel.core.decisions.domain import BadDomain
from klausel.core.policy.fitting import brought_by_types
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.properties import Declarations
from klausel.core.terms.request import Action, Request, Resource, Subject

MOST_KEPT = 10_000

Verdict = Literal["always", "when", "never"]


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether somebody may: always, never, or when `condition` is certainly true (None unless the verdict is `when`).

    It rests on `allows`, and `denies` can take it away, both in the order of the files and as few as will do.
    """

    verdict: Verdict
    condition: Condition | None
    allows: tuple[Grant, ...]
    denies: tuple[Grant, ...]
    brought: frozenset[Condition] = field(default=frozenset(), compare=False)
    """What stands in the condition for declared types alone, and people need not read."""


NEVER = Permission("never", None, (), ())


@dataclass(frozen=True)
class Question:
    """May somebody do an action to a resource of a type, in a domain (None: in none), with these attributes known?

    `grants` are those that hold there for somebody. Keeps the answers that it gave.
    """

    resource_type: str
    action: str
    domain: str | None
    grants: tuple[Grant, ...]
    known: Known
    declarations: Declarations | None = field(default=None, compare=False, repr=False)
    _kept: dict[object, Permission] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def grantees(self) -> frozenset[str]:
        """The names that a grant here names."""
        return frozenset(grant.grantee for grant in self.grants)

    @cached_property
    def allowed_names(self) -> frozenset[str]:
        """The names that an allow here names."""
        return frozenset(grant.grantee for grant in self.grants if grant.effect == "allow")

    def permission(self, names: Collection[str], subject: tuple[str, str] | None = None) -> Permission:
        """What somebody with these names may do; `subject` is (type, id), None for one of whom nothing is known.

        The condition is always exact. But with more than MOST_COMPARISONS left open, or with patterns, which are taken
        as free, `when` may be said where in truth no request, or every one, meets it.
        """
        relevant = self.grantees & frozenset(names)
        if self.allowed_names.isdisjoint(relevant):
            return NEVER
        key = (relevant, subject if self.ids_differ or subject is None else subject[0])
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = _permission([grant for grant in self.grants if grant.grantee in relevant], self._with(subject))
            if kept.condition is not None and self._brought:
                kept = replace(kept, brought=self._brought)
            self._kept[key] = kept
        return kept

    def about(self, properties: Mapping[str, object]) -> Question:
        """The question about one subject of which these properties are known."""
        given = given_values("", {"subject": properties})
        told = {
            attribute: (_comparable(value_of(attribute, given)),)
            for grant in self.grants
            if grant.condition
            for attribute in _attributes_in(grant.condition)
            if attribute.root == "subject" and _is_given(attribute, given)
        }
        return replace(self, known={**self.known, **told}, _kept={}) if told else self

    def _with(self, subject: tuple[str, str] | None) -> Known:
        if subject is None:
            return self.known
        type_, id_ = subject
        return {**self.known, Attribute("subject", ("type",)): (type_,), Attribute("subject", ("id",)): (id_,)}

    @cached_property
    def _brought(self) -> frozenset[Condition]:
        if self.declarations is None:
            return frozenset()
        return brought_by_types([grant.condition for grant in self.grants if grant.condition], self.declarations)

    @cached_property
    def ids_differ(self) -> bool:
        """Whether two subjects of one type can get different answers: an id is compared with more than what is not known."""
        id_ = Attribute("subject", ("id",))
        known = {*self.known, Attribute("subject", ("type",))}
        for atom in chain.from_iterable(atoms(grant.condition) for grant in self.grants if grant.condition):
            if id_ not in attributes_of(atom):
                continue
            if not isinstance(atom, Comparison) or id_ not in (atom.left, atom.right):
                return True
            other = atom.right if atom.left == id_ else atom.left
            if not isinstance(other, Attribute) or other in known:
                return True
        return self._others_are_told_apart(id_)

    def _others_are_told_apart(self, id_: Attribute) -> bool:
        """Whether an attribute that ids are compared with is itself compared with a text or with something known."""
        compared = [
            atom
            for grant in self.grants
            if grant.condition
            for atom in atoms(grant.condition)
            if not (isinstance(atom, Comparison) and id_ in (atom.left, atom.right))
        ]
        linked = {
            operand
            for grant in self.grants
            if grant.condition
            for atom in atoms(grant.condition)
            if isinstance(atom, Comparison) and id_ in (atom.left, atom.right)
            for operand in attributes_of(atom)
        }
        return any(set(attributes_of(atom)) & linked for atom in compared)


def question_in(
    policy: PolicySet,
    resource_type: str,
    action: str,
    domain: str | None,
    given: Request | None = None,
) -> Question | BadDomain:
    """The question about something in a domain; `given` holds the properties, and the id, that are known of the request."""
    placement = placement_in(policy, resource_type, action, domain)
    return placement if isinstance(placement, BadDomain) else question_at(policy, resource_type, action, placement, given)


def question_at(
    policy: PolicySet, resource_type: str, action: str, placement: Placement, given: Request | None = None
) -> Question:
    """The question about something in one kind of place."""
    grants = covering_grants(policy.grants_about(resource_type, action), placement.domain, policy.roles)
    known: dict[Attribute, tuple[object, ...]] = dict(placement.known)
    if given is not None:
        for attribute in {name for grant in grants if grant.condition for name in _attributes_in(grant.condition)}:
            if attribute not in known and _is_given(attribute, given):
                known[attribute] = (_comparable(value_of(attribute, given)),)
    return Question(resource_type, action, placement.domain, grants, known, policy.declarations(resource_type))


def _is_given(attribute: Attribute, given: Request) -> bool:
    if attribute == Attribute("resource", ("id",)):
        return given.resource.id != ""
    if attribute.root == "subject" and attribute.path in (("id",), ("type",)):
        return False
    properties = given.context if attribute.root == "context" else getattr(given, attribute.root).properties
    return attribute.path[0] in properties


def _comparable(value: object) -> object:
    """The value, or an empty object for one with members: every comparison with either is unknown."""
    return {} if isinstance(value, Mapping) else value


def given_values(resource_id: str, properties: Mapping[str, Mapping[str, object]]) -> Request:
    """What is known of a request before it is asked, by entity."""
    return Request(
        Subject("", "", properties.get("subject", {})),
        Action("", properties.get("action", {})),
        Resource("", resource_id, properties.get("resource", {})),
        properties.get("context", {}),
    )


def _permission(grants: Sequence[Grant], known: Known) -> Permission:
    allows, denies = _folded(grants, lambda condition: with_known_atoms(condition, known))
    allows = {grant: part for grant, part in allows.items() if part is not False}
    denies = {grant: part for grant, part in denies.items() if part is not True}
    if not allows or False in denies.values():
        return NEVER
    parts = [part for part in (*allows.values(), *denies.values()) if not isinstance(part, bool)]
    open_atoms = list(chain.from_iterable(map(atoms, parts)))
    space = small_space(open_atoms, known)
    if space is None:
        return _as_it_stands(allows, denies)
    held = _outcomes(space, allows.values(), denies.values())
    if not held:
        return NEVER
    for grant in sorted(allows, key=lambda grant: (allows[grant] is True, -grants.index(grant))):
        fewer = {other: part for other, part in allows.items() if other is not grant}
        if fewer and _outcomes(space, fewer.values(), denies.values()) == held:
            allows = fewer
    for grant in list(denies):
        fewer = {other: part for other, part in denies.items() if other is not grant}
        if _outcomes(space, allows.values(), fewer.values()) == held:
            denies = fewer
    if held == space.everything:
        return Permission("always", None, tuple(sorted(allows, key=grants.index)), ())
    condition = all_of([any_of(list(allows.values())), *denies.values()])
    condition = _without_settled(condition, space)
    assert not isinstance(condition, bool)
    return Permission("when", condition, tuple(allows), tuple(denies))


def _as_it_stands(allows: Mapping[Grant, Folded], denies: Mapping[Grant, Folded]) -> Permission:
    always = [grant for grant, part in allows.items() if part is True][:1]
    condition = all_of([any_of(allows.values()), *denies.values()])
    if isinstance(condition, bool):
        return Permission("always", None, tuple(always), ())
    return Permission("when", condition, tuple(always or allows), tuple(denies))


def _folded(grants: Iterable[Grant], fold: Callable[[Condition], Folded]) -> tuple[dict[Grant, Folded], dict[Grant, Folded]]:
    """What must be certainly true for each allow to hold, and for each deny not to."""
    allows: dict[Grant, Folded] = {}
    denies: dict[Grant, Folded] = {}
    for grant in grants:
        if grant.effect == "allow":
            allows[grant] = True if grant.condition is None else fold(grant.condition)
        else:
            denies[grant] = False if grant.condition is None else fold(negate(grant.condition))
    return allows, denies


def _outcomes(space: TruthSpace, allows: Collection[Folded], denies: Collection[Folded]) -> int:
    """In which outcomes an allow holds and no deny does, as bits."""
    allowed, untaken = 0, space.everything
    for part in allows:
        allowed |= _true(space, part)
    for part in denies:
        untaken &= _true(space, part)
    return allowed & untaken


def _true(space: TruthSpace, part: Folded) -> int:
    if isinstance(part, bool):
        return space.everything if part else 0
    return space.true_and_false(part)[0]


def _without_settled(part: Folded, space: TruthSpace) -> Folded:
    """The condition without the parts that are always, or never, true."""
    if isinstance(part, bool):
        return part
    settled = {space.everything: True, 0: False}.get(_true(space, part))
    if settled is not None:
        return settled
    match part:
        case AllOf(parts):
            return all_of([_without_settled(inner, space) for inner in parts])
        case AnyOf(parts):
            return any_of([_without_settled(inner, space) for inner in parts])
        case _:
            return part


def _attributes_in(condition: Condition) -> set[Attribute]:
    return {name for atom in atoms(condition) for name in attributes_of(atom)}
