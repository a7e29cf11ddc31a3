"""An explanation as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klausel.core.conditions.tree import evaluate
from klausel.core.decisions.effective_roles import Source
from klausel.core.decisions.explain import AtomSeen, Explanation, GrantSeen, Orphan, show_truth, values_in_words
from klausel.core.policy.assignment import row_as_json
from klausel.core.policy.holding import Untimely, Way
from klausel.core.policy.policy_set import Grant
from klausel.core.terms.identifiers import subject_key


def explanation_as_json(explanation: Explanation) -> dict[str, object]:
    """A JSON object; its members are described in docs/http.md under POST /v1/explain."""
    decision = explanation.decision
    answer: dict[str, object] = {
        "decision": decision.allowed,
        "reason": reason(explanation),
        "domain": decision.domain,
        "roles_held": [
            {"role": role, "domain": domain, **way_as_json(explanation.ways.get((role, domain), Way((), None)))}
            for role, domain in explanation.held
        ],
    }
    if explanation.from_store:
        answer["from_store"] = list(explanation.from_store)
    if explanation.from_files:
        answer["from_files"] = dict(explanation.from_files)
    if explanation.untimely:
        answer["untimely"] = [_untimely_as_json(untimely, explanation.now) for untimely in explanation.untimely]
    if explanation.orphaned:
        answer["orphaned"] = [
            {"role": orphan.role, "domain": orphan.domain, "message": _orphan_text(explanation, orphan)}
            for orphan in explanation.orphaned
        ]
    if explanation.renamed:
        answer["renamed"] = [
            {"stored_as": renamed.stored_as, "role": renamed.role, "domain": renamed.domain}
            for renamed in explanation.renamed
        ]
    if explanation.decided_by:
        answer["decided_by"] = _grant_seen_as_json(explanation, explanation.decided_by)
        answer["also"] = [_grant_seen_as_json(explanation, seen) for seen in explanation.also]
    else:
        answer["nearest"] = [
            {**grant_as_json(near.grant), "lacks": [{"part": lack.part, "message": lack.message} for lack in near.lacks]}
            for near in explanation.nearest
        ]
    return answer


def way_as_json(way: Way | Source) -> dict[str, object]:
    """Members for what comes through groups, or will end; none for what does neither."""
    through = {"through": list(way.groups)} if way.groups else {}
    return through | ({"until": way.ends} if way.ends is not None else {})


def way_text(way: Way | Source) -> str:
    """The same in words, as the end of a phrase."""
    through = f" through {', '.join(way.groups)}" if way.groups else ""
    return through + (f" until {way.ends}" if way.ends is not None else "")


def _untimely_as_json(untimely: Untimely, now: float) -> dict[str, object]:
    return {**row_as_json(untimely.row), "message": untimely.text(now)}


def grant_as_json(grant: Grant) -> dict[str, object]:
    """What a program needs to show a grant."""
    return {
        "grant": str(grant),
        "source": grant.source,
        "effect": grant.effect,
        "grantee": grant.grantee,
        "because": grant.because,
    }


def _grant_seen_as_json(explanation: Explanation, seen: GrantSeen) -> dict[str, object]:
    subject = explanation.request.subject
    held = seen.source
    return {
        **grant_as_json(seen.grant),
        "role_assignment": {
            "subject": held.groups[-1] if held.groups else subject_key(subject.type, subject.id),
            "role": held.role,
            "domain": held.domain,
            **way_as_json(held),
        }
        if held
        else None,
        "inheritance": list(held.chain) if held else [],
        **({"together_with": sources_as_json(held.beside)} if held and held.beside else {}),
        "condition": {
            "text": seen.grant.condition_text,
            "comparisons": [_atom_as_json(atom) for atom in seen.atoms],
        }
        if seen.grant.condition
        else None,
    }


def _atom_as_json(atom: AtomSeen) -> dict[str, object]:
    answer: dict[str, object] = {"text": atom.text, "value": atom.value, "read": dict(atom.read)}
    return answer | {"not_as_declared": dict(atom.misfits)} if atom.misfits else answer


def sources_as_json(sources: Iterable[Source]) -> list[dict[str, object]]:
    """The role assignments that count together with another, each with its chain."""
    return [
        {
            "role_assignment": {"role": source.role, "domain": source.domain, **way_as_json(source)},
            "inheritance": list(source.chain),
        }
        for source in sources
    ]


def reason(explanation: Explanation) -> str:
    """The decision in one sentence."""
    decision = explanation.decision
    if decision.failure:
        return f"denied, because {decision.failure}"
    if decision.grant is None:
        return f"denied, because {explanation.unknown or 'no grant allows it'}"
    word = "allowed" if decision.allowed else "denied"
    return f"{word} by {decision.grant.source}: {decision.grant}{_why_unknown(explanation)}"


def _why_unknown(explanation: Explanation) -> str:
    """What leaves open whether the condition of the deny that decided is so; empty where nothing does."""
    seen = explanation.decided_by
    if explanation.decision.allowed or seen is None or seen.grant.written is None:
        return ""
    if evaluate(seen.grant.written, explanation.request) is True:
        return ""
    found: dict[str, None] = {}
    for atom in seen.atoms:
        wrong = dict(atom.misfits)
        if atom.value is None:
            found |= {f"{name} is missing": None for name, value in atom.read if value is None}
            found |= {f"{name} is not as declared": None for name, _ in atom.read if name in wrong}
    return f"; whether that is so is unknown, as {' and '.join(found)}" if found else ""


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """Lines for a terminal, without colours, with the texts of the request as they are."""
    request, decision = explanation.request, explanation.decision
    subject = subject_key(request.subject.type, request.subject.id)
    resource = request.resource.type + (f":{request.resource.id}" if request.resource.id else "")
    where = f" in {decision.domain}" if decision.domain else ""
    yield f"{'ALLOW' if decision.allowed else 'DENY'}  {subject} {request.action.name} {resource}{where}"
    yield f"  {reason(explanation)}"
    if explanation.decided_by:
        yield from _grant_lines(subject, explanation.decided_by)
    elif not decision.failure:
        held = ", ".join(
            f"{role} in {domain}{way_text(explanation.ways.get((role, domain), Way((), None)))}"
            for role, domain in explanation.held
        )
        yield f"  {subject} holds {held or 'no role'}"
    for renamed in explanation.renamed:
        was = f"which was called {renamed.stored_as} and is stored so"
        yield f"  {subject} is {renamed.role} in {renamed.domain}, {was}"
    for orphan in explanation.orphaned:
        yield f"  {_orphan_text(explanation, orphan)}"
    for untimely in explanation.untimely:
        yield f"  not now: {untimely.text(explanation.now)}"
    for name, place in explanation.from_files.items():
        yield f"  {name} is written in {place}"
    for seen in explanation.also:
        yield f"  also: {seen.grant.source}: {seen.grant}"
    if explanation.nearest:
        yield "  nearest grants:"
    for near in explanation.nearest:
        yield f"    {near.grant.source}: {near.grant}"
        for lack in near.lacks:
            yield f"      lacks {lack.part}: {lack.message}"


def _orphan_text(explanation: Explanation, orphan: Orphan) -> str:
    subject = subject_key(explanation.request.subject.type, explanation.request.subject.id)
    return f"{subject} is stored as {orphan.role} in {orphan.domain}, {orphan.why}, so it counts for nothing"


def _grant_lines(subject: str, seen: GrantSeen) -> Iterator[str]:
    if seen.grant.because:
        yield f"  because: {seen.grant.because}"
    yield f"  role: {_role_text(subject, seen.source)}"
    for atom in seen.atoms:
        yield f"  condition: {atom.text} is {show_truth(atom.value)} ({values_in_words(atom)})"


def _role_text(subject: str, source: Source | None) -> str:
    if source is None:
        return "every subject has it"
    return f"{subject} is {'; and '.join(map(_held_text, (source, *source.beside)))}"


def _held_text(source: Source) -> str:
    chain = f", and so {', '.join(source.chain[1:])}" if len(source.chain) > 1 else ""
    groups = "".join(f"in {group}, which is " for group in source.groups)
    until = f" until {source.ends}" if source.ends is not None else ""
    return f"{groups}{source.role} in {source.domain}{until}{chain}"
