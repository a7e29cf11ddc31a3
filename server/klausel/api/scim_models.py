"""What identity providers may send of people and groups, and the storage that the SCIM library reads and writes by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ConflictException,
    ETag,
    Filter,
    ForbiddenException,
    InvalidValueException,
    Meta,
    Mutability,
    NotFoundException,
    NotImplementedException,
    Patch,
    PatchOp,
    PreconditionFailedException,
    Reference,
    Required,
    Resource,
    ResourceType,
    ResponseParameters,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    SearchRequest,
    ServiceProviderConfig,
    Sort,
    TooManyException,
    Uniqueness,
    UniquenessException,
)
from scim2_models.path import CompareOperator, Comparison
from scim2_server.conditions import Conditions
from scim2_server.handler import ScimHandler
from scim2_server.service import ScimService
from scim2_server.storage import ScimStorage, SearchPage
from sqlalchemy import Connection

from klausel.core.policy.policy_set import PolicySet
from klausel.core.records.change_record import Origin
from klausel.core.terms.identifiers import is_printable
from klausel.service.provisioning import Group as SentGroup
from klausel.service.provisioning import NotTaken, Person, Provisioner, Writing, comparable, email_of
from klausel.storage.provisioned import rows
from klausel.storage.provisioned.rows import Found, Kind, Provisioned

LARGEST_PAGE = 200
MOST_COMPARED = 10_000
"""How many people or groups are gone through for a filter that no index answers."""
MOST_FILTERED = 2_000_000
"""How many characters of such a filter times people or groups, with the members of these, are gone through: some seconds."""
MOST_MEMBERS = 50_000
"""How many members the groups of a page may have together."""
MOST_PATCHED = 1_000_000
"""How many values of a list times operations a PATCH may go through, while all other writes wait: some seconds."""
STEPS_OF_A_FILTER = 40
"""How much longer an operation takes that looks for values by a filter."""
_ONE_MEMBER = re.compile(r'members\[value eq "([^"\\]*)"\]', re.IGNORECASE)
_COLUMNS: dict[str, Found] = {"username": "name", "displayname": "name", "externalid": "external_id", "id": "id"}


class Name(ComplexAttribute):
    """What a person is called."""

    formatted: str | None = None
    family_name: str | None = None
    given_name: str | None = None


class Email(ComplexAttribute):
    """An address; which texts are addresses is the provider's affair."""

    value: str | None = None
    type: str | None = None
    primary: bool | None = None


class User(Resource[Any]):
    """What is kept of a person; whatever else a provider sends is dropped."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")
    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    name: Name | None = None
    display_name: str | None = None
    active: bool | None = None
    emails: list[Email] | None = None


class Member(ComplexAttribute):
    """A person in a group, by the id here."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference[User] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )


class Group(Resource[Any]):
    """A group and the people in it."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")
    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    members: list[Member] | None = None


PROVIDER = ScimProvider(
    models=[User, Group],
    config=ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=LARGEST_PAGE),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="An API key or OAuth token with the scope provision",
                primary=True,
            )
        ],
    ),
    policy=ScimPolicy(
        unknown=ScimPolicy.Unknown.ignore,
        remove_value_as_filter=ScimPolicy.RemoveValue.apply,
        unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    ),
)
"""What is told of the service, and what of the ways of Okta and Entra is taken beside the standard."""


_GROUPS = next(one for one in PROVIDER.resource_types if one.name == "Group")


@contextmanager
def told_as_scim() -> Iterator[None]:
    """Turns `NotTaken` into the exception of the library that is answered so."""
    try:
        yield
    except NotTaken as error:
        kinds: dict[str, type[SCIMException]] = {
            "taken": UniquenessException,
            "invalid": InvalidValueException,
            "forbidden": ForbiddenException,
            "conflict": ConflictException,
        }
        raise kinds[error.kind](detail=str(error)) from None


def in_words(error: SCIMException) -> SCIMException:
    """The same, told as the member at fault and what is wrong with it where it is one of a body."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return error
    first = cause.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    detail = f"{place}: {first['msg']}" if place else first["msg"]
    return SCIMException.from_error(error.to_error().model_copy(update={"detail": detail}))


