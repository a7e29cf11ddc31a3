"""Sheets of access reviews as files: CSV with its facts beside it, or a spreadsheet with locked cells."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from klausel.core.records.review_sheet import COLUMNS, DECISIONS, TO_FILL_IN, as_csv_cell

# openpyxl is imported where it is used, so that no other command waits for it.

MOST_ROWS = 1_000_000
"""A spreadsheet program opens no more."""
VERSION_OF_FACTS = 1
LARGEST_SHEET = 256 * 1024 * 1024
LARGEST_UNPACKED = 4 * LARGEST_SHEET
_SHEET = "review"
_OPEN_DOCUMENT = "content.xml"
"""The file that only spreadsheets of that format have in their archive."""
_WIDTHS = {"decision": 13, "reviewer": 24, "comment": 40, "row": 8}
"""Of columns that are empty at first, and of the one that nobody reads; others are as wide as what stands in them."""
_WIDEST = 60
_BESIDE_TEXT = 4
"""What a column needs beside its longest text: margins, and the button of the filter in its head."""

Row = Sequence[str]


class BadSheet(Exception):
    """A file that is no sheet; the message says why, and how to get one."""


def write_csv(file: Path, facts: Mapping[str, str], rows: Iterable[Row], longest: Sequence[int]) -> None:
    """Writes a sheet as CSV in UTF-8 with a mark that spreadsheet programs know it by; the facts go to FILE.facts.json."""
    with file.open("w", encoding="utf-8-sig", newline="") as text:
        lines = csv.writer(text, lineterminator="\r\n")
        lines.writerow(COLUMNS)
        lines.writerows([as_csv_cell(cell) for cell in row] for row in rows)
    beside = file.with_name(f"{file.name}.facts.json")
    told = {"version": VERSION_OF_FACTS, **facts}
    beside.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_xlsx(file: Path, facts: Mapping[str, str], rows: Iterable[Row], longest: Sequence[int]) -> None:
    """Writes a sheet as a workbook: every cell is text, only those to fill in can be changed, decisions come from a list.

    `longest` are the characters of the longest text of each column.

    The protection has no password: it keeps from mistakes, not from intent.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook(write_only=True)
    sheet = book.create_sheet(_SHEET)
    for letter, name, characters in zip(_letters(), COLUMNS, longest, strict=False):
        sheet.column_dimensions[letter].width = _WIDTHS.get(name, min(max(characters, len(name)) + _BESIDE_TEXT, _WIDEST))
    # Who decides far to the right still sees about whom, which role and where.
    sheet.freeze_panes = "D2"
    sheet.append(_cells(sheet, COLUMNS, Font(bold=True), unlocked=False))
    count = 1
    for row in rows:
        sheet.append(_cells(sheet, row, None, unlocked=True))
        count += 1
    last = max(count, 2)
    letters = dict(zip(COLUMNS, _letters(), strict=False))
    choice = DataValidation(type="list", formula1=f'"{",".join(DECISIONS)}"', allow_blank=True, showErrorMessage=True)
    choice.error = f"write {' or '.join(DECISIONS)}, or leave it empty"
    choice.add(f"{letters['decision']}2:{letters['decision']}{last}")
    sheet.data_validations.append(choice)
    sheet.auto_filter.ref = f"A1:{letters['row']}{last}"
    sheet.protection.sheet = True
    sheet.protection.autoFilter = False
    sheet.protection.formatColumns = False
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows = "1:1"
    about = book.create_sheet("about")
    about.column_dimensions["A"].width, about.column_dimensions["B"].width = 28, 90
    for fact in facts.items():
        about.append(_cells(about, fact, None, unlocked=False))
    book.save(file)


Writer = Callable[[Path, Mapping[str, str], Iterable[Row], Sequence[int]], None]
WRITERS: dict[str, Writer] = {".csv": write_csv, ".xlsx": write_xlsx}


def read_table(content: bytes) -> list[list[str]]:
    """The cells of a sheet as text, CSV as spreadsheet programs write it or a workbook; raises BadSheet."""
    if len(content) > LARGEST_SHEET:
        raise BadSheet(f"it is larger than {LARGEST_SHEET // (1024 * 1024)} MiB")
    if content.startswith(b"PK"):
        return _read_workbook(content)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise BadSheet(
            "it is neither a workbook (.xlsx) nor CSV in UTF-8; save it as .xlsx, or choose Unicode (UTF-8) as its character set"
        ) from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadSheet(f"it cannot be read as CSV: {error}; save it again from the spreadsheet program") from None


def _read_workbook(content: bytes) -> list[list[str]]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > LARGEST_UNPACKED:
                raise BadSheet("unpacked it is larger than any sheet")
            if _OPEN_DOCUMENT in packed.namelist():
                raise BadSheet("it is a spreadsheet of another kind (.ods); save it as Excel 2007-365 (.xlsx)")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book[_SHEET] if _SHEET in book.sheetnames else book.worksheets[0]
        rows = [[_text(value) for value in row] for row in sheet.iter_rows(max_row=MOST_ROWS + 1, values_only=True)]
        book.close()
    except BadSheet:
        raise
    # The library tells of a broken workbook by whatever error it came upon.
    except Exception as error:
        raise BadSheet(f"it cannot be read as a workbook ({type(error).__name__}); save it again as .xlsx") from None
    return rows


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _letters() -> Iterator[str]:
    return iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _cells(sheet: Any, texts: Sequence[str], font: Any, unlocked: bool) -> list[Any]:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Protection

    cells = []
    for name, text in zip(COLUMNS, texts, strict=False):
        cell = WriteOnlyCell(sheet, value=text)
        # Whatever it begins with, it is no formula, no number and no date.
        cell.data_type = "s"
        cell.number_format = "@"
        if font is not None:
            cell.font = font
        if unlocked and name in TO_FILL_IN:
            cell.protection = Protection(locked=False)
        cells.append(cell)
    return cells
