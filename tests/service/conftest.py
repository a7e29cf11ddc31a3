"""A small policy set in a folder of its own, and the service over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served
from silent_servers import own_postgres
from versions import write_set

from klausel.settings import Settings

__all__ = ["own_postgres"]


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """The folder of version A."""
    return write_set(tmp_path)


@pytest.fixture
def quizzes_file(policies: Path) -> Path:
    """The one file in which the versions differ."""
    return policies / "features" / "quizzes.yaml"


@pytest.fixture
def opened(policies: Path, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Opens a service over the policies; takes settings."""
    all_served: list[Served] = []

    def open_one(**settings: Any) -> Served:
        paths: dict[str, Any] = {"policies": str(policies), "model": str(tmp_path / "model.conf")}
        served = Served(Settings(**{"database": f"sqlite:///{tmp_path}/people.db", **paths, **settings}))
        all_served.append(served)
        return served

    yield open_one
    for served in all_served:
        served.close()


@pytest.fixture
def served(opened: Callable[..., Served]) -> Served:
    return opened()
