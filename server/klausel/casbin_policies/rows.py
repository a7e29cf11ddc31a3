"""The Casbin rows that a policy set means; `p` and `g` rows in the fields of model.conf."""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from klausel.casbin_policies.condition_text import certain_text, possible_text
from klausel.core.policy.entity import properties_text
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.terms.places import EVERYWHERE
from klausel.core.terms.problem import Place


class Row(NamedTuple):
    """One Casbin row: its type (`p` or `g`), its fields, and the place in the policy files that it comes from."""

    kind: str
    fields: tuple[str, ...]
    place: Place


def grant_rows(policy: PolicySet) -> list[Row]:
    """The `p` rows, one for each grant, in the order of `policy.grants`."""
    return _rows_of(policy.grants)


def _rows_of(grants: Iterable[Grant]) -> list[Row]:
    rows = []
    texts: dict[tuple[int, str], str] = {}
    for grant in grants:
        key = (id(grant.condition), grant.effect)
        if key not in texts:
            texts[key] = certain_text(grant.condition) if grant.effect == "allow" else possible_text(grant.condition)
        condition = texts[key]
        fields = (grant.grantee, str(grant.scope), grant.resource_type, grant.action, condition, grant.effect)
        rows.append(Row("p", fields, grant.place))
    return rows


@dataclass(frozen=True, slots=True)
class FilledGrants:
    """Grants as Casbin holds their rows: the fields of each, and what it finds each by. Nobody changes the lists."""

    grants: tuple[Grant, ...]
    fields: list[tuple[str, ...]]
    keys: list[str]

    @classmethod
    def of(cls, grants: tuple[Grant, ...], earlier: FilledGrants | None = None) -> FilledGrants:
        """Those of grants; the rows of the grants at both ends that are those of `earlier` are its rows."""
        before: tuple[Grant, ...] = () if earlier is None else earlier.grants
        most = min(len(before), len(grants))
        first = _same_at_start(before, grants, most)
        last = _same_at_start(reversed(before), reversed(grants), most - first)
        made = _rows_of(grants[first : len(grants) - last])
        fields, keys = [row.fields for row in made], [",".join(row.fields) for row in made]
        if earlier is not None:
            end = len(before) - last
            fields = [*earlier.fields[:first], *fields, *earlier.fields[end:]]
            keys = [*earlier.keys[:first], *keys, *earlier.keys[end:]]
        return cls(grants, fields, keys)


def _same_at_start(some: Iterable[Grant], others: Iterable[Grant], most: int) -> int:
    """How many of the first so many are the same objects."""
    different = itertools.compress(itertools.count(), map(operator.is_not, some, others))
    return min(next(different, most), most)


def inheritance_rows(policy: PolicySet) -> list[Row]:
    """The `g` rows: role, contained role, place, which is `*` for everywhere; those of `any` roles among them."""
    roles = policy.roles
    placed = [
        Row("g", (role.name, inner, place), role.place) for role in roles.roles.values() for inner, place in role.contains_in
    ]
    return placed + [
        Row("g", (name, inner, EVERYWHERE), roles.roles[name.removeprefix("any ")].place)
        for name, contained in roles.inheritance.items()
        for inner in contained
    ]


def meaning_digest(policy: PolicySet, other_model: str | None = None) -> str:
    """A digest over what the policy means, as `sha256:…`: its rows and declarations, sorted, without their places.

    `other_model` is the digest of the model, where its matcher is not Klausel's: it is part of the meaning.
    """
    roles = policy.roles
    lines = [repr(("model", other_model))] if other_model else []
    lines += [repr((row.kind, row.fields)) for row in [*grant_rows(policy), *inheritance_rows(policy)]]
    lines += [
        repr(
            (
                "level",
                level.name,
                level.depth,
                level.named_by,
                level.identified_by,
                level.constant,
                level.requires_role_above,
            )
        )
        for level in roles.levels
    ]
    lines += [repr(("role", role.name, role.level, role.keep_one)) for role in roles.roles.values()]
    lines += [repr(("was", role.name, sorted(role.was))) for role in roles.roles.values() if role.was]
    lines += [
        repr(("type", declared.name, sorted(declared.actions), sorted(declared.asked_in.items())))
        for declared in policy.resource_types.values()
    ]
    lines += [repr(("stored subject", name)) for name in policy.stored_subjects]
    lines += [repr(("stored resource", name)) for name in policy.stored_resources]
    entities = [written.entity for written in policy.entities.values()]
    lines += [repr(("entity", *entity.key, entity.domain, properties_text(entity.properties))) for entity in entities]
    text = "\n".join(sorted(set(lines)))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
