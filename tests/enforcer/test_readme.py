"""The page of the enforcer shows what it does: its example runs, and its plan is the one shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doc_blocks import ROOT, blocks_of

PAGE = Path(ROOT, "server", "klausel", "enforcer", "README.md")


def test_the_example_runs_and_its_plan_is_the_one_shown() -> None:
    (example,) = (block for block in blocks_of(PAGE) if block.kind == "python")
    (plan,) = (block for block in blocks_of(PAGE) if block.kind == "text")
    names: dict[str, Any] = {}
    exec(compile(example.text, example.place, "exec"), names)
    assert str(names["enforcer"].plan()) == plan.text.rstrip("\n")
