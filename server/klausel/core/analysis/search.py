"""Who can, what can: every subject for one question, and every question for one subject, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from klausel.core.analysis.permission import Permission, Question, Verdict, question_in
from klausel.core.conditions.tree import Condition
from klausel.core.decisions.domain import BadDomain
from klausel.core.decisions.effective_roles import EffectiveRoles, Source
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of, top_domain
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.request import Request


@dataclass(frozen=True, slots=True)
class Reason:
    """A grant, and how the subject comes by its grantee; None for `anyone`."""

    grant: Grant
    source: Source | None


@dataclass(frozen=True, slots=True)
class Found:
    """What one subject (`user:ann`, or `anyone`) may do in a domain: always, or when a condition is certainly true.

    `allows` are the grants that it rests on, `denies` those that can take it away. The verdict `never` comes only
    for those whom a deny takes away what anyone may.
    """

    subject: str
    resource_type: str
    action: str
    domain: str | None
    verdict: Verdict
    condition: Condition | None
    allows: tuple[Reason, ...]
    denies: tuple[Reason, ...]
    brought: frozenset[Condition] = frozenset()
    """What stands in the condition for declared types alone, and people need not read."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Role assignments that can matter to a question: these (role, domain), and these roles anywhere below `top`."""

    exactly: tuple[tuple[str, str], ...]
    anywhere: tuple[str, ...]
    top: str

    def include(self, role: str, domain: str) -> bool:
        """Whether this role assignment is one of them."""
        return (role, domain) in self.exactly or (role in self.anywhere and domain.startswith(self.top + "/"))


def holders_that_matter(roles: RoleModel, question: Question) -> Holders:
    """Whose roles make a difference to the answer: those that reach an allow; where anyone may, those that reach a deny too."""
    everybody_may = question.permission({ANYONE}).verdict != "never"
    return holders_of(roles, question.domain, question.grantees if everybody_may else question.allowed_names)


def holders_of(roles: RoleModel, domain: str | None, names: Collection[str]) -> Holders:
    """Who has any of these names in a domain, apart from `anyone`."""
    if domain is None:
        return Holders((), (), "")
    wanted = roles.with_parts(names) - {ANYONE}
    above = [domain]
    while "/" in above[-1]:
        above.append(above[-1].rpartition("/")[0])
    exactly = [
        (stored, place)
        for place in reversed(above)
        for role, depth in roles.depths.items()
        if depth == depth_of(place) and roles.names_given(role, place, domain) & wanted
        for stored in roles.stored_names(role)
    ]
    anywhere = [
        stored
        for role, depth in roles.depths.items()
        if depth > 1 and (roles.closure[ANY_PREFIX + role] | (roles.reach[role] - roles.closure[role])) & wanted
        for stored in roles.stored_names(role)
    ]
    return Holders(tuple(exactly), tuple(anywhere), top_domain(domain))


def _nothing_stored(_: str) -> Mapping[str, object]:
    return {}


def who_can(
    roles: RoleModel,
    question: Question,
    people: Iterable[tuple[str, EffectiveRoles]],
    with_everybody: bool = True,
    stored: Callable[[str], Mapping[str, object]] = _nothing_stored,
) -> Iterator[Found]:
    """Those who may, in the order of `people`, who are the holders that matter with their effective roles.

    First comes `anyone`, where a grant reaches every subject; then those whose roles, or what is `stored` of them, make a
    difference to that.
    """
    everybody = question.permission({ANYONE})
    if with_everybody and everybody.verdict != "never":
        yield _found(roles, question, ANYONE, None, everybody)
    for key, effective_roles in people:
        subject = split_subject_key(key)
        if subject is None:
            continue
        about = question.about(stored(key))
        permission = about.permission(effective_roles.roles_in(question.domain), subject)
        if permission.verdict == "never" and about.permission({ANYONE}, subject).verdict == "never":
            continue
        without_roles = question.permission({ANYONE}, subject)
        if (permission.verdict, permission.condition) != (without_roles.verdict, without_roles.condition):
            yield _found(roles, question, key, effective_roles, permission)


def what_can(
    policy: PolicySet, key: str, effective_roles: EffectiveRoles, domain: str | None, given: Request
) -> Iterator[Found]:
    """All that a subject may do to something in a domain, type by type; what is asked further up is answered there."""
    subject = split_subject_key(key)
    for declared in policy.resource_types.values():
        for action in declared.actions:
            question = question_in(policy, declared.name, action, domain, given)
            if isinstance(question, BadDomain):
                continue
            permission = question.permission(effective_roles.roles_in(question.domain), subject)
            if permission.verdict != "never":
                yield _found(policy.roles, question, key, effective_roles, permission)


def _found(
    roles: RoleModel, question: Question, key: str, effective_roles: EffectiveRoles | None, permission: Permission
) -> Found:
    def reasons(grants: Iterable[Grant]) -> tuple[Reason, ...]:
        return tuple(
            Reason(
                grant,
                effective_roles.source_of(roles, grant.grantee, question.domain) if effective_roles is not None else None,
            )
            for grant in grants
        )

    denies = permission.denies
    if permission.verdict == "never" and effective_roles is not None:
        names = effective_roles.roles_in(question.domain)
        denies = tuple(grant for grant in question.grants if grant.effect == "deny" and grant.grantee in names)
    return Found(
        key,
        question.resource_type,
        question.action,
        question.domain,
        permission.verdict,
        permission.condition,
        reasons(permission.allows),
        reasons(denies),
        permission.brought,
    )
