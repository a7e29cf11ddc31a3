"""Role assignments (a subject has a role in a domain, perhaps for a time) and the rules that `policies/roles.yaml` declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from klausel.core.policy.role_hints import DECLARED_IN, hint_on_role
from klausel.core.policy.roles import RoleModel, depth_of, parent_domain
from klausel.core.terms.identifiers import fault_in_domain, fault_in_subject_key, split_subject_key
from klausel.core.terms.moment import seconds_of_instant

GROUP_PREFIX = "group:"
"""How the stored form of a group of people begins, as a subject and as what others are members of."""
AFTER_GROUPS = "group;"
"""The first text after the stored forms of all groups: `;` is the character after `:`."""


class Assignment(NamedTuple):
    """A subject in its stored form (`user:ann`) has a role in a domain (`acme` or `acme/support`), or is in a group.

    Where it is in a group, that stands in place of the role (`group:emea`), and the domain is empty. It counts from the
    instant `starts` (None: always did) until just before `ends` (None: for ever), each in the form of
    `klausel.core.terms.moment.read_instant`. There is one for a subject, role and domain, whatever its times.
    """

    subject: str
    role: str
    domain: str
    starts: str | None = None
    ends: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Which assignment it is, whatever its times: subject, role and domain."""
        return self[:3]

    @property
    def is_membership(self) -> bool:
        """Whether it makes its subject a member of a group."""
        return not self.domain and self.role.startswith(GROUP_PREFIX)

    def __str__(self) -> str:
        what = f"in {self.role}" if self.is_membership else f"{self.role} in {self.domain}"
        return f"{self.subject} {what}{times_text(self.starts, self.ends)}"


def row_as_json(row: Assignment) -> dict[str, object]:
    """A role assignment as an object, or a membership with the member `group`; times that it does not have are left out."""
    what = {"group": row.role} if row.is_membership else {"role": row.role, "domain": row.domain}
    times = {name: at for name, at in (("from", row.starts), ("until", row.ends)) if at is not None}
    return {"subject": row.subject, **what, **times}


def times_text(starts: str | None, ends: str | None) -> str:
    """When an assignment counts, as the end of a sentence; nothing for one that always does."""
    return (f" from {starts}" if starts is not None else "") + (f" until {ends}" if ends is not None else "")


def fault_in_times(starts: object, ends: object) -> str | None:
    """Why an assignment cannot have these times, as a sentence; None when it can."""
    read = []
    for name, value in (("from", starts), ("until", ends)):
        seconds = seconds_of_instant(value) if isinstance(value, str) else None
        if value is not None and seconds is None:
            return f'{name} "{value}" is no instant as it is stored; write it as 2026-03-01T12:00:00Z'
        read.append(seconds)
    if read[0] is not None and read[1] is not None and read[0] >= read[1]:
        return f"it would end at {ends}, not after it begins at {starts}; exchange from and until, or correct one"
    return None


@dataclass(frozen=True, slots=True)
class Violation:
    """A state of role assignments that the rules forbid: the assignment or domain at fault, and the rule in words."""

    subject: str | None
    role: str
    domain: str
    rule: str
    message: str


def fault_in_assignment(roles: RoleModel, assignment: Assignment) -> str | None:
    """Why this can never be a role assignment, as a sentence with its cure; None when it can.

    Looks at the row alone: names, levels, form. `roles` is the model of the policy set in force.
    """
    if split_subject_key(assignment.subject) is None:
        return _without_type(assignment)
    fault = fault_in_subject_key(assignment.subject)
    if fault:
        return f"subject {fault}"
    if assignment.role.startswith(GROUP_PREFIX):
        return _fault_in_membership(assignment)
    role = roles.roles.get(assignment.role)
    if role is None:
        now = roles.names_now.get(assignment.role)
        hint = f'it is called "{now}" now. {DECLARED_IN}' if now else hint_on_role(assignment.role, roles.roles)
        return f'unknown role "{assignment.role}"; {hint[:1].lower()}{hint[1:]}'
    fault = fault_in_domain(assignment.domain)
    if fault:
        return f'domain "{assignment.domain}" {fault}'
    level = roles.level_at(depth_of(assignment.domain))
    if level is None or level.name != role.level:
        form = roles.form_of_domains(roles.level_of(role.name).depth)
        return f'role "{role.name}" is of level {role.level}, but "{assignment.domain}" is not; write the domain as {form}'
    for depth, part in enumerate(assignment.domain.split("/"), start=1):
        level = roles.level_at(depth)
        if level is not None and level.constant is not None and part != level.constant:
            return f'the only domain of level {level.name} is "{level.constant}", not "{part}"'
    return fault_in_times(assignment.starts, assignment.ends)


