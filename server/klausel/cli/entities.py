"""Commands for stored properties of subjects and resources: `import` and `export` as JSON lines, and changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Engine
from tqdm import tqdm

from klausel.cli.change_options import MOST_SHOWN, Change, makes_change
from klausel.cli.database_options import database_option, explains_storage_errors, open_existing_database
from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.core.policy.entity import KINDS, Entity, EntityKey, EntityKind
from klausel.core.terms.escaping import shown
from klausel.core.terms.identifiers import split_subject_key
from klausel.storage.entities.store import EntityStore, InvalidEntities
from klausel.storage.schema import open_database

_KIND = click.Choice(KINDS)
_MEMBERS = {"kind", "type", "id", "domain", "properties"}


@click.group()
def entities() -> None:
    """Stored properties of subjects and resources, which decisions look up: in and out as JSON lines, and changed.

    Decisions look up the types that policies/properties.yaml names under stored. A line is an object with kind (subject or
    resource), type, id, properties and, of a resource, the domain where it lies.

    \b
    Examples:
      klausel entities import todos.jsonl
      klausel entities export > all.jsonl
      klausel entities set resource todo:7 '{"owner": "ann@example.com"}' --in acme/support
      klausel entities show resource todo:7
    """


@entities.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@makes_change
def import_(file: Path, change: Change) -> None:
    """Store the lines of FILE (- for standard input): all, or none when one is broken.

    What is stored already gets the properties of FILE in place of its own.

    \b
    Examples:
      klausel entities import todos.jsonl --database postgresql://localhost/klausel
      klausel entities import todos.jsonl --by cara --ticket HR-12
    """
    policy = change.policy()
    name = "standard input" if str(file) == "-" else str(file)
    lines: list[int] = []
    with _opened(change.database, creates=True) as store, click.open_file(str(file), encoding="utf-8") as text:
        try:
            written = store.write(policy, _read(text, name, lines), origin=change.origin)
        except InvalidEntities as error:
            for fault in error.faults[:MOST_SHOWN]:
                say(f"{name}:{lines[fault.index]}: error: {fault.fault.member}: {fault.fault.message}", err=True)
            fail(f"{name}: nothing was imported")
        except UnicodeDecodeError:
            fail(f"{name} is no text in UTF-8; save it as that")
    say(f"{written.stored} stored, {len(lines) - written.stored} there already; revision {written.revision}")


@entities.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@database_option
@explains_storage_errors
def export(file: Path | None, database: str) -> None:
    """Write all that is stored as JSON lines to FILE, or to standard output; `import` reads it back unchanged.

    \b
    Example:
      klausel entities export all.jsonl --database postgresql://localhost/klausel
    """
    with _opened(database) as store:
        try:
            if file is None or str(file) == "-":
                for entity in store.export():
                    say(_line(entity))
                return
            bar = tqdm(total=store.count(), unit=" entities", unit_scale=True, disable=None, leave=False)
            with file.open("w", encoding="utf-8") as text, bar:
                for entity in store.export():
                    text.write(_line(entity) + "\n")
                    bar.update()
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}; name another file, or give the writer access to it")


@entities.command("list")
@click.argument("kind", type=_KIND)
@click.argument("type_", metavar="TYPE")
@click.option("--in", "domain", metavar="DOMAIN", help="Those alone that lie there or below.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.option("--after", default="", metavar="ID", help="Those behind this id.")
@database_option
@explains_storage_errors
def list_(kind: str, type_: str, domain: str | None, limit: int, after: str, database: str) -> None:
    """Show what is stored of the subjects or resources (KIND) of a TYPE, as JSON lines by their ids.

    \b
    Example:
      klausel entities list resource todo --in acme
    """
    with _opened(database) as store:
        found, has_more = store.page(_kind(kind), type_, limit, after, domain)
    for entity in found:
        say(_line(entity))
    if has_more:
        say(f"there are more; go on with --after {json.dumps(found[-1].id)}", err=True)


@entities.command()
@click.argument("kind", type=_KIND)
@click.argument("name", metavar="TYPE:ID")
@database_option
@explains_storage_errors
def show(kind: str, name: str, database: str) -> None:
    """Show what is stored of one subject or resource (KIND), written TYPE:ID, as a line of JSON.

    \b
    Example:
      klausel entities show subject user:ann
    """
    with _opened(database) as store:
        found = store.read(_key(kind, name))
    if found is None:
        fail(f"nothing is stored of the {kind} {name}")
    say(_line(found))


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
    engine: Engine = open_database(database) if creates else open_existing_database(database)
    try:
        yield EntityStore(engine)
    finally:
        engine.dispose()


def _kind(text: str) -> EntityKind:
    return "subject" if text == "subject" else "resource"


def _key(kind: str, name: str) -> EntityKey:
    parts = split_subject_key(name)
    if parts is None:
        raise click.UsageError(f'"{shown(name)}" has no type; write it as type:id, such as user:ann')
    return (_kind(kind), *parts)


def _line(entity: Entity) -> str:
    """All in ASCII, so that nothing in it can command a terminal."""
    return json.dumps(entity.as_json())


def _read(text: Iterable[str], name: str, lines: list[int]) -> Iterator[Entity]:
    """The entities of JSON lines, with the line of each; exits with a message at one that is none."""
    for number, line in enumerate(tqdm(text, unit=" lines", unit_scale=True, disable=None, leave=False, file=sys.stderr), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or not {"kind", "type", "id"} <= set(value) <= _MEMBERS:
            fail(
                f"{name}:{number}: this is no entity, so nothing was imported; write an object with kind, type, id, properties"
            )
        domain = value.get("domain", "")
        if not isinstance(domain, str):
            fail(f"{name}:{number}: the domain is no text, so nothing was imported; write it as acme/support")
        lines.append(number)
        yield Entity(value["kind"], value["type"], value["id"], domain, value.get("properties", {}))
