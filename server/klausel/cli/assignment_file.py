"""Reading a CSV file of role assignments, so that each row and each fault keeps its line."""

from __future__ import annotations

import csv
import io
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from klausel.core.policy.assignment import Assignment, Violation
from klausel.core.terms.escaping import cell_of, read_cell
from klausel.core.terms.moment import read_instant
from klausel.core.text.csv_rows import sentence_of

HEADER = ["subject", "role", "domain"]
TIMES = ["from", "until"]
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_STANDARD_INPUT = Path("-")
# Stands for a row with another number of fields; no store takes it.
_NO_ASSIGNMENT = Assignment("", "", "")


class BrokenFile(Exception):
    """The file cannot be read to its end: the line at fault (0: none), and a sentence with its cure."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class AssignmentFile:
    """The rows of a CSV file with the header `subject,role,domain`, or that and `from,until`; to be read once.

    `line_of` has the first line of each row that was read, by its index. A row with another number of fields, or with times
    that cannot be read, is read as one that no store takes, and `faults` says why, by its index. Raises BrokenFile.
    """

    def __init__(self, file: Path) -> None:
        self.name = "standard input" if file == _STANDARD_INPUT else str(file)
        self.line_of = array("L")
        self.faults: dict[int, str] = {}
        self._header = HEADER
        self._file = file

    def __iter__(self) -> Iterator[Assignment]:
        """The rows in their order."""
        for index, (line, row) in enumerate(self._rows()):
            self.line_of.append(line)
            if len(row) != len(self._header):
                fields = f"{len(self._header)} fields, {','.join(self._header)}"
                self.faults[index] = f"a row has {fields}; this one has {len(row)}"
                yield _NO_ASSIGNMENT
            elif len(row) == len(HEADER):
                yield Assignment(*row)
            else:
                yield self._with_times(index, row)

    def _with_times(self, index: int, row: list[str]) -> Assignment:
        times: list[str | None] = []
        for name, value in zip(TIMES, row[len(HEADER) :], strict=True):
            try:
                times.append(read_instant(value) if value else None)
            except ValueError as error:
                self.faults[index] = f"{name}: {error}"
                return _NO_ASSIGNMENT
        return Assignment(*row[: len(HEADER)], *times)

    def find_lines(self, violations: Sequence[Violation]) -> list[int]:
        """The first line that brings each violation about; 0 where it is not to be found again."""
        if not self._file.is_file():
            return [0] * len(violations)
        keys = [_key(violation) for violation in violations]
        first_lines: dict[tuple[str, ...], int] = dict.fromkeys(keys, 0)
        for line, row in self._rows():
            own = row[: len(HEADER)]
            parts = own[-1].split("/")
            for key in (tuple(own), *((("/".join(parts[:depth])),) for depth in range(1, len(parts) + 1))):
                if first_lines.get(key) == 0:
                    first_lines[key] = line
        return [first_lines[key] for key in keys]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank, with the line it begins in."""
        with self._open() as raw:
            reader = csv.reader(self._text(raw), strict=True)
            line = 1
            try:
                header = next(reader, None)
                if header not in (HEADER, HEADER + TIMES):
                    found = f'the header is "{",".join(header)}"' if header else "there is no header"
                    wanted = f"{','.join(HEADER)} or {','.join(HEADER + TIMES)}"
                    raise BrokenFile(1, f"{found}; the first line must be {wanted}")
                self._header = header
                line = reader.line_num + 1
                for row in reader:
                    if row:
                        yield line, list(map(read_cell, row))
                    line = reader.line_num + 1
            except csv.Error as error:
                raise BrokenFile(line, sentence_of(error)) from None
            except UnicodeDecodeError:
                raise BrokenFile(line, "this row is not UTF-8; save the file as UTF-8") from None

    def _open(self) -> BinaryIO:
        try:
            return io.BytesIO(sys.stdin.buffer.read()) if self._file == _STANDARD_INPUT else self._file.open("rb")
        except OSError as error:
            raise BrokenFile(
                0, f"the file cannot be read: {error.strerror}; name another, or give the reader access to it"
            ) from None

    def _text(self, raw: BinaryIO) -> Iterator[str]:
        """The text line by line, so that a fault in its bytes is met in its own line."""
        for number, line in enumerate(raw, start=1):
            if number == 1 and line.startswith(_BYTE_ORDER_MARKS):
                raise BrokenFile(1, "the file starts with a byte order mark; save it as UTF-8 without one")
            yield line.decode("utf-8")


def _key(violation: Violation) -> tuple[str, ...]:
    """The row at fault, or the domain alone where no row is."""
    domain = violation.domain
    return (domain,) if violation.subject is None else (violation.subject, violation.role, domain)


class RowWriter:
    """Writes a CSV file that AssignmentFile reads, its header at once; the columns of times where rows have some."""

    def __init__(self, text: TextIO, with_times: bool) -> None:
        self._writer = csv.writer(text, lineterminator="\n")
        self._width = len(HEADER) + (len(TIMES) if with_times else 0)
        self._writer.writerow((HEADER + TIMES)[: self._width])

    def write(self, row: Assignment) -> None:
        """Adds a row. Raises BrokenFile for one with times where there are no columns for them."""
        if self._width == len(HEADER) and (row.starts is not None or row.ends is not None):
            raise BrokenFile(0, "role assignments were given times meanwhile; start again")
        self._writer.writerow([cell and cell_of(cell) for cell in row[: self._width]])
