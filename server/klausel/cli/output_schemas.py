"""What `--format json` of each command prints, as JSON Schemas: the one table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from klausel.cli.output import VERSION_OF_JSON

Form = str | Sequence["Form"] | Mapping[str, "Form"]
"""A short way to write a schema: names of types (`string|null`), a list of what an array holds, or an object by its members.

A member whose name ends with `?` may be missing; under `*` stands what any other member is. An object may always have more.
"""

Members = dict[str, Form]


def _all(form: Form, *names: str) -> Members:
    """Members that all have one form."""
    return dict.fromkeys(names, form)


DIALECT = "https://json-schema.org/draft/2020-12/schema"

_COMMIT: Members = {"id": "string", "author": "string", "date": "string", "subject": "string"}
_WHOLE_COMMIT: Members = {
    **_COMMIT,
    **_all("string", "email", "committer", "committer_email", "committed"),
    "trailers": [{"key": "string", "value": "string"}],
    "signature": "string|null",
}
_LINE: Members = {"file": "string", "line": "integer"}
_HELD: Members = {"role": "string", "domain": "string", "through?": ["string"], "until?": "string"}
_GRANT: Members = {"grant": "string", "source": "string", "effect": "string", "grantee": "string", "because": "string"}
_RECORDED_GRANT: Members = {"id": "string", "source": "string", "text": "string"}
_PROBLEM: Members = {
    **_LINE,
    "column": "integer",
    **_all("string", "severity", "id", "message"),
    "hint": "string|null",
}
_OTHER_MODEL: Members = {"not_for_model?": "string", "note?": "string"}
_TOGETHER: Form = [{"role_assignment": _HELD, "inheritance": ["string"]}]
_REASON: Members = {
    **_GRANT,
    "condition": "string|null",
    "role_assignment": {"": "null", **_HELD},
    "inheritance": ["string"],
    "together_with?": _TOGETHER,
}
_SEEN: Members = {
    **_GRANT,
    "role_assignment": {"": "null", "subject": "string", **_HELD},
    "inheritance": ["string"],
    "together_with?": _TOGETHER,
    "condition": {
        "": "null",
        "text": "string",
        "comparisons": [{"text": "string", "value": "boolean|null", "read": {}, "not_as_declared?": {}}],
    },
}
_FOUND: Members = {
    **_OTHER_MODEL,
    **_all("string", "subject?", "role?", "action?", "type?", "may?", "domain?", "verdict?"),
    "condition?": "string|null",
    "allowed_by?": [_REASON],
    "denied_by?": [_REASON],
}
_EXAMPLE: Members = {"": "null", "roles_held": [_HELD], "domain": "string|null", "values": {}}
_SIDE: Members = {"text": "string", "full": "string"}
_PEOPLE: Members = {
    "": "null",
    "gain": "integer",
    "lose": "integer",
    "who_gains": ["string"],
    "who_loses": ["string"],
    "groups_gain": "integer",
    "groups_lose": "integer",
    "which_groups_gain": ["string"],
    "which_groups_lose": ["string"],
}
_CHANGE: Members = {
    "resource_type": "string",
    "action": "string",
    "who": ["string"],
    "with_it": ["string"],
    "together": "boolean",
    "counts_with": "string|null",
    "where": [{"level": "string|null", "domain": "string|null", "apart_from": ["string"]}],
    "everywhere": "boolean",
    "relation": "string",
    "before": _SIDE,
    "after": _SIDE,
    "gain": _EXAMPLE,
    "loss": _EXAMPLE,
    "causes": [
        {
            **_all("string", "kind", "side", "text"),
            **_LINE,
            "commit": {"": "null", **_COMMIT},
            "removed_by": {"": "null", **_COMMIT},
        }
    ],
    "people": _PEOPLE,
}
_CHANGES: Members = {
    "verdict": "string",
    "changes": [_CHANGE],
    "renames": [{"kind": "string", "before": "string", "after": "string"}],
    "former_names": ["string"],
    "not_compared": ["string"],
    "rules": [{"text": "string", "movement": "string"}],
    "people": _PEOPLE,
}
_FLIP_SIDE: Members = {"decision": "boolean", "grant": {"": "null", **_RECORDED_GRANT}, "judged": "boolean"}
_END_OF_CHAIN: Members = {"": "null", "number": "integer", "hash": "string"}
_SHEET: Members = {
    "title": "string",
    "facts": {"*": "string"},
    "remarks": ["string"],
    "columns": ["string"],
    "rows": [{"section": "string", "cells": ["string"]}],
}


class Output(NamedTuple):
    """What a command prints: what it is about, what an object has, and whether there is `one`, a `list`, or one on each line."""

    about: str
    form: Mapping[str, Form]
    kind: str = "one"


OUTPUTS: Mapping[str, Output] = {
    "check": Output("the problems of a policy set", {**_OTHER_MODEL, "problems": [_PROBLEM], "more?": "integer"}),
    "compile": Output("the rows that Casbin gets", {"rows": [{"type": "string", "fields": ["string"], "source": "string"}]}),
    "test": Output(
        "the outcome of policy tests",
        {
            "passed": "integer",
            "failed": "integer",
            "tests": [
                {
                    "name": "string",
                    **_LINE,
                    "answers": "integer",
                    "passed": "boolean",
                    "failures": [
                        {
                            **_LINE,
                            **_all("string", "person", "action", "resource"),
                            "domain": "string|null",
                            "expected": "boolean|string|array",
                            "got": "boolean|string|array",
                            "reason": "string",
                            "fix?": "string",
                        }
                    ],
                }
            ],
            "coverage?": {
                "percent": "number",
                "kinds": {"*": {"touched": "integer", "all": "integer"}},
                "missed": [{"kind": "string", "what": "string", **_LINE}],
            },
        },
    ),
    "mutate": Output(
        "which changes of the policies the policy tests notice",
        {
            **_OTHER_MODEL,
            "score": "number",
            **_all("integer", "killed", "survived", "equivalent"),
            "mutants": [
                {
                    "kind": "string",
                    "what": "string",
                    **_LINE,
                    "fate": "string",
                    "noticed_by": "string|null",
                    "noticed_at": "string|null",
                    "combinations": "integer|null",
                    "missing_test": "string|null",
                }
            ],
        },
    ),
    "prove": Output(
        "whether each invariant holds",
        {
            **_OTHER_MODEL,
            "verdicts": [
                {
                    "name": "string",
                    "source": "string",
                    "holds": "boolean",
                    "undecided": "string|null",
                    "combinations": "integer",
                    "pattern_matches_taken_as_free": "boolean",
                    "counterexample": {
                        "": "null",
                        "message": "string",
                        "held": [_HELD],
                        "thing": "string|null",
                        "domain": "string|null",
                        "values": {},
                        "grants": [{"grant": "string", "source": "string"}],
                    },
                }
            ],
        },
    ),
    "diff": Output(
        "who gains or loses what between two versions of the policies",
        {
            "not_for_model?": ["string|null"],
            **_all("string", "note?", "before", "after"),
            **_CHANGES,
            "pattern_matches_taken_as_free": "boolean",
            **_all(["string"], "changed_rules", "changed_types", "changed_entities"),
        },
    ),
    "explain": Output(
        "why a question is answered as it is",
        {
            "decision": "boolean",
            "reason": "string",
            "domain": "string|null",
            "roles_held": [_HELD],
            "from_store?": ["string"],
            "from_files?": {},
            "untimely?": [{"subject": "string", "message": "string"}],
            "orphaned?": [{"role": "string", "domain": "string", "message": "string"}],
            "renamed?": [{"stored_as": "string", "role": "string", "domain": "string"}],
            "decided_by?": _SEEN,
            "also?": [_SEEN],
            "nearest?": [{**_GRANT, "lacks": [{"part": "string", "message": "string"}]}],
        },
    ),
    "who-can": Output("people who may do something, or what each role may of it", _FOUND, "lines"),
    "what-can": Output("what a person may do", _FOUND, "lines"),
    "matrix": Output("what each role or person may do", _SHEET),
    "review changes": Output("what a matrix changed since a commit", _SHEET),
    "log": Output(
        "commits, newest first, and what each changed",
        {
            "commit": _WHOLE_COMMIT,
            "parents": ["string"],
            "merged_by": "string|null",
            "loads": "boolean",
            "problems": ["string"],
            "broken_commits_before": "integer",
            **_all("boolean", "clone_ends_here", "policies_gone", "model_changed", "demands_less"),
            "changed_entities": ["string"],
            "declared": {"added": ["string"], "removed": ["string"]},
            "would_have_been_refused?": ["string"],
            **_CHANGES,
        },
        "lines",
    ),
    "blame": Output(
        "who wrote the lines behind a permission",
        {
            **_OTHER_MODEL,
            "resource_type": "string",
            "action": "string",
            "permissions": [
                {
                    "holder": "string",
                    "chain": ["string"],
                    "effect": "string",
                    "grant": "string",
                    "condition": "string|null",
                    "source": "string",
                    "because": "string|null",
                    "causes": [
                        {
                            "what": "string",
                            "file": "string",
                            "lines": [{"line": "integer", "commit": {"": "null", **_WHOLE_COMMIT}}],
                        }
                    ],
                }
            ],
            "without": ["string"],
        },
    ),
    "findings": Output(
        "what is wrong with role assignments",
        {
            **_all("string", "policy", "revision", "at"),
            "in": "string|null",
            "only": "array|null",
            "decisions_since": "string|null",
            "warnings": ["string"],
            "findings": [
                {
                    "kind": "string",
                    **_all("string|null", "subject", "role", "domain"),
                    "message": "string",
                    "fix": "string",
                }
            ],
        },
    ),
    "decisions find": Output(
        "records of decisions, each whole, as docs/audit.md describes them",
        {
            **_all("string", "place", "time", "request_id", "route", "caller"),
            "assignments_revision": "string|null",
            "subject": {"": "null", "type": "string", "id": "string", "properties?": {}},
            "action": {"": "null", "name": "string", "properties?": {}},
            "resource": {"": "null", "type": "string", "id": "string", "properties?": {}},
            "domain": "string|null",
            "roles": "array|null",
            "decision": "boolean",
            "grant": {"": "null", **_RECORDED_GRANT},
            "duration_us": "number",
            "policy?": {"": "null", "digest": "string", "commit?": "string", "dirty?": "boolean"},
            "index?": "integer",
            "context?": {},
            "failure?": "string",
            "masked?": ["string"],
            "now?": "string",
            "id?": "string",
            "number?": "integer",
            "sample_rate?": "number",
        },
        "lines",
    ),
    "decisions verify": Output(
        "whether a decision log is whole",
        {
            "whole": "boolean",
            "records": "integer",
            "checkpoints": "integer",
            "last": _END_OF_CHAIN,
            "files": [
                {
                    "file": "string",
                    "chain": "string|null",
                    "first": "integer|null",
                    "last": "integer|null",
                    **_all("integer", "records", "unchained", "recovered_bytes"),
                }
            ],
            "faults": [{"place": "string", "kind": "string", "message": "string"}],
            "number_of_faults": "integer",
        },
    ),
    "replay": Output(
        "which recorded decisions would be others by other policies",
        {
            **_OTHER_MODEL,
            "policy": {"digest": "string", "commit?": "string", "dirty?": "boolean"},
            **_all("integer", "replayed", "same", "allowed_now", "denied_now"),
            "not_known": {"*": "integer"},
            "not_recorded": "integer",
            "from_sampled_logs": "integer",
            "flips": [
                {
                    "before": _FLIP_SIDE,
                    "after": _FLIP_SIDE,
                    "cause": "string",
                    "count": "integer",
                    "estimated": "integer",
                    "examples": [{"place": "string", "time": "string", "request_id": "string", "question": "string"}],
                }
            ],
            "lines_that_are_no_records": "integer",
        },
    ),
    "unused": Output(
        "which grants and roles nobody needed",
        {
            **_OTHER_MODEL,
            "policy": "string",
            "warnings": ["string"],
            "decisions": "integer",
            "explanations": "integer",
            "first": "string|null",
            "last": "string|null",
            "unused_grants": [_RECORDED_GRANT],
            "unused_roles": ["string"],
            "roles_used_by_inheritance_alone": ["string"],
            "actions_never_asked": [{"resource_type": "string", "action": "string"}],
            "uses_of_roles": {"*": {"assigned": "integer", "inherited": "integer"}},
            "uses_of_grants": {"*": "integer"},
            "grants_gone": ["string"],
        },
    ),
    "audit show": Output(
        "changes of role assignments, memberships and stored properties",
        {
            "number": "integer",
            "time": "string",
            "change": "string",
            **{
                f"{name}?": "string"
                for name in ("subject", "role", "group", "domain", "from", "until", "kind", "type", "id")
            },
            "properties?": {},
            **_all("string|null", "by", "reason", "ticket", "channel", "caller", "request_id"),
            "revision": "string|null",
            "hash": "string|null",
        },
        "lines",
    ),
    "audit verify": Output(
        "whether the change log of role assignments is whole",
        {
            "ok": "boolean",
            **_all("integer", "records", "changes", "checkpoints"),
            "last": _END_OF_CHAIN,
            "findings": [{"number": "integer|null", "kind": "string", "message": "string"}],
        },
    ),
    "keys list": Output(
        "the API keys of applications, without what proves them",
        {
            **_all("string", "id", "name", "state"),
            "scopes": ["string"],
            "accounts": "array|null",
            **_all("string|null", "created", "expires", "revoked", "last_used"),
        },
        "list",
    ),
    "config show": Output("the settings of the service, each with where it comes from", {"*": {"from": "string"}}),
}


def schema_of(command: str) -> dict[str, object]:
    """The JSON Schema of what a command prints; of each line where it prints an object a line."""
    output = OUTPUTS[command]
    inside = form_as_schema({"version": "integer", **output.form})
    inside["properties"]["version"] = {"const": VERSION_OF_JSON}  # type: ignore[index]
    whole = {"type": "array", "items": inside} if output.kind == "list" else inside
    each = "; each line is one such object" if output.kind == "lines" else ""
    title = f"klausel {command} --format json: {output.about}{each}"
    return {"$schema": DIALECT, "title": title, **whole}


def form_as_schema(form: Form) -> dict[str, object]:
    """A form as a JSON Schema."""
    if isinstance(form, str):
        types = form.split("|")
        return {"type": types[0] if len(types) == 1 else types}
    if not isinstance(form, Mapping):
        (item,) = form
        return {"type": "array", "items": form_as_schema(item)}
    members = {name: inner for name, inner in form.items() if name not in ("", "*")}
    schema: dict[str, object] = {"type": ["object", "null"] if "" in form else "object"}
    required = [name for name in members if not name.endswith("?")]
    if members:
        schema |= {"properties": {name.removesuffix("?"): form_as_schema(inner) for name, inner in members.items()}}
    if required:
        schema["required"] = required
    if "*" in form:
        schema["additionalProperties"] = form_as_schema(form["*"])
    return schema
