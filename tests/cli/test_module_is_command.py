"""`python -m klausel` is the command, where that is not on the path of the shell."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

import klausel


def test_the_module_does_what_the_command_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m klausel", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(klausel.__file__).with_name("__main__.py")), run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out.startswith("klausel, version")) == (0, True)
