"""The picture of one feature: from those whom a grant is for, over the grant, to what it allows or denies."""

from __future__ import annotations

from collections.abc import Iterable

from klausel.core.pictures.picture import Arrow, Box, Picture, by_type
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, parts_of
from klausel.core.terms.problem import Place, did_you_mean

Written = tuple[str, int]


class NoSuchFeature(Exception):
    """Neither a file of the policy set nor a resource type has this name; the text says which there are."""


def feature_picture(policy: PolicySet, feature: str) -> Picture:
    """The grants in a file, named without its folder and ending, or those about a resource type; raises `NoSuchFeature`."""
    grants = [grant for grant in policy.grants if _stem(grant.place) == feature]
    if not grants:
        grants = [grant for grant in policy.grants if grant.resource_type == feature]
    if not grants:
        known = dict.fromkeys((*(_stem(grant.place) for grant in policy.grants), *policy.resource_types))
        hint = did_you_mean(feature, known)
        raise NoSuchFeature(
            f'no grant stands in a file called "{feature}" or is about a resource type of that name; {hint}'
            f"there are {', '.join(known)}"
        )
    entries: dict[Written, list[Grant]] = {}
    for grant in grants:
        entries.setdefault((grant.place.file, grant.place.line), []).append(grant)
    boxes: dict[str, Box] = {}
    arrows: dict[tuple[str, str], Arrow] = {}
    for name in _in_order(policy, {grant.grantee for grant in grants}):
        boxes[f"who {name}"] = Box(f"who {name}", name, "role", 0)
    actions: dict[str, Box] = {}
    for (file, line), entry in entries.items():
        first = entry[0]
        id_ = f"grant {file}:{line}"
        boxes[id_] = Box(
            id_, f"{first.effect}  {file.rpartition('/')[2]}:{line}", first.effect, 1, 0, _said(first), first.because
        )
        for grantee in dict.fromkeys(grant.grantee for grant in entry):
            arrows[f"who {grantee}", id_] = Arrow(f"who {grantee}", id_)
        for what in by_type((grant.resource_type, grant.action) for grant in entry):
            resource_type, _, names = what.partition(": ")
            for action in names.split(", "):
                target = f"what {resource_type}: {action}"
                actions.setdefault(target, Box(target, f"{action} {resource_type}", "action", 2))
                arrows[id_, target] = Arrow(id_, target)
    return Picture(
        f"Who may do what: {feature}",
        (*boxes.values(), *actions.values()),
        tuple(arrows.values()),
        remarks=(
            "From left to right: who, by which grant and when, may do what. A deny beats every allow. "
            "A stronger role may do whatever the roles that it contains may.",
        ),
    )


def _stem(place: Place) -> str:
    return place.file.rpartition("/")[2].rpartition(".")[0]


def _said(grant: Grant) -> tuple[str, ...]:
    parts = [grant.scope.words, f"when {grant.condition_text}" if grant.condition_text else ""]
    return tuple(part for part in parts if part) or ("always",)


def _in_order(policy: PolicySet, grantees: Iterable[str]) -> list[str]:
    """The strongest roles first, as the file has them, then those several together, and `anyone` last."""
    order = {name: position for position, name in enumerate(policy.roles.roles)}

    def key(name: str) -> tuple[bool, int, str]:
        role = parts_of(name)[0].removeprefix(ANY_PREFIX)
        return name == ANYONE, order.get(role, len(order)), name

    return sorted(grantees, key=key)
