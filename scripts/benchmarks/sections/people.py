"""Import, start-up, memory and latency against the number of people; beside stock pycasbin and the bare SELECT."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.casbin_models import CASES
from benchmarks.children import asked, python
from benchmarks.measuring import Comparison, Curve, Reading, Section, Target, at_most, shown, times
from benchmarks.organisation import people, subject_id
from benchmarks.peers.packages import Missing
from benchmarks.scale import Scale
from benchmarks.workload import MODEL, POLICIES, make_questions
from klausel.core.policy.policy_set import PolicySet
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

PLOT = "people"
WORKER_SECONDS = 100
POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
MOST_HELD_IN_MEMORY = 2_500_000
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """A database with so many people: how fast they came in, and the task for its workers."""

    people: int
    rows: int
    rows_per_second: float
    task: dict[str, Any]


@contextmanager
def postgresql_schema() -> Iterator[str]:
    """A schema of its own on a PostgreSQL server, dropped in the end; raises `Missing`."""
    server = make_url(os.environ.get("KLAUSEL_BENCH_POSTGRES", POSTGRESQL))
    if server.drivername in {"postgres", "postgresql"}:
        server = server.set(drivername="postgresql+psycopg")
    engine = create_engine(server, connect_args={"connect_timeout": 3})
    schema = f"klausel_bench_{os.getpid()}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except SQLAlchemyError:
        raise Missing("no server answers at 127.0.0.1:5432; name one in KLAUSEL_BENCH_POSTGRES") from None
    try:
        yield server.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


def measure_people(policy: PolicySet, folder: Path, scale: Scale, step: Step) -> Section:
    """All of it: SQLite at each size, PostgreSQL at one, stock pycasbin at one."""
    section = Section(
        "Number of people",
        f"A process of its own for each reading. Start-up includes the imports and ends with the first decision; memory and warm "
        f"decisions are those after a working set of {scale.working_set:,} people, who ask through the service's parts.",
    )
    filled = [fill(f"sqlite:///{folder}/people{count}.db", count, policy, scale, step) for count in scale.people_counts]
    readings = _in_turn(filled, scale, step)
    _compare_sizes(section, filled, readings)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgresql_schema())
        except Missing as missing:
            section.remarks.append(f"PostgreSQL is missing: {missing}.")
            section.targets.append(Target("first decision, PostgreSQL: × the bare SELECT", "≤ 1.5 ×", "no server", None))
        else:
            _measure_postgresql(section, fill(url, scale.postgresql_people, policy, scale, step), scale, step)
    _measure_stock(section, policy, folder, scale, step)
    return section


def fill(url: str, count: int, policy: PolicySet, scale: Scale, step: Step) -> Filled:
    """Imports so many people in bulk, and makes the questions of a working set taken evenly from them."""
    kind = "PostgreSQL" if url.startswith("postgresql") else "SQLite"
    step(f"making {count:,} people")
    rows: Any = people(policy.roles, count)
    if count * 2.2 < MOST_HELD_IN_MEMORY:
        rows = list(rows)
    store = AssignmentStore(open_database(url))
    started = perf_counter()
    result = store.import_rows(
        policy.roles, rows, lambda read: step(f"{kind}: {read:,} role assignments of {count:,} people read")
    )
    took = perf_counter() - started
    spread = max(1, count // scale.working_set)
    subjects = [subject_id(person) for person in range(0, count, spread)][: scale.working_set]
    held = {subject: store.held_by(f"user:{subject}") for subject in subjects}
    store.close()
    questions = make_questions(policy, held, count, 2 * scale.working_set)
    requests = [
        [
            request.subject.id,
            request.action.name,
            request.resource.type,
            request.resource.id,
            dict(request.resource.properties),
        ]
        for request in (question.request for question in questions)
    ]
    step_between = max(2, count // (2 * scale.first_decisions))
    strangers = [subject_id(person) for person in range(1, count, step_between) if person % spread]
    task = {
        "kind": "service",
        "policies": str(POLICIES),
        "model": str(MODEL),
        "database": url,
        "requests": requests,
        "strangers": strangers[: 2 * scale.first_decisions],
    }
    return Filled(count, result.added, result.added / took, task)


def _in_turn(filled: list[Filled], scale: Scale, step: Step) -> list[dict[str, Reading]]:
    """The readings of each database, workers on them taking turns."""
    found: list[list[dict[str, float]]] = [[] for _ in filled]
    for number in range(scale.people_rounds):
        for place, database in enumerate(filled):
            step(f"{database.people:,} people, round {number + 1} of {scale.people_rounds}")
            found[place].append(run_worker(database.task))
    return [{name: Reading(tuple(one[name] for one in rounds)) for name in rounds[0]} for rounds in found]


def _compare_sizes(section: Section, filled: list[Filled], readings: list[dict[str, Reading]]) -> None:
    names = [f"{database.people:,} people" for database in filled]
    for what, key, unit in (("start-up", "startup", "s"), ("memory", "bytes", "B"), ("warm decision", "warm", "s")):
        named = {name: reading[key] for name, reading in zip(names, readings, strict=True)}
        section.comparisons.append(Comparison(what, named, unit, base=names[0]))
    imports = {
        f"SQLite, {database.rows:,} rows": Reading((database.rows_per_second,))
        for database in filled
        if database.rows > 10_000
    }
    if imports:
        section.comparisons.append(Comparison("bulk import, role assignments", imports, "/s", base=""))
    first, last = readings[0], readings[-1]
    section.comparisons.append(
        Comparison("a subject's first decision, SQLite", {"klausel": last["first"], "bare SELECT": last["select"]})
    )
    growth = f"people {filled[0].people:,} → {filled[-1].people:,}"
    slower = last["startup"].median - first["startup"].median
    larger = last["bytes"].median - first["bytes"].median
    section.targets += [
        at_most(f"{growth}: warm decision", last["warm"].median / first["warm"].median, 1.2),
        Target(f"{growth}: start-up", "≤ +0.2 s", f"{slower:+.2f} s", slower <= 0.2),
        Target(f"{growth}: memory", "≤ +20 MB", f"{larger / 1e6:+.1f} MB", larger <= 20e6),
        at_most("first decision, SQLite: × the bare SELECT", last["first"].median / last["select"].median, 4),
    ]
    if filled[-1].rows >= 100_000:
        speed = filled[-1].rows_per_second
        section.targets.append(Target("bulk import, SQLite", "≥ 100,000 /s", shown(speed, "/s"), speed >= 100_000))
    points = tuple((database.people, reading["warm"].median) for database, reading in zip(filled, readings, strict=True))
    section.curves[PLOT] = [Curve("klausel, whole decision", points)]


def _measure_postgresql(section: Section, filled: Filled, scale: Scale, step: Step) -> None:
    reading = _in_turn([filled], scale, step)[0]
    label = f"PostgreSQL, {filled.people:,} people"
    section.comparisons.append(
        Comparison(f"a subject's first decision, {label}", {"klausel": reading["first"], "bare SELECT": reading["select"]})
    )
    ratio = reading["first"].median / reading["select"].median
    section.targets.append(Target("first decision, PostgreSQL: × the bare SELECT", "≤ 1.5 ×", times(ratio), ratio <= 1.5))
    if filled.rows >= 100_000:
        speed = filled.rows_per_second
        section.targets.append(
            Target(f"bulk import, PostgreSQL, {filled.rows:,} rows", "≥ 50,000 /s", shown(speed, "/s"), speed >= 50_000)
        )


def _measure_stock(section: Section, policy: PolicySet, folder: Path, scale: Scale, step: Step) -> None:
    """Stock pycasbin has all role assignments in memory, so its load is measured up to a cap only."""
    step(f"stock pycasbin loads {scale.stock_assignments:,} role assignments")
    file = folder / "assignments.csv"
    written = 0
    with file.open("w", encoding="utf-8") as lines:
        lines.write("p, lead, account0/workspace0, quiz, edit\n")
        for subject, role, domain, *_ in people(policy.roles, scale.stock_assignments):
            lines.write(f"g, {subject}, {role}, {domain}\n")
            written += 1
            if written == scale.stock_assignments:
                break
    text_of_model = next(case.text for case in CASES if case.name == "RBAC with domains")
    question = [subject_id(1), "account0/workspace0", "quiz", "edit"]
    task = {"kind": "stock", "model_text": text_of_model, "file": str(file), "question": question}
    found = run_worker(task)
    section.remarks.append(
        f"Stock pycasbin takes {shown(found['startup'], 's')} and {shown(found['bytes'], 'B')} to load {written:,} role "
        f"assignments from a file, and {shown(found['first'], 's')} for the first question in a domain; not measured above that."
    )


def run_worker(task: dict[str, Any]) -> dict[str, float]:
    """What `people_worker` finds; raises `RunFailed` with its last words."""
    found: dict[str, float] = asked(python("sections.people_worker"), task, WORKER_SECONDS)
    return found
