"""The few pieces of SQL that SQLite and PostgreSQL spell differently, as one table. On other databases they are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import new_class
from typing import Any, Self

from sqlalchemy import ARRAY, JSON, Boolean, DateTime, Dialect, Double, Numeric, Text, Uuid, bindparam, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger, NullType, TypeDecorator, TypeEngine

_ELEMENT_TYPES: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "integer": BigInteger(),
    "float": Double(),
    "uuid": Uuid(as_uuid=False),
}


class _ListParameter(TypeDecorator[Any]):
    """A list as one bound parameter: an array on PostgreSQL, a text of JSON elsewhere."""

    impl = Text
    cache_ok = True

    def __init__(self, elements: str) -> None:
        super().__init__()
        self.elements = elements

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(_ELEMENT_TYPES[self.elements]))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if dialect.name == "postgresql":
            return value
        # SQLite keeps UUIDs without their dashes.
        return json.dumps([item.replace("-", "") for item in value] if self.elements == "uuid" else value)


class _Part:
    """One of the clauses of a construct; its SQL is made only where a spelling names it."""

    def __init__(self, clause: ColumnElement[Any], compiler: SQLCompiler, options: dict[str, Any]) -> None:
        self._clause, self._compiler, self._options = clause, compiler, options

    def __format__(self, spec: str) -> str:
        return self._compiler.process(self._clause, **self._options)


class _Construct(FunctionElement[Any]):
    """A piece of SQL over the clauses that it is given; its spellings name them by position."""

    inherit_cache = True
    spellings: dict[str, str]

    @classmethod
    def spelled(cls, name: str, type_: TypeEngine[Any], sqlite: str, postgresql: str) -> type[Self]:
        """The construct with these spellings."""
        spellings = {"sqlite": sqlite, "postgresql": postgresql}
        members = {"name": name, "type": type_, "inherit_cache": True, "spellings": spellings}
        # SQLAlchemy tells compiled queries apart by the classes in them, so each construct is a class.
        construct: type[Self] = new_class(name, (cls,), exec_body=lambda namespace: namespace.update(members))
        return construct

    def words(self) -> dict[str, str]:
        """What stands for the words in angle brackets of a spelling."""
        return {}


@compiles(_Construct, "sqlite")
@compiles(_Construct, "postgresql")
def _compiled(element: _Construct, compiler: SQLCompiler, **options: Any) -> str:
    spelling = element.spellings[compiler.dialect.name]
    for word, meaning in element.words().items():
        spelling = spelling.replace(word, meaning)
    return spelling.format(*(_Part(clause, compiler, options) for clause in element.clauses))


class _OfList(_Construct):
    """Something about a value and a list, which is one parameter."""

    inherit_cache = True

    def __init__(self, value: ColumnElement[Any], items: Sequence[object], elements: str) -> None:
        super().__init__(value, bindparam(None, list(items), type_=_ListParameter(elements), unique=True))


class _OfDomainId(_Construct):
    """Something about a text and what no id of a domain holds."""

    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        # Control characters, the separators of lines and of paragraphs, and the one of domains.
        super().__init__(text, literal("[\x01-\x1f\x7f-\x9f\u2028\u2029/]", Text()))


class _OfJson(_Construct):
    """Something about a part of a column of JSON, and perhaps a condition.

    Its clauses are the column, the path in SQLite's spelling, the condition, and the names on the path.
    """

    inherit_cache = True

    def __init__(self, expression: ColumnElement[Any], path: Sequence[str], *condition: ColumnElement[bool]) -> None:
        spelled = literal("$" + "".join(f'."{name}"' for name in path), Text())
        super().__init__(expression, spelled, *condition, *(literal(name, Text()) for name in path))
        self._names = range(2 + len(condition), 2 + len(condition) + len(path))

    def words(self) -> dict[str, str]:
        """The kind and the value of the part in SQLite, and the part as jsonb."""
        steps = "".join(f" -> CAST({{{position}}} AS TEXT)" for position in self._names)
        return {"<kind>": "json_type({0}, {1})", "<value>": "json_extract({0}, {1})", "<part>": f"(to_jsonb({{0}}){steps})"}


class _OfElement(_Construct):
    """Something about the element at hand of `AnyElement`."""

    inherit_cache = True

    def words(self) -> dict[str, str]:
        """As for a part of a column of JSON."""
        return {"<kind>": "element.type", "<value>": "element.value", "<part>": "element.value"}


ExactText = _Construct.spelled("exact_text", Text(), "({0} COLLATE BINARY)", '(CAST({0} AS TEXT) COLLATE "C")')
"""A text that is compared by code point, whatever its own collation."""

StrictText = _Construct.spelled("strict_text", Text(), "CASE WHEN typeof({0}) = 'text' THEN {0} END", "{0}")
"""A text; NULL where SQLite holds something else in the column."""

_IF_NUMBER = "CASE WHEN typeof({0}) IN ('integer', 'real') THEN {0} END"

StrictNumber = _Construct.spelled("strict_number", Numeric(), _IF_NUMBER, "{0}")
"""A number; NULL where SQLite holds something else in the column."""

StrictFraction = _Construct.spelled("strict_fraction", Numeric(), _IF_NUMBER, "NULLIF({0}, 'NaN')")
"""The same for a column that can hold what is not a number."""

FromUtc = _Construct.spelled("from_utc", DateTime(timezone=True), "{0}", "({0} AT TIME ZONE 'UTC')")
"""A time with its zone, from one without, which is in UTC."""

TextOfUuid = _Construct.spelled(
    "text_of_uuid",
    Text(),
    "(substr({0}, 1, 8) || '-' || substr({0}, 9, 4) || '-' || substr({0}, 13, 4) || '-' || substr({0}, 17, 4) || '-' || "
    "substr({0}, 21, 12))",
    "CAST({0} AS TEXT)",
)
"""A UUID as it is written, with its dashes."""

Among = _OfList.spelled("among", Boolean(), "({0} IN (SELECT value FROM json_each({1})))", "({0} = ANY ({1}))")
"""That a value is one of a list."""

NotAmong = _OfList.spelled("not_among", Boolean(), "({0} NOT IN (SELECT value FROM json_each({1})))", "({0} <> ALL ({1}))")
"""That a value that is not NULL is none of a list."""

IsDomainId = _OfDomainId.spelled(
    "is_domain_id",
    Boolean(),
    "(trim({0}, '*') <> '' AND NOT ({0} GLOB '*' || {1} || '*' OR instr({0}, char(0)) > 0))",
    "(btrim({0}, '*') <> '' AND {0} !~ {1})",
)
"""That a text is a good id of a domain, apart from its length."""

Rarely = _Construct.spelled("rarely", NullType(), "likelihood({0}, 0.00001)", "{0}")
"""A condition that an index shall be used for, where SQLite knows nothing of what is in the tables."""

PlaceOfText = _Construct.spelled("place_of_text", BigInteger(), "instr({0}, {1})", "strpos({0}, {1})")
"""At which character of a text another one begins, counted from 1; 0 where it is not in it."""

FirstPart = _Construct.spelled(
    "first_part",
    Text(),
    "nullif(substr({0}, 1, instr({0} || '/', '/') - 1), '')",
    "nullif(split_part({0}, '/', 1), '')",
)
"""The first part of a text between `/`; NULL where it is empty."""

FurtherParts = _Construct.spelled(
    "further_parts", Text(), "substr({0}, instr({0} || '/', '/') + 1)", "substr({0}, strpos({0} || '/', '/') + 1)"
)
"""What stands behind the first `/` of a text; empty where there is none."""

JsonDocument = _Construct.spelled("json_document", JSON(), "{0}", "CAST({0} AS JSONB)")
"""A document of JSON that a column, or a parameter, holds as text."""

JsonIsThere = _OfJson.spelled("json_is_there", Boolean(), "(<kind> IS NOT NULL)", "(<part> IS NOT NULL)")
"""That there is such a part, even if it is null."""

JsonIsMissing = _OfJson.spelled(
    "json_is_missing", Boolean(), "(coalesce(<kind>, 'null') = 'null')", "(coalesce(jsonb_typeof(<part>), 'null') = 'null')"
)
"""That there is no such part, or that it is null."""

IsList = _OfJson.spelled("is_list", Boolean(), "(<kind> = 'array')", "(jsonb_typeof(<part>) = 'array')")
"""That the part is a list."""

AnyElement = _OfJson.spelled(
    "any_element",
    Boolean(),
    "EXISTS (SELECT 1 FROM json_each(CASE WHEN <kind> = 'array' THEN <value> ELSE '[]' END) AS element WHERE {2})",
    "EXISTS (SELECT 1 FROM jsonb_array_elements(CASE WHEN jsonb_typeof(<part>) = 'array' THEN <part> ELSE '[]' END)"
    " AS element(value) WHERE {2})",
)
"""That the part is a list, and that the condition holds for one of its elements."""

_TEXT = (
    Text(),
    "CASE WHEN <kind> = 'text' THEN <value> END",
    "(CASE WHEN jsonb_typeof(<part>) = 'string' THEN <part> #>> '{{}}' END COLLATE \"C\")",
)
_NUMBER = (
    Numeric(),
    "CASE WHEN <kind> IN ('integer', 'real') THEN <value> END",
    "CASE WHEN jsonb_typeof(<part>) = 'number' THEN CAST(<part> #>> '{{}}' AS NUMERIC) END",
)
_BOOLEAN = (
    Boolean(),
    "CASE <kind> WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    "CASE WHEN jsonb_typeof(<part>) = 'boolean' THEN CAST(<part> #>> '{{}}' AS BOOLEAN) END",
)

JsonText = _OfJson.spelled("json_text", *_TEXT)
"""The part where it is a text; NULL where not, as with the next five."""

JsonNumber = _OfJson.spelled("json_number", *_NUMBER)
JsonBoolean = _OfJson.spelled("json_boolean", *_BOOLEAN)
ElementText = _OfElement.spelled("element_text", *_TEXT)
"""The element at hand where it is a text."""

ElementNumber = _OfElement.spelled("element_number", *_NUMBER)
ElementBoolean = _OfElement.spelled("element_boolean", *_BOOLEAN)
