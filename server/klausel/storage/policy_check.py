"""Checking a policy set: every problem that the loader, the model and lint find, without those that comments switch off."""

from __future__ import annotations

from pathlib import Path

from klausel.core.lint.rules import WARNINGS, lint
from klausel.core.lint.switch_off import without_switched_off
from klausel.core.problem import PolicyError, Problem
from klausel.storage.policy_files import PolicyFiles, load_result, read_folder, texts_with_switch_offs


def check_policy(folder: Path, model: Path) -> tuple[Problem, ...]:
    """Every problem in a folder and its model; see `check_files`."""
    try:
        return check_files(read_folder(folder, model))
    except PolicyError as error:
        return error.problems


def check_files(found: PolicyFiles) -> tuple[Problem, ...]:
    """Every problem in the files of a policy set, sorted; empty when all is well. Lint looks only at a set without errors."""
    try:
        result, compiled = load_result(found, with_tests=True)
    except PolicyError as error:
        return error.problems
    problems = [*result.problems, *lint(compiled.policy, result.tests)]
    return tuple(without_switched_off(problems, texts_with_switch_offs(found), known=WARNINGS))
