"""The evidence of an access review: lines that say who decided what, and the digest by which the change log names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from klausel.core.policy.assignment import row_as_json
from klausel.core.records.review_sheet import Decided

FORMAT = "klausel review evidence 1"


def evidence_of(facts: Mapping[str, object], decided: Sequence[Decided]) -> bytes:
    """The evidence as lines of JSON: the facts about the review first, then each role assignment, decided about or not."""
    counts = {word: sum(one.decision == word for one in decided) for word in ("keep", "revoke", None)}
    head = {"format": FORMAT, **facts, "kept": counts["keep"], "revoked": counts["revoke"], "undecided": counts[None]}
    return b"".join(_lines(head, decided))


def reason_for(sheet_digest: str, evidence: bytes) -> str:
    """What the change log says of a review: the digests of the sheet as it was applied, and of its evidence."""
    return f"access review: sheet {sheet_digest}, evidence {digest_of(evidence)}"


def digest_of(content: bytes) -> str:
    """`sha256:` and the digest of some bytes."""
    return f"sha256:{sha256(content).hexdigest()}"


def parts_of_evidence(content: bytes) -> tuple[bytes, bytes]:
    """The lines that the change log names by their digest, and the last line, which signs its record."""
    body, _, last = content.rstrip(b"\n").rpartition(b"\n")
    return body + b"\n", last + b"\n"


def facts_in(body: bytes) -> Mapping[str, Any] | None:
    """The facts in the first line of evidence; None when there are none."""
    try:
        facts = orjson.loads(body.partition(b"\n")[0])
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _lines(head: Mapping[str, object], decided: Iterable[Decided]) -> Iterator[bytes]:
    yield orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)
    for one in decided:
        told = {
            "line": one.line,
            "decision": one.decision,
            **row_as_json(one.row.row),
            "granted_by_record": one.row.granted.number or None,
            "reviewer": one.reviewer,
            "comment": one.comment,
        }
        yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
