"""What the bodies of requests are like: one table that the readers read by, and that the description of the API is made from."""

from __future__ import annotations

from klausel.api.shapes import Anything, Field, Flag, Instant, Json, Many, Members, Moment, OneOf, Shape, Text, Whole
from klausel.core.terms.request import NOW

NOW_FAULT = "context.now is the clock of the service, which no caller may set; leave it out"
SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
BATCH = "evaluations"
"""The member of a batch that holds its items."""
_CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
PRINTABLE = f"^[^{_CONTROL}]+$"
"""How a text on one line is written, for callers; `core/terms/identifiers.py` judges it."""
STORED_TEXT = r"^[^\u0000]*$"
DOMAIN_ID = f"[*]*[^/*{_CONTROL}][^/{_CONTROL}]*"
_DOMAIN = f"^{DOMAIN_ID}(/{DOMAIN_ID})*$"
_DOMAIN_OR_NONE = f"^({DOMAIN_ID}(/{DOMAIN_ID})*)?$"
_TOKEN = "[A-Za-z0-9_-]+={0,2}"
"""How cursors and tokens of pages are written; whoever gave them knows which there are."""

_SUBJECT, _RESOURCE = Text("Of whom: `user`."), Text("Of what: `document`.")
_ID = Text("Unique within its type.")
_PROPERTIES = Members(about="What is known of it besides; any JSON values.")
CONTEXT = Members(about="What is known of the circumstances; any JSON values.", forbidden={NOW: NOW_FAULT})
SUBJECT = Members({"type": _SUBJECT, "id": _ID}, {"properties": _PROPERTIES}, "Who acts.")
ACTION = Members({"name": Text("What is done: `read`.")}, {"properties": _PROPERTIES}, "What the subject wants to do.")
RESOURCE = Members({"type": _RESOURCE, "id": _ID}, {"properties": _PROPERTIES}, "What it is done to.")
_REASONS: dict[str, Shape] = {"reasons": Flag("Whether a deny comes with its reasons.")}
OPTIONS = Members(optional=_REASONS, about="How the answer shall be.")
OPTIONS_OF_BATCH = Members(
    optional={
        "evaluations_semantic": Text("Whether a batch ends at the first deny, or at the first permit.", SEMANTICS),
        **_REASONS,
    },
    about="How the answer shall be.",
)
_QUESTION = {"subject": SUBJECT, "action": ACTION, "resource": RESOURCE}
EXPLANATION = Members(_QUESTION, {"context": CONTEXT}, "One question: may this subject do this to that?")
EVALUATION = Members(
    # AuthZEN has no options here, so what is no object is ignored as any unknown member is.
    _QUESTION,
    {"context": CONTEXT, "options": OneOf((OPTIONS, Anything("Ignored.")))},
    EXPLANATION.about,
)
_DEFAULT = Anything("What items have that leave it out.")
EVALUATIONS = Members(
    optional={
        "subject": _DEFAULT,
        "action": _DEFAULT,
        "resource": _DEFAULT,
        "context": _DEFAULT,
        BATCH: Many(Anything("A question without what the defaults say."), "The items, at most `--max-batch`."),
        "options": OPTIONS_OF_BATCH,
    },
    about="Many questions with what they share; without items it is one evaluation.",
    any_of=(Members({BATCH: Many(Anything(), least=1)}), EXPLANATION),
)
_OF_TYPE = {
    "subject": Members({"type": _SUBJECT}, {"properties": _PROPERTIES}, "The type of those that are searched for."),
    "resource": Members({"type": _RESOURCE}, {"properties": _PROPERTIES}, "The type of those that are searched for."),
}
_PAGE = Members(
    optional={
        "token": Text("The `next_token` of the page before; empty for the first.", pattern=f"^({_TOKEN})?$"),
        "limit": Whole("How many results the page has at most."),
        "properties": Members(about="Not looked at."),
    },
    about="Which page of the results. Without it only a whole list is told, or as many as a page can have.",
)
SEARCHES = {
    "subject": Members(
        {"subject": _OF_TYPE["subject"], "action": ACTION, "resource": RESOURCE}, {"context": CONTEXT, "page": _PAGE}
    ),
    "resource": Members(
        {"subject": SUBJECT, "action": ACTION, "resource": _OF_TYPE["resource"]}, {"context": CONTEXT, "page": _PAGE}
    ),
    "action": Members({"subject": SUBJECT, "resource": RESOURCE}, {"context": CONTEXT, "page": _PAGE}),
}
"""By what is searched for."""
FILTER = Members(
    {"subject": SUBJECT, "action": ACTION, "resource": _OF_TYPE["resource"]},
    {"context": CONTEXT, "domain": Text("Keeps to this domain, and what lies in it.", pattern=_DOMAIN)},
)
PERMISSIONS = Members(
    {"subject": SUBJECT, "resources": Many(RESOURCE, "At most `--max-batch`.")},
    {"context": CONTEXT, "conditions": Flag("Whether to tell what would be allowed, and when.")},
)

