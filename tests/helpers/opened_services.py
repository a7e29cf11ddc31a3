"""A database of a test's own, services over one policy set after the other, and what their searches find."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from generated_policies import Generated
from policy_sets import MODEL
from sqlalchemy import insert

from klausel.app import create_service
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity, properties_text
from klausel.service.decision_service import Service
from klausel.service.searches import Part, Search
from klausel.settings import Settings
from klausel.storage.sql.rows import as_values
from klausel.storage.sql.tables import CasbinRule
from klausel.storage.sql.tables import Entity as EntityRow

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


# What is asked here is what is found, however busy the machine is: the limits of a service have tests of their own.
PATIENT = {f"database_{what}_seconds": 120.0 for what in ("connect", "read", "write", "lock")}


class Opened:
    """A database of the test's own, and services over one policy set after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.count = 0

    def service(self, generated: Generated, rows: list[Assignment], entities: Sequence[Entity] = ()) -> Service:
        """A service over a set; in its database stand these rows alone, as if somebody else had written them."""
        return self.service_of([generated.texts], rows, entities)

    def service_of(
        self, texts: Sequence[Mapping[str, str]], rows: list[Assignment], entities: Sequence[Entity] = ()
    ) -> Service:
        """A service over a set of several folders."""
        folders = self.write(texts)
        options = Settings(
            policies=os.pathsep.join(folders),
            model=str(self.folder / "model.conf"),
            database=self.url,
            orphaned_assignments="warn",
            **PATIENT,
        )
        service = replace(create_service(options), clock=lambda: MOMENT)
        self.fill(service, rows, entities)
        return service

    def write(self, texts: Sequence[Mapping[str, str]]) -> list[str]:
        """Writes the files of a set, and gives its folders."""
        self.count += 1
        folders = [self.folder / f"policies{self.count}" / str(number) for number in range(len(texts))]
        for folder, files in zip(folders, texts, strict=True):
            for name, text in files.items():
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        (self.folder / "model.conf").write_text(MODEL)
        return [str(folder) for folder in folders]

    def fill(self, service: Service, rows: list[Assignment], entities: Sequence[Entity] = ()) -> None:
        """Leaves these rows alone in the database."""
        with service.store.engine.begin() as connection:
            connection.execute(CasbinRule.__table__.delete())  # type: ignore[attr-defined]
            if rows:
                connection.execute(insert(CasbinRule), [as_values(row) for row in rows])
            connection.execute(EntityRow.__table__.delete())  # type: ignore[attr-defined]
            if entities:
                names = ("kind", "type", "id", "domain", "properties")
                stored = [(*one[:4], properties_text(one.properties)) for one in entities]
                connection.execute(insert(EntityRow), [dict(zip(names, row, strict=True)) for row in stored])


def as_file(entities: Sequence[Entity]) -> str:
    """What `entities.yaml` says of entities; none of them may have a list with null in it."""
    lines = []
    for kind in ("subject", "resource"):
        lines.append(f"{kind}s:\n")
        for one in entities:
            if one.kind == kind:
                place = f", in: {_yaml(one.domain)}" if one.domain else ""
                known = f"type: {_yaml(one.type)}, id: {_yaml(one.id)}{place}, properties: {_yaml(dict(one.properties))}"
                lines.append(f"  - {{{known}}}\n")
    return "".join(lines)


def _yaml(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            plain = (c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
            return f'"{"".join(plain)}"'
        case list():
            assert None not in value
            return f"[{', '.join(map(_yaml, value))}]"
        case dict():
            return "{" + ", ".join(f"{_yaml(name)}: {_yaml(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value)


def in_pages(search: Search, part: Part, random: Random) -> list[str]:
    """All answers of a search for a part, read in pages of different lengths, some of which have no time."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page, after, is_cut = search.page(part, random.choice((1, 2, 5)), after, seconds=random.choice((None, 0.0)))
        assert not is_cut or after is not None
        found += page
    return found


def known_domains(rows: list[Assignment], above: str, depth: int) -> list[str]:
    """The ids of the domains of a level, below one, that rows name."""
    prefix = above + "/" if above else ""
    return sorted({row.domain.split("/")[depth - 1] for row in rows if row.domain and row.domain.startswith(prefix)})
