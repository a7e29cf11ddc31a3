"""Explaining: which role assignment, inheritance, grant and condition decided, and what a denied request lacked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from klausel.core.conditions.tree import atoms, attributes_of, evaluate, value_of
from klausel.core.conditions.values import shown
from klausel.core.decisions.decide import Decision, Plan, decide
from klausel.core.decisions.effective_roles import EffectiveRoles, Source
from klausel.core.policy.entity_faults import places_in_files
from klausel.core.policy.fitting import truth_as_declared
from klausel.core.policy.holding import Untimely, Way
from klausel.core.policy.orphans import why_orphaned
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.properties import misfits
from klausel.core.policy.roles import ANYONE, depth_of
from klausel.core.terms.problem import did_you_mean
from klausel.core.terms.request import Request

MOST_NEAREST = 5

Part = Literal["type and action", "role", "domain", "condition"]


@dataclass(frozen=True, slots=True)
class AtomSeen:
    """One comparison of a condition: its text, its value (None: unknown), and the attributes it read with their values.

    `misfits` are those of them that are not of their declared type, each with that type in words.
    """

    text: str
    value: bool | None
    read: tuple[tuple[str, object], ...]
    misfits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GrantSeen:
    """A grant that holds: how the subject comes by its role (None for `anyone`), and what its condition saw."""

    grant: Grant
    source: Source | None
    atoms: tuple[AtomSeen, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """One part of a grant that the request does not meet, in words."""

    part: Part
    message: str


@dataclass(frozen=True, slots=True)
class NearGrant:
    """An allow that did not hold, with everything it lacked."""

    grant: Grant
    lacks: tuple[Lack, ...]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stored role assignment that counts for nothing, and why, as the end of a sentence."""

    role: str
    domain: str
    why: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A role assignment that is stored under a former name of its role, and the name that this has now."""

    stored_as: str
    role: str
    domain: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request got its decision.

    `decided_by` is the grant that decided (None when no grant holds), `also` the others with the same effect that hold,
    `nearest` (only on a deny that no grant decided, at most five) the allows that came nearest: those about the asked type
    and action, or, when there are none, of the asked type; fewest unmet parts first, then in the order of the files.
    `held` are the subject's role assignments that count, as (role, domain), inside the asked domain of the top level.
    `unknown` says which name of the request no policy file declares. `orphaned` are the role assignments there that count for
    nothing, because their role is not declared, or is one of another level;
    `renamed` those that are stored under a former name of their role; `untimely` those that ended or begin later, and
    memberships of which that is so, as of `now`, in seconds since 1970. `ways` says of each of `held` through which groups it
    comes, and until when. `from_store` names what the request has from the database, such as `subject.email`,
    and `from_files` where the files of the policies say what it has from them, as `file:line`.
    """

    request: Request
    decision: Decision
    decided_by: GrantSeen | None
    also: tuple[GrantSeen, ...]
    nearest: tuple[NearGrant, ...]
    held: tuple[tuple[str, str], ...]
    unknown: str | None = None
    orphaned: tuple[Orphan, ...] = ()
    renamed: tuple[Renamed, ...] = ()
    untimely: tuple[Untimely, ...] = ()
    ways: Mapping[tuple[str, str], Way] = field(default_factory=dict)
    now: float = 0.0
    from_store: tuple[str, ...] = ()
    from_files: Mapping[str, str] = field(default_factory=dict)


def explain(
    policy: PolicySet,
    plan: Plan,
    effective_roles_of: Callable[[str], EffectiveRoles],
    request: Request,
    now: float = 0.0,
) -> Explanation:
    """The explanation of the decision that `decide` gives; the same request gives the same explanation.

    `now` is the moment, in seconds since 1970, of the effective roles; it says how long ago something ended.
    """
    resolved_roles: list[EffectiveRoles] = []

    def roles_held(subject: str, domain: str | None) -> frozenset[str]:
        resolved_roles.append(effective_roles_of(subject))
        return resolved_roles[0].roles_in(domain)

    decision = decide(policy, plan, roles_held, request)
    if not resolved_roles:
        return Explanation(request, decision, None, (), (), ())
    effective_roles = resolved_roles[0].inside(decision.domain)
    stored = resolved_roles[0].stored_inside(decision.domain)
    orphaned = tuple(_orphans(policy, stored))
    names_now = policy.roles.names_now
    renamed = tuple(Renamed(role, names_now[role], domain) for role, domain in stored if role in names_now)
    untimely = effective_roles.untimely
    ways = {pair: effective_roles.way_to(*pair) for pair in effective_roles.held}
    roles = effective_roles.roles_in(decision.domain)
    from_files = places_in_files(policy, request)
    if decision.grant is None:
        nearest = _nearest(policy, effective_roles, roles, decision.domain, request)
        unknown = _unknown(policy, request)
        return Explanation(
            *(request, decision, None, (), nearest, effective_roles.held, unknown, orphaned, renamed, untimely, ways, now),
            from_files=from_files,
        )
    decided_by = _seen(policy, effective_roles, decision.domain, request, decision.grant)
    also = tuple(
        _seen(policy, effective_roles, decision.domain, request, grant)
        for grant in policy.grants_about(request.resource.type, request.action.name)
        if grant is not decision.grant
        and grant.effect == decision.grant.effect
        and grant.reaches(roles, decision.domain, policy.roles)
        and _condition_holds(grant, request)
    )
    return Explanation(
        *(request, decision, decided_by, also, (), effective_roles.held, None, orphaned, renamed, untimely, ways, now),
        from_files=from_files,
    )


