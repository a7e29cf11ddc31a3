"""What all tests share: PostgreSQL must be there where `KLAUSEL_REQUIRE_POSTGRES` says so."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a test that was skipped for want of PostgreSQL into a failure."""
    report = yield
    if report.skipped and "PostgreSQL" in str(report.longrepr) and os.environ.get("KLAUSEL_REQUIRE_POSTGRES"):
        report.outcome = "failed"
        report.longrepr = f"KLAUSEL_REQUIRE_POSTGRES is set, but {report.longrepr[2]}"  # type: ignore[index]
    return report
