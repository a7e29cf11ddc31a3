"""Lists in a database: the answer of `POST /v1/filter` as a WHERE for SQLAlchemy, or as plain SQL with its parameters.

Exact on SQLite and PostgreSQL: the rows found are those for which an evaluation says yes. What has no exact meaning in SQL
raises `FilterError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Literal as Choice

from sqlalchemy import JSON, Boolean, ColumnElement, Dialect, Double, Integer, Text, inspect, literal_column, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import InstrumentedAttribute, Mapper, RelationshipProperty

from klausel.core.conditions.tree import Attribute
from klausel.core.filters.json_form import read_filter
from klausel.storage.filters import where as filters
from klausel.storage.filters.values import MISSING, FilterError, JsonPart, RelatedList, Value, value_in

__all__ = ["FilterError", "sql", "where"]

Columns = Mapping[str, Any]
"""By name of a property: an expression, the name of an attribute, a path such as `workspace.account_id`, or None."""

_KINDS: dict[str, Any] = {"text": Text(), "integer": Integer(), "float": Double(), "boolean": Boolean(), "json": JSON()}
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


def where(answer: Mapping[str, Any], model: type[Any], columns: Columns | None = None) -> ColumnElement[bool]:
    """The condition on rows of a mapped class, for `select(Quiz).where(…)`.

    A property stands in the attribute of its name, `id` in the primary key. `columns` names others: an expression, an
    attribute, a path through relationships (`"workspace.account_id"`, `"tags.name"` for a list), or None for a property that
    no row has; the key `"*"` names a column of JSON that holds all further ones. Raises `FilterError` for a property without a
    column, and `ValueError` for what is no answer of `/v1/filter`.
    """
    try:
        mapper: Mapper[Any] = inspect(model)
    except NoInspectionAvailable:
        raise FilterError(f"{model!r} is no mapped class; use sql() for tables without one") from None
    return filters.where(read_filter(answer), _Columns(mapper, columns or {}).value_of)


class _Columns:
    def __init__(self, mapper: Mapper[Any], named: Columns) -> None:
        self._mapper = mapper
        self._named = named

    def value_of(self, attribute: Attribute) -> Value:
        """What stands in the database for an attribute of the resource."""
        name, *inner = attribute.path
        is_id = attribute.path == ("id",)
        dotted = ".".join(attribute.path)
        if inner and dotted in self._named:
            return self._value(self._named[dotted], dotted, is_id=False)
        if name in self._named:
            return _inside(self._value(self._named[name], name, is_id=is_id), inner)
        if is_id and len(self._mapper.primary_key) == 1:
            (key,) = self._mapper.primary_key
            return value_in(
                self._attribute(self._mapper, self._mapper.get_property_by_column(key).key, name), name, is_id=True
            )
        if name in self._mapper.all_orm_descriptors and name not in self._mapper.relationships:
            return _inside(self._value(name, name, is_id=False), inner)
        if "*" in self._named:
            return _inside(self._value(self._named["*"], "*", is_id=False), attribute.path)
        model = self._mapper.class_.__name__
        raise FilterError(
            f'{model} has no column for the property "{dotted}"; name one in columns, or None if no {model} has this property'
        )

    def _value(self, column: Any, name: str, *, is_id: bool) -> Value:
        if column is None:
            return MISSING
        if not isinstance(column, str):
            return value_in(_expression(column, name), name, is_id=is_id)
        *through, last = column.split(".")
        if not through:
            return value_in(self._attribute(self._mapper, last, name), name, is_id=is_id)
        return self._related(through, last, name, is_id=is_id)

    def _related(self, through: list[str], last: str, name: str, *, is_id: bool) -> Value:
        """A column of the one row, or of all rows, that a path of relationships leads to."""
        mapper, joins = self._mapper, []
        for position, step in enumerate(through):
            relationship = mapper.relationships.get(step)
            if relationship is None:
                raise FilterError(f'{mapper.class_.__name__} has no relationship "{step}", named for the property "{name}"')
            if relationship.uselist:
                if position or len(through) > 1:
                    raise FilterError(f'the property "{name}" goes on behind a list; map it to an expression')
                element = value_in(self._attribute(relationship.mapper, last, name), name)
                attribute: InstrumentedAttribute[Any] = getattr(mapper.class_, step)
                return RelatedList(attribute.any, element)
            joins.append(_join(relationship, name))
            mapper = relationship.mapper
        found = select(self._attribute(mapper, last, name)).where(*joins).correlate(self._mapper.local_table)
        return value_in(found.scalar_subquery(), name, is_id=is_id)

    def _attribute(self, mapper: Mapper[Any], key: str, name: str) -> ColumnElement[Any]:
        if key not in mapper.all_orm_descriptors:
            raise FilterError(f'{mapper.class_.__name__} has no attribute "{key}", named for the property "{name}"')
        return _expression(getattr(mapper.class_, key), name)


def _join(relationship: RelationshipProperty[Any], name: str) -> ColumnElement[bool]:
    if relationship.secondary is not None or relationship.mapper.local_table is relationship.parent.local_table:
        raise FilterError(f'the relationship "{relationship.key}", named for the property "{name}", has no simple join')
    return relationship.primaryjoin


def _inside(value: Value, path: tuple[str, ...] | list[str]) -> Value:
    """The part of a value under a path; only JSON has parts."""
    if not path:
        return value
    return JsonPart(value.expression, (*value.path, *path)) if isinstance(value, JsonPart) else MISSING


def _expression(column: Any, name: str) -> ColumnElement[Any]:
    if hasattr(column, "__clause_element__"):
        column = column.__clause_element__()
    if not isinstance(column, ColumnElement):
        raise FilterError(f'what is named for the property "{name}" is no column')
    return column


def sql(
    answer: Mapping[str, Any],
    columns: Mapping[str, tuple[str, str] | None],
    dialect: Choice["sqlite", "postgresql"],
) -> tuple[str, Any]:
    """The condition as plain SQL, to stand behind WHERE, and its parameters.

    `columns` gives each property (and `id`) its SQL and its kind, `("quizzes.owner", "text")`, or None where no row has it;
    kinds are text, integer, float, boolean, json and, for whole numbers that requests send as texts, key. The text under a
    name is put into the query as it is, so it must never come from a request. For SQLite there is a list of parameters behind
    `?`, for PostgreSQL a dict behind `%(name)s`, as psycopg takes them. Patterns need the function `regexp` on SQLite.
    """

    def value_of(attribute: Attribute) -> Value:
        dotted = ".".join(attribute.path)
        name, *inner = attribute.path
        if dotted in columns:
            name, inner = dotted, []
        elif name not in columns:
            if "*" not in columns:
                raise FilterError(f'there is no column for the property "{dotted}"; name one in columns, or None')
            name, inner = "*", list(attribute.path)
        column = columns[name]
        if column is None:
            return MISSING
        text, kind = column
        if kind != "key" and kind not in _KINDS:
            raise FilterError(f'"{kind}" is no kind of column; there are {", ".join((*_KINDS, "key"))}')
        expression: ColumnElement[Any] = literal_column(text, _KINDS.get(kind, Integer()))
        return _inside(value_in(expression, name, is_id=kind == "key"), inner)

    known: Dialect = make_url(f"{_DRIVERS[dialect]}://").get_dialect()()
    condition = filters.where(read_filter(answer), value_of)
    compiled = condition.compile(dialect=known, compile_kwargs={"render_postcompile": True})
    values = {}
    for name, value in compiled.params.items():
        process = compiled.binds[name].type.dialect_impl(known).bind_processor(known)
        values[name] = process(value) if process is not None else value
    return str(compiled), [values[name] for name in compiled.positiontup or ()] if compiled.positional else values
