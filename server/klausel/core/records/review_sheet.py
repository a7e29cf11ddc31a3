"""The sheet of an access review: a row for each role assignment, what reviewers write there, reading that back, and evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from klausel.core.policy.assignment import Assignment, row_as_json
from klausel.core.records.change_record import REASON_CHARACTERS, TEXT_CHARACTERS
from klausel.core.terms.escaping import read_written, shown, written
from klausel.core.terms.identifiers import is_printable

Decision = Literal["keep", "revoke"]
DECISIONS: tuple[Decision, ...] = ("keep", "revoke")
COLUMNS = (
    "person",
    "role",
    "place",
    "from",
    "until",
    "since",
    "granted by",
    "ticket",
    "last used",
    "findings",
    "decision",
    "reviewer",
    "comment",
    "row",
)
TO_FILL_IN = ("decision", "reviewer", "comment")
"""The columns that reviewers write in; the others are read again, and must be as they were."""
_NEEDED = ("person", "role", "place", *TO_FILL_IN, "row")

# What a spreadsheet program takes for a number, a date or a truth, or a formula, and would write back as something else.
_MAY_BE_TAKEN = re.compile(
    r"[^a-z]|(jan|feb|m[aä]|apr|mai|ju[nl]|aug|sep|o[ck]t|nov|de[cz])[a-z.]*[-/ .,]?\d|(true|false|wahr|falsch|vrai|faux)$",
    re.IGNORECASE,
)
FORMAT = "klausel review evidence 1"


class GrantedBy(NamedTuple):
    """What the change log says of the last grant of a role assignment; `number` 0 and None where it says nothing."""

    number: int = 0
    time: str | None = None
    by: str | None = None
    ticket: str | None = None


class ReviewedRow(NamedTuple):
    """A role assignment, or membership, as it is stored, with its last grant."""

    row: Assignment
    granted: GrantedBy


@dataclass(frozen=True, slots=True)
class FilledRow:
    """A row of a sheet as it came back: the line in its file, and its cells by the names of the columns."""

    line: int
    cells: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """Which role assignment the cells name."""
        person, role, place = (read_written(_plain(self.cells[name])) for name in ("person", "role", "place"))
        return person, role, place


class Fault(NamedTuple):
    """Why a sheet cannot be applied: the line concerned (0: none in particular), and a sentence."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about one role assignment; `decision` is None where nobody decided."""

    line: int
    row: ReviewedRow
    decision: Decision | None
    reviewer: str | None
    comment: str | None


def mark_of(lineage: str, reviewed: ReviewedRow) -> str:
    """A text that ties a row of a sheet to one database, one role assignment, its times and its last grant.

    `r` and twice ten hexadecimal digits: the first half says which role assignment, the second in which state.
    """
    which = sha256(orjson.dumps([lineage, *reviewed.row.key])).hexdigest()[:10]
    state = sha256(orjson.dumps([lineage, *reviewed.row, reviewed.granted.number])).hexdigest()[:10]
    return f"r{which}-{state}"


def cells_of(reviewed: ReviewedRow, lineage: str, last_used: str, findings: Sequence[str], reviewer: str) -> tuple[str, ...]:
    """A row of a sheet, in the order of COLUMNS; behind its mark goes `-NUMBER/OF`, its number among all rows of its sheet."""
    row, granted = reviewed
    return (
        *(written(text) for text in row.key),
        row.starts or "",
        row.ends or "",
        granted.time or "",
        shown(granted.by or ""),
        shown(granted.ticket or ""),
        last_used,
        "; ".join(map(shown, findings)),
        "",
        shown(reviewer),
        "",
        mark_of(lineage, reviewed),
    )


def as_csv_cell(cell: str) -> str:
    """A cell of CSV that a spreadsheet program leaves as it is: before what it could take for something else, an apostrophe."""
    return f"'{cell}" if cell and _MAY_BE_TAKEN.match(cell) else cell


def missing_numbers(rows: Iterable[FilledRow]) -> list[int]:
    """The numbers of the rows that were written to the sheet and are not there any more, by what the marks of the others say."""
    found: set[int] = set()
    total = 0
    for row in rows:
        number, _, whole = row.cells["row"].rpartition("-")[2].partition("/")
        if number.isdecimal() and whole.isdecimal() and len(whole) < 9:
            found.add(int(number))
            total = max(total, int(whole))
    return [number for number in range(1, total + 1) if number not in found]


