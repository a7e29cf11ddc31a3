"""The few pieces of SQL that SQLite and PostgreSQL spell differently. On other databases they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ARRAY, JSON, Boolean, DateTime, Dialect, Double, Numeric, Text, Uuid, bindparam, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger, TypeDecorator, TypeEngine

Part = Callable[[int], str]
"""The SQL of one of the clauses of a construct, by its position."""

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


class _Construct(FunctionElement[Any]):
    """A piece of SQL over the clauses that it is given; subclasses have a spelling for each dialect."""

    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        raise NotImplementedError

    def _postgresql(self, part: Part) -> str:
        raise NotImplementedError


@compiles(_Construct, "sqlite")
def _for_sqlite(element: _Construct, compiler: SQLCompiler, **options: Any) -> str:
    clauses = list(element.clauses)
    return element._sqlite(lambda position: compiler.process(clauses[position], **options))


@compiles(_Construct, "postgresql")
def _for_postgresql(element: _Construct, compiler: SQLCompiler, **options: Any) -> str:
    clauses = list(element.clauses)
    return element._postgresql(lambda position: compiler.process(clauses[position], **options))


class ExactText(_Construct):
    """A text that is compared by code point, whatever its own collation."""

    name = "exact_text"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"({part(0)} COLLATE BINARY)"

    def _postgresql(self, part: Part) -> str:
        return f'(CAST({part(0)} AS TEXT) COLLATE "C")'


class StrictText(_Construct):
    """A text; NULL where SQLite holds something else in the column."""

    name = "strict_text"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"CASE WHEN typeof({part(0)}) = 'text' THEN {part(0)} END"

    def _postgresql(self, part: Part) -> str:
        return part(0)


class StrictNumber(_Construct):
    """A number; NULL where SQLite holds something else in the column."""

    name = "strict_number"
    type = Numeric()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"CASE WHEN typeof({part(0)}) IN ('integer', 'real') THEN {part(0)} END"

    def _postgresql(self, part: Part) -> str:
        return part(0)


class StrictFraction(StrictNumber):
    """The same for a column that can hold what is not a number."""

    name = "strict_fraction"
    inherit_cache = True

    def _postgresql(self, part: Part) -> str:
        return f"NULLIF({part(0)}, 'NaN')"


class InUtc(_Construct):
    """A time with its zone; one without is in UTC."""

    name = "in_utc"
    type = DateTime(timezone=True)
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return part(0)

    def _postgresql(self, part: Part) -> str:
        (expression,) = self.clauses
        zone = isinstance(expression.type, DateTime) and expression.type.timezone
        return part(0) if zone else f"({part(0)} AT TIME ZONE 'UTC')"


class TextOfUuid(_Construct):
    """A UUID as it is written, with its dashes."""

    name = "text_of_uuid"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        return "(" + " || '-' || ".join(f"substr({part(0)}, {start}, {length})" for start, length in cuts) + ")"

    def _postgresql(self, part: Part) -> str:
        return f"CAST({part(0)} AS TEXT)"


class Among(_Construct):
    """That a value is one of a list, which is one parameter."""

    name = "among"
    type = Boolean()
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any], items: Sequence[object], elements: str) -> None:
        super().__init__(value, bindparam(None, list(items), type_=_ListParameter(elements), unique=True))

    def _sqlite(self, part: Part) -> str:
        return f"({part(0)} IN (SELECT value FROM json_each({part(1)})))"

    def _postgresql(self, part: Part) -> str:
        return f"({part(0)} = ANY ({part(1)}))"


class NotAmong(Among):
    """That a value that is not NULL is none of a list, which is one parameter."""

    name = "not_among"
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"({part(0)} NOT IN (SELECT value FROM json_each({part(1)})))"

    def _postgresql(self, part: Part) -> str:
        return f"({part(0)} <> ALL ({part(1)}))"


class IsDomainId(_Construct):
    """That a text is a good id of a domain, apart from its length."""

    name = "is_domain_id"
    type = Boolean()
    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        # Control characters, the separators of lines and of paragraphs, and the one of domains.
        super().__init__(text, literal("[\x01-\x1f\x7f-\x9f\u2028\u2029/]", Text()))

    def _sqlite(self, part: Part) -> str:
        text = part(0)
        bad = f"{text} GLOB '*' || {part(1)} || '*' OR instr({text}, char(0)) > 0"
        return f"({text} <> '' AND {text} <> '*' AND NOT ({bad}))"

    def _postgresql(self, part: Part) -> str:
        return f"({part(0)} <> '' AND {part(0)} <> '*' AND {part(0)} !~ {part(1)})"


class _Json(_Construct):
    """Something about a part of a column of JSON; its clauses are the column, the path in SQLite's spelling, and the names."""

    inherit_cache = True

    def __init__(self, expression: ColumnElement[Any], path: Sequence[str], *further: ColumnElement[Any]) -> None:
        spelled = "$" + "".join(f'."{name}"' for name in path)
        super().__init__(expression, literal(spelled, Text()), *further, *(literal(name, Text()) for name in path))

    further = 0
    """How many clauses stand between the path and the names."""

    def inside(self, part: Part) -> str:
        """The part, as jsonb."""
        names = range(2 + self.further, len(list(self.clauses)))
        return "".join([f"to_jsonb({part(0)})", *(f" -> CAST({part(position)} AS TEXT)" for position in names)])

    def kind_in_sqlite(self, part: Part) -> str:
        return f"json_type({part(0)}, {part(1)})"

    def value_in_sqlite(self, part: Part) -> str:
        return f"json_extract({part(0)}, {part(1)})"


class JsonDocument(_Construct):
    """A document of JSON that a column, or a parameter, holds as text."""

    name = "json_document"
    type = JSON()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return part(0)

    def _postgresql(self, part: Part) -> str:
        return f"CAST({part(0)} AS JSONB)"


