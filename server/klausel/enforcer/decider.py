"""Decisions over one list of rows under one matcher; immutable but for caches that any thread may fill."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from casbin.core_enforcer import EnforceContext

from klausel.enforcer.decide_code import DecideCode
from klausel.enforcer.effects import ALLOW, Answer, Effect, row_effect
from klausel.enforcer.matcher.code import Test
from klausel.enforcer.matcher.narrowing import Narrowing
from klausel.enforcer.matcher.tests import MatcherTests, accepts
from klausel.enforcer.role_snapshot import RoleSnapshot
from klausel.enforcer.row_index import (
    MAX_ROWS_TRIED,
    Index,
    Prepared,
    Row,
    RowsByRole,
    changed_index,
    changed_places,
    index_of,
    key_of,
    numbers_in,
)

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CompiledMatcher:
    """What does not depend on rows: made once for a matcher, an effect, a function map and the kinds of role managers."""

    tests: MatcherTests
    effect: Effect
    code: DecideCode
    keys: Test
    """The request's values for the keys of the index, by the rules of Casbin's interpreter."""
    narrowing: Narrowing | None
    """What tells the rows apart that share a key and a role, when there are many."""


class Decider:
    """Decides requests: by index where it can, else row by row in the order of the policy as stock does."""

    def __init__(
        self,
        matcher: CompiledMatcher,
        rows: Sequence[Row],
        role_functions: Sequence[Callable[..., Any]],
        snapshots: Mapping[str, RoleSnapshot],
        effect_field: str,
        odd: Callable[[Values], Answer],
        earlier: Decider | None = None,
    ) -> None:
        """`odd` answers a request with an `EnforceContext` or another number of values.

        Where `earlier` decided by the same matcher, the index is made from its own, in which few rows may have changed.
        """
        self.rows: tuple[tuple[Any, ...], ...] = tuple(map(tuple, rows))
        self.matcher = matcher
        self.role_functions = tuple(role_functions)
        self._tests = matcher.tests
        self._effect = matcher.effect
        self._nothing: Answer = (matcher.effect.allowed_by_none, None)
        self._odd = odd
        fields = matcher.tests.policy
        self._size = len(fields)
        self._effect_field = fields.index(effect_field) if effect_field in fields else None
        self._key_fields = tuple(key.field for key in matcher.tests.parts.keys)
        self._role_fields = tuple(test.field for test in matcher.tests.parts.role_tests)
        self.why_no_index: str | None = None
        self.index = self._index(earlier) if rows else None
        self.decide: Callable[..., Answer]
        """The decision for a request's values, and the place of the row that explains it."""
        if not rows:
            self.decide = lambda *values: self._decide_without_rows(values)
        elif self.index is None:
            self.decide = lambda *values: self._decide_in_order(values)
        else:
            names: dict[str, Any] = {f"closed_{name}": snapshot.closed for name, snapshot in snapshots.items()}
            names |= {f"roles_{name}": snapshot.roles_of for name, snapshot in snapshots.items()}
            self.decide = matcher.code.bind(
                {
                    **names,
                    "bucket_of": self.index.get,
                    "rows_of": self._rows_of,
                    "careful": self._careful,
                    "odd": odd,
                    "nothing": self._nothing,
                    "everything": self._everything() if matcher.tests.parts.whole else None,
                    "g": self.role_functions,
                }
            )

    def _index(self, earlier: Decider | None) -> Index | None:
        """The places of the rows by their key fields; None when they must be tried one by one, see `why_no_index`."""
        if earlier is not None and earlier.matcher is self.matcher and earlier.index is not None:
            places = changed_places(earlier.rows, self.rows)
            if places is not None and self._why_no_index([place for place in places if place < len(self.rows)]) is None:
                return changed_index(earlier.index, earlier.rows, self.rows, places, self._key_fields)
        self.why_no_index = self._why_no_index(range(len(self.rows)))
        return index_of(self.rows, self._key_fields) if self.why_no_index is None else None

    def _why_no_index(self, places: Sequence[int]) -> str | None:
        """Why the rows at these places cannot be looked up; None when they can."""
        rows = self.rows if len(places) == len(self.rows) else [self.rows[place] for place in places]
        parts = self._tests.parts
        if not set(map(len, rows)) <= {self._size}:
            place, row = next((place, row) for place, row in zip(places, rows, strict=True) if len(row) != self._size)
            return f"row {place} has {len(row)} fields where {self._size} are needed"
        evaluated = parts.evaluated(self._tests.policy)
        for field in {*self._key_fields, *self._role_fields, *evaluated}:
            if not set(map(type, map(operator.itemgetter(field), rows))) <= {str}:
                return f"some row holds in {self._tests.policy[field]} what is no text"
        for field in evaluated:
            if not self._tests.stay_in_brackets(set(map(operator.itemgetter(field), rows))):
                return "the rule of some row may reach out of the brackets that Casbin puts around it"
        return None

    def _effect_of(self, row: Row) -> int:
        return ALLOW if self._effect_field is None else row_effect(row[self._effect_field])

    def _rows_of(self, key: Any, held: Sequence[frozenset[str]], asked: Any) -> Prepared:
        """The rows under a key that the compiled loop is to try, when these roles are held; `asked` is what narrows them."""
        assert self.index is not None
        bucket: Any = self.index[key]
        if isinstance(bucket, list):
            if held and len(bucket) > MAX_ROWS_TRIED:
                narrowing = self.matcher.narrowing
                bucket = RowsByRole(bucket, self.rows, self._role_fields, narrowing.field if narrowing else None)
            else:
                bucket = self._prepared(bucket)
            self.index[key] = bucket
        if not isinstance(bucket, RowsByRole):
            prepared: Prepared = bucket
            return prepared
        narrowing = self.matcher.narrowing
        values = narrowing.values(asked) if narrowing is not None and type(asked) is str else None
        return bucket.among(held, values, self._prepared)

    def _prepared(self, numbers: Sequence[int]) -> Prepared:
        """The rows of these places as the compiled loop takes them: role fields, test, row, effect and answer."""
        prepared = []
        for number in numbers:
            row = self.rows[number]
            effect = self._effect_of(row)
            answer = self._effect.answer_of(effect, number)
            prepared.append((*(row[field] for field in self._role_fields), self._tests.quick_test(row), row, effect, answer))
        return tuple(prepared)

    def _everything(self) -> Answer:
        """The answer when every row matches."""
        return self._effect.decide((self._effect_of(row), number) for number, row in enumerate(self.rows))

    def _careful(self, values: Values) -> Answer:
        """The answer to a request that the compiled loop left: the rows under its key, or all, tried as stock tries them."""
        if self._is_odd(values):
            return self._odd(values)
        try:
            return self._effect.decide(self._matching(values, self._candidates(values)))
        except Exception:
            pass
        return self._decide_in_order(values)

    def _candidates(self, values: Values) -> Iterable[int]:
        """The places of the rows whose keys equal the request's; raises when that cannot be said without trying them."""
        assert self.index is not None
        if self._tests.parts.whole:
            return range(len(self.rows))
        keys = [_text(key) for key in self.matcher.keys(*values, (), self.role_functions)]
        if None in keys:
            return ()
        return numbers_in(self.index.get(key_of(keys, range(len(keys))), ()))

    def _matching(self, values: Values, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        for number in numbers:
            row = self.rows[number]
            if len(row) != self._size:
                raise RuntimeError("invalid policy size")
            value = self._tests.exact_test(row)(*values, row, self.role_functions)
            if value is True or (value is not False and accepts(value)):
                yield self._effect_of(row), number

    def _decide_in_order(self, values: Values) -> Answer:
        if self._is_odd(values):
            return self._odd(values)
        return self._effect.decide(self._matching(values, range(len(self.rows))))

    def _decide_without_rows(self, values: Values) -> Answer:
        if self._is_odd(values):
            return self._odd(values)
        if self._tests.parts.evals:
            raise RuntimeError("please make sure rule exists in policy when using eval() in matcher")
        row = ("",) * self._size
        if not self._tests.exact_test(row)(*values, row, self.role_functions):
            return self._nothing
        return self._effect.decide([(ALLOW, -1)])[0], None

    def _is_odd(self, values: Values) -> bool:
        return len(values) != len(self._tests.request) or isinstance(values[0], EnforceContext)


def _text(value: Any) -> str | None:
    """The text that a value equals; None when it equals no text; raises when its class may say so of any."""
    if type(value) is str:
        return value
    kind: Any = type(value)
    if isinstance(value, str) and kind.__eq__ is str.__eq__:
        return str.__str__(value)
    if kind.__eq__ is object.__eq__ or kind in _NEVER_TEXT:
        return None
    raise TypeError(f"{kind.__name__} may equal a text")


_NEVER_TEXT = (int, float, complex, bool, type(None), bytes, tuple, list, dict, set, frozenset)
