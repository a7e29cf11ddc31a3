"""What the JSON twins of the console's pages are like, for the description of the API. Tests hold the pages to it."""

from __future__ import annotations

from klausel.api.answer_shapes import (
    CHANGE_OF_ASSIGNMENT,
    EXPLANATION,
    GRANT,
    MEMBER,
    NULLABLE,
    OBJECT,
    REVISION,
    ROLE,
    ROW_TIMES,
    TEXTS,
)
from klausel.api.shapes import Anything, Choice, Flag, Many, Members, OneOf, Shape, Text, Whole

VERSION = 1
"""Within a version members come, and none goes or changes its meaning."""


def _twin(needed: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Members:
    return Members({"version": Choice((VERSION,), "Of the form of this page."), **needed}, optional or {})


def _or_null(shape: Shape) -> Shape:
    return OneOf((shape, Choice((None,))))


_NEXT = _or_null(Whole("The page that follows."))
_DIFFERENCE = _or_null(Members(about="As `klausel diff --format json`, without its version."))
_COMMIT = {"id": Text(), "author": Text(), "date": Text(), "subject": Text()}
_HELD: dict[str, Shape] = {"role": Text(), "domain": Text()}
_WAY: dict[str, Shape] = {"through": TEXTS, "until": Text()}
_REASON = Members(
    {**GRANT, "condition": NULLABLE, "role_assignment": _or_null(Members(_HELD, _WAY)), "inheritance": TEXTS},
    {"together_with": Many(OBJECT)},
)
_FOUND = Many(
    Members(
        {
            "subject": Text(),
            "action": Text(),
            "type": Text(),
            "domain": NULLABLE,
            "verdict": Text(choices=("always", "when", "never")),
            "condition": NULLABLE,
            "allowed_by": Many(_REASON),
            "denied_by": Many(_REASON),
        }
    )
)
_PROBLEM = Members(
    {
        "file": Text(),
        "line": Whole(),
        "column": Whole(),
        "id": Text(),
        "severity": Text(),
        "message": Text(),
        "hint": NULLABLE,
        "lines": Anything("The lines around it."),
    }
)
_REFUSED = Members({"since": Text(), "count": Whole(), "problems": Many(_PROBLEM), "changes": _DIFFERENCE})
_RECORD = Members(about="A record of the decision log, as docs/audit.md describes it.")

MATRIX = _twin(
    {
        "files_digest": Text(),
        "roles": TEXTS,
        "count": Whole("How many actions there are, on all pages."),
        "rows": Many(
            Members(
                {
                    "type": Text(),
                    "action": Text(),
                    "cells": Members(values=Text()),
                    "grants": Many(Members({**GRANT, "condition": NULLABLE, "commit": _or_null(Members(_COMMIT))})),
                }
            )
        ),
        "conditions": Members(values=Text()),
        "next": _NEXT,
    },
    {"subject": Text(), "domain": Text(), "not_for_model": Text()},
)
ROLES = _twin(
    {
        "files_digest": Text(),
        "levels": Many(Members({"name": Text(), "requires_role_above": Flag()})),
        "roles": Many(
            Members(
                {
                    "role": Text(),
                    "level": Text(),
                    "contains": TEXTS,
                    "contains_in": Many(Members({"role": Text(), "place": Text()})),
                    "stands_for": TEXTS,
                    "anywhere": TEXTS,
                },
                {"role_assignments": Whole("How often it is stored; only to callers of all accounts.")},
            )
        ),
    }
)
TRIED = _twin(
    {"question": Members(about="The body of POST /v1/explain that asks the same."), "explanation": EXPLANATION},
    {"time": Text()},
)
WHO_CAN = _twin({"domain": NULLABLE, "found": _FOUND, "next": Text("The subject after which to go on.", takes_null=True)})
WHAT_CAN = _twin(
    {
        "subject": Text(),
        "domain": NULLABLE,
        "roles_held": Many(Members(_HELD, _WAY)),
        "untimely": Many(OBJECT),
        "found": _FOUND,
        "next": _NEXT,
    }
)
CHANGES = _twin(
    {"files_digest": Text(), "refused": _or_null(_REFUSED)},
    {
        "compared": _DIFFERENCE,
        "commits": Many(
            Members(about="As `klausel log --format json`, with the members of its `commit` beside the others.")
        ),
        "next": Whole(),
    },
)
PEOPLE = _twin({"people": TEXTS, "from_provider": TEXTS, "next": NULLABLE})
_FOR_WRITERS: dict[str, Shape] = {
    "taken_away": Flag("Whether the caller can take it away."),
    "why": Text("Why not."),
    "from_provider": Flag("Whether an identity provider decides about it."),
}
PERSON = _twin(
    {
        "subject": Text(),
        "from_provider": Flag(),
        "rows": Many(OneOf((Members(ROLE, ROW_TIMES | _FOR_WRITERS), Members(MEMBER, ROW_TIMES | _FOR_WRITERS)))),
        "through_groups": Many(Members({**_HELD, "through": TEXTS}, {"from_provider": TEXTS})),
        "findings": Many(
            Members(
                {
                    **{name: Text() for name in ("kind", "message", "fix")},
                    **dict.fromkeys(("subject", "role", "domain"), NULLABLE),
                }
            )
        ),
        "changes": _or_null(Many(CHANGE_OF_ASSIGNMENT)),
        "next_cursor": NULLABLE,
        "domain": NULLABLE,
        "offers": Many(Members({"role": Text(), "level": Text(), "given": Flag()}, {"why": Text()})),
        "rules": TEXTS,
    }
)
CHANGED_PERSON = _twin(dict(REVISION.needed))
DECISIONS = _twin(
    {
        "records": Many(_RECORD, "Newest first, each with its place as `at`."),
        "whole": Flag("Whether the log was read to its beginning."),
        "back_to": NULLABLE,
        "next": Text("The place before which to go on.", takes_null=True),
    }
)
DECISION = _twin({"record": _RECORD, "explanation": _or_null(EXPLANATION), "remarks": TEXTS})
PLAYGROUND = _twin({"files": TEXTS}, {"file": Text(), "text": Text(), "base": Text("The digest of the text that was read.")})
JUDGED = OneOf(
    (
        _twin(
            {
                "problems": _or_null(OBJECT),
                "tests": _or_null(OBJECT),
                "proofs": _or_null(OBJECT),
                "difference": _DIFFERENCE,
                "unknown": NULLABLE,
            }
        ),
        _twin({"saved": TEXTS}),
        # Of a copy that is shown, and not judged.
        Members({"version": Choice((VERSION,), "Of the form of this page.")}, is_closed=True),
        Members({"offers": Anything("What may be written at the cursor.")}),
        Members({"about": Anything("What the name at the cursor means.")}),
    )
)
