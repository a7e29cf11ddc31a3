"""Checking a folder: every problem that the loader, the model and lint find, without those that comments switch off."""

from __future__ import annotations

from pathlib import Path

from klausel.core.lint.rules import WARNINGS, lint
from klausel.core.lint.switch_off import without_switched_off
from klausel.core.problem import PolicyError, Problem
from klausel.storage.policy_files import load_folder, texts_with_switch_offs


def check_policy(folder: Path, model: Path) -> tuple[Problem, ...]:
    """Every problem in a folder and its model, sorted; empty when all is well. Lint looks only at a set without errors."""
    try:
        result, compiled, files = load_folder(folder, model, with_tests=True)
    except PolicyError as error:
        return error.problems
    found = [*result.problems, *lint(compiled.policy, result.tests)]
    return tuple(without_switched_off(found, texts_with_switch_offs(files), known=WARNINGS))
