"""similar-names: a name that differs from another only in case, or by one letter.

Roles, resource types, conditions and actions are compared with their like, and so are attributes, such as `resource.owner` and
`resource.ownr`. One letter more, less or other, or two in the wrong order, is most often a slip, and a decision that
depends on an attribute which nobody sends is a deny.

    owner_is_self: resource.owner == subject.id
    creator_is_self: resource.creater == subject.id     # and resource.creator elsewhere

Not reported: names under five letters, unless they differ only in case; digits (`step_1`, `step_2`); and where the part that
differs has one or two letters (`view_a`, `view_b`).

If both are meant: `# klausel: off similar-names because <reason>` behind the line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from klausel.core.condition import Attribute, atoms
from klausel.core.lint.survey import Survey, warning
from klausel.core.problem import Place, Problem

ID = "similar-names"
SHORTEST_NAME = 5
SHORTEST_PART = 3
_DOT = re.compile(r"\.")
_PARTS = re.compile(r"[_\-:/.]")


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for kind, names in _names(survey).items():
        for name, other in _similar(names):
            message = f"{kind} {name} looks like {kind} {other} ({names[other]})"
            yield warning(names[name], ID, message, "if one is meant, write it alike; else choose names that differ more")


def _names(survey: Survey) -> Mapping[str, Mapping[str, Place]]:
    """The names of each kind with the place of each, in the order in which they stand."""
    policy = survey.policy
    actions: dict[str, Place] = {}
    for declared in policy.resource_types.values():
        for action in declared.actions:
            actions.setdefault(action, declared.action_places.get(action, declared.place))
    return {
        "role": {role.name: role.place for role in policy.roles.roles.values()},
        "resource type": {declared.name: declared.place for declared in policy.resource_types.values()},
        "condition": {condition.name: condition.place for condition in policy.conditions.values()},
        "action": actions,
        "attribute": _attributes(survey),
    }


def _attributes(survey: Survey) -> dict[str, Place]:
    """The attributes that requests carry, with where each is named first."""
    policy = survey.policy
    found = {f"resource.{level.named_by}": level.place for level in policy.roles.levels if level.named_by}
    trees = [(condition.tree, condition.place) for condition in policy.conditions.values()]
    trees += [(grant.condition, grant.place) for grant in policy.grants if grant.condition]
    trees += [(rule.condition, rule.place) for rule in policy.invariants if rule.condition]
    seen: set[int] = set()
    for tree, place in trees:
        if id(tree) not in seen:
            seen.add(id(tree))
            for atom in atoms(tree):
                for side in (getattr(atom, "left", None), getattr(atom, "right", None), getattr(atom, "attribute", None)):
                    if isinstance(side, Attribute):
                        found.setdefault(str(side), place)
    return found


def _similar(names: Mapping[str, Place]) -> Iterator[tuple[str, str]]:
    """Each name with the first before it that is similar. Similar ones share what is left when one letter is taken out."""
    shorter: dict[str, list[str]] = {}
    order = {name: number for number, name in enumerate(names)}
    for name in names:
        folded = name.casefold()
        variants = {folded, *(folded[:at] + folded[at + 1 :] for at in range(len(folded)))}
        near = {other for variant in variants for other in shorter.get(variant, ()) if is_similar(name, other)}
        similar = min(near, key=order.__getitem__, default=None)
        if similar:
            yield name, similar
        for variant in variants:
            shorter.setdefault(variant, []).append(name)


def is_similar(one: str, other: str) -> bool:
    """Whether two different names look alike."""
    one_folded, other_folded = one.casefold(), other.casefold()
    if one_folded == other_folded:
        return True
    start = _length_in_common(one_folded, other_folded)
    end = _length_in_common(one_folded[start:][::-1], other_folded[start:][::-1])
    middle = one_folded[start : len(one) - end], other_folded[start : len(other) - end]
    swapped = len(middle[0]) == 2 and middle[0] == middle[1][::-1]
    if not (swapped or max(map(len, middle)) <= 1):
        return False
    if any(part.isdigit() for part in middle):
        return False
    if any(_PARTS.search(part) for part in middle):
        return max(len(one), len(other)) >= SHORTEST_NAME
    names, parts = _apart(one_folded, other_folded, _DOT), _apart(one_folded, other_folded, _PARTS)
    return names >= SHORTEST_NAME and parts >= SHORTEST_PART


def _apart(one: str, other: str, signs: re.Pattern[str]) -> int:
    """How long the longer of the parts that differ is, when both are split at some signs."""
    parts = zip(signs.split(one), signs.split(other), strict=False)
    return max((max(len(left), len(right)) for left, right in parts if left != right), default=0)


def _length_in_common(one: str, other: str) -> int:
    return next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other))
    )
