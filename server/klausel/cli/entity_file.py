"""Files of stored properties: JSON lines, and CSV with a column for each property. What was exported is read back unchanged."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from klausel.core.loading.json_values import json_or_text
from klausel.core.policy.entity import KINDS, Entity
from klausel.core.policy.entity_faults import fault_in_key
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import Parts
from klausel.core.terms.escaping import cell_of, read_cell
from klausel.core.text.csv_rows import sentence_of

FORMATS = ("jsonl", "csv")
_KEY = ["kind", "type", "id"]
_COLUMNS = [*_KEY, "domain"]
_MEMBERS = {*_COLUMNS, "properties"}
_PREFIX = "properties."
MOST_COLUMNS = 1_000


class BrokenLine(Exception):
    """A line that is no entity; carries its number and a sentence with the cure."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def format_of(file: Path | None, said: str | None) -> str:
    """The format that was asked for, else CSV for files whose name ends so, else JSON lines."""
    return said or ("csv" if file is not None and file.suffix.lower() == ".csv" else "jsonl")


def read_entities(text: Iterable[str], format_: str, policy: PolicySet, lines: list[int]) -> Iterator[Entity]:
    """The entities of a text in their order; `lines` gets the first line of each. Raises BrokenLine."""
    return _read_csv(text, policy, lines) if format_ == "csv" else _read_json(text, lines)


def json_line(entity: Entity) -> str:
    """One entity as a line of JSON, all in ASCII, so that nothing in it can command a terminal."""
    return json.dumps(entity.as_json())


def columns_of(entities: Iterable[Entity]) -> list[str]:
    """The names of all properties, sorted. Raises BrokenLine where there are too many for a table."""
    names: set[str] = set()
    for entity in entities:
        names.update(entity.properties)
        if len(names) > MOST_COLUMNS:
            raise BrokenLine(0, f"there are more than {MOST_COLUMNS} properties; export them as JSON lines (--format jsonl)")
    return sorted(names)


def write_csv(entities: Iterable[Entity], names: list[str], text: TextIO) -> None:
    """Writes CSV with a column for each name; no cell of it is taken for a formula. Raises BrokenLine for another property."""
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell_of, [*_COLUMNS, *map(_column, names)]))
    known = set(names)
    for entity in entities:
        if not known >= entity.properties.keys():
            raise BrokenLine(0, "properties were stored meanwhile that no column is for; start again")
        cells = [_cell(entity.properties[name]) if name in entity.properties else "" for name in names]
        writer.writerow(map(cell_of, [entity.kind, entity.type, entity.id, entity.domain, *cells]))


def _column(name: str) -> str:
    return _PREFIX + name if name in _COLUMNS or name.startswith(_PREFIX) else name


def _cell(value: object) -> str:
    """A value so that `_value` reads it back: texts as they are, except those that look like something else."""
    if isinstance(value, str) and value and value == value.strip() and json_or_text(value) is value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(policy: PolicySet, kind: str, type_: str, name: str, cell: str) -> object:
    """What a cell says: JSON where it is that, else a text; of a property that is declared as a text always a text."""
    value = json_or_text(cell)
    if value is None or value is cell:
        return value
    if not isinstance(value, str) and kind in KINDS:
        types = policy.declarations(type_).of_root("subject" if kind == "subject" else "resource")
        declared = None if types is None else types.get(name)
        if declared is not None and not isinstance(declared, Parts) and not declared.fits(value) and declared.fits(cell):
            return cell
    return value


def _read_csv(text: Iterable[str], policy: PolicySet, lines: list[int]) -> Iterator[Entity]:
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        header = [read_cell(cell) for cell in next(reader, [])]
        _check_header(header)
        names = [name if name in _COLUMNS else name.removeprefix(_PREFIX) for name in header]
        own = {name: index for index, name in enumerate(header) if name in _COLUMNS}
        line = reader.line_num + 1
        for row in reader:
            if row:
                lines.append(line)
                yield _entity_of(policy, line, [read_cell(cell) for cell in row], header, names, own)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BrokenLine(line, sentence_of(error)) from None


def _check_header(header: list[str]) -> None:
    missing = [name for name in _KEY if name not in header]
    if missing:
        raise BrokenLine(1, f"the first line has no column {missing[0]}; write kind,type,id,domain and the properties")
    names = [_column(name.removeprefix(_PREFIX)) if name not in _COLUMNS else name for name in header]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "" in header:
        what = f'the column "{twice}" is there twice' if twice else "a column has no name"
        raise BrokenLine(1, f"{what}; give each column a name of its own")


def _entity_of(
    policy: PolicySet, line: int, row: list[str], header: list[str], names: list[str], own: dict[str, int]
) -> Entity:
    if len(row) != len(header):
        raise BrokenLine(
            line, f"this row has {len(row)} fields, and the first line {len(header)}; write one for each column"
        )
    kind, type_, id_ = (row[own[name]] for name in _KEY)
    fault = fault_in_key(kind, type_, id_)
    if fault is not None:
        raise BrokenLine(line, f"{fault.member}: {fault.message}")
    properties = {
        name: _value(policy, kind, type_, name, cell)
        for name, column, cell in zip(names, header, row, strict=True)
        if column not in own and cell
    }
    domain = row[own["domain"]] if "domain" in own else ""
    return Entity("subject" if kind == "subject" else "resource", type_, id_, domain, properties)


def _read_json(text: Iterable[str], lines: list[int]) -> Iterator[Entity]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or not {*_KEY} <= set(value) <= _MEMBERS:
            raise BrokenLine(number, "this is no entity; write an object with kind, type, id, properties")
        domain = value.get("domain", "")
        if not isinstance(domain, str):
            raise BrokenLine(number, "the domain is no text; write it as acme/support")
        lines.append(number)
        yield Entity(value["kind"], value["type"], value["id"], domain, value.get("properties", {}))
