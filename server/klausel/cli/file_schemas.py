"""What the JSON files that commands write for others hold, as JSON Schemas: the one table of them."""

from __future__ import annotations

from collections.abc import Mapping

from klausel.cli.output_schemas import DIALECT, OUTPUTS, Members, Output, form_as_schema
from klausel.core.records.review_sheet import TO_FILL_IN

_CHECKPOINT: Members = {
    "format": "string",
    "number": "integer",
    "hash": "string",
    "time": "string",
    "key": "string",
    "signature": "string",
}
_OF_ASSIGNMENT = ("subject?", "role?", "domain?", "group?", "from?", "until?")
_FACTS_OF_SHEETS = ("written at", "role assignments at revision", "policies", "in", "role", "last used by")
_OF_RECORDS = OUTPUTS["decisions find"].form
_LINE_OF_DECISIONS: Members = {
    "time": "string",
    **{f"{name.removesuffix('?')}?": form for name, form in _OF_RECORDS.items() if name not in ("place", "time")},
    "shared?": "array",
    "columns?": ["string"],
    "decisions?": "array",
    "dropped?": "integer",
    "sealed?": {
        "chain": "string",
        "first": "integer",
        "sums": "array",
        "previous": "string",
        "recovered?": "integer",
        "hash": "string",
    },
}
FILES: Mapping[str, Output] = {
    "matrix --facts": Output(
        "what a table is about, of review --facts too", {"version": "integer", "title": "string", "*": "string"}
    ),
    "review sheet": Output(
        "the facts beside a sheet of CSV", {"version": "integer", **dict.fromkeys(_FACTS_OF_SHEETS, "string")}
    ),
    "review apply": Output(
        "the evidence: a line with the facts, one for each role assignment, and a checkpoint",
        {
            "format?": "string",
            **dict.fromkeys(("sheet?", "sheet_digest?", "policy?", "revision_before?"), "string"),
            **dict.fromkeys(("by?", "ticket?", "caller?"), "string|null"),
            "missing_rows?": ["integer"],
            **dict.fromkeys(("kept?", "revoked?", "undecided?"), "integer"),
            "line?": "integer",
            **dict.fromkeys((f"{name}?" for name in TO_FILL_IN), "string|null"),
            **dict.fromkeys(_OF_ASSIGNMENT, "string"),
            "granted_by_record?": "integer|null",
            **{f"{name}?": form for name, form in _CHECKPOINT.items()},
        },
        "lines",
    ),
    "audit checkpoint": Output("the signed records of the change log", _CHECKPOINT, "lines"),
    "decisions checkpoint": Output("the signed records of the decision log", _CHECKPOINT, "lines"),
    "serve --decision-log": Output(
        "a record of a decision, several in decisions with what they share, or how many were dropped",
        _LINE_OF_DECISIONS,
        "lines",
    ),
}
"""By the command that writes them. A version stands in `version`, or is the number at the end of `format`."""


def schema_of_file(command: str) -> dict[str, object]:
    """The JSON Schema of the file that a command writes; of each line where it holds an object a line."""
    file = FILES[command]
    each = "; each line is one such object" if file.kind == "lines" else ""
    return {"$schema": DIALECT, "title": f"klausel {command}: {file.about}{each}", **form_as_schema(file.form)}
