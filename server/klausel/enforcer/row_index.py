"""Rows by their key fields: an index that a small edit changes in a few places."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any

Row = Sequence[Any]
Index = dict[Any, Any]
"""By key: the places of its rows as a list, or, once they have been asked for, the prepared rows in some other form."""
Prepared = tuple[Any, ...]
Prepare = Callable[[Sequence[int]], Prepared]

MAX_CHANGES = 200
"""Where more rows than this changed, the index is made again."""


MAX_ROWS_TRIED = 12
"""Where more rows than this share a key, they are also told apart by a role, and then by a field that narrows them."""


class RowsByRole:
    """Many rows of one key, found by the role field that tells them apart best; the rows of a role are prepared when asked.

    Where a role has many, they are found by their values in the field at `narrowing_field`, too.
    """

    def __init__(
        self, numbers: Sequence[int], rows: Sequence[Row], role_fields: Sequence[int], narrowing_field: int | None
    ) -> None:
        self.numbers = numbers
        self._all = rows
        self._narrowing_field = narrowing_field
        by_field: list[dict[str, Any]] = []
        for field in role_fields:
            by_role: dict[str, Any] = {}
            for number in numbers:
                by_role.setdefault(rows[number][field], []).append(number)
            by_field.append(by_role)
        self._place = max(range(len(role_fields)), key=lambda place: len(by_field[place]))
        self._by_role = by_field[self._place]

    def among(self, held: Sequence[frozenset[str]], values: Collection[str] | None, prepare: Prepare) -> Prepared:
        """The rows whose role is held, in policy order; `held` has the roles for each role field.

        Rows with other `values` in the narrowing field may be left out; None when nothing is known.
        """
        roles, by_role = held[self._place], self._by_role
        asked = (
            [role for role in by_role if role in roles] if len(roles) > len(by_role) else [r for r in roles if r in by_role]
        )
        if len(asked) == 1:
            return self._rows(asked[0], values, prepare)
        rows = itertools.chain.from_iterable(self._rows(role, values, prepare) for role in asked)
        return tuple(sorted(rows, key=place_of))

    def _rows(self, role: str, values: Collection[str] | None, prepare: Prepare) -> Prepared:
        rows = self._by_role[role]
        if isinstance(rows, list):
            rows = self._by_role[role] = self._by_value(rows) or prepare(rows)
        if not isinstance(rows, dict):
            prepared: Prepared = rows
            return prepared
        wanted = rows if values is None else [value for value in values if value in rows]
        found = itertools.chain.from_iterable(self._prepared(rows, value, prepare) for value in tuple(wanted))
        return tuple(sorted(found, key=place_of))

    def _by_value(self, numbers: Sequence[int]) -> dict[str, Any] | None:
        """The rows by their texts in the narrowing field; None where they are few, or hold something else there."""
        if self._narrowing_field is None or len(numbers) <= MAX_ROWS_TRIED:
            return None
        by_value: dict[str, Any] = {}
        for number in numbers:
            value = self._all[number][self._narrowing_field]
            if type(value) is not str:
                return None
            by_value.setdefault(value, []).append(number)
        return by_value

    @staticmethod
    def _prepared(by_value: dict[Any, Any], value: Any, prepare: Prepare) -> Prepared:
        rows = by_value[value]
        if isinstance(rows, list):
            rows = by_value[value] = prepare(rows)
        prepared: Prepared = rows
        return prepared


def place_of(prepared_row: Any) -> int:
    """The place in policy order of a prepared row, which ends with its answer."""
    place: int = prepared_row[-1][1]
    return place


def numbers_in(bucket: Any) -> Sequence[int]:
    """The places of the rows under a key."""
    if isinstance(bucket, RowsByRole):
        return bucket.numbers
    return bucket if isinstance(bucket, list) else [place_of(row) for row in bucket]


def key_of(row: Row, fields: Sequence[int]) -> Any:
    """What a row is found by: its one key field, or a tuple of them."""
    return row[fields[0]] if len(fields) == 1 else tuple([row[field] for field in fields])


def index_of(rows: Sequence[Row], fields: Sequence[int]) -> Index:
    """The index of rows by these fields; without fields, all under the key `()`."""
    if not fields:
        return {(): list(range(len(rows)))}
    index: Index = {}
    for number, key in enumerate(map(operator.itemgetter(*fields), rows)):
        if key in index:
            index[key].append(number)
        else:
            index[key] = [number]
    return index


def changed_places(earlier: Sequence[Row], rows: Sequence[Row]) -> list[int] | None:
    """The places where another row stands than before, those beyond the shorter end among them; None when there are many."""
    # Most are the same object, which is found out much sooner than that they are equal.
    others = itertools.compress(itertools.count(), map(operator.is_not, earlier, rows))
    different = (place for place in others if earlier[place] != rows[place])
    ends = range(min(len(earlier), len(rows)), max(len(earlier), len(rows)))
    found = list(itertools.islice(itertools.chain(different, ends), MAX_CHANGES + 1))
    return None if len(found) > MAX_CHANGES else found


def changed_index(
    index: Index,
    earlier: Sequence[Row],
    rows: Sequence[Row],
    places: Sequence[int],
    fields: Sequence[int],
) -> Index:
    """The index after the rows at these places changed; the given one, made of `earlier`, stays as it is."""
    changed = dict(index)
    for place in places:
        if place < len(earlier):
            key = key_of(earlier[place], fields)
            numbers = [number for number in numbers_in(changed[key]) if number != place]
            if numbers:
                changed[key] = numbers
            else:
                del changed[key]
        if place < len(rows):
            key = key_of(rows[place], fields)
            changed[key] = sorted([*numbers_in(changed.get(key, ())), place])
    return changed
