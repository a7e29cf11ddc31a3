"""The role assignments as a Casbin adapter: stock's shape and calls, without its ways to lose or forge rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy_adapter import Adapter

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import Origin
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.sql.database import StorageError, reading
from klausel.storage.sql.tables import LASTING, CasbinRule

_COLUMNS = (CasbinRule.v0, CasbinRule.v1, CasbinRule.v2)
_LASTING = CasbinRule.ptype == LASTING
# Casbin's calls do not say who asks for a change.
_ORIGIN = Origin(channel="adapter")


class KlauselAdapter(Adapter):  # type: ignore[misc]
    """Lets any Casbin enforcer load and change the role assignments (`g`) of a store.

    It sees those without times alone, and no members of groups: a Casbin enforcer knows no clock, so it would go on allowing
    by what has ended. To add one that is there with times makes it last for ever.

    Every change is one atomic write of the store: exact rows, no repeated ones, under the rules of `roles`. It raises
    what `AssignmentStore.write` raises. Policies (`p`) are files; an attempt to store them raises StorageError.
    """

    def __init__(self, store: AssignmentStore, roles: RoleModel) -> None:
        super().__init__(store.engine, db_class=CasbinRule, create_table=False)
        self._store = store
        self._roles = roles

    def load_policy(self, model: Any) -> None:
        """Adds all role assignments to the model, each field as it is stored; stock would parse them from text."""
        query = select(*_COLUMNS).where(_LASTING).order_by(*_COLUMNS)
        with reading(self._engine) as connection:
            _add_to_model(model, (Assignment(*row) for row in connection.execute(query)))

    def load_filtered_policy(self, model: Any, filter: Any) -> None:
        """Adds the role assignments that a `sqlalchemy_adapter.adapter.Filter` lets through to the model."""
        with self._session_scope() as session:
            rows = self.filter_query(session.query(*_COLUMNS).filter(_LASTING), filter).all()
        _add_to_model(model, (Assignment(*row) for row in rows))
        self._filtered = True

    def save_policy(self, model: Any) -> bool:
        """Raises StorageError: it would replace everybody's role assignments by what this process has loaded."""
        raise StorageError(
            "save_policy would replace all role assignments by those that this enforcer happens to hold; "
            "leave auto-save on, which stores each change, or use `klausel assignments import`"
        )

    def add_policy(self, sec: str, ptype: str, rule: Sequence[str]) -> None:
        """Grants one role assignment."""
        self.add_policies(sec, ptype, [rule])

    def add_policies(self, sec: str, ptype: str, rules: Iterable[Sequence[str]]) -> None:
        """Grants role assignments, all or nothing; stock commits each by itself."""
        self._store.write(self._roles, _assignments(sec, ptype, rules), (), _ORIGIN)

    def add_policies_ex(self, sec: str, ptype: str, rules: Iterable[Sequence[str]]) -> None:
        """Grants those of the role assignments that are not there yet; stock has no such call."""
        self.add_policies(sec, ptype, rules)

    def remove_policy(self, sec: str, ptype: str, rule: Sequence[str]) -> bool:
        """Revokes one role assignment; says whether it was there."""
        return self.remove_policies(sec, ptype, [rule])

    def remove_policies(self, sec: str, ptype: str, rules: Iterable[Sequence[str]]) -> bool:
        """Revokes exactly these role assignments; stock would take the cross product of their fields.

        Says whether any was there.
        """
        rows = _assignments(sec, ptype, rules)
        found = any(self._is_stored(row) for row in rows)
        self._store.write(self._roles, (), rows, _ORIGIN)
        return found

    def remove_filtered_policy(self, sec: str, ptype: str, field_index: int, *field_values: str) -> bool:
        """Revokes the role assignments that have these fields, "" effective roles for any; says whether there were some.

        Raises StorageError when every field may be any: it would revoke everything.
        """
        _assignments(sec, ptype, ())
        rows = self._matching(field_index, field_values)
        self._store.write(self._roles, (), rows, _ORIGIN)
        return bool(rows)

    def update_policy(self, sec: str, ptype: str, old_rule: Sequence[str], new_rule: Sequence[str]) -> None:
        """Puts one role assignment in the place of another; StorageError when that is not stored."""
        self.update_policies(sec, ptype, [old_rule], [new_rule])

    def update_policies(
        self, sec: str, ptype: str, old_rules: Sequence[Sequence[str]], new_rules: Sequence[Sequence[str]]
    ) -> None:
        """Puts role assignments in the places of others, all or nothing; StorageError when one of those is not stored."""
        old = _assignments(sec, ptype, old_rules)
        new = _assignments(sec, ptype, new_rules)
        for row in old:
            if not self._is_stored(row):
                raise StorageError(f"the role assignment to be changed is not stored: {row}; load the policy again")
        self._replace(old, new)

    def update_filtered_policies(
        self, sec: str, ptype: str, new_rules: Iterable[Sequence[str]], field_index: int, *field_values: str
    ) -> list[list[str]]:
        """Puts role assignments in the places of those that have these fields, in one write; returns the latter.

        pycasbin swallows what this raises, and then changes its memory alone.
        """
        new = _assignments(sec, ptype, new_rules)
        old = self._matching(field_index, field_values)
        self._replace(old, new)
        return [list(row.key) for row in old]

    def _replace(self, old: Sequence[Assignment], new: Sequence[Assignment]) -> None:
        self._store.write(self._roles, new, [row for row in old if row not in set(new)], _ORIGIN)

    def _is_stored(self, row: Assignment) -> bool:
        query = select(CasbinRule.id).where(_LASTING, *(column == part for column, part in zip(_COLUMNS, row, strict=False)))
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def _matching(self, field_index: int, field_values: Sequence[str]) -> list[Assignment]:
        wanted = {field_index + offset: value for offset, value in enumerate(field_values) if value != ""}
        if not wanted:
            raise StorageError("a filter without any value would take every role assignment; name at least one field")
        if not all(0 <= index < len(_COLUMNS) for index in wanted):
            return []
        query = select(*_COLUMNS).where(_LASTING).order_by(*_COLUMNS)
        for index, value in wanted.items():
            query = query.where(_COLUMNS[index] == value)
        with reading(self._engine) as connection:
            return [Assignment(*row) for row in connection.execute(query)]


def _assignments(sec: str, ptype: str, rules: Iterable[Sequence[str]]) -> list[Assignment]:
    if (sec, ptype) != ("g", "g"):
        raise StorageError(
            f'rows of type "{ptype}" are not stored in the database: it holds role assignments (g) only; '
            "policies are files, change them in the policies folder"
        )
    rows = []
    for rule in rules:
        if isinstance(rule, Assignment) and rule.starts is rule.ends is None:
            rule = rule.key
        if len(rule) != len(_COLUMNS):
            raise StorageError(f"a role assignment has 3 fields (subject, role, domain), this has {len(rule)}: {rule}")
        rows.append(Assignment(*rule))
    return rows


def _add_to_model(model: Any, rows: Iterable[Assignment]) -> None:
    grouping = model.model.get("g", {}).get("g")
    if grouping is not None:
        grouping.policy.extend([list(row.key) for row in rows])
