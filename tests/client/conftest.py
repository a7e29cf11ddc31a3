"""What tests of clients and guards share: the shipped policies with the demo people, asked in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import ROOT, demo_people

from klausel.in_process import InProcess, open_policies


@pytest.fixture(scope="module")
def klausel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    database = f"sqlite:///{tmp_path_factory.mktemp('own')}/own.db"
    with open_policies(Path(ROOT / "policies"), database=database, follows=False) as opened:
        opened.assign([{"subject": subject, "role": role, "domain": domain} for subject, role, domain in demo_people()])
        yield opened