_HOLDER = Text(
    "Written `type:id`: `user:ann`; a `:` or `/` in the type as `%3A` or `%2F`.",
    pattern=f"^([^:/%{_CONTROL}]|%3A|%2F)+:[^{_CONTROL}]+$",
)
_TIMES: dict[str, Shape] = {"from": Instant("Counts from then on."), "until": Instant("Counts until just before.")}
_NO_TIMES = dict.fromkeys(_TIMES, "a row to revoke has no times; leave it out")
_ROLE: dict[str, Shape] = {
    "subject": _HOLDER,
    "role": Text("A role that the policies declare."),
    "domain": Text("Where: `acme`, or `acme/sub`.", pattern=_DOMAIN),
}
_MEMBER: dict[str, Shape] = {
    "subject": _HOLDER,
    "group": Text("Written `group:NAME`.", pattern=f"^group:[^{_CONTROL}]+$"),
}
_REVOKED = (Members(_ROLE, is_closed=True, hints=_NO_TIMES), Members(_MEMBER, is_closed=True, hints=_NO_TIMES))
_GRANTED = (Members(_ROLE, _TIMES, is_closed=True), Members(_MEMBER, _TIMES, is_closed=True))


class Row(OneOf):
    """A role assignment, or the membership of a group where the row has a `group`."""

    def read(self, value: object, place: str) -> Json:
        """The members of the row."""
        role, member = self.of
        row: Json = (member if isinstance(value, dict) and "group" in value else role).read(value, place)
        return row


_CLAIMS: dict[str, Shape] = {
    "by": Text("Who makes the change.", takes_null=True, pattern=PRINTABLE),
    "reason": Text("Why.", takes_null=True, pattern=PRINTABLE),
    "ticket": Text("Where it was asked for.", takes_null=True, pattern=PRINTABLE),
}
_ON_BEHALF: dict[str, Shape] = {
    "on_behalf_of": Text(
        "The person whom the policies must let do it: `user:ann`.", takes_null=True, pattern=_HOLDER.pattern
    )
}
CHANGE = Members(
    optional={
        "grant": Many(Row(_GRANTED, by_policy="row")),
        "revoke": Many(Row(_REVOKED, by_policy="row")),
        **_CLAIMS,
        **_ON_BEHALF,
    },
    about="One atomic change of role assignments: all of it or nothing.",
    any_of=(Members({"grant": Many(Anything(), least=1)}), Members({"revoke": Many(Anything(), least=1)})),
    is_closed=True,
)

_KIND = Text("Whether it acts or is acted on.", choices=("subject", "resource"))
_ENTITY: dict[str, Shape] = {
    "kind": _KIND,
    "type": Text("Named under `stored` in properties.yaml.", pattern=PRINTABLE),
    "id": Text(pattern=PRINTABLE),
}
_STORED: dict[str, Shape] = {
    "domain": Text(
        "Where a resource lies: `acme`, or `acme/sub`; empty for none.", takes_null=True, pattern=_DOMAIN_OR_NONE
    ),
    "properties": Members(about="All that is stored of it, as its type declares; null for what it certainly lacks."),
}
ENTITY_CHANGE = Members(
    optional={
        "put": Many(Members(_ENTITY, _STORED, is_closed=True, by_policy="entity"), "Replaces all that is stored of each."),
        "delete": Many(Members(_ENTITY, is_closed=True)),
        **_CLAIMS,
    },
    about="One atomic change of stored properties: all of it or nothing.",
    any_of=(Members({"put": Many(Anything(), least=1)}), Members({"delete": Many(Anything(), least=1)})),
    is_closed=True,
)
ENTITY_KEY: dict[str, Shape] = {**_ENTITY, **_CLAIMS}

