"""The results as a table for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.measuring import Comparison, Section, Target, shown, times

Row = tuple[str, ...]
_BAR = 40
_SHORTEST = 1e-7
_LEAST_DECADES = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that one run found."""

    sections: Sequence[Section]
    agreements: Sequence[str]
    missing: Mapping[str, str]
    versions: Mapping[str, str]
    machine: str
    seconds: float

    @property
    def targets(self) -> list[Target]:
        """The targets of all sections."""
        return [target for section in self.sections for target in section.targets]


def machine() -> str:
    """The machine in a few words: cores, processor, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{cores} cores ({name}), {platform.system()}, {platform.python_implementation()} {platform.python_version()}"


def as_text(run: Run) -> str:
    """The tables for a terminal, with the curves as bars."""
    parts = []
    for section in run.sections:
        parts += ["", section.title, "=" * len(section.title), section.note]
        for table in _tables(section):
            parts += ["", *_columns(table)]
        parts += [f"  {remark}" for remark in section.remarks]
        for curves in section.curves.values():
            parts += ["", *_bars([(curve.name, point) for curve in curves for point in curve.points])]
    parts += ["", "Targets", "=======", *_columns([("", "target", "this run", ""), *map(_target_row, run.targets)]), ""]
    parts += [f"Missing: {name}, because {reason}." for name, reason in run.missing.items()]
    return "\n".join([*parts, *_foot(run)])


def as_markdown(run: Run) -> str:
    """The tables for docs/performance.md."""
    parts = ["## Targets", "", *_table([("what", "target", "this run", ""), *map(_target_row, run.targets)])]
    parts += [text for name, reason in run.missing.items() for text in ("", f"Missing: {name}, because {reason}.")]
    for section in run.sections:
        parts += ["", f"## {section.title}", "", section.note]
        for table in _tables(section):
            parts += ["", *_table(table)]
        for remark in section.remarks:
            parts += ["", remark]
    return "\n".join([*parts, "", "## Run", "", *(f"- {line}" for line in _foot(run))])


def as_json(run: Run) -> dict[str, Any]:
    """Everything, for machines: seconds, calls in a second, or bytes, round by round."""
    sections = []
    for section in run.sections:
        comparisons = [
            {
                "what": comparison.what,
                "unit": comparison.unit,
                "base": comparison.base,
                "readings": [
                    {"who": name, "median": reading.median, "rounds": reading.rounds, "ratio": comparison.ratio(name)}
                    for name, reading in comparison.readings.items()
                ],
            }
            for comparison in section.comparisons
        ]
        curves = {plot: [dataclasses.asdict(curve) for curve in curves] for plot, curves in section.curves.items()}
        sections.append(
            {
                "title": section.title,
                "note": section.note,
                "comparisons": comparisons,
                "curves": curves,
                "remarks": section.remarks,
            }
        )
    return {
        "machine": run.machine,
        "date": date.today().isoformat(),
        "seconds": run.seconds,
        "versions": dict(run.versions),
        "missing": dict(run.missing),
        "agreements": list(run.agreements),
        "targets": [dataclasses.asdict(target) for target in run.targets],
        "sections": sections,
    }


def _foot(run: Run) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return [*run.agreements, f"{date.today().isoformat()}: {run.machine}", versions, f"{run.seconds:.0f} s in all"]


def _ratio_title(comparison: Comparison) -> str:
    if comparison.base not in comparison.readings:
        return ""
    if comparison.base == "klausel":
        return "klausel is better by"
    return f"× {comparison.base}"


def _tables(section: Section) -> list[list[Row]]:
    """The comparisons of a section: one table each, or all in one with a row each."""
    if not section.in_one_table:
        title = ("median", "lowest … highest")
        return [[(one.what, *title, _ratio_title(one)), *_rows(one)] for one in section.comparisons]
    names = list(section.comparisons[0].readings)
    rows = [("", *names, _ratio_title(section.comparisons[0]))]
    for one in section.comparisons:
        medians = [shown(reading.median, one.unit) for reading in one.readings.values()]
        rows.append((one.what, *medians, times(one.ratio(names[-1]))))
    return [rows]


def _rows(comparison: Comparison) -> list[Row]:
    rows = []
    for name, reading in comparison.readings.items():
        low, high = reading.spread
        spread = f"{shown(low, comparison.unit)} … {shown(high, comparison.unit)}" if len(reading.rounds) > 1 else ""
        ratio = "" if name == comparison.base else times(comparison.ratio(name))
        rows.append((name, shown(reading.median, comparison.unit), spread, ratio))
    return rows


def _target_row(target: Target) -> Row:
    return (target.what, target.wanted, target.got, {True: "met", False: "MISSED", None: "not measured"}[target.is_met])


def _columns(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "   ".join(cells).rstrip())
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|---|" + "---:|" * (len(rows[0]) - 1), *rest]


def _bars(points: Sequence[tuple[str, tuple[int, float]]]) -> list[str]:
    """One bar a point, from 100 ns on; the same length more is always the same factor."""
    highest = max(seconds for _, (_, seconds) in points)
    scale = _BAR / max(math.log10(highest / _SHORTEST), _LEAST_DECADES)
    rows = []
    for name, (count, seconds) in points:
        bar = "█" * max(1, round(math.log10(seconds / _SHORTEST) * scale))
        rows.append((f"{name} at {count:,}", shown(seconds, "s"), bar))
    width = max(len(row[0]) for row in rows)
    return [f"  {row[0].ljust(width)}  {row[1].rjust(8)}  {row[2]}" for row in rows]
