"""The proof that a stock Casbin pair and a policy set decide alike: stock pycasbin is asked, with nothing but the pair's rows.

All questions that the names of the policy set make are asked where they are few, and a choice of them, always the same,
where they are many.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import casbin
from casbin.persist import load_policy_line

from klausel.casbin_policies.engine import CompiledPolicy, compile_policy
from klausel.casbin_policies.stock_request import FieldKind, Layout, is_own, is_plain
from klausel.core.conditions.tree import SUBJECT_TYPE, Attribute, atoms, attributes_of, literals_of
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import rows_by_subject
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX, RoleModel, depth_of, top_domain
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.places import EVERY
from klausel.core.terms.request import Action, Request, Resource, Subject

UNKNOWN = "unknown"
_MIXED_SUBJECTS = 20
_RESOURCE_ID = Attribute("resource", ("id",))
_Named = tuple[str, ...]
"""The ids that a request names, one for each level without a constant; "" for one that it does not name."""


class Difference(Exception):
    """A question that the pair and the policy set decide differently, as a sentence."""


class Proof(NamedTuple):
    """How many questions both were asked, all decided alike, of how many there are; and how many of those were allowed."""

    asked: int
    there_are: int
    allowed: int

    def __str__(self) -> str:
        if self.asked == self.there_are:
            return f"all {self.asked:,} questions"
        return f"{self.asked:,} questions, chosen out of {self.there_are:,},"


@dataclass(frozen=True)
class _Question:
    """One question in both forms."""

    fields: tuple[str, ...]
    request: Request


@dataclass(frozen=True)
class StockSet:
    """A stock model with its rows, and what the fields of its requests mean; `type_column` is that of the types in p rows.

    `anywhere` are the roles of which g rows need the `any` form, too. `kinds` are those of properties, by type.
    """

    layout: Layout
    roles: RoleModel
    model: str
    rows: tuple[tuple[str, ...], ...]
    type_column: int
    anywhere: frozenset[str]
    kinds: Mapping[str, Mapping[Attribute, FieldKind]]

    def links(self, assignment: Assignment) -> Iterator[tuple[str, ...]]:
        """The g rows of a role assignment."""
        role, domain = self.roles.name_now(assignment.role), assignment.domain
        has_domains = bool(self.layout.level_fields)
        yield ("g", assignment.subject, role, *((domain,) if has_domains else ()))
        if depth_of(domain) > 1 and role in self.anywhere:
            yield ("g", assignment.subject, ANY_PREFIX + role, *((top_domain(domain),) if has_domains else ()))

    def prove(
        self, whole: PolicySet, written: PolicySet, assignments: Sequence[Assignment], model_text: str, most: int
    ) -> Proof:
        """Asks both; raises `Difference` with the first question that they decide differently.

        `written` are the grants of the `whole` policy set that have rows; what these allow, the whole must allow, too.
        """
        chance = Random(0)
        domains = self._domains(written, assignments)
        people = self._people(written, assignments, domains, chance)
        links = [", ".join(link) for rows in people.values() for row in rows for link in self.links(row)]
        enforcer = _enforcer(self.model, [*(", ".join(row) for row in self.rows), *dict.fromkeys(links)])
        compiled = compile_policy(written, model_text)
        compiled_whole = compiled if len(whole.grants) == len(written.grants) else compile_policy(whole, model_text)
        held = {
            subject: EffectiveRoles.of(self.roles, [(self.roles.name_now(row.role), row.domain) for row in rows])
            for subject, rows in people.items()
        }

        def ours(by: CompiledPolicy, request: Request) -> bool:
            return decide(by.policy, by, lambda key, at: held[key].roles_in(at), request).allowed

        asked_about = [
            (type_.name, action) for type_ in whole.resource_types.values() for action in (*type_.actions, UNKNOWN)
        ]
        asked_about.append((UNKNOWN, UNKNOWN))
        share = max(most // len(asked_about), 1)
        asked = there_are = allowed = 0
        assertion = enforcer.model.model["p"]["p"]
        for type_, action in asked_about:
            # Only rows of a question's type and action can hold; stock pycasbin goes through all of them one by one.
            about = [list(row[1:]) for row in self.rows if row[self.type_column : self.type_column + 2] == (type_, action)]
            assertion.policy = about or [list(self.rows[0][1:])]
            count, questions = self._questions(written, type_, action, people, domains, share, chance)
            there_are += count
            for question in questions:
                asked += 1
                expected = ours(compiled, question.request)
                said = bool(enforcer.enforce(*question.fields))
                allowed += said
                if said != expected or (said and not ours(compiled_whole, question.request)):
                    shown = ", ".join(f'"{value}"' for value in question.fields)
                    verb = "allow" if expected else "deny"
                    raise Difference(f"enforce({shown}): the policies {verb} it, and stock Casbin would not")
        return Proof(asked, there_are, allowed)

    def _domains(self, written: PolicySet, assignments: Sequence[Assignment]) -> list[str]:
        """The domains to ask in: all that are named, those above them, and an unknown one below each."""
        found: dict[str, None] = {}
        named = [grant.scope.domain for grant in written.grants] + [assignment.domain for assignment in assignments]
        for place in dict.fromkeys([*filter(None, named), UNKNOWN]):
            parts = [UNKNOWN if part == EVERY else part for part in place.split("/")]
            parts += [UNKNOWN] * (len(self.layout.levels) - len(parts))
            for depth, level in enumerate(self.layout.levels):
                parts[depth] = level.constant or parts[depth]
                found["/".join(parts[: depth + 1])] = None
                if level.constant is None:
                    found["/".join([*parts[:depth], UNKNOWN])] = None
        return list(found)

    def _people(
        self, written: PolicySet, assignments: Sequence[Assignment], domains: Sequence[str], chance: Random
    ) -> dict[str, list[Assignment]]:
        """Who is asked about: people given, holders of each role in each domain, with and without a role above, and mixtures."""
        people = rows_by_subject(assignments)
        types = dict.fromkeys(["user", *self._subject_types(written)])
        pairs = [
            (role, domain) for role, depth in self.roles.depths.items() for domain in domains if depth_of(domain) == depth
        ]
        above = {
            level: [role for role, depth in self.roles.depths.items() if depth == level]
            for level in range(1, len(self.layout.levels))
        }
        for type_ in types:
            people[f"{type_}:{UNKNOWN}"] = []
            held: list[list[tuple[str, str]]] = [[pair] for pair in pairs]
            for role, domain in pairs:
                parts = domain.split("/")
                if len(parts) > 1 and all(above[depth] for depth in range(1, len(parts))):
                    # The last of a level is most often the one that may least.
                    held.append(
                        [(role, domain), *((above[depth][-1], "/".join(parts[:depth])) for depth in range(1, len(parts)))]
                    )
            held += [
                [chance.choice(pairs) for _ in range(chance.randint(2, 4))] for _ in range(_MIXED_SUBJECTS if pairs else 0)
            ]
            for number, some in enumerate(held):
                subject = f"{type_}:holder-{number}"
                people[subject] = [Assignment(subject, role, domain) for role, domain in dict.fromkeys(some)]
        return people

    def _subject_types(self, written: PolicySet) -> Iterator[str]:
        names = list(written.subject_types or ())
        for grant in written.grants:
            for atom in atoms(grant.condition) if grant.condition is not None else ():
                if SUBJECT_TYPE in attributes_of(atom):
                    names += [str(literal.value) for literal in literals_of(atom)]
        for name in names:
            if is_plain(name) and name != "group" and not any(sign in name for sign in ":/%"):
                yield name

    def _questions(
        self,
        written: PolicySet,
        type_: str,
        action: str,
        people: Mapping[str, Sequence[Assignment]],
        domains: Sequence[str],
        most: int,
        chance: Random,
    ) -> tuple[int, Iterator[_Question]]:
        """How many questions there are about a type and an action, and those to ask."""
        named = [self._named(domain) for domain in domains]
        if self.layout.level_fields and not self._is_named_by_id(written, type_, action):
            named.append(("",) * len(self.layout.level_fields))
            if len(self.layout.level_fields) > 1 and type_ not in {
                one.name for one in written.resource_types.values() if action in one.asked_in
            }:
                named.append(("", *(UNKNOWN for _ in self.layout.level_fields[1:])))
        named = [one for one in dict.fromkeys(named) if self._resource(written, type_, action, one, {}) is not None]
        read: dict[Attribute, dict[str, None]] = {}
        texts: dict[str, None] = {}
        for grant in written.grants_about(type_, action):
            for atom in atoms(grant.condition) if grant.condition is not None else ():
                texts.update((literal.value, None) for literal in literals_of(atom) if isinstance(literal.value, str))
                for attribute in attributes_of(atom):
                    read.setdefault(attribute, {})
        free = [one for one in read if not is_own(one) or one == _RESOURCE_ID]
        kinds = self.kinds.get(type_, {})

        def values(attribute: Attribute, subject: str) -> list[str]:
            if kinds.get(attribute) == "boolean":
                return ["true", "false", ""]
            own = (split_subject_key(subject) or ("", subject))[1]
            return list(dict.fromkeys([own, *texts, "other", *([] if is_own(attribute) else [""])]))

        each = [len(people), len(named), *(len(values(one, f"user:{UNKNOWN}-id")) for one in free)]
        count = 1
        for number in each:
            count *= number
        if count <= most:
            everything: Iterator[tuple[str, _Named, tuple[str, ...]]] = (
                (subject, where, sent)
                for subject in people
                for where in named
                for sent in itertools.product(*(values(one, subject) for one in free))
            )
        else:
            everything = self._choice(list(people), people, named, free, values, most, chance)
            count = max(count, most)
        return count, (
            self._question(written, type_, action, subject, where, dict(zip(free, sent, strict=True)))
            for subject, where, sent in everything
        )

    def _choice(
        self,
        subjects: Sequence[str],
        people: Mapping[str, Sequence[Assignment]],
        named: Sequence[_Named],
        free: Sequence[Attribute],
        values: Any,
        most: int,
        chance: Random,
    ) -> Iterator[tuple[str, _Named, tuple[str, ...]]]:
        """Some of the questions; most of them where the subject has a role."""
        for _ in range(most):
            subject = chance.choice(subjects)
            held = [self._named(row.domain) for row in people[subject]]
            near = [
                one for one in named if any(one[: len(list(filter(None, at)))] == tuple(filter(None, at)) for at in held)
            ]
            where = chance.choice(near if near and chance.random() < 0.75 else named)
            yield subject, where, tuple(chance.choice(values(one, subject)) for one in free)

    def _named(self, domain: str) -> _Named:
        """What a request names for a domain."""
        parts = domain.split("/")
        parts += [""] * (len(self.layout.levels) - len(parts))
        return tuple(part for part, name in zip(parts, self.layout.of_levels, strict=True) if name is not None)

    def _question(
        self, written: PolicySet, type_: str, action: str, subject: str, where: _Named, sent: Mapping[Attribute, str]
    ) -> _Question:
        subject_type, id_ = split_subject_key(subject) or ("", subject)
        named = self._resource(written, type_, action, where, {})
        if _RESOURCE_ID in sent and named is not None and self._is_named_by_id(written, type_, action):
            sent = {**sent, _RESOURCE_ID: named.id}
        own = {"subject_type": subject_type, "subject_id": id_, "sub": subject, "obj": type_, "act": action}
        own |= dict(zip(self.layout.level_fields, where, strict=True))
        own |= {self.layout.of_properties[attribute]: value for attribute, value in sent.items()}
        properties: dict[str, dict[str, Any]] = {"subject": {}, "resource": {}, "action": {}, "context": {}}
        for attribute, value in sent.items():
            if value and not is_own(attribute):
                holder = properties[attribute.root]
                for name in attribute.path[:-1]:
                    holder = holder.setdefault(name, {})
                kind = self.kinds.get(type_, {}).get(attribute)
                holder[attribute.path[-1]] = value == "true" if kind == "boolean" else value
        resource = self._resource(written, type_, action, where, properties["resource"], sent.get(_RESOURCE_ID))
        assert resource is not None
        request = Request(
            Subject(subject_type, id_, properties["subject"]),
            Action(action, properties["action"]),
            resource,
            properties["context"],
        )
        return _Question(tuple(own.get(name, "") for name in self.layout.fields), request)

    def _is_named_by_id(self, written: PolicySet, type_: str, action: str) -> bool:
        """Whether the id of a resource of a type says in which domain it lies."""
        declared = written.resource_types.get(type_)
        is_asked_above = declared is not None and action in declared.asked_in
        return not is_asked_above and any(level.identified_by == type_ for level in self.layout.levels)

    def _resource(
        self,
        written: PolicySet,
        type_: str,
        action: str,
        where: _Named,
        properties: Mapping[str, Any],
        id_: str | None = None,
    ) -> Resource | None:
        """The resource that lies where a question is asked; None where there can be none."""
        is_named_by_id = self._is_named_by_id(written, type_, action)
        sent = dict(properties)
        levels = [level for level, name in zip(self.layout.levels, self.layout.of_levels, strict=True) if name is not None]
        for level, part in zip(levels, where, strict=True):
            if level.identified_by == type_ and is_named_by_id:
                if not part or (id_ is not None and id_ != part):
                    return None
                id_ = part
            elif part and level.named_by is not None:
                sent[level.named_by] = part
        return Resource(type_, id_ or "1", sent)


def _enforcer(model_text: str, lines: Sequence[str]) -> casbin.Enforcer:
    model = casbin.Model()
    model.load_model_from_text(model_text)
    for line in lines:
        load_policy_line(line, model)
    enforcer = casbin.Enforcer(model)
    enforcer.build_role_links()
    return enforcer
