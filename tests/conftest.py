"""What all tests share: what must be there, where variables such as `KLAUSEL_REQUIRE_POSTGRES` say so."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest

pytest_plugins = ["storage_fixtures"]
"""Stores on SQLite and on PostgreSQL."""

# Thousands of modules and tests stay until the end: going through them all again and again is a sixth of the time.
gc.set_threshold(20_000, 50, 1_000)

REQUIRED = {
    "PostgreSQL": "KLAUSEL_REQUIRE_POSTGRES",
    "Node": "KLAUSEL_REQUIRE_NODE",
    "packages for Casbin": "KLAUSEL_REQUIRE_CASBIN_PACKAGES",
    "Chromium": "KLAUSEL_REQUIRE_BROWSER",
    "libfaketime": "KLAUSEL_REQUIRE_FAKETIME",
    "PgBouncer": "KLAUSEL_REQUIRE_PGBOUNCER",
}
"""By a word of the reason for which tests are skipped without it."""


def pytest_collection_finish() -> None:
    """What is here once all tests are known is here until the end, so whoever collects later need not look through it."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a test that was skipped for want of what is required into a failure."""
    report = yield
    if report.skipped:
        for wanted, variable in REQUIRED.items():
            if wanted in str(report.longrepr) and os.environ.get(variable):
                report.outcome = "failed"
                report.longrepr = f"{variable} is set, but {report.longrepr[2]}"  # type: ignore[index]
                break
    return report
