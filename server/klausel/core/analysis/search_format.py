"""What a search finds, as a line for people and as JSON for programs."""

from __future__ import annotations

from klausel.core.analysis.search import Found, Reason
from klausel.core.decisions.effective_roles import Source
from klausel.core.decisions.explanation_format import grant_as_json, sources_as_json, way_as_json, way_text
from klausel.core.policy.fitting import without_guards


def found_as_json(found: Found) -> dict[str, object]:
    """A JSON object; its members are described in docs/audit.md."""
    return {
        "subject": found.subject,
        "action": found.action,
        "type": found.resource_type,
        "domain": found.domain,
        "verdict": found.verdict,
        "condition": None if found.condition is None else str(without_guards(found.condition, found.brought)),
        "allowed_by": [_reason_as_json(reason) for reason in found.allows],
        "denied_by": [_reason_as_json(reason) for reason in found.denies],
    }


def _reason_as_json(reason: Reason) -> dict[str, object]:
    source = reason.source
    return {
        **grant_as_json(reason.grant),
        "condition": reason.grant.condition_text or None,
        "role_assignment": {"role": source.role, "domain": source.domain, **way_as_json(source)} if source else None,
        "inheritance": list(source.chain) if source else [],
        **({"together_with": sources_as_json(source.beside)} if source and source.beside else {}),
    }


def verdict_text(found: Found) -> str:
    """`always`, `never`, or `when` with the condition."""
    return found.verdict if found.condition is None else f"when {without_guards(found.condition, found.brought)}"


def reasons_text(found: Found) -> str:
    """The role assignments, the chains of roles and the grants, on one line."""
    allows = "; or ".join(_reason_text(reason) for reason in found.allows)
    denies = "; or ".join(_reason_text(reason) for reason in found.denies)
    word = "but" if found.verdict == "never" else "unless"
    return "; ".join([*([allows] if allows else []), *([f"{word} denied by {denies}"] if denies else [])])


def _reason_text(reason: Reason) -> str:
    if reason.source is None:
        return f"everybody, {reason.grant.source}"
    held = " and ".join(map(_held_text, (reason.source, *reason.source.beside)))
    return f"{held}, {reason.grant.source}"


def _held_text(source: Source) -> str:
    return f"{source.role} in {source.domain}{way_text(source)}" + (
        f", so {source.chain[-1]}" if len(source.chain) > 1 else ""
    )
