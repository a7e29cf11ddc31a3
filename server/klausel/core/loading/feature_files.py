"""What the feature files of a policy set say, file by file, so that after a change only that of changed files is found again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from klausel.core.conditions.tree import with_one_spelling
from klausel.core.loading.cache import HashedOnce
from klausel.core.loading.features import as_value
from klausel.core.loading.fields import ProblemList
from klausel.core.policy.policy_set import Effect, Grant, GrantIndex, ResourceType, grants_by_question
from klausel.core.policy.roles import is_joint
from klausel.core.terms.problem import Problem

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TypesOfFile:
    """The names of the resource types of one file, those without fault, and the problems in them; and all as one value."""

    names: Collection[str]
    found: Mapping[str, ResourceType]
    problems: Sequence[Problem]
    as_value: HashedOnce

    @classmethod
    def of(cls, names: Collection[str], found: list[ResourceType], problems: Sequence[Problem]) -> TypesOfFile:
        """With the value of the resource types."""
        value = tuple(
            (one.name, one.actions, tuple(one.asked_in.items()), one.place, as_value(one.properties), one.privileged)
            for one in found
        )
        return cls(names, {one.name: one for one in found}, problems, HashedOnce((tuple(names), value)))


@dataclass(frozen=True, slots=True)
class GrantsOfFile:
    """The grants of one file with the problems in them, and what is asked of all grants of a set, found file by file."""

    grants: tuple[Grant, ...]
    problems: Sequence[Problem]
    by_question: GrantIndex
    joint: frozenset[str]
    denied: Collection[tuple[str, str]]

    @classmethod
    def of(cls, grants: tuple[Grant, ...], problems: Sequence[Problem]) -> GrantsOfFile:
        """With the grantees that are several roles held together, and the types and actions that some grant denies."""
        joint = frozenset(grant.grantee for grant in grants if is_joint(grant.grantee))
        denied = {(grant.resource_type, grant.action): None for grant in grants if grant.effect == "deny"}
        return cls(grants, problems, grants_by_question(grants), joint, tuple(denied))


@dataclass(frozen=True, slots=True)
class Joined(Generic[Key, Value]):
    """Mappings, one of each file, and all of them as one, in the order of the files."""

    parts: Sequence[Mapping[Key, Value]]
    found: Mapping[Key, Value]

    @property
    def has_shared_keys(self) -> bool:
        """Whether a key stands in more than one of them."""
        return len(self.found) < sum(map(len, self.parts))


def join_by_file(
    parts: Sequence[Mapping[Key, Value]], both: Callable[[Value, Value], Value], earlier: Joined[Key, Value] | None
) -> Joined[Key, Value]:
    """Mappings as one; `both` is the value of a key that has two, the one of the first file coming first.

    What was joined `earlier` is taken for what is the same object as then.
    """
    found = None if earlier is None else _joined_again(parts, earlier)
    if found is None:
        found = {}
        for part in parts:
            if found.keys().isdisjoint(part):
                found.update(part)
                continue
            for key, value in part.items():
                found[key] = both(found[key], value) if key in found else value
    return Joined(parts, found)


def _joined_again(parts: Sequence[Mapping[Key, Value]], earlier: Joined[Key, Value]) -> dict[Key, Value] | None:
    """Mappings as one, from an earlier one; None where more has changed than the values of keys that stand in one file."""
    if len(parts) != len(earlier.parts):
        return None
    found = dict(earlier.found)
    for before, part in zip(earlier.parts, parts, strict=True):
        if before is part:
            continue
        if list(before) != list(part) or any(found[key] is not value for key, value in before.items()):
            return None
        found.update(part)
    return found


def report_contradictions(by_file: Iterable[GrantsOfFile], by_question: GrantIndex, problems: ProblemList) -> None:
    """Reports each grant whose opposite (same grantee, type, action, scope and condition) stands before it.

    An allow for all that is declared may have exceptions.
    """
    spellings: dict[int, str] = {}
    for question in dict.fromkeys(asked for of_file in by_file for asked in of_file.denied):
        seen: dict[tuple[object, ...], dict[str, Grant]] = {}
        for grant in by_question[question]:
            written = grant.written
            if id(written) not in spellings:
                spellings[id(written)] = str(with_one_spelling(written)) if written else ""
            key = (grant.reach, spellings[id(written)])
            effects = seen.setdefault(key, {})
            effects.setdefault(grant.effect, grant)
            opposite = effects.get(_opposite(grant.effect))
            if opposite and not any(one.effect == "allow" and one.is_for_all for one in (grant, opposite)):
                what = f"{grant.grantee} to {grant.action} {grant.resource_type}"
                message = f"this grant {_verb(grant.effect)} {what}, which {opposite.place} {_verb(opposite.effect)}"
                problems.add(grant.place, "contradiction", message, "keep one of the two; deny beats allow")


def _opposite(effect: Effect) -> Effect:
    return "deny" if effect == "allow" else "allow"


def _verb(effect: Effect) -> str:
    return "allows" if effect == "allow" else "denies"