class JsonIsThere(_Json):
    """That there is such a part, even if it is null."""

    name = "json_is_there"
    type = Boolean()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"({self.kind_in_sqlite(part)} IS NOT NULL)"

    def _postgresql(self, part: Part) -> str:
        return f"(({self.inside(part)}) IS NOT NULL)"


class PlaceOfText(_Construct):
    """At which character of a text another one begins, counted from 1; 0 where it is not in it."""

    name = "place_of_text"
    type = BigInteger()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"instr({part(0)}, {part(1)})"

    def _postgresql(self, part: Part) -> str:
        return f"strpos({part(0)}, {part(1)})"


class FirstPart(_Construct):
    """The first part of a text between `/`; NULL where it is empty."""

    name = "first_part"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"nullif(substr({part(0)}, 1, instr({part(0)} || '/', '/') - 1), '')"

    def _postgresql(self, part: Part) -> str:
        return f"nullif(split_part({part(0)}, '/', 1), '')"


class FurtherParts(_Construct):
    """What stands behind the first `/` of a text; empty where there is none."""

    name = "further_parts"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"substr({part(0)}, instr({part(0)} || '/', '/') + 1)"

    def _postgresql(self, part: Part) -> str:
        return f"substr({part(0)}, strpos({part(0)} || '/', '/') + 1)"


class JsonText(_Json):
    """The part where it is a text."""

    name = "json_text"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"CASE WHEN {self.kind_in_sqlite(part)} = 'text' THEN {self.value_in_sqlite(part)} END"

    def _postgresql(self, part: Part) -> str:
        inside = f"({self.inside(part)})"
        return f"(CASE WHEN jsonb_typeof({inside}) = 'string' THEN {inside} #>> '{{}}' END COLLATE \"C\")"


class JsonNumber(_Json):
    """The part where it is a number."""

    name = "json_number"
    type = Numeric()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"CASE WHEN {self.kind_in_sqlite(part)} IN ('integer', 'real') THEN {self.value_in_sqlite(part)} END"

    def _postgresql(self, part: Part) -> str:
        inside = f"({self.inside(part)})"
        return f"CASE WHEN jsonb_typeof({inside}) = 'number' THEN CAST({inside} #>> '{{}}' AS NUMERIC) END"


class JsonBoolean(_Json):
    """The part where it is true or false."""

    name = "json_boolean"
    type = Boolean()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"CASE {self.kind_in_sqlite(part)} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"

    def _postgresql(self, part: Part) -> str:
        inside = f"({self.inside(part)})"
        return f"CASE WHEN jsonb_typeof({inside}) = 'boolean' THEN CAST({inside} #>> '{{}}' AS BOOLEAN) END"


class JsonIsMissing(_Json):
    """That there is no such part, or that it is null."""

    name = "json_is_missing"
    type = Boolean()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"(coalesce({self.kind_in_sqlite(part)}, 'null') = 'null')"

    def _postgresql(self, part: Part) -> str:
        return f"(coalesce(jsonb_typeof({self.inside(part)}), 'null') = 'null')"


class IsList(_Json):
    """That the part is a list."""

    name = "is_list"
    type = Boolean()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return f"({self.kind_in_sqlite(part)} = 'array')"

    def _postgresql(self, part: Part) -> str:
        return f"(jsonb_typeof({self.inside(part)}) = 'array')"


class AnyElement(_Json):
    """That the part is a list, and that the condition holds for one of its elements."""

    name = "any_element"
    type = Boolean()
    inherit_cache = True
    further = 1

    def __init__(self, expression: ColumnElement[Any], path: Sequence[str], condition: ColumnElement[bool]) -> None:
        super().__init__(expression, path, condition)

    def _sqlite(self, part: Part) -> str:
        is_list = f"{self.kind_in_sqlite(part)} = 'array'"
        elements = f"json_each(CASE WHEN {is_list} THEN {self.value_in_sqlite(part)} ELSE '[]' END)"
        return f"EXISTS (SELECT 1 FROM {elements} AS element WHERE {part(2)})"

    def _postgresql(self, part: Part) -> str:
        inside = f"({self.inside(part)})"
        elements = f"CASE WHEN jsonb_typeof({inside}) = 'array' THEN {inside} ELSE '[]' END"
        return f"EXISTS (SELECT 1 FROM jsonb_array_elements({elements}) AS element(value) WHERE {part(2)})"


class ElementText(_Construct):
    """The element at hand of `AnyElement` where it is a text."""

    name = "element_text"
    type = Text()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return "CASE WHEN element.type = 'text' THEN element.value END"

    def _postgresql(self, part: Part) -> str:
        return "(CASE WHEN jsonb_typeof(element.value) = 'string' THEN element.value #>> '{}' END COLLATE \"C\")"


class ElementNumber(_Construct):
    """The element at hand of `AnyElement` where it is a number."""

    name = "element_number"
    type = Numeric()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return "CASE WHEN element.type IN ('integer', 'real') THEN element.value END"

    def _postgresql(self, part: Part) -> str:
        return "CASE WHEN jsonb_typeof(element.value) = 'number' THEN CAST(element.value #>> '{}' AS NUMERIC) END"


class ElementBoolean(_Construct):
    """The element at hand of `AnyElement` where it is true or false."""

    name = "element_boolean"
    type = Boolean()
    inherit_cache = True

    def _sqlite(self, part: Part) -> str:
        return "CASE element.type WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"

    def _postgresql(self, part: Part) -> str:
        return "CASE WHEN jsonb_typeof(element.value) = 'boolean' THEN CAST(element.value #>> '{}' AS BOOLEAN) END"
