"""What a service costs a month, by people and by decisions a second: a day is played through minute by minute.

    PYTHONPATH=scripts python3 -m benchmarks.cost --people 1000000 --decisions 1000 --core 25 --gigabyte 4 --disk 0.12

Prices are yours: of a core, a gigabyte of memory and a gigabyte of disk, each a month. The rest are assumptions, which stand in
the answer and can be given; what was measured comes from docs/scale.md and docs/operations.md. Networks, people and support cost
besides.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass, fields

MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed; `--help` names them all."""

    decisions_of_core: float = 3000.0
    """Decisions a second by which a core of the service is full, half of what one worker reached alone."""

    readings_of_core: float = 4000.0
    """First decisions about a person that a core of PostgreSQL reads in a second."""

    full: float = 0.5
    """Share of a core that is used at the busiest minute: the rest is for one replica that is away, and for other peaks."""

    peak: float = 3.0
    """The busiest minute, as a multiple of the mean."""

    active: float = 0.1
    """Share of the people who are asked about on a day."""

    assignments: float = 3.0
    """Role assignments a person."""

    bytes_of_assignment: float = 430.0
    """On the disk of PostgreSQL, with indexes, change log and room to breathe."""

    kept_bytes: float = 1100.0
    """In each worker, of a person who was asked about."""

    kept_people: float = 30_000.0
    """How many a worker remembers at most."""

    worker_gigabytes: float = 0.15
    """A worker without anybody that it remembers."""

    warm: float = 0.25
    """Share of the database that its memory should hold."""

    replicas: float = 2.0
    """Of the service, at least."""

    databases: float = 2.0
    """PostgreSQL and its standby."""


def played(people: float, decisions: float, given: Assumptions, seed: int = 7) -> tuple[float, float]:
    """The most decisions and readings a second in any minute of a day: people come, and are read once they are forgotten."""
    chance = random.Random(seed)
    active = max(1.0, people * given.active)
    shape = [1 + (given.peak - 1) * math.sin(math.pi * minute / MINUTES) ** 4 for minute in range(MINUTES)]
    mean = sum(shape) / MINUTES
    most, most_read = 0.0, 0.0
    for factor in shape:
        asked = decisions * factor / mean * chance.uniform(0.95, 1.05)
        # Of those who are active, a worker remembers so many; whoever else is asked about is read.
        share_unknown = max(0.0, 1 - given.kept_people / active)
        newcomers = active / MINUTES / 60 * factor
        most, most_read = max(most, asked), max(most_read, asked * share_unknown + newcomers)
    return most, most_read


def main() -> None:
    """Prints the assumptions, what is needed, and what it costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=float, default=1e6)
    parser.add_argument("--decisions", type=float, default=1000.0, help="a second, on the mean of a day")
    parser.add_argument("--core", type=float, default=25.0, help="price of a core a month")
    parser.add_argument("--gigabyte", type=float, default=4.0, help="price of a gigabyte of memory a month")
    parser.add_argument("--disk", type=float, default=0.12, help="price of a gigabyte of disk a month")
    for one in fields(Assumptions):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    told = vars(parser.parse_args())
    given = Assumptions(**{one.name: told[one.name] for one in fields(Assumptions)})
    people, decisions = told["people"], told["decisions"]
    print("assumed: " + ", ".join(f"{one.name} {getattr(given, one.name):g}" for one in fields(Assumptions)))
    most, most_read = played(people, decisions, given)
    cores = max(given.replicas, math.ceil(most / given.decisions_of_core / given.full))
    kept = min(given.kept_people, people * given.active)
    memory = cores * (given.worker_gigabytes + kept * given.kept_bytes / 1e9)
    disk = people * given.assignments * given.bytes_of_assignment / 1e9
    database_cores = max(1, math.ceil(most_read / given.readings_of_core / given.full))
    database_memory = max(1.0, given.warm * disk)
    service = cores * told["core"] + memory * told["gigabyte"]
    database = given.databases * (database_cores * told["core"] + database_memory * told["gigabyte"] + disk * told["disk"])
    print(f"at most {most:.0f} decisions a second, of which {most_read:.0f} read the database")
    print(f"service: {cores:.0f} workers with a core each, {memory:.1f} GB of memory: {service:.0f} a month")
    print(
        f"database: {given.databases:.0f} x {database_cores} cores, {database_memory:.1f} GB of memory, {disk:.1f} GB of disk:"
        f" {database:.0f} a month"
    )
    print(
        f"together {service + database:.0f} a month: {(service + database) / (people / 1e6):.0f} for a million people,"
        f" {(service + database) / (decisions / 1000):.0f} for a thousand decisions a second"
    )


if __name__ == "__main__":
    main()
