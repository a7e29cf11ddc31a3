"""Atheris on what reads texts from outside: conditions, YAML and CSV of policies, and JSON bodies. Coverage guides the bytes.

    scripts/python -m faults.fuzz_parsers conditions policies/features -max_total_time=60

Needs the package atheris. The first argument names what is tried: conditions, roles, features, rows or bodies; the others are
libFuzzer's, folders with good files among them. A text may be refused as its reader says, and in no other way: what is raised
besides ends the run, and libFuzzer keeps the bytes in a file `crash-…`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["klausel"]):
    from klausel.api.json_body import BodyError, BodyLimits, read_json_object
    from klausel.core.conditions.parser import parse_condition
    from klausel.core.conditions.tokens import ExpressionFault
    from klausel.core.loading.load import SourceFile, load_policy

ROLES = b"levels:\n  account:\n    named_by: account\n    identified_by: account\nroles:\n  admin:\n    level: account\n"


def conditions(data: bytes) -> None:
    """A condition is parsed, or refused as a fault in an expression."""
    with contextlib.suppress(ExpressionFault):
        parse_condition(data.decode(errors="replace"), lambda name: None, {"open": True})


def roles(data: bytes) -> None:
    """Loading never raises on what roles.yaml holds."""
    load_policy([SourceFile("roles.yaml", "roles.yaml", data)])


def features(data: bytes) -> None:
    """Loading never raises on what a YAML file of features holds."""
    load_policy([SourceFile("roles.yaml", "roles.yaml", ROLES), SourceFile("features/x.yaml", "features/x.yaml", data)])


def rows(data: bytes) -> None:
    """Loading never raises on what a CSV file of features holds."""
    load_policy([SourceFile("roles.yaml", "roles.yaml", ROLES), SourceFile("features/x.csv", "features/x.csv", data)])


def bodies(data: bytes) -> None:
    """A body is read, or refused as one."""
    with contextlib.suppress(BodyError):
        read_json_object(data, BodyLimits(), "evaluations")


TRIED: dict[str, Callable[[bytes], None]] = {one.__name__: one for one in (conditions, roles, features, rows, bodies)}


def main() -> None:
    """Runs libFuzzer on what the first argument names."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TRIED:
        raise SystemExit(f"name what is tried: {', '.join(TRIED)}")
    atheris.Setup(sys.argv, TRIED[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