_OF_HOLDER = Text("Written `type:id`: `user:ann`.")
_LIMIT = Text("Rows of a page, 1 to 1000; 100 where it is not given.", pattern="^([1-9][0-9]{0,2}|1000)$")
CURSOR = Text("The `next_cursor` of the page before.", pattern=f"^{_TOKEN}$")
ASSIGNMENT_FILTERS: dict[str, Shape] = {
    "subject": _OF_HOLDER,
    "role": Text("Also finds what is stored under former names of the role."),
    "domain": Text("Just there, not below."),
    "group": Text("Lists its members."),
    "ends_after": Instant("Ends then or later."),
    "ends_before": Instant("Ends then or before."),
    "limit": _LIMIT,
    "cursor": CURSOR,
}
ENTITY_FILTERS: dict[str, Shape] = {
    "kind": _KIND,
    "type": Text(pattern=PRINTABLE),
    "id": Text("That one alone.", pattern=PRINTABLE),
    "domain": Text("There, and below."),
    "limit": _LIMIT,
    "cursor": CURSOR,
}
WHOM: dict[str, Shape] = {"subject": _HOLDER}
LEAVER: dict[str, Shape] = {
    "subject": _HOLDER,
    "account": Text("A top-level domain; everything in it goes, and in what lies in it.", pattern=f"^{DOMAIN_ID}$"),
    **_CLAIMS,
    **_ON_BEHALF,
}
LOG_FILTERS: dict[str, Shape] = {
    "subject": _OF_HOLDER,
    "role": Text("Also under its former names."),
    "domain": Text("Just there, not below."),
    "by": Text("Who made the change."),
    "since": Moment("A date, or a time such as 2026-03-01T12:00:30Z."),
    "until": Moment("Not included."),
    "limit": _LIMIT,
    "cursor": Text(CURSOR.about, pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$"),
}
ENTITY_LOG_FILTERS: dict[str, Shape] = {
    "kind": _KIND,
    "type": Text(),
    "id": Text("By index, where kind and type are given too."),
    **{name: LOG_FILTERS[name] for name in ("domain", "by", "since", "until", "limit", "cursor")},
}
FORMAT = Text("How the page is told; its JSON twin with `json`.", choices=("html", "json"))
FORMAT_OF_LISTS = Text("How the list is told; its JSON twin with `json`.", choices=("html", "json", "csv"))
DOMAIN = Text("One domain: `acme`, or `acme/sub`.", pattern=_DOMAIN)
RECORD: dict[str, Shape] = {
    "id": Text("Of the record, as `X-Klausel-Record` told it."),
    "at": Text("Its place in the log, instead."),
}
SIGN_IN = Members({"key": Text("The API key.")}, {"next": Text(), "token": Text("That of the form.")}, is_closed=True)
SIGN_OUT = Members({}, {"token": Text("That of the form.")}, is_closed=True)
_FORM_OF_PERSON: dict[str, Shape] = {
    "token": Text("That of the form."),
    "view": Text("The domain that is shown then."),
    "reason": Field(Text("Why.", pattern=PRINTABLE)),
    "ticket": Field(Text("Where it was asked for.", pattern=PRINTABLE)),
}
_TIMES_OF_FORM: dict[str, Shape] = {name: Field(shape) for name, shape in _TIMES.items()}


def _form_of_person(change: str, optional: dict[str, Shape]) -> OneOf:
    done = {"change": Text("What is done.", choices=(change,))}
    return OneOf(tuple(Members({**done, **row}, optional, is_closed=True) for row in (_ROLE, _MEMBER)), by_policy="row")


PERSON_FORM = OneOf(
    (_form_of_person("grant", {**_FORM_OF_PERSON, **_TIMES_OF_FORM}), _form_of_person("revoke", _FORM_OF_PERSON)),
    "A role that is given or taken, or the membership of a group.",
)
DEEDS = ("", "check", "live", "new", "rename", "delete", "patch", "save", "offers", "about")
_POSITION = Field(Text("Of the cursor, from 0.", pattern="^[0-9]{1,7}$"))
PLAYGROUND = Members(
    optional={
        "do": Text("What is done with the copy.", choices=DEEDS),
        "token": Text("That of the form."),
        "file": Text("The file that is open."),
        "base": Text("What it was made of."),
        "text": Text("What stands in it."),
        "changes": Text("The other changed files, as JSON."),
        "open": Text("The file to open."),
        "back": Text("The file whose changes are taken back."),
        "new": Text("The name of a file to be made, or a new name."),
        "line": _POSITION,
        "column": _POSITION,
    },
    is_closed=True,
)
