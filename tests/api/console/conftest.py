"""Services behind the console: of the demo, of small policies, and one that asks who calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_pages import Browser
from doors import Doors, demo_people, grant
from small_policies import MODEL, PAYMENTS, ROLES

from klausel.service import authentication


@pytest.fixture
def browser(demo: Doors) -> Browser:
    return Browser(demo.service)


@pytest.fixture
def small(tmp_path: Path, opened: Callable[..., Doors]) -> Callable[..., Doors]:
    """Opens a service with the small policies of tests and further grants."""

    def open_small(more: str = "", declared: str = "[create, approve]", payment: str = "", **settings: Any) -> Doors:
        folder = tmp_path / "policies"
        (folder / "features").mkdir(parents=True)
        (folder / "roles.yaml").write_text(ROLES, encoding="utf-8")
        text = PAYMENTS.replace("{actions: [create, approve]}", payment or f"{{actions: {declared}}}") + more
        (folder / "features" / "payments.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "model.conf").write_text(MODEL, encoding="utf-8")
        return opened(policies=str(folder), model=str(tmp_path / "model.conf"), **settings)

    return open_small


@pytest.fixture
def guarded(opened: Callable[..., Doors], monkeypatch: pytest.MonkeyPatch) -> Doors:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 0.0)
    doors = opened(authentication="keys", host="0.0.0.0", public_url="https://klausel.example")
    grant(doors.service, demo_people())
    return doors
