"""What follows from people and groups that an identity provider sends: memberships, and the roles that the mapping gives.

`provisioning.yaml` is the mapping. What a provider sends and what follows from it are stored in one transaction, by the rules of
role assignments and with a record in the change log; where the rules refuse it, nothing of it is stored.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import unicodedata
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection

from klausel.core.policy.assignment import GROUP_PREFIX, Assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.provisioning import Provisioning
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.records.change_record import Origin
from klausel.core.terms.identifiers import fault_in_subject, is_printable, subject_key
from klausel.storage.assignments.store import AssignmentStore, Change, ForbiddenState, InvalidAssignments
from klausel.storage.provisioned import rows
from klausel.storage.provisioned.rows import Kind, Provisioned
from klausel.storage.sql.database import StorageError, reading

MOST_BYTES = 8192
"""How long what is kept of a person may be, as JSON in ASCII: lists and filters read very many."""
SECONDS_BETWEEN_TRIES = 5.0
_log = logging.getLogger(__name__)
_BY_MAPPING = Origin(reason="provisioning.yaml says so", channel="scim")
_NO_MAPPING = Provisioning("userName", "user", "memberships", ())


class NotTaken(Exception):
    """What a provider sent cannot be stored; the text says why. `kind` is what sort of fault that is."""

    def __init__(self, kind: Literal["taken", "invalid", "forbidden", "conflict"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Person:
    """A person as a provider sends one; `attributes` is what it gets back."""

    user_name: str
    external_id: str | None
    email: str | None
    is_active: bool
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """A group as a provider sends one, with the ids of its members."""

    name: str
    external_id: str | None
    members: frozenset[str]


def comparable(name: str) -> str:
    """A name in the form in which names are compared: capital letters do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