class RequestStorage(ScimStorage):
    """What one request of a provider reads and writes, in one transaction."""

    def __init__(self, provisioner: Provisioner, policy: PolicySet, account: str, origin: Origin, writes: bool) -> None:
        self._provisioner = provisioner
        self._policy = policy
        self._account = account
        self._origin = origin
        self._writes = writes
        self._connection: Connection
        self._writing: Writing

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Within it the others read and write; it commits at the end, unless one refused."""
        if not self._writes:
            with self._provisioner.reading() as self._connection:
                yield
            return
        with told_as_scim(), self._provisioner.writing(self._policy, self._account, self._origin) as self._writing:
            self._connection = self._writing.connection
            yield

    def get(
        self, resource_type: ResourceType, resource_id: str, *, response_parameters: ResponseParameters[Any] | None = None
    ) -> Resource[Any]:
        """The one with this id."""
        found = self._found(resource_type, resource_id)
        # What is about to be changed has no references: Entra names who leaves with an empty one, which must fit.
        return self._as_resources([found], _wants_members(response_parameters), not self._writes)[0]

    def search(
        self, resource_types: list[ResourceType], search_request: SearchRequest[Any], *, position: Any = None
    ) -> SearchPage:
        """Some of those that fit the filter, by their names, and how many there are."""
        if len(resource_types) > 1:
            raise NotImplementedException(detail="people and groups are not searched together; ask Users or Groups")
        kind = _kind(resource_types[0])
        # Databases count no further.
        offset = min(search_request.start_index_0 or 0, 2**31)
        limit = LARGEST_PAGE if search_request.count is None else search_request.count
        with_members = _wants_members(search_request)

        def shown(some: list[Provisioned]) -> list[Resource[Any]]:
            if with_members and rows.count_members(self._connection, [one.id for one in some]) > MOST_MEMBERS:
                detail = (
                    f"these groups have more than {MOST_MEMBERS} members; ask with excludedAttributes=members, or for fewer"
                )
                raise TooManyException(detail=detail)
            return self._as_resources(some, with_members)

        if search_request.filter is None:
            total, found = rows.page(self._connection, self._account, kind, offset, limit)
            return SearchPage(total, shown(found))
        node = search_request.filter.ast
        by, wanted = _indexed(node)
        if by is not None:
            value = comparable(wanted) if by == "name" else wanted
            total, found = rows.page(self._connection, self._account, kind, offset, limit, by, value)
            fitting = [one for one in shown(found) if search_request.filter.match(one)]
            return SearchPage(total if fitting or not found else 0, fitting)
        total, found = rows.page(self._connection, self._account, kind, 0, MOST_COMPARED + 1)
        if total > MOST_COMPARED:
            detail = (
                f"there are more than {MOST_COMPARED} of them; filter by userName, displayName, externalId or id with eq"
            )
            raise TooManyException(detail=detail)
        with_members = kind == "Group"
        members = rows.count_members(self._connection, [one.id for one in found]) if with_members else 0
        if len(str(search_request.filter)) * (total + members) > MOST_FILTERED:
            raise TooManyException(detail="this filter is too long for so many of them; send a shorter one, or several")
        fitting = [one for one in shown(found) if search_request.filter.match(one)]
        return SearchPage(len(fitting), fitting[offset : offset + limit])

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        """Stores a new one."""
        return self._put(resource, None)

    def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        """Stores one in place of what it was."""
        return self._put(resource, self._found(resource_type, cast(str, resource.id), expected_version))

    def delete(self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None) -> None:
        """Takes one away."""
        found = self._found(resource_type, resource_id, expected_version)
        with told_as_scim():
            self._writing.remove(found)

    def check_effort(self, resource_type: ResourceType, resource_id: str, patch_op: PatchOp[Any]) -> None:
        """Raises TooManyException where a PATCH would take long: each operation goes through all values of a list."""
        found = self._found(resource_type, resource_id)
        operations = patch_op.operations or []
        sent = sum(len(one.value) if isinstance(one.value, list) else 1 for one in operations)
        emails = json.loads(found.attributes).get("emails") or ()
        held = rows.count_members(self._connection, [found.id]) + len(emails)
        steps = sum(STEPS_OF_A_FILTER if "[" in str(one.path or "") else 1 for one in operations)
        if steps * (held + sent) > MOST_PATCHED:
            raise TooManyException(detail="these are too many operations for so many values; send fewer of them at once")

    def change_members(self, group_id: str, changes: Mapping[str, bool], conditions: Conditions) -> Resource[Any]:
        """Makes people members of a group (True) or not; the group comes back without its members."""
        group = self._found(_GROUPS, group_id)
        conditions.check(_version(group), "PATCH")
        joining = {id_ for id_, joins in changes.items() if joins}
        with told_as_scim():
            after = self._writing.change_members(group, joining, changes.keys() - joining)
        return self._as_resources([after], with_members=False)[0]

    def _put(self, resource: Resource[Any], before: Provisioned | None) -> Resource[Any]:
        with told_as_scim():
            if isinstance(resource, User):
                stored = self._writing.put_person(_person(resource, before), before)
            else:
                stored = self._writing.put_group(_group(cast(Group, resource)), before)
        return self._as_resources([stored], True)[0]

    def _found(self, resource_type: ResourceType, id_: str, expected_version: str | None = None) -> Provisioned:
        kind = _kind(resource_type)
        found = rows.find(self._connection, self._account, kind, "id", id_) if len(id_) == 32 and id_.isalnum() else None
        if found is None:
            raise NotFoundException(detail=f'there is no {kind} with the id "{id_}"')
        if expected_version is not None and expected_version != _version(found):
            raise PreconditionFailedException(detail="it was changed meanwhile; read it again")
        return found

    def _as_resources(
        self, found: list[Provisioned], with_members: bool, with_references: bool = True
    ) -> list[Resource[Any]]:
        groups = [one.id for one in found if one.kind == "Group"] if with_members else []
        members = rows.members(self._connection, groups)
        return [_resource(one, members.get(one.id, []), with_references) for one in found]


class Handler(ScimHandler):
    """As the library has it, but a change of some members of a group does not go through all of them."""

    def __init__(self, storage: RequestStorage) -> None:
        super().__init__(ScimService(PROVIDER), storage)
        self._storage = storage

    def patch_resource(
        self, resource_type: ResourceType, resource_id: str, patch_op: PatchOp[Any], conditions: Conditions
    ) -> Resource[Any]:
        """Applies a PATCH to what is stored."""
        changes = _changes_of_members(patch_op) if resource_type.name == "Group" else None
        if changes is None:
            self._storage.check_effort(resource_type, resource_id, patch_op)
            return super().patch_resource(resource_type, resource_id, patch_op, conditions)
        return self._storage.change_members(resource_id, changes, conditions)


def _changes_of_members(patch_op: PatchOp[Any]) -> dict[str, bool] | None:
    """By the id of each person whether they join or leave; None for a PATCH that does more than that."""
    changes: dict[str, bool] = {}
    for operation in patch_op.operations or ():
        path, name = str(operation.path or ""), operation.op.value
        one = _ONE_MEMBER.fullmatch(path)
        values = operation.value if isinstance(operation.value, list) else [operation.value]
        if name == "remove" and one is not None and operation.value is None:
            changes[one[1]] = False
        elif name in ("add", "remove") and path.lower() == "members" and None not in (ids := list(map(_id_in, values))):
            changes |= {str(id_): name == "add" for id_ in ids}
        else:
            return None
    return changes


def _id_in(value: object) -> str | None:
    id_ = value.get("value") if isinstance(value, dict) else None
    return id_ if isinstance(id_, str) else None


def _kind(resource_type: ResourceType) -> Kind:
    return "Group" if resource_type.name == "Group" else "User"


def _indexed(node: object) -> tuple[Found | None, str]:
    """The column that answers a filter, and its value; None where no column does."""
    if isinstance(node, Comparison) and node.op == CompareOperator.eq and isinstance(node.value, str):
        path = node.attr_path
        # What is not printable is never stored, and no database compares with it.
        return None if path.sub_attr else _COLUMNS.get(path.attr.lower()), node.value if is_printable(node.value) else ""
    return None, ""


def _wants_members(parameters: ResponseParameters[Any] | None) -> bool:
    """Whether the answer may have the members of groups, which are very many."""
    excluded = [str(one).rpartition(":")[2].lower() for one in (parameters and parameters.excluded_attributes) or ()]
    wanted = [str(one).rpartition(":")[2].lower() for one in (parameters and parameters.attributes) or ()]
    return "members" not in excluded and (not wanted or any(one.startswith("members") for one in wanted))


def _person(user: User, before: Provisioned | None) -> Person:
    attributes = user.model_dump(exclude={"id", "meta", "schemas", "external_id"})
    for name in ("id", "meta", "schemas", "externalId"):
        attributes.pop(name, None)
    assert user.user_name is not None
    # Providers that say nothing of it send people who are active; who was set inactive comes back only by being called active.
    is_active = user.active if user.active is not None else before is None or before.is_active
    return Person(user.user_name, user.external_id, email_of(attributes), is_active, attributes)


def _group(group: Group) -> SentGroup:
    assert group.display_name is not None
    members = frozenset(member.value for member in group.members or () if member.value is not None)
    return SentGroup(group.display_name, group.external_id, members)


def _version(one: Provisioned) -> str:
    return f'W/"{one.version}"'


def _reference(member: Provisioned, is_wanted: bool) -> Reference[User] | None:
    return Reference[User](f"Users/{member.id}") if is_wanted else None


def _resource(one: Provisioned, members: list[Provisioned], with_references: bool) -> Resource[Any]:
    attributes = json.loads(one.attributes)
    resource: Resource[Any]
    if one.kind == "User":
        resource = User.model_validate(attributes)
    else:
        resource = Group(display_name=attributes["displayName"])
        if members:
            resource.members = [Member(value=member.id, ref=_reference(member, with_references)) for member in members]
    resource.id = one.id
    resource.external_id = one.external_id
    resource.meta = Meta(
        resource_type=one.kind,
        created=_moment(one.created),
        last_modified=_moment(one.modified),
        version=_version(one),
    )
    return resource


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
