"""Lists in Django: the answer of `POST /v1/filter` as a `Q`, exact on SQLite and PostgreSQL.

The rows found are those for which an evaluation says yes. What has no exact meaning as a `Q` raises `FilterError`.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.models import Exists, F, Model, OuterRef, Q, Value
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import Attribute, Call, Comparison, Computed, ListOf, Literal, Operand
from klausel.core.filters.json_form import read_filter
from klausel.core.filters.tree import Every, FilterCondition, InDomains, Missing, NamesDomain, Some
from klausel.guarding import lists_of
from klausel.storage.filters.patterns import pattern_of
from klausel.storage.filters.values import MOST_EXACT_FLOAT, FilterError, can_be_held, read_integer, read_uuid

__all__ = ["FilterError", "q"]

Fields = Mapping[str, str | None]
"""By name of a property: a field, a path such as `workspace__account_id`, or None where no row has it."""

_KINDS = {
    **dict.fromkeys(("CharField", "TextField", "SlugField"), "text"),
    **dict.fromkeys(("IntegerField", "SmallIntegerField", "PositiveIntegerField", "PositiveSmallIntegerField"), "whole"),
    **dict.fromkeys(("BigIntegerField", "PositiveBigIntegerField", "BigAutoField"), "large"),
    **dict.fromkeys(("AutoField", "SmallAutoField"), "whole"),
    "FloatField": "float",
    "DecimalField": "decimal",
    "BooleanField": "boolean",
    "UUIDField": "uuid",
    "DateTimeField": "time",
}
_WHOLE = ("whole", "large")
_LOOKUPS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_UUID_CHARACTERS = 36
_DOMAIN_ID = r"\**[^\x00-\x1f\x7f-\x9f\u2028\u2029/*][^\x00-\x1f\x7f-\x9f\u2028\u2029/]*"
_NO_Q = "has no exact meaning as a Q; ask about each row instead, or use klausel.sqlalchemy"


@dataclass(frozen=True)
class _Field:
    """A field by its lookup; `kind` is one of those above, or `key` for whole numbers that requests send as texts."""

    lookup: str
    kind: str
    places: int = 0

    def is_there(self) -> Q:
        return Q(**{f"{self.lookup}__isnull": False})

    def is_(self, **lookups: object) -> Q:
        return Q(**{f"{self.lookup}__{name}" if name else self.lookup: value for name, value in lookups.items()})


@dataclass(frozen=True)
class _Related:
    """The values of a field over all related rows, as a list that is there even where it is empty; NULL is an unknown one."""

    rows: Any
    element: _Field

    def any(self, holds: Callable[[_Field], Q]) -> Q:
        """That this is certainly true of an element."""
        return Q(Exists(self.rows.filter(holds(self.element))))

    def all(self, holds: Callable[[_Field], Q]) -> Q:
        """That this is certainly true of all elements."""
        return ~Q(Exists(self.rows.filter(~self.element.is_there() | ~holds(self.element))))


def q(answer: Mapping[str, Any], model: type[Model], fields: Fields | None = None) -> Q:
    """The condition on rows of a model, for `Quiz.objects.filter(…)`.

    A property stands in the field of its name, `id` in the primary key. `fields` names others: a field, a path through foreign
    keys (`"workspace__account_id"`), one that starts at many rows (`"tags__name"`) for a list, or None for a property that no
    row has. Raises `FilterError` for a property without a field, and `ValueError` for what is no answer of `/v1/filter`.
    """
    vendor = connections[router.db_for_read(model)].vendor
    if vendor not in ("sqlite", "postgresql"):
        raise FilterError(f"a Q is exact on SQLite and PostgreSQL, and the database is {vendor}; ask about each row instead")
    filter_ = read_filter(answer)
    if isinstance(filter_, bool):
        return _always(filter_)
    return _Translation(model, fields or {}).condition(filter_)


def _always(holds: bool) -> Q:
    # Not `Q()`: beside another condition, joined by `or`, Django takes an empty one for nothing said.
    return ~Q(pk__in=[]) if holds else Q(pk__in=[])


class _Translation:
    def __init__(self, model: type[Model], fields: Fields) -> None:
        self._model = model
        self._fields = fields

    def condition(self, condition: FilterCondition) -> Q:
        """What is true exactly where the condition certainly is."""
        match condition:
            case Every(parts):
                return _together(Q.AND, [self.condition(part) for part in parts])
            case Some(parts):
                return _together(Q.OR, [self.condition(part) for part in parts])
            case Missing(attribute):
                return ~self._is_there(attribute)
            case NamesDomain(attributes, characters):
                return self._names_domain([self._field(attribute) for attribute in attributes], characters)
            case InDomains(attributes, domains):
                return self._in_domains([self._field(attribute) for attribute in attributes], domains)
            case Comparison("in" | "not in" as operator, left, ListOf(items)):
                return _listed(operator == "in", self._side(left), [item.value for item in items])
            case Comparison(operator, left, right) if operator not in ("in", "not in"):
                return self._compared(operator, self._side(left), self._side(right))
            case Call("has", (Attribute() as attribute,), True):
                return self._is_there(attribute)
            case Comparison("in" | "not in" as operator, Literal(value), Attribute() as attribute):
                wanted = operator == "in"
                return self._element(attribute, wanted, partial(_compared_with, "==" if wanted else "!=", value=value))
            case Call("overlaps", (ListOf(()), Attribute() as attribute), False):
                return _always(isinstance(self._found(attribute), _Related))
            case Call("overlaps", (ListOf(items), Attribute()), False) if None in [item.value for item in items]:
                return _always(False)  # an element that nothing equals leaves it open, whatever the other list holds
            case Call(
                "overlaps", (ListOf(items), Attribute() as attribute) | (Attribute() as attribute, ListOf(items)), wanted
            ):
                return self._element(attribute, wanted, partial(_listed, wanted, values=[item.value for item in items]))
            case Call("subset of", (Attribute() as attribute, ListOf(items)), wanted):
                return self._element(attribute, not wanted, partial(_listed, wanted, values=[item.value for item in items]))
            case Call("subset of", (ListOf(items), Attribute() as attribute), wanted):
                return self._holds_all(attribute, [item.value for item in items], wanted)
            case Call(function, (Attribute() as attribute, Literal(str() as text)), wanted) if function in _PATTERNS:
                self._side(attribute)  # refuses times
                return self._matched(self._field(attribute), _PATTERNS[function](text), wanted)
        raise FilterError(f"the condition {condition} {_NO_Q}")

    def _is_there(self, attribute: Attribute) -> Q:
        found = self._found(attribute)
        return found.is_there() if isinstance(found, _Field) else _always(found is not None)

    def _element(self, attribute: Attribute, some: bool, holds: Callable[[_Field], Q]) -> Q:
        """That it is a list, and that this is certainly true of some element, or of all."""
        found = self._found(attribute)
        if not isinstance(found, _Related):
            return _always(False)
        return found.any(holds) if some else found.all(holds)

    def _holds_all(self, attribute: Attribute, values: Sequence[object], wanted: bool) -> Q:
        """Whether the list certainly holds all of some values, or certainly misses one."""
        known = [value for value in values if value is not None]
        if not isinstance(self._found(attribute), _Related) or (wanted and len(known) < len(values)):
            return _always(False)
        operator = "==" if wanted else "!="
        parts = [self._element(attribute, wanted, partial(_compared_with, operator, value=value)) for value in known]
        return _together(Q.AND if wanted else Q.OR, [_always(wanted), *parts])

    def _side(self, operand: Operand) -> _Field | Literal | None:
        match operand:
            case Attribute():
                field = self._field(operand)
                if field is not None and field.kind == "time":
                    raise FilterError(f"{operand} holds times, and the condition does not compare it as one")
                return field
            case Literal():
                return operand
            case Computed("time", (Attribute() as attribute,)):
                field = self._field(attribute)
                if field is None or (field.kind == "time" and settings.USE_TZ):
                    return field
        raise FilterError(f"{operand} {_NO_Q}")

    def _compared(self, operator: str, left: _Field | Literal | None, right: _Field | Literal | None) -> Q:
        if left is None or right is None:
            return _always(False)
        if isinstance(left, Literal):
            left, right, operator = right, left, str(FUNCTIONS[operator].mirrored)
        if isinstance(left, Literal):
            raise FilterError(f"{left} {operator} {right} {_NO_Q}")
        if isinstance(right, _Field):
            return _fields_compared(operator, left, right)
        return _compared_with(operator, left, right.value)

    def _matched(self, field: _Field | None, pattern: str, wanted: bool) -> Q:
        if field is None or field.kind != "text":
            if field is not None and field.kind in ("key", "uuid"):
                raise FilterError(f"a pattern for the key {field.lookup} {_NO_Q}")
            return _always(False)
        if not can_be_held(pattern):
            return _always(False) if wanted else field.is_there()
        matches = field.is_(regex=pattern)
        return matches if wanted else field.is_there() & ~matches

    def _names_domain(self, fields: Sequence[_Field | None], characters: int) -> Q:
        found = _always(True)
        length: Any = Value(len(fields) - 1)
        for field in fields:
            if field is None or field.kind not in ("text", "key", "uuid"):
                return _always(False)
            if field.kind == "text":
                found &= field.is_(regex=rf"\A{_DOMAIN_ID}\Z")
            else:
                found &= field.is_there()
            length = length + (Value(_UUID_CHARACTERS) if field.kind == "uuid" else Length(F(field.lookup)))
        return found & Q(LessThanOrEqual(length, characters))

    def _in_domains(self, fields: Sequence[_Field | None], domains: frozenset[str]) -> Q:
        """Domain by domain of the level above, for joined texts would be compared without an index, and keys not at all."""
        below: dict[str, list[str]] = {}
        for domain in sorted(domains):
            above, _, part = domain.rpartition("/")
            below.setdefault(above, []).append(part)
        *first, last = fields
        ways = []
        for above, parts in below.items():
            places = [_listed(True, field, [part]) for field, part in zip(first, above.split("/"), strict=True)]
            ways.append(_together(Q.AND, [*places, _listed(True, last, parts)]))
        return _together(Q.OR, ways)

    def _field(self, attribute: Attribute) -> _Field | None:
        """The field for an attribute; None where no row has it, or a list, which is no text and no number."""
        found = self._found(attribute)
        return found if isinstance(found, _Field) else None

    def _found(self, attribute: Attribute) -> _Field | _Related | None:
        """What rows have for an attribute; None where no row has it."""
        dotted = ".".join(attribute.path)
        path = self._fields[dotted] if dotted in self._fields else attribute.path[0]
        if path is None:
            return None
        if len(attribute.path) > 1 and dotted not in self._fields:
            raise FilterError(f'the property "{dotted}" stands inside another one; name a field for it in fields, or None')
        if attribute.path == ("id",) and "id" not in self._fields:
            path = "pk"
        first, _, inside = path.partition("__")
        relation = lists_of(self._model).get(first)
        if relation is None or not inside:
            return _field_at(self._model._meta, path, dotted)
        element = _field_at(relation.related_model._meta, inside, dotted)
        if element.kind == "time":
            raise FilterError(f'the property "{dotted}" is a list of times, which {_NO_Q}')
        return _Related(_related_rows(relation), element)


def _related_rows(relation: Any) -> Any:
    """The rows that a relation leads to from the row at hand, as the attribute of an object gives them."""
    rows = relation.related_model._default_manager.all()
    if relation.one_to_many:
        key = relation.field
        return rows.filter(**{key.attname: OuterRef(key.target_field.attname)})
    field = relation if relation.concrete else relation.field
    here, there = field.m2m_field_name(), field.m2m_reverse_field_name()
    through = field.remote_field.through
    from_, to = (through._meta.get_field(name) for name in ((here, there) if relation.concrete else (there, here)))
    links = through._base_manager.filter(**{from_.attname: OuterRef(OuterRef(from_.target_field.attname))})
    return rows.filter(**{f"{to.target_field.attname}__in": links.values(to.attname)})


def _field_at(options: Any, path: str, dotted: str) -> _Field:
    """The field at the end of a path through foreign keys."""
    *through, last = path.split("__")
    for step in through:
        relation = _named(options, step, dotted)
        if not (relation.is_relation and relation.concrete and (relation.many_to_one or relation.one_to_one)):
            raise FilterError(f'"{step}", named for the property "{dotted}", is no foreign key')
        options = relation.related_model._meta
    field = options.pk if last == "pk" else _named(options, last, dotted)
    is_key = bool(field.is_relation or field.primary_key)
    while field.is_relation:
        if not (field.concrete and (field.many_to_one or field.one_to_one)):
            raise FilterError(
                f'"{last}", named for the property "{dotted}", stands for many rows; name one of their fields: "{last}__name"'
            )
        field = field.target_field
    kind = _KINDS.get(field.get_internal_type())
    if kind is None or getattr(field, "db_collation", None):
        what = "has a collation of its own" if kind else f"is a {field.get_internal_type()}"
        raise FilterError(f'the field for the property "{dotted}" {what}, which a Q cannot compare exactly')
    is_key = is_key and kind in _WHOLE
    return _Field(path, "key" if is_key else kind, getattr(field, "decimal_places", 0) or 0)


def _listed(wanted: bool, side: _Field | Literal | None, values: Sequence[object]) -> Q:
    if side is None:
        return _always(False)
    if isinstance(side, Literal):
        raise FilterError(f"{side} in a list {_NO_Q}")
    if wanted:
        found = [fitting for value in values if (fitting := _fitting(side, value)) is not None]
        return side.is_(**{"in": found}) if found else _always(False)
    if not all(_is_comparable(side, value) for value in values):
        return _always(False)
    found = [fitting for value in values if (fitting := _fitting(side, value)) is not None]
    return side.is_there() & ~side.is_(**{"in": found}) if found else side.is_there()


def _named(options: Any, name: str, dotted: str) -> Any:
    try:
        return options.get_field(name)
    except FieldDoesNotExist:
        raise FilterError(
            f'{options.object_name} has no field "{name}" for the property "{dotted}"; name one in fields, '
            f"or None if no {options.object_name} has this property"
        ) from None


def _together(connector: str, parts: Sequence[Q]) -> Q:
    return Q(*parts, _connector=connector)


def _text_pattern(start: str, end: str) -> Callable[[str], str]:
    return lambda text: f"(?s){start}{re.escape(text)}{end}"


_PATTERNS: dict[str, Callable[[str], str]] = {
    "matches_glob": lambda text: pattern_of("matches_glob", text),
    "matches_path": lambda text: pattern_of("matches_path", text),
    "starts_with": _text_pattern(r"\A", ""),
    "ends_with": _text_pattern("", r"\Z"),
}


def _is_comparable(field: _Field, value: object) -> bool:
    """Whether a value is of the kind that requests send for a field."""
    if isinstance(value, bool):
        return field.kind == "boolean"
    if isinstance(value, str):
        return field.kind in ("text", "key", "uuid")
    if isinstance(value, datetime):
        return field.kind == "time"
    return isinstance(value, int | float) and field.kind in (*_WHOLE, "float", "decimal")


def _fitting(field: _Field, value: object) -> object | None:
    """The value as the field can equal it; None where it never does."""
    if not _is_comparable(field, value) or not can_be_held(value):
        return None
    if isinstance(value, str) and field.kind == "key":
        return read_integer(value)
    if isinstance(value, str) and field.kind == "uuid":
        text = read_uuid(value)
        return None if text is None else uuid.UUID(text)
    if isinstance(value, int) and field.kind == "float" and abs(value) > MOST_EXACT_FLOAT:
        return None if int(float(value)) != value else value  # Django would compare with the nearest number that there is
    if isinstance(value, int | float) and not isinstance(value, bool) and field.kind in (*_WHOLE, "decimal"):
        if not math.isfinite(value):
            return None
        exact = Decimal(repr(value))
        try:
            if exact != exact.quantize(Decimal(1).scaleb(-field.places)):
                return None
        except InvalidOperation:
            raise FilterError(f"{value} beside {field.lookup} has too many digits, so it {_NO_Q}") from None
        return exact if field.kind == "decimal" else int(value)
    return value


def _compared_with(operator: str, field: _Field, value: object) -> Q:
    if not _is_comparable(field, value):
        return _always(False)
    fitting = _fitting(field, value)
    if operator == "==":
        return _always(False) if fitting is None else field.is_(exact=fitting)
    if operator == "!=":
        return field.is_there() if fitting is None else field.is_there() & ~field.is_(exact=fitting)
    if field.kind in ("text", "key", "uuid", "boolean"):
        return _always(False)
    if fitting is None:
        if field.kind not in _WHOLE or not isinstance(value, float) or not math.isfinite(value):
            raise FilterError(f"{field.lookup} {operator} {value} {_NO_Q}")
        # Between two whole numbers: less than it is up to the lower one, more than it from the upper one on.
        return field.is_(lte=math.floor(value)) if operator in ("<", "<=") else field.is_(gte=math.ceil(value))
    return field.is_(**{_LOOKUPS[operator]: fitting})


def _fields_compared(operator: str, left: _Field, right: _Field) -> Q:
    numbers = (*_WHOLE, "float")
    # PostgreSQL takes a large whole number beside a fraction for the nearest fraction that there is.
    are_alike = {left.kind, right.kind} in ({"whole", "float"}, {"whole", "large"})
    if left.kind != right.kind and not are_alike:
        known = {"text", "boolean", *numbers}
        if left.kind in known and right.kind in known and {left.kind, right.kind} != {"large", "float"}:
            return _always(False)
        raise FilterError(f"{left.lookup} {operator} {right.lookup} {_NO_Q}")
    if operator == "==":
        return left.is_(exact=F(right.lookup))
    if operator == "!=":
        return left.is_there() & right.is_there() & ~left.is_(exact=F(right.lookup))
    if left.kind in ("text", "key", "uuid", "boolean"):
        return _always(False)
    return left.is_(**{_LOOKUPS[operator]: F(right.lookup)})