def _without_type(assignment: Assignment) -> str:
    subject = assignment.subject
    like_a_subject = next((one for one in (assignment.role, assignment.domain) if ":" in one), None)
    if like_a_subject is not None and not assignment.role.startswith(GROUP_PREFIX):
        message = f'subject "{subject}" has no type, and "{like_a_subject}" looks like a subject'
        return f"{message}; write the subject first, then the role, then the domain"
    return f'subject "{subject}" has no type; write it as type:id, such as user:{subject or "ann"}'


def _fault_in_membership(assignment: Assignment) -> str | None:
    fault = fault_in_subject_key(assignment.role)
    if fault:
        return f"group {fault}"
    if assignment.domain:
        return f'"{assignment.role}" is a group, and its members have no domain; leave "{assignment.domain}" out'
    if assignment.role == assignment.subject:
        return f"{assignment.role} cannot be in itself"
    return fault_in_times(assignment.starts, assignment.ends)


def effective_assignments(roles: RoleModel, held: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The (role, domain) pairs of one subject that count, in the order given.

    A pair counts when its role is declared, its domain is of the role's level, and, where the level requires it, the
    subject has a pair that counts in the domain above. A role stands there by the name that it has now, each pair once.
    """
    depths, levels = roles.depths, roles.levels
    if roles.names_now:
        held = dict.fromkeys((roles.name_now(role), domain) for role, domain in held)
    fitting = [pair for pair in held if depths.get(pair[0]) == pair[1].count("/") + 1]
    peopled = {domain for _, domain in fitting}
    counting = []
    for pair in fitting:
        domain = pair[1]
        above = domain.count("/")
        while above and levels[above].requires_role_above:
            domain = domain.rpartition("/")[0]
            above -= 1
            if domain not in peopled:
                break
        else:
            counting.append(pair)
    return counting


def needs_role_above(roles: RoleModel, stored: str) -> bool:
    """Whether who has a role needs one above it."""
    role = roles.name_now(stored)
    return role in roles.roles and roles.level_of(role).depth > 1 and roles.level_of(role).requires_role_above


class Lacking(NamedTuple):
    """A role that counts for nothing, because its holder has none of the level above it."""

    role: str
    domain: str
    level_above: str


class Separated(NamedTuple):
    """Two roles of which nobody may hold both, with the (role, domain) pairs by which somebody does, sorted."""

    first: str
    second: str
    by_first: tuple[tuple[str, str], ...]
    by_second: tuple[tuple[str, str], ...]


def broken_rules(roles: RoleModel, held: Iterable[tuple[str, str]]) -> tuple[list[Lacking], list[Separated]]:
    """What the rules forbid in one subject's whole set of (role, domain) pairs inside one top-level domain, sorted.

    Roles stand there by the names that they have now.
    """
    pairs = sorted({(roles.name_now(role), domain) for role, domain in held})
    counting = set(effective_assignments(roles, pairs))
    lacking = []
    for role, domain in pairs:
        if (role, domain) in counting or role not in roles.roles:
            continue
        level = roles.level_of(role)
        above = roles.level_at(level.depth - 1)
        if above is not None and level.requires_role_above:
            lacking.append(Lacking(role, domain, above.name))
    return lacking, list(_separated(roles, sorted(counting)))


def _separated(roles: RoleModel, pairs: Iterable[tuple[str, str]]) -> Iterator[Separated]:
    for first, second in roles.separate:
        by_first, by_second = (tuple(pair for pair in pairs if wanted in roles.reach[pair[0]]) for wanted in (first, second))
        if by_first and by_second:
            yield Separated(first, second, by_first, by_second)


def subject_violations(roles: RoleModel, subject: str, held: Iterable[tuple[str, str]]) -> list[Violation]:
    """What the rules forbid in one subject's whole set of (role, domain) pairs inside one top-level domain, sorted."""
    violations = []
    lacking, separated = broken_rules(roles, held)
    for role, domain, above in lacking:
        message = f"{subject} would be {role} in {domain} without a role of level {above} in {parent_domain(domain)}"
        violations.append(Violation(subject, role, domain, "requires-role-above", message))
    for first, second, by_first, by_second in separated:
        role, domain = by_second[0]
        message = f"{subject} would be {first} in {by_first[0][1]} and {second} in {domain}; nobody may hold both"
        violations.append(Violation(subject, role, domain, "separate-roles", message))
    return violations


def keeper_violation(role: str, domain: str) -> Violation:
    """The violation of a domain that would have people in it but no holder of a role that must keep one."""
    message = f"{domain} would have people in it but no {role}; keep one, or empty {domain} as a whole"
    return Violation(None, role, domain, "keep-one", message)
