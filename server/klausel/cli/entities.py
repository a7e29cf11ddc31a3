"""Commands for stored properties of subjects and resources: `import` and `export` as JSON lines or CSV, and changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from klausel.cli.change_options import MOST_SHOWN, Change, makes_change
from klausel.cli.database_options import database_at, database_option
from klausel.cli.entity_file import (
    FORMATS,
    BrokenLine,
    columns_of,
    format_of,
    json_line,
    read_entities,
    write_csv,
)
from klausel.cli.moments import moment_in_log, moment_of
from klausel.cli.options import fail
from klausel.cli.output import say, say_lines
from klausel.cli.progress import lines_in, progress
from klausel.core.policy.entity import KINDS, Entity, EntityKey, EntityKind
from klausel.core.terms.escaping import shown
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.moment import moment_text
from klausel.storage.change_log.entity_reader import EntityLogReader
from klausel.storage.entities.store import EntityStore, InvalidEntities

_KIND = click.Choice(KINDS)
_format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="JSON lines, or CSV with a column for each property; by the name of FILE unless said, else JSON lines.",
)
_at_option = click.option(
    "--at", "moment", callback=moment_of, metavar="MOMENT", help="As it was then; a date alone is its first moment in UTC."
)


@click.group()
def entities() -> None:
    """Stored properties of subjects and resources, which decisions look up: in and out as JSON lines or CSV, and changed.

    Decisions look up the types that policies/properties.yaml names under stored. A line is an object with kind (subject or
    resource), type, id, properties and, of a resource, the domain where it lies; a CSV has the header kind,type,id,domain and a
    column for each property.

    \b
    Examples:
      klausel entities import todos.jsonl
      klausel entities export people.csv
      klausel entities set resource todo:7 '{"owner": "ann@example.com"}' --in acme/support
      klausel entities show resource todo:7
    """


@entities.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@_format_option
@makes_change
def import_(file: Path, format_: str | None, change: Change) -> None:
    """Store the lines of FILE (- for standard input): all, or none when one is broken.

    What is stored already gets the properties of FILE in place of its own. In a CSV an empty cell is a property that is not
    there; true, false, null, numbers and JSON are read as such, except where the policies declare a text.

    \b
    Examples:
      klausel entities import todos.jsonl --database postgresql://localhost/klausel
      klausel entities import people.csv --by cara --ticket HR-12
    """
    policy = change.policy()
    name = "standard input" if str(file) == "-" else str(file)
    lines: list[int] = []
    with _opened(change.database, creates=True) as store, click.open_file(str(file), encoding="utf-8-sig") as text:
        told = progress(text, total=lines_in(file), unit=" lines")
        try:
            entities_read = read_entities(told, format_of(file, format_), policy, lines)
            written = store.write(policy, entities_read, origin=change.origin)
        except BrokenLine as error:
            fail(f"{name}:{error.number}: {error}; nothing was imported")
        except InvalidEntities as error:
            for fault in error.faults[:MOST_SHOWN]:
                say(f"{name}:{lines[fault.index]}: error: {fault.fault.member}: {fault.fault.message}", err=True)
            fail(f"{name}: nothing was imported")
        except UnicodeDecodeError:
            fail(f"{name} is no text in UTF-8; save it as that")
    say(f"{written.stored} stored, {len(lines) - written.stored} there already; revision {written.revision}")


@entities.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@_format_option
@_at_option
@database_option
def export(file: Path | None, format_: str | None, moment: int | None, database: str) -> None:
    """Write all that is stored to FILE, or to standard output; `import` reads it back unchanged.

    As JSON lines, or as CSV with a column for each property: a FILE whose name ends with .csv, or --format csv.

    \b
    Examples:
      klausel entities export all.jsonl --database postgresql://localhost/klausel
      klausel entities export people.csv --at 2026-03-01
    """
    is_csv = format_of(file, format_) == "csv"
    with _opened(database) as store, _at(store, moment) as all_of:
        try:
            names = columns_of(all_of()) if is_csv else []
            if file is None or str(file) == "-":
                _write(all_of(), names if is_csv else None, sys.stdout)
                return
            count = store.count() if moment is None else None
            bar = progress(all_of(), total=count, unit=" entities")
            with file.open("w", encoding="utf-8", newline="") as text:
                _write(bar, names if is_csv else None, text)
        except BrokenLine as error:
            fail(str(error))
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}; name another file, or give the writer access to it")


def _write(entities_: Iterable[Entity], names: list[str] | None, text: TextIO) -> None:
    if names is not None:
        write_csv(entities_, names, text)
        return
    for entity in entities_:
        text.write(json_line(entity) + "\n")


@entities.command("list")
@click.argument("kind", type=_KIND)
@click.argument("type_", metavar="TYPE")
@click.option("--in", "domain", metavar="DOMAIN", help="Those alone that lie there or below.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.option("--after", default="", metavar="ID", help="Those behind this id.")
@database_option
def list_(kind: str, type_: str, domain: str | None, limit: int, after: str, database: str) -> None:
    """Show what is stored of the subjects or resources (KIND) of a TYPE, as JSON lines by their ids.

    \b
    Example:
      klausel entities list resource todo --in acme
    """
    with _opened(database) as store:
        found, has_more = store.page(_kind(kind), type_, limit, after, domain)
    say_lines(map(json_line, found))
    if has_more:
        say(f"there are more; go on with --after {json.dumps(found[-1].id)}", err=True)


@entities.command()
@click.argument("kind", type=_KIND)
@click.argument("name", metavar="TYPE:ID")
@_at_option
@database_option
def show(kind: str, name: str, moment: int | None, database: str) -> None:
    """Show what is stored of one subject or resource (KIND), written TYPE:ID, as a line of JSON.

    \b
    Examples:
      klausel entities show subject user:ann
      klausel entities show resource todo:7 --at 2026-03-01
    """
    key = _key(kind, name)
    with _opened(database) as store:
        if moment is None:
            found = store.read(key)
        else:
            found = store.read_at(key, moment_in_log(store.engine, moment)[1].number)
    if found is None:
        fail(f"nothing {'is' if moment is None else 'was'} stored of the {kind} {name}")
    say(json_line(found))


@entities.command("set")
@click.argument("kind", type=_KIND)
@click.argument("name", metavar="TYPE:ID")
@click.argument("properties", metavar="JSON")
@click.option("--in", "domain", default="", metavar="DOMAIN", help="Where the resource lies.")
@makes_change
def set_(kind: str, name: str, properties: str, domain: str, change: Change) -> None:
    """Store the properties of one subject or resource (KIND), in place of all that is stored of it.

    \b
    Examples:
      klausel entities set subject user:ann '{"email": "ann@example.com"}'
      klausel entities set resource todo:7 '{"owner": "ann@example.com"}' --in acme/support --by cara
    """
    policy = change.policy()
    try:
        values = json.loads(properties)
    except (ValueError, RecursionError):
        raise click.UsageError('the properties are no JSON; write an object such as \'{"owner": "ann"}\'') from None
    with _opened(change.database, creates=True) as store:
        try:
            written = store.write(policy, [Entity(*_key(kind, name), domain, values)], origin=change.origin)
        except InvalidEntities as error:
            fail(f"{error.faults[0].fault.member}: {error}")
    say(f"{'stored' if written.stored else 'it was so already'}; revision {written.revision}")


@entities.command()
@click.argument("kind", type=_KIND)
@click.argument("name", metavar="TYPE:ID")
@makes_change
def delete(kind: str, name: str, change: Change) -> None:
    """Take away what is stored of one subject or resource (KIND).

    \b
    Example:
      klausel entities delete resource todo:7 --by cara --reason "it is done"
    """
    policy = change.policy()
    with _opened(change.database) as store:
        try:
            written = store.write(policy, (), [_key(kind, name)], change.origin)
        except InvalidEntities as error:
            fail(f"{error.faults[0].fault.member}: {error}")
    if not written.removed:
        fail(f"nothing is stored of the {kind} {name}, so nothing was changed")
    say(f"taken away; revision {written.revision}")


@contextmanager
def _opened(database: str, creates: bool = False) -> Iterator[EntityStore]:
    with database_at(database, creates) as engine:
        yield EntityStore(engine)


@contextmanager
def _at(store: EntityStore, moment: int | None) -> Iterator[Callable[[], Iterator[Entity]]]:
    """What gives all that is stored, or was at a moment, each time it is called."""
    if moment is None:
        yield store.export
        return
    place = moment_in_log(store.engine, moment)[1]
    say(f"as of {moment_text(moment)}, after record {place.number}", err=True)
    yield lambda: EntityLogReader(store.engine).stored_at(place)


def _kind(text: str) -> EntityKind:
    return "subject" if text == "subject" else "resource"


def _key(kind: str, name: str) -> EntityKey:
    parts = split_subject_key(name)
    if parts is None:
        raise click.UsageError(f'"{shown(name)}" has no type; write it as type:id, such as user:ann')
    return (_kind(kind), *parts)