def _orphans(policy: PolicySet, stored: Iterable[tuple[str, str]]) -> Iterator[Orphan]:
    for role, domain in stored:
        if policy.roles.stored_depths.get(role) != depth_of(domain):
            yield Orphan(role, domain, why_orphaned(policy.roles, role))


def _is_about(grant: Grant, request: Request) -> bool:
    return grant.resource_type == request.resource.type and grant.action == request.action.name


def _condition_holds(grant: Grant, request: Request) -> bool:
    return grant.holds(evaluate(grant.condition, request) if grant.condition else True)


def _seen(
    policy: PolicySet, effective_roles: EffectiveRoles, domain: str | None, request: Request, grant: Grant
) -> GrantSeen:
    source = None if grant.grantee == ANYONE else effective_roles.source_of(policy.roles, grant.grantee, domain)
    return GrantSeen(grant, source, tuple(_atoms_seen(policy, grant, request)))


def _atoms_seen(policy: PolicySet, grant: Grant, request: Request) -> Iterator[AtomSeen]:
    """The comparisons of a grant's condition, each once; one that reads what is not of its declared type is unknown."""
    if grant.written is None:
        return
    declarations = policy.declarations(grant.resource_type)
    unfit = {str(attribute): str(type_) for attribute, _, type_ in misfits(declarations, request)}
    for atom in dict.fromkeys(atoms(grant.written)):
        read = tuple((str(attribute), shown(value_of(attribute, request))) for attribute in attributes_of(atom))
        wrong = tuple((name, unfit[name]) for name, _ in read if name in unfit)
        yield AtomSeen(str(atom), truth_as_declared(atom, declarations, request), read, wrong)


def _nearest(
    policy: PolicySet, effective_roles: EffectiveRoles, roles: frozenset[str], domain: str | None, request: Request
) -> tuple[NearGrant, ...]:
    allows = [
        grant
        for grant in policy.grants_about(request.resource.type, request.action.name) or policy.grants
        if grant.effect == "allow" and grant.resource_type == request.resource.type
    ]
    unmet = [
        (not _is_about(grant, request))
        + (grant.grantee not in roles)
        + (not grant.scope.covers(domain, policy.roles))
        + (not _condition_holds(grant, request))
        for grant in allows
    ]
    order = sorted(range(len(allows)), key=lambda position: (unmet[position], position))[:MOST_NEAREST]
    return tuple(
        NearGrant(grant, tuple(_lacks(policy, effective_roles, roles, domain, request, grant)))
        for grant in (allows[position] for position in order)
    )


def _unknown(policy: PolicySet, request: Request) -> str | None:
    type_, action = request.resource.type, request.action.name
    declared = policy.resource_types.get(type_)
    if declared is None and type_ in getattr(policy.resource_types.get(action), "actions", ()):
        return f'no policy file declares the resource type "{type_}"; it is an action of {action}, so exchange the two'
    if declared is None:
        return f'no policy file declares the resource type "{type_}"; {did_you_mean(type_, policy.resource_types)}'.rstrip(
            "; "
        )
    if action not in declared.actions:
        return f'{type_} has no action "{action}"; {did_you_mean(action, declared.actions)}'.rstrip("; ")
    return None


def _lacks(
    policy: PolicySet,
    effective_roles: EffectiveRoles,
    roles: frozenset[str],
    domain: str | None,
    request: Request,
    grant: Grant,
) -> Iterator[Lack]:
    if not _is_about(grant, request):
        asked = f"{request.action.name} {request.resource.type}"
        yield Lack("type and action", f"it is about {grant.action} {grant.resource_type}, not {asked}")
    where = domain or "no domain"
    if grant.grantee not in roles:
        held = ", ".join(f"{role} in {place}" for role, place in effective_roles.held) or "no role"
        yield Lack("role", f"it needs {grant.grantee} in {where}; the subject holds {held}")
    if not grant.scope.covers(domain, policy.roles):
        yield Lack("domain", f"it holds only {grant.scope.words}; the request is asked in {where}")
    if not _condition_holds(grant, request):
        failing = [seen for seen in _atoms_seen(policy, grant, request) if seen.value is not True]
        why = "; ".join(_why_not_true(seen) for seen in failing)
        yield Lack("condition", f"its condition {grant.condition_text} does not hold: {why}")


def _why_not_true(seen: AtomSeen) -> str:
    return f"{seen.text} is {show_truth(seen.value)} ({values_in_words(seen)})"


def values_in_words(seen: AtomSeen) -> str:
    """What a comparison read, and why that counts for nothing where it is not of its declared type."""
    declared = dict(seen.misfits)
    return ", ".join(
        f"{name} is {show_value(value)}" + (f", which is not as declared: {declared[name]}" if name in declared else "")
        for name, value in seen.read
    )


def show_truth(value: bool | None) -> str:
    """`true`, `false` or `unknown`."""
    return "unknown" if value is None else str(value).lower()


def show_value(value: object) -> str:
    """A value of a request as JSON writes it, on one line, without control characters; `missing` for none."""
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)
