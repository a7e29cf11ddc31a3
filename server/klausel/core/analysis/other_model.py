"""Models whose matcher is not the one that every analysis assumes: what is said of them, and never more than that."""

from __future__ import annotations

_HOLDS_FOR = "what follows holds for the policies alone, not for decisions"


def note_on(digest: str) -> str:
    """What stands above every analysis of policies that are decided by such a model."""
    return f"NOT FOR THIS MODEL: its matcher is not Klausel's ({digest}); {_HOLDS_FOR}"


def note_on_change(before: str | None, after: str | None) -> str:
    """What stands above a comparison of policies that are decided by different models."""
    names = " → ".join(digest or "that of Klausel" for digest in (before, after))
    return f"MAY BE ANYTHING: the matcher of model.conf is another ({names}); {_HOLDS_FOR}"
