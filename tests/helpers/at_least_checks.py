"""What both clients promise of an answer that must have seen a revision."""

from __future__ import annotations

import pytest

from klausel.client import CallFailed, Klausel, Resource
from klausel.in_process import InProcess

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})


def check_at_least(klausel: Klausel | InProcess) -> None:
    """An answer has seen the revision that is asked for, or is a deny."""
    member = {"subject": "user:newcomer", "role": "lead", "domain": "acme/support"}
    below = {"subject": "user:newcomer", "role": "user", "domain": "acme"}
    klausel.at_least = klausel.assign([below, member])
    assert klausel.allows("user:newcomer", "edit", QUIZ)
    lineage, _, counter = klausel.at_least.rpartition("-")
    klausel.at_least = f"{lineage}-{int(counter) + 1}"
    decision = klausel.evaluate("user:newcomer", "edit", QUIZ)
    assert not decision
    assert decision.failed
    with pytest.raises(CallFailed):
        klausel.explain("user:newcomer", "edit", QUIZ)
    klausel.at_least = None
    assert klausel.allows("user:newcomer", "edit", QUIZ)
