"""What the bodies of answers are like, for the description of the API. Tests hold the answers of the service to it."""

from __future__ import annotations

from klausel.api.shapes import Anything, Choice, Flag, Instant, Many, Members, OneOf, Shape, Text, Whole

NULLABLE = Text(takes_null=True)
OBJECT = Members()
TEXTS = Many(Text())
_IN_WORDS = Members({"en": Text()})

ERROR = Members(
    {"error": Members({"status": Whole("The status of the answer."), "message": Text("What is wrong, and how to fix it.")})},
    about="Every error has this shape.",
)
DECISION = Members(
    {"decision": Flag("Whether it is allowed.")},
    {
        "context": Members(
            optional={
                "reason": Text("Why the question could not be judged."),
                "error": ERROR.needed["error"],
                "reasons": TEXTS,
                "reason_admin": _IN_WORDS,
                "reason_user": _IN_WORDS,
            },
            about="Only where there is something to say besides.",
        )
    },
)
DECISIONS = OneOf((Members({"evaluations": Many(DECISION, "In the order of the items.")}), DECISION))
_PAGE = Members(
    {
        "next_token": Text("The way to the next page; empty on the last one alone, for a page may be short or empty."),
        "count": Whole("How many results this page has."),
    },
    {"total": Whole("How many there are, where the first page is the last one.")},
)
ENTITIES_FOUND = Members({"page": _PAGE, "results": Many(Members({"type": Text(), "id": Text()}))})
ACTIONS_FOUND = Members({"page": _PAGE, "results": Many(Members({"name": Text()}))})

GRANT: dict[str, Shape] = {
    "grant": Text(),
    "source": Text("The file and line."),
    "effect": Text(),
    "grantee": Text(),
    "because": NULLABLE,
}
_GRANT_SEEN = Members(
    {
        **GRANT,
        "role_assignment": OneOf((OBJECT, Choice((None,)))),
        "inheritance": TEXTS,
        "condition": OneOf((OBJECT, Choice((None,)))),
    }
)
EXPLANATION = Members(
    {
        "decision": Flag("Whether it is allowed."),
        "reason": Text("Why, in one sentence."),
        "domain": NULLABLE,
        "roles_held": Many(Members({"role": Text(), "domain": Text()}, {"through": TEXTS, "until": Text()})),
    },
    {
        "from_store": TEXTS,
        "from_files": Members(about="Where files of the policies say what the question has from them: `file:line` by name."),
        "untimely": Many(OBJECT),
        "orphaned": Many(OBJECT),
        "renamed": Many(OBJECT),
        "decided_by": _GRANT_SEEN,
        "also": Many(_GRANT_SEEN),
        "nearest": Many(Members({**GRANT, "lacks": Many(Members({"part": Text(), "message": Text()}))})),
        "not_for_model": Text(),
    },
)
_CONDITION = Members(about="A condition over properties of the resource.")
FILTER = Members({"filter": Text(choices=("always", "never", "when"))}, {"condition": _CONDITION})
MENUS = Members(
    {
        "permissions": Many(
            Members(
                {"actions": TEXTS},
                {"conditional": Many(Members({"action": Text(), "condition": _CONDITION}))},
                "What the subject may do to one resource, in the order of the resources.",
            )
        )
    }
)

ROW_TIMES: dict[str, Shape] = {"from": Instant(), "until": Instant()}
ROLE: dict[str, Shape] = {"subject": Text(), "role": Text(), "domain": Text()}
MEMBER: dict[str, Shape] = {"subject": Text(), "group": Text()}
REVISION = Members({"revision": Text("The state of the role assignments afterwards.")})
REMOVED = Members({"revision": Text(), "removed": Whole("How many rows went.")})
_CURSOR = Text("The way to the next page; missing on the last one.")
ASSIGNMENTS = Members(
    {"assignments": Many(OneOf((Members(ROLE, {**ROW_TIMES, "stored_role": Text()}), Members(MEMBER, ROW_TIMES))))},
    {"next_cursor": _CURSOR},
)
WRITTEN = Members(
    {
        "revision": Text(),
        "stored": Whole("How many are stored now that were not so before."),
        "removed": Whole("How many went."),
    }
)
_STORED: dict[str, Shape] = {
    "kind": Text(choices=("subject", "resource")),
    "type": Text(),
    "id": Text(),
    "properties": Members(),
}
_PLACED: dict[str, Shape] = {"domain": Text("Where a resource lies.")}
_ENTITY = Members(_STORED, {**_PLACED, "written_in": Text("The file and line of one that policies tell.")})
ENTITIES = Members({"entities": Many(_ENTITY)}, {"next_cursor": _CURSOR})
_RECORDED: dict[str, Shape] = {
    "number": Whole(),
    "time": Text(),
    **dict.fromkeys(("by", "reason", "ticket", "channel", "caller", "request_id"), NULLABLE),
    "revision": Anything(),
    "hash": Text(),
}
_LOGGED = {**_RECORDED, "change": Text(choices=("granted", "revoked"))}
CHANGE_OF_ASSIGNMENT = OneOf((Members({**_LOGGED, **ROLE}, ROW_TIMES), Members({**_LOGGED, **MEMBER}, ROW_TIMES)))
CHANGES = Members({"changes": Many(CHANGE_OF_ASSIGNMENT)}, {"next_cursor": _CURSOR})
ENTITY_CHANGES = Members(
    {"changes": Many(Members({**_RECORDED, "change": Text(choices=("stored", "removed")), **_STORED}, _PLACED))},
    {"next_cursor": _CURSOR},
)

_REFUSED: dict[str, Shape] = {"refused": Members({"since": Text(), "count": Whole(), "problems": TEXTS})}
_POLICY: dict[str, Shape] = {
    "files_digest": Text(),
    "meaning_digest": Text(),
    "counts": Members(values=Whole()),
    "warnings": TEXTS,
    "orphaned_assignments": OneOf((Members({"count": Whole(), "roles": Many(OBJECT)}), Choice((None,)))),
}
_MAYBE: dict[str, Shape] = {"commit": Text(), "dirty": Anything(), "not_for_model": Text(), **_REFUSED}
POLICY = Members(_POLICY, _MAYBE)
RELOADED = Members({"result": Text(choices=("taken", "unchanged")), **_POLICY}, _MAYBE)
_TYPE_PARTS: dict[str, Shape] = {
    "of": NULLABLE,
    "values": Many(Anything()),
    "items": Members(about="The type of each item."),
    "parts": Members(about="The type of each part."),
}
_TYPES = OneOf((Members(values=Members({"type": Text()}, _TYPE_PARTS)), Choice((None,))))
TYPES = Members(
    {
        "files_digest": Text(),
        "levels": Many(OBJECT),
        "resource_types": Members(
            values=Members({"actions": TEXTS, "privileged": TEXTS, "asked_in": Members(values=Text()), "properties": _TYPES})
        ),
        "subject_types": OneOf((TEXTS, Choice((None,)))),
        "subject": _TYPES,
        "action": _TYPES,
        "context": _TYPES,
    }
)
CASBIN_JS = Members({"data": Text("JSON: `m` is the text of a model, `p` its rows.")})
HEALTH = Members({"status": Text(choices=("ok",))})
READINESS = Members({"status": Text(choices=("ready",))}, _REFUSED)
METADATA = Members(
    {"policy_decision_point": Text()},
    {
        f"{endpoint}_endpoint": Text()
        for endpoint in ("access_evaluation", "access_evaluations", "search_subject", "search_resource", "search_action")
    },
)
DESCRIPTION = Members({"openapi": Text(), "info": OBJECT, "paths": OBJECT}, about="This description.")