class Provisioner:
    """People and groups that providers send, in the database of the role assignments. Safe for use by many threads.

    A caller of one account has people and groups of its own there; `account` is empty for callers of all accounts.
    """

    def __init__(self, store: AssignmentStore) -> None:
        self._store = store
        self._is_prepared = False
        self._newest: PolicySet | None = None
        self._retrying = threading.Lock()

    def prepare(self) -> None:
        """Makes the tables, where there are none; raises StorageError."""
        if not self._is_prepared:
            rows.prepare(self._store.engine)
            self._is_prepared = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading what providers sent; raises StorageError."""
        with reading(self._store.engine) as connection:
            yield connection

    @contextmanager
    def writing(self, policy: PolicySet, account: str, origin: Origin) -> Iterator[Writing]:
        """What writes in one transaction, which commits at the end; raises `NotTaken` and StorageError."""
        try:
            with self._store.together() as (connection, change):
                mapping = policy.provisioning or _NO_MAPPING
                yield Writing(connection, change, policy.roles, mapping, account, origin)
        except ForbiddenState as error:
            raise NotTaken("conflict", error.violations[0].message) from None
        except InvalidAssignments as error:
            raise NotTaken("invalid", error.faults[0].message) from None

    def apply_mapping(self, policy: PolicySet) -> None:
        """Gives the groups and people that are there what the mapping says now; never raises.

        What the rules refuse stays as it was, and is told in the log. Where the database does not answer, it is tried again.
        """
        self._newest = policy
        try:
            self._apply_mapping(policy)
        except StorageError as error:
            _log.error("provisioning.yaml is applied as soon as the database answers: %s", error)
            threading.Thread(target=self._retry, name="provisioning", daemon=True).start()
        except Exception:
            _log.exception("provisioning.yaml could not be applied")

    def _retry(self) -> None:
        if not self._retrying.acquire(blocking=False):
            return
        try:
            while True:
                time.sleep(SECONDS_BETWEEN_TRIES)
                policy = self._newest
                with suppress(StorageError):
                    if policy is not None:
                        self._apply_mapping(policy)
                    if policy is self._newest:
                        return
        except Exception:
            _log.exception("provisioning.yaml could not be applied")
        finally:
            self._retrying.release()

    def _apply_mapping(self, policy: PolicySet) -> None:
        if not self._is_prepared and not rows.is_there(self._store.engine):
            return
        mapping = policy.provisioning
        with self.reading() as connection:
            groups = rows.all_of(connection, "Group")
            manned = rows.manned(connection, groups)
            groups = [one for one in groups if _differs(one, mapping or _NO_MAPPING, one.id in manned)]
            people = [] if mapping is None else rows.people_by_other_rules(connection, _rule(mapping))
        changed = [*people, *groups]
        if not changed:
            return
        try:
            self._apply_to(changed, policy)
        except NotTaken:
            # One by one, so that what is refused of one does not keep all others as they were.
            for one in changed:
                try:
                    self._apply_to([one], policy)
                except NotTaken as error:
                    _log.error("provisioning.yaml is not applied to %s, which stays as it was: %s", one.subject, error)
        _log.info("provisioning.yaml applied to %d people and groups", len(changed))

    def _apply_to(self, changed: Collection[Provisioned], policy: PolicySet) -> None:
        with self.writing(policy, "", _BY_MAPPING) as writing:
            for one in changed:
                writing.apply_mapping(one)


class Writing:
    """One operation, inside its transaction. Everything raises `NotTaken`, ForbiddenState and InvalidAssignments."""

    def __init__(
        self,
        connection: Connection,
        change: Change,
        roles: RoleModel,
        mapping: Provisioning,
        account: str,
        origin: Origin,
    ) -> None:
        self.connection = connection
        self._change: Callable[[Collection[Assignment], Collection[Assignment]], None]
        self._change = lambda grant, revoke: change(roles, sorted(grant), sorted(set(revoke) - set(grant), key=str), origin)
        self._mapping = mapping
        self._account = account
        self._leaves_out = False

    def put_person(self, person: Person, before: Provisioned | None = None) -> Provisioned:
        """Stores a person, in place of what was stored before; gives, or takes, the memberships that follow."""
        subject = self._subject_of(person)
        attributes = json.dumps(person.attributes, sort_keys=True)
        name, rule = comparable(person.user_name), _rule(self._mapping)
        _check_texts(userName=name, externalId=person.external_id)
        # Whom an earlier version took may still be set inactive.
        if len(attributes) > MOST_BYTES and (before is None or len(before.attributes) <= MOST_BYTES):
            raise NotTaken("invalid", f"what is kept of {person.user_name} has more than {MOST_BYTES} bytes; send less")
        after = _stored(
            before, self._account, "User", name, person.external_id, subject, attributes, rule, is_active=person.is_active
        )
        if after == before:
            return before
        self._refuse_taken(after, f'userName "{person.user_name}"')
        rows.put(self.connection, after)
        groups = [] if before is None else rows.groups_of(self.connection, after)
        was = before.subject if before is not None and before.is_active else None
        now = subject if person.is_active else None
        if was == now and was is not None:
            return after
        grant, revoke = self._roles_of_groups(groups)
        grant += [] if now is None else [_member(now, group) for group in groups]
        revoke += [] if was is None else [_member(was, group) for group in groups]
        leaver = was if was is not None else subject if now is None else None
        if leaver is not None and self._mapping.leavers_lose == "everything":
            revoke += self._held_by(leaver)
        self._change(grant, revoke)
        return after

    def put_group(self, group: Group, before: Provisioned | None = None) -> Provisioned:
        """Stores a group, in place of what was stored before; a group with another name is another group."""
        subject = f"{GROUP_PREFIX}{self._account}/{group.name}" if self._account else f"{GROUP_PREFIX}{group.name}"
        fault = fault_in_subject("group", group.name)
        if fault is not None:
            raise NotTaken("invalid", f"displayName {fault}")
        _check_texts(displayName=comparable(group.name), externalId=group.external_id)
        found = rows.people(self.connection, self._account, group.members)
        given = self._given(group.name) if any(one.is_active for one in found.values()) else ()
        was_in = {one.id for one in self._members(before)}
        attributes, name = json.dumps({"displayName": group.name}), comparable(group.name)
        after = _stored(before, self._account, "Group", name, group.external_id, subject, attributes, json.dumps(given))
        if before is not None and was_in != group.members and after.version == before.version:
            after = replace(after, version=before.version + 1, modified=_now(before.modified))
        if after == before:
            return before
        _check_members(group.members, found)
        self._refuse_taken(after, f'displayName "{group.name}"')
        is_same = before is not None and before.subject == subject
        if not is_same and (
            rows.group_elsewhere(self.connection, self._account, subject) or rows.rows_about(self.connection, subject)
        ):
            raise NotTaken(
                "taken",
                f"{subject} has role assignments or members that did not come with this group; take those away, "
                "or give the group another name",
            )
        rows.put(self.connection, after)
        rows.change_members(self.connection, after.id, group.members - was_in, was_in - group.members)
        if before is None or not is_same:
            grant = [_member(one.subject, after) for one in found.values() if one.is_active]
            revoke = [] if before is None else rows.rows_about(self.connection, before.subject)
            self._change([*grant, *_roles(after, given)], revoke)
            return after
        joining = [one for one in found.values() if one.is_active and one.id not in was_in]
        leaving = rows.people(self.connection, self._account, was_in - group.members).values()
        self._change(
            [*(_member(one.subject, after) for one in joining), *_roles(after, given)],
            [*(_member(one.subject, after) for one in leaving), *_roles(after, _given_before(before))],
        )
        return after

    def change_members(self, group: Provisioned, joining: Collection[str], leaving: Collection[str]) -> Provisioned:
        """Makes people with these ids members of a group and others not, at a cost that does not grow with the group."""
        found = rows.people(self.connection, self._account, {*joining, *leaving})
        _check_members(joining, found)
        already = rows.inside(self.connection, group.id, found)
        joined, left = found.keys() & set(joining) - already, already & set(leaving)
        if not joined and not left:
            return group
        rows.change_members(self.connection, group.id, joined, left)
        given = self._given(_name(group)) if rows.manned(self.connection, [group]) else ()
        after = replace(group, given=json.dumps(given), version=group.version + 1, modified=_now(group.modified))
        rows.put(self.connection, after)
        self._change(
            [*(_member(found[id_].subject, group) for id_ in joined if found[id_].is_active), *_roles(group, given)],
            [*(_member(found[id_].subject, group) for id_ in left), *_roles(group, _given_before(group))],
        )
        return after

    def remove(self, one: Provisioned) -> None:
        """Takes a person or a group away, with what follows from it; of a group also what was given to it by hand."""
        if one.kind == "Group":
            rows.remove(self.connection, one)
            self._change([], rows.rows_about(self.connection, one.subject))
            return
        groups = rows.groups_of(self.connection, one)
        rows.remove(self.connection, one)
        grant, revoke = self._roles_of_groups(groups)
        revoke += [_member(one.subject, group) for group in groups]
        if self._mapping.leavers_lose == "everything":
            revoke += self._held_by(one.subject)
        self._change(grant, revoke)

    def apply_mapping(self, one: Provisioned) -> None:
        """Makes one that is stored what the mapping says."""
        self._account, self._leaves_out = one.account, True
        now = rows.find(self.connection, one.account, one.kind, "id", one.id)
        if now is None:
            return
        attributes = json.loads(now.attributes)
        if now.kind == "User":
            email = email_of(attributes)
            person = Person(attributes["userName"], now.external_id, email, now.is_active, attributes)
            self.put_person(person, now)
        else:
            members = frozenset(member.id for member in self._members(now))
            self.put_group(Group(_name(now), now.external_id, members), now)

    def _roles_of_groups(self, groups: Collection[Provisioned]) -> tuple[list[Assignment], list[Assignment]]:
        """What groups get and lose after somebody in them changed: a group without anybody active has no roles."""
        grant: list[Assignment] = []
        revoke: list[Assignment] = []
        manned = rows.manned(self.connection, groups)
        for group in groups:
            wanted = list(self._given(_name(group))) if group.id in manned else []
            if wanted != _given_before(group):
                rows.put(self.connection, replace(group, given=json.dumps(wanted)))
                grant += _roles(group, wanted)
                revoke += _roles(group, _given_before(group))
        return grant, revoke

    def _members(self, group: Provisioned | None) -> list[Provisioned]:
        return [] if group is None else rows.members(self.connection, [group.id])[group.id]

    def _subject_of(self, person: Person) -> str:
        source = self._mapping.subject_from
        id_ = {"userName": person.user_name, "externalId": person.external_id, "email": person.email}[source]
        if not id_:
            raise NotTaken("invalid", f"{person.user_name} has no {source}, which is the id of the subject here")
        fault = fault_in_subject(self._mapping.subject_type, id_)
        if fault is not None:
            raise NotTaken("invalid", f"{source} {fault}")
        return subject_key(self._mapping.subject_type, id_)

    def _given(self, name: str) -> tuple[tuple[str, str], ...]:
        given = self._mapping.roles_of(name)
        beyond = [(role, domain) for role, domain in given if self._account and top_domain(domain) != self._account]
        if beyond and not self._leaves_out:
            role, domain = beyond[0]
            message = f'group "{name}" would be {role} in {domain}; this caller gives roles in {self._account} alone'
            raise NotTaken("forbidden", message)
        return tuple(pair for pair in given if pair not in beyond)

    def _held_by(self, subject: str) -> list[Assignment]:
        """What a leaver loses: everything, or what a caller of one account reaches of it."""
        held = [row for row in rows.rows_about(self.connection, subject) if row.subject == subject]
        return [row for row in held if not self._account or top_domain(row.domain) == self._account]

    def _refuse_taken(self, one: Provisioned, what: str) -> None:
        by_name = rows.find(self.connection, one.account, one.kind, "name", one.name)
        if by_name is not None and by_name.id != one.id:
            raise NotTaken("taken", f"{what} is there already")
        by_subject = rows.find(self.connection, one.account, one.kind, "subject", one.subject)
        if by_subject is not None and by_subject.id != one.id:
            raise NotTaken("taken", f"{what} would be {one.subject}, which somebody else is already")


def email_of(attributes: dict[str, Any]) -> str | None:
    """The primary address of a person, else the first."""
    emails = attributes.get("emails") or []
    chosen = next((one for one in emails if one.get("primary")), emails[0] if emails else {})
    value = chosen.get("value")
    return value if isinstance(value, str) else None


def _check_members(ids: Collection[str], found: Collection[str]) -> None:
    unknown = sorted(set(ids).difference(found))
    if unknown:
        raise NotTaken("invalid", f'no person has the id "{unknown[0]}"; a group has people as members, and no groups')


def _check_texts(**texts: str | None) -> None:
    for name, text in texts.items():
        if text is not None and not (is_printable(text) and len(text) <= rows.TEXT_CHARACTERS):
            raise NotTaken(
                "invalid", f"{name} is empty, longer than {rows.TEXT_CHARACTERS} characters, or more than one line"
            )


def _stored(
    before: Provisioned | None,
    account: str,
    kind: Kind,
    name: str,
    external_id: str | None,
    subject: str,
    attributes: str,
    given: str,
    is_active: bool = True,
) -> Provisioned:
    """What is to be stored now, with another version where it is another than before."""
    now = _now(0 if before is None else before.modified)
    if before is None:
        return Provisioned(uuid4().hex, account, kind, name, external_id, subject, is_active, attributes, given, now, now, 1)
    same = replace(
        before,
        name=name,
        external_id=external_id,
        subject=subject,
        is_active=is_active,
        attributes=attributes,
        given=given,
    )
    return same if same == before else replace(same, modified=now, version=before.version + 1)


def _now(at_least: int) -> int:
    return max(time.time_ns() // 1000, at_least)


def _rule(mapping: Provisioning) -> str:
    return f"{mapping.subject_type}:{mapping.subject_from}"


def _given_before(group: Provisioned) -> list[tuple[str, str]]:
    return [(role, domain) for role, domain in json.loads(group.given)]


def _name(group: Provisioned) -> str:
    name: str = json.loads(group.attributes)["displayName"]
    return name


def _differs(group: Provisioned, mapping: Provisioning, is_manned: bool) -> bool:
    return _given_before(group) != (list(mapping.roles_of(_name(group))) if is_manned else [])


def _member(subject: str, group: Provisioned) -> Assignment:
    return Assignment(subject, group.subject, "")


def _roles(group: Provisioned, given: Collection[tuple[str, str]]) -> list[Assignment]:
    return [Assignment(group.subject, role, domain) for role, domain in given]
