"""What can be asked of the service, one entry a route: the shapes that its reader takes and its answer has, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from klausel.api import answer_shapes, page_shapes, request_shapes
from klausel.api.errors import SCIM_TYPE
from klausel.api.shapes import Json, Members, Shape


@dataclass(frozen=True)
class Operation:
    """One route. `summary` is a line for people; `errors` are statuses besides those that every route of its kind has.

    `status` is that of a good answer. An answer that is no JSON has a `media_type` and no shape. Of one that `is_recorded` the
    decision log tells, and a header asks for the id of its record. A page of the console has the shape of its JSON `twin`.
    `places` are the shapes of parts of the path, where not every text is one.
    """

    name: str
    summary: str
    answer: Shape | None = None
    body: Members | None = None
    example: Json | None = None
    parameters: Mapping[str, Shape] = field(default_factory=dict)
    needed_parameters: frozenset[str] = frozenset()
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    is_recorded: bool = False
    form: Shape | None = None
    places: Mapping[str, Shape] = field(default_factory=dict)
    takes_scim: bool = False
    status: int = 200
    redirects: bool = False
    twin: Shape | None = None
    also_answers: str = ""
    """Another media type of good answers."""


_SUBJECT = {"type": "user", "id": "ann"}
_ACTION = {"name": "read"}
_RESOURCE = {"type": "document", "id": "d1", "properties": {"owner": "ann"}}
_QUESTION = {"subject": _SUBJECT, "action": _ACTION, "resource": _RESOURCE}
_PAGE = {"page": {"limit": 20}}
_FORMAT = {"format": request_shapes.FORMAT}


def _page(name: str, summary: str, twin: Shape, *errors: int, **parameters: Shape) -> Operation:
    return Operation(name, summary, media_type="text/html", parameters={**_FORMAT, **parameters}, errors=errors, twin=twin)


def _sign_in(name: str, summary: str, *errors: int) -> Operation:
    return Operation(name, summary, media_type="text/html", errors=errors, redirects=True)


def _form(
    name: str, summary: str, form: Shape, *errors: int, twin: Shape | None = None, also_answers: str = ""
) -> Operation:
    parameters = {} if twin is None else _FORMAT
    return Operation(
        name,
        summary,
        media_type="text/html",
        parameters=parameters,
        errors=errors,
        form=form,
        redirects=True,
        twin=twin,
        also_answers=also_answers,
    )


def _scim(name: str, summary: str, *errors: int, status: int = 200, takes: bool = False) -> Operation:
    return Operation(name, summary, media_type=SCIM_TYPE, errors=(404, 501, *errors), status=status, takes_scim=takes)


_MANY, _ONE = "/scim/v2/<resources>", "/scim/v2/<resources>/<path:id>"
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "/access/v1/evaluation"): Operation(
        "evaluate",
        "One decision (AuthZEN)",
        answer_shapes.DECISION,
        request_shapes.EVALUATION,
        _QUESTION,
        is_recorded=True,
    ),
    ("POST", "/access/v1/evaluations"): Operation(
        "evaluate_many",
        "Many decisions at once (AuthZEN)",
        answer_shapes.DECISIONS,
        request_shapes.EVALUATIONS,
        {"subject": _SUBJECT, "resource": _RESOURCE, "evaluations": [{"action": _ACTION}, {"action": {"name": "write"}}]},
        is_recorded=True,
    ),
    ("POST", "/access/v1/search/subject"): Operation(
        "search_subjects",
        "Who may do this to that (AuthZEN)",
        answer_shapes.ENTITIES_FOUND,
        request_shapes.SEARCHES["subject"],
        {**_QUESTION, "subject": {"type": "user"}, **_PAGE},
        errors=(409, 501),
    ),
    ("POST", "/access/v1/search/resource"): Operation(
        "search_resources",
        "What a subject may do this to (AuthZEN)",
        answer_shapes.ENTITIES_FOUND,
        request_shapes.SEARCHES["resource"],
        {**_QUESTION, "resource": {"type": "document"}, **_PAGE},
        errors=(409, 501),
    ),
    ("POST", "/access/v1/search/action"): Operation(
        "search_actions",
        "What a subject may do to a resource (AuthZEN)",
        answer_shapes.ACTIONS_FOUND,
        request_shapes.SEARCHES["action"],
        {"subject": _SUBJECT, "resource": _RESOURCE},
        errors=(409, 501),
    ),
    ("GET", "/.well-known/authzen-configuration"): Operation(
        "metadata", "Where the endpoints of AuthZEN are", answer_shapes.METADATA, errors=(404,)
    ),
    ("GET", "/.well-known/authzen-configuration/<path:tenant>"): Operation(
        "metadata_of_tenant",
        "The same, where the public URL has a path",
        answer_shapes.METADATA,
        errors=(404,),
    ),
    ("POST", "/v1/explain"): Operation(
        "explain",
        "Why a decision is as it is",
        answer_shapes.EXPLANATION,
        request_shapes.EXPLANATION,
        _QUESTION,
        is_recorded=True,
    ),
    ("POST", "/v1/permissions"): Operation(
        "permissions",
        "All that a subject may do to each of some resources",
        answer_shapes.MENUS,
        request_shapes.PERMISSIONS,
        {"subject": _SUBJECT, "resources": [_RESOURCE], "conditions": True},
        errors=(501,),
    ),
    ("POST", "/v1/filter"): Operation(
        "filter",
        "Which resources of a type a subject may act on, as a condition",
        answer_shapes.FILTER,
        request_shapes.FILTER,
        {**_QUESTION, "resource": {"type": "document"}},
        errors=(501,),
    ),
    ("POST", "/v1/assignments"): Operation(
        "change_assignments",
        "Changes role assignments and members of groups, all or nothing",
        answer_shapes.REVISION,
        request_shapes.CHANGE,
        {"grant": [{"subject": "user:ann", "role": "editor", "domain": "acme"}], "by": "kim", "ticket": "HR-12"},
        errors=(409,),
    ),
    ("GET", "/v1/assignments"): Operation(
        "list_assignments",
        "Role assignments and members of groups, in pages",
        answer_shapes.ASSIGNMENTS,
        parameters=request_shapes.ASSIGNMENT_FILTERS,
        errors=(409,),
    ),
    ("DELETE", "/v1/assignments"): Operation(
        "remove_subject",
        "Takes all away that a leaver has in an account",
        answer_shapes.REMOVED,
        parameters=request_shapes.LEAVER,
        needed_parameters=frozenset({"subject", "account"}),
        errors=(409,),
    ),
    ("POST", "/v1/entities"): Operation(
        "change_entities",
        "Changes stored properties of subjects and resources, all or nothing",
        answer_shapes.WRITTEN,
        request_shapes.ENTITY_CHANGE,
        {
            "put": [
                {
                    "kind": "resource",
                    "type": "todo",
                    "id": "7",
                    "domain": "acme",
                    "properties": {"owner": "ann@example.com"},
                },
                {"kind": "subject", "type": "user", "id": "ann", "properties": {"email": "ann@example.com"}},
            ],
            "delete": [{"kind": "resource", "type": "todo", "id": "6"}],
        },
        errors=(409,),
    ),
    ("GET", "/v1/entities"): Operation(
        "list_entities",
        "Stored properties of one subject or resource, or of a type in pages",
        answer_shapes.ENTITIES,
        parameters=request_shapes.ENTITY_FILTERS,
        needed_parameters=frozenset({"kind", "type"}),
        errors=(409,),
    ),
    ("DELETE", "/v1/entities"): Operation(
        "remove_entity",
        "Takes away what is stored of one subject or resource",
        answer_shapes.REMOVED,
        parameters=request_shapes.ENTITY_KEY,
        needed_parameters=frozenset({"kind", "type", "id"}),
        errors=(409,),
    ),
    ("GET", "/v1/assignment-log"): Operation(
        "list_changes",
        "The changes of role assignments, newest first, in pages",
        answer_shapes.CHANGES,
        parameters=request_shapes.LOG_FILTERS,
    ),
    ("GET", "/v1/entity-log"): Operation(
        "list_entity_changes",
        "The changes of stored properties, newest first, in pages",
        answer_shapes.ENTITY_CHANGES,
        parameters=request_shapes.ENTITY_LOG_FILTERS,
    ),
    ("GET", _MANY): _scim("provisioned", "Pages of people (`Users`) or groups (`Groups`), or what the service can (SCIM)"),
    ("POST", _MANY): _scim(
        "provision", "A person or group of an identity provider (SCIM)", 405, 409, status=201, takes=True
    ),
    ("GET", _ONE): _scim("provisioned_one", "One person or group (SCIM)"),
    ("PUT", _ONE): _scim("provision_again", "Another state of a person or group (SCIM)", 405, 409, 412, takes=True),
    ("PATCH", _ONE): _scim("provision_change", "A change of a person or group (SCIM)", 405, 409, 412, takes=True),
    ("DELETE", _ONE): _scim("provision_end", "The end of a person or group (SCIM)", 405, 409, 412, status=204),
    ("GET", "/v1/casbin-js"): Operation(
        "casbin_js",
        "What a subject surely may, as casbin.js reads it",
        answer_shapes.CASBIN_JS,
        parameters=request_shapes.WHOM,
        needed_parameters=frozenset(request_shapes.WHOM),
        errors=(501,),
    ),
    ("GET", "/v1/casbin-js/<path:domain>"): Operation(
        "casbin_js_in",
        "The same, in one domain",
        answer_shapes.CASBIN_JS,
        parameters=request_shapes.WHOM,
        needed_parameters=frozenset(request_shapes.WHOM),
        places={"domain": request_shapes.DOMAIN},
        errors=(404, 501),
    ),
    ("GET", "/v1/policy"): Operation("policy", "The policies in force", answer_shapes.POLICY),
    ("GET", "/v1/policy/types"): Operation("types", "What may be asked about", answer_shapes.TYPES),
    ("POST", "/v1/policy:reload"): Operation(
        "reload", "Reads the policy files at once", answer_shapes.RELOADED, errors=(409,)
    ),
    ("GET", "/openapi.json"): Operation("description", "This description", answer_shapes.DESCRIPTION),
    ("GET", "/healthz"): Operation("health", "Whether the process lives", answer_shapes.HEALTH),
    ("GET", "/readyz"): Operation("readiness", "Whether questions can be answered", answer_shapes.READINESS),
    ("GET", "/metrics"): Operation("metrics", "For Prometheus", media_type="text/plain"),
    ("GET", "/console"): _page("console", "The matrix of features by roles, for people", page_shapes.MATRIX),
    ("GET", "/console/roles"): _page("console_roles", "The hierarchy of roles, for people", page_shapes.ROLES),
    ("GET", "/console/try"): _page("console_try", "A form that tries a question, for people", page_shapes.TRIED, 404),
    ("GET", "/console/who-can"): _page(
        "console_who_can",
        "Who can do something in a domain, for people",
        page_shapes.WHO_CAN,
        404,
        format=request_shapes.FORMAT_OF_LISTS,
    ),
    ("GET", "/console/what-can"): _page(
        "console_what_can",
        "What a subject holds and can do in a domain, for people",
        page_shapes.WHAT_CAN,
        404,
        format=request_shapes.FORMAT_OF_LISTS,
    ),
    ("GET", "/console/changes"): _page(
        "console_changes", "What commits changed in what is allowed, for people", page_shapes.CHANGES, 409
    ),
    ("GET", "/console/people"): _page("console_people", "Who holds roles, for people", page_shapes.PEOPLE),
    ("GET", "/console/person"): _page(
        "console_person", "The roles of one subject, and what can be given and taken", page_shapes.PERSON, 404
    ),
    ("POST", "/console/person"): _form(
        "console_change_person",
        "Gives and takes roles by a form",
        request_shapes.PERSON_FORM,
        404,
        409,
        twin=page_shapes.CHANGED_PERSON,
    ),
    ("GET", "/console/decisions"): _page(
        "console_decisions", "The decision log, searched by people", page_shapes.DECISIONS, 404
    ),
    ("GET", "/console/decision"): _page(
        "console_decision", "One recorded decision, explained as of then", page_shapes.DECISION, 404, **request_shapes.RECORD
    ),
    ("GET", "/console/playground"): _page(
        "console_playground", "A copy of the policies that people edit and try", page_shapes.PLAYGROUND, 404, 503
    ),
    ("POST", "/console/playground"): _form(
        "console_judge_copy",
        "Judges an edited copy, or makes a patch of it",
        request_shapes.PLAYGROUND,
        404,
        409,
        twin=page_shapes.JUDGED,
        also_answers="text/x-patch",
    ),
    ("GET", "/console/sign-in"): _sign_in("console_sign_in", "Where people sign in", 404),
    ("POST", "/console/sign-in"): _form(
        "console_signs_in", "Signs a person in by an API key", request_shapes.SIGN_IN, 401, 404, 429
    ),
    ("GET", "/console/sign-in/openid"): _sign_in("console_openid", "Sends people on to the OpenID provider", 404),
    ("GET", "/console/sign-in/callback"): _sign_in(
        "console_openid_callback", "Where the OpenID provider sends people back to", 401, 404, 503
    ),
    ("POST", "/console/sign-out"): _form("console_signs_out", "Signs a person out", request_shapes.SIGN_OUT, 404),
    ("GET", "/console/style.css"): Operation("console_style", "How the pages look", media_type="text/css"),
    ("GET", "/console/playground.js"): Operation(
        "console_playground_script", "What judges a copy as one types", media_type="text/javascript"
    ),
    ("GET", "/console/editor.js"): Operation("console_editor", "The editor of the playground", media_type="text/javascript"),
    ("GET", "/console/console.js"): Operation("console_script", "What answers as one types", media_type="text/javascript"),
}
"""By method and address, as the routes have them."""
