"""Conditions that are put more simply: only where going through all that their attributes may be is quick."""

from __future__ import annotations

import pytest

from klausel.core.conditions import simplify
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.simplify import small_space
from klausel.core.conditions.tree import Condition, atoms

LARGE = (
    'context.channel in resource.owner and has resource.deep and matches_path(context.channel, "?nn")'
    ' and matches_glob(action.name, "*&&*") and resource.owner == action.name and resource.tags'
    ' and resource.owner in ["night", "p.sub"] and resource.owner <= -3'
)


def parsed(text: str) -> Condition:
    return parse_condition(text, lambda _: None, {})


def test_a_space_of_too_many_choices_is_given_up_before_it_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(simplify, "truth_space")
    assert small_space(atoms(parsed(LARGE))) is None


def test_a_small_space_has_every_way_in_which_its_comparisons_turn_out() -> None:
    space = small_space(atoms(parsed('resource.status == "open" and resource.size > 3')))
    assert space is not None
    assert len(space.outcomes) == 9