def read_sheet(table: Iterable[Sequence[str]]) -> tuple[list[FilledRow], list[Fault]]:
    """The rows of a sheet that came back, and what is wrong with its form; the order of columns and rows does not matter.

    Empty rows are passed over. A decision is `keep` or `revoke`, in any case, and needs its reviewer.
    """
    lines = iter(enumerate(table, start=1))
    _, header = next(lines, (0, ()))
    # A program that takes the mark before UTF-8 for text keeps it, as one sign or, in another encoding, as three.
    names = [cell.removeprefix("\ufeff").removeprefix("ï»¿").strip().lower() for cell in header]
    missing = [name for name in _NEEDED if names.count(name) != 1]
    if missing:
        return [], [Fault(1, f"the first row must name each column once; look at: {', '.join(missing)}")]
    rows: list[FilledRow] = []
    seen: dict[str, int] = {}
    faults: list[Fault] = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        values = dict.fromkeys(names, "") | {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
        first = seen.setdefault(values["row"], line)
        if first != line:
            faults.append(Fault(line, f"it is the row of line {first} again; leave one of them"))
        faults += (Fault(line, message) for message in _faults_in(values))
        rows.append(FilledRow(line, values))
    if not rows and not faults:
        faults.append(Fault(0, "there is no row in it"))
    return rows, faults


def judge(
    filled: Sequence[FilledRow], stored: Mapping[tuple[str, str, str], ReviewedRow], lineage: str
) -> tuple[list[Decided], list[Fault]]:
    """What the rows decide about the role assignments as they are stored now, and why some of them cannot be applied.

    A row is refused, whether it was decided about or not, where its role assignment is gone, was granted again or has other
    times since, or where its own cells are no longer those of one row.
    """
    decided: list[Decided] = []
    faults: list[Fault] = []
    for one in filled:
        reviewed = stored.get(one.key)
        message = _misfit(one, reviewed, lineage)
        if message is not None:
            faults.append(Fault(one.line, message))
        elif reviewed is not None:
            decision = next((word for word in DECISIONS if word == one.cells["decision"].lower()), None)
            reviewer, comment = (_plain(one.cells[name]) or None for name in ("reviewer", "comment"))
            decided.append(Decided(one.line, reviewed, decision, reviewer, comment))
    return decided, faults


def _misfit(filled: FilledRow, reviewed: ReviewedRow | None, lineage: str) -> str | None:
    subject, role, domain = filled.key
    what = Assignment(subject, role, domain)
    mark = "-".join(filled.cells["row"].split("-")[:2])
    if mark.partition("-")[0] != mark_of(lineage, ReviewedRow(what, GrantedBy())).partition("-")[0]:
        return (
            f"person, role or place do not belong to its mark {mark}: a cell was changed, some columns alone were sorted, "
            "or the sheet is of another database; write the sheet again and fill it in there"
        )
    if reviewed is None:
        return f"{what} is no role assignment any more; delete the row, or write the sheet again"
    if mark != mark_of(lineage, reviewed):
        return f"{reviewed.row} was changed since the sheet was written; write the sheet again and decide again"
    return None


def _faults_in(values: Mapping[str, str]) -> Iterator[str]:
    decision, reviewer = values["decision"].lower(), _plain(values["reviewer"])
    if decision not in ("", *DECISIONS):
        yield f'"{values["decision"]}" is no decision; write keep or revoke, or leave the cell empty'
    if decision and not reviewer:
        yield "a decision needs its reviewer; write who decided"
    if decision and reviewer == _plain(values["person"]):
        yield f"{reviewer} decides about a role of their own; somebody else must"
    for name, most in (("reviewer", TEXT_CHARACTERS), ("comment", REASON_CHARACTERS)):
        text = _plain(values[name])
        if len(text) > most:
            yield f"the {name} is longer than {most} characters"
        elif text and not is_printable(text):
            yield f"the {name} contains a control character; write one line"


def _plain(cell: str) -> str:
    """A cell without the apostrophe that says that it is text."""
    return cell.removeprefix("'")


def evidence_of(facts: Mapping[str, object], decided: Sequence[Decided]) -> bytes:
    """The evidence as lines of JSON: the facts about the review first, then each role assignment, decided about or not."""
    counts = {word: sum(one.decision == word for one in decided) for word in ("keep", "revoke", None)}
    head = {"format": FORMAT, **facts, "kept": counts["keep"], "revoked": counts["revoke"], "undecided": counts[None]}
    return b"".join(_lines(head, decided))


def reason_for(sheet_digest: str, evidence: bytes) -> str:
    """What the change log says of a review: the digests of the sheet as it was applied, and of its evidence."""
    return f"access review: sheet {sheet_digest}, evidence {digest_of(evidence)}"


def digest_of(content: bytes) -> str:
    """`sha256:` and the digest of some bytes."""
    return f"sha256:{sha256(content).hexdigest()}"


def parts_of_evidence(content: bytes) -> tuple[bytes, bytes]:
    """The lines that the change log names by their digest, and the last line, which signs its record."""
    body, _, last = content.rstrip(b"\n").rpartition(b"\n")
    return body + b"\n", last + b"\n"


def facts_in(body: bytes) -> Mapping[str, Any] | None:
    """The facts in the first line of evidence; None when there are none."""
    try:
        facts = orjson.loads(body.partition(b"\n")[0])
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _lines(head: Mapping[str, object], decided: Iterable[Decided]) -> Iterator[bytes]:
    yield orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)
    for one in decided:
        told = {
            "line": one.line,
            "decision": one.decision,
            **row_as_json(one.row.row),
            "granted_by_record": one.row.granted.number or None,
            "reviewer": one.reviewer,
            "comment": one.comment,
        }
        yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
