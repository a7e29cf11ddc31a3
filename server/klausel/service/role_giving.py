"""Changes of role assignments on behalf of a person: made as far as the policies let that person, and no further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from klausel.casbin_policies.engine import CompiledPolicy
from klausel.core.decisions.decide import Decision, decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.role_giving import (
    GRANT,
    REVOKE,
    RoleGiven,
    fault_in_declarations,
    raise_by,
    resource_of,
)
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import joined
from klausel.core.policy.holding import held_at, timing_of
from klausel.core.records.change_record import Origin
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.request import Action, Request, Subject, asked_at
from klausel.storage.assignments.judging import ProposedChange
from klausel.storage.assignments.store_answers import RowFault


class MayNotGive(Exception):
    """A person may not make a change of role assignments; nothing was written. Without rows it is about none of them."""

    def __init__(self, message: str, refused: tuple[RowFault, ...] = ()) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """The guard of a write on behalf of a person, a subject in its stored form (`user:ann`)."""

    compiled: CompiledPolicy
    person: str

    def __call__(self, proposed: ProposedChange) -> None:
        """Asks the policies about every role that a write gives or takes; raises `MayNotGive`.

        Whatever the policies say, the person comes by no role that it does not hold: not by a row of its own, and not through
        a group. It decides by the state before the write, inside its transaction.
        """
        policy = self.compiled.policy
        fault = fault_in_declarations(policy)
        if fault is not None:
            raise MayNotGive(fault)
        before, after = proposed.rows_of(self.person)
        person = self._person_as_asked(proposed)
        effective = EffectiveRoles.of_held(policy.roles, held_at(self.person, before, proposed.now))
        refused = []
        for list_, index, row, given in _roles_given(proposed):
            why = self._fault(person, effective, given, proposed.now)
            if why is not None:
                refused.append(RowFault(list_, index, row, f"{self.person} may not {given.action} {given}: {why}"))
        if refused:
            raise MayNotGive(refused[0].message, tuple(dict.fromkeys(refused)))
        raised = raise_by(policy.roles, self.person, before, after, proposed.now)
        if raised is not None:
            blamed = self._row_to_blame(proposed)
            message = f"{self.person} would get {raised}, and nobody gives themselves a role that they do not hold"
            raise MayNotGive(message, (replace(blamed, message=message),) if blamed else ())

    def _person_as_asked(self, proposed: ProposedChange) -> Subject:
        type_, id_ = split_subject_key(self.person) or ("", self.person)
        request = Request(Subject(type_, id_), Action(""), resource=None)  # type: ignore[arg-type]
        policy = self.compiled.policy
        written = policy.entities.get(("subject", type_, id_))
        stored = None if written is None else written.entity
        if written is None and type_ in policy.stored_subjects:
            stored = proposed.entity_of(type_, id_)
        return joined(policy.roles, request, stored, None).subject

    def _fault(self, person: Subject, effective: EffectiveRoles, given: RoleGiven, now: float) -> str | None:
        """Why the policies do not let the person give or take a role; None where they do."""
        policy = self.compiled.policy
        resource = resource_of(policy, given)
        if isinstance(resource, str):
            return resource
        request = Request(person, Action(given.action), resource)
        if policy.uses_now:
            request = asked_at(request, datetime.fromtimestamp(now, UTC))
        decision = decide(policy, self.compiled, lambda _, domain: effective.roles_in(domain), request)
        return None if decision.allowed else _reason(decision, given)

    def _row_to_blame(self, proposed: ProposedChange) -> RowFault | None:
        """The row of the person itself among those granted, else the first one."""
        rows = [RowFault("grant", index, row, "") for index, row in enumerate(proposed.grant)]
        return next((one for one in rows if one.assignment.subject == self.person), rows[0] if rows else None)


def _reason(decision: Decision, given: RoleGiven) -> str:
    if decision.failure is not None:
        return decision.failure
    if decision.grant is not None:
        return f"{decision.grant.source} denies it"
    if not given.domain:
        return f"{given.group} has no role, so no domain says who may change its members; give it a role first"
    return "no grant of the policies allows it"


def _roles_given(proposed: ProposedChange) -> Iterator[tuple[Literal["grant", "revoke"], int, Assignment, RoleGiven]]:
    """Every role that a write gives or takes, with its row; rows that are there already are asked about like others."""
    removed = {row.key for row in proposed.removed}
    for index, row in enumerate(proposed.grant):
        for given in _roles_of(proposed, row, GRANT):
            yield "grant", index, row, given
        if row.key in removed:
            # Other times: what was held is taken.
            for given in _roles_of(proposed, row, REVOKE):
                yield "grant", index, row, given
    for index, row in enumerate(proposed.revoke):
        for given in _roles_of(proposed, row, REVOKE):
            yield "revoke", index, row, given


def _roles_of(proposed: ProposedChange, row: Assignment, action: str) -> Iterator[RoleGiven]:
    """The role of a row; of a membership all that the group leads to, before and after the write."""
    if not row.is_membership:
        yield RoleGiven(action, row.subject, row.role, row.domain)
        return
    given = RoleGiven(action, row.subject, "", "", row.role)
    led_to = dict.fromkeys(
        given._replace(role=one.role, domain=one.domain)
        for one in proposed.above(row.role)
        if not one.is_membership and not _has_ended(one, proposed.now)
    )
    yield from led_to or (given,)


def _has_ended(row: Assignment, now: float) -> bool:
    untimely = timing_of(row, now)
    return untimely is not None and untimely.timing == "ended"


def on_behalf_origin(origin: Origin, person: str) -> Origin:
    """The origin of a change that was checked for a person: logged as made by it, through a door of its own.

    Raises ValueError, with a sentence, where the change says to be by somebody else.
    """
    if origin.by not in (None, person):
        raise ValueError(f"by and on_behalf_of name different people; leave by out, for the log names {person}")
    return replace(origin, by=person, channel="http_on_behalf" if origin.channel == "http" else "cli_on_behalf")
