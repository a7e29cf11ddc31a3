"""Sheets of access reviews: what stands in a cell comes back as it was."""

from __future__ import annotations

import pytest

from klausel.core.policy.assignment import Assignment
from klausel.core.records.review_sheet import (
    COLUMNS,
    GrantedBy,
    ReviewedRow,
    as_csv_cell,
    cells_of,
    judge,
    missing_numbers,
    read_sheet,
)

LEO = ReviewedRow(Assignment("user:leo", "lead", "acme/support"), GrantedBy(3, "2026-03-01T00:00:00.000000Z", "dan", "T-1"))


@pytest.mark.parametrize("text", ["2026-03", "1e5", "00123", "=1+1", "@x", "+1", "-1", "true", "Mar/5", "may-1", "'x", "é"])
def test_what_a_program_could_take_for_something_else_is_marked_as_text(text: str) -> None:
    assert as_csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "user:007", "acme/support", "lead", "mara", "market", "trueman"])
def test_what_is_plain_text_stays_plain(text: str) -> None:
    assert as_csv_cell(text) == text


@pytest.mark.parametrize("subject", ["user:leo", "user:2026-03", "user:\u202ex", "user:\\u{41}", "'odd:one"])
@pytest.mark.parametrize("is_csv", [True, False])
def test_a_row_that_comes_back_untouched_is_the_row_that_was_written(subject: str, is_csv: bool) -> None:
    reviewed = LEO._replace(row=LEO.row._replace(subject=subject, domain="2026/1"))
    cells = [f"{cell}" for cell in cells_of(reviewed, "here", "", (), "")]
    cells[-1] += "-2/2"
    rows, faults = read_sheet([COLUMNS, [as_csv_cell(cell) for cell in cells] if is_csv else cells])
    assert faults == []
    assert missing_numbers(rows) == [1]
    if is_csv or not subject.startswith("'"):
        decided, faults = judge(rows, {reviewed.row.key: reviewed}, "here")
        assert faults == []
        assert [one.row for one in decided] == [reviewed]
        assert [fault.line for fault in judge(rows, {reviewed.row.key: reviewed}, "elsewhere")[1]] == [2]
