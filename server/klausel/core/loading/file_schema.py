"""Every key of every policy file: its name, what it says, and what stands behind it.

The loader takes the keys that it knows from here, the schemas for editors their completions and descriptions, and
`klausel fmt` the order of keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Naming = Literal[
    "text",  # any text that is not empty
    "new name",  # a level or role that is declared here
    "new type",  # a resource type
    "new condition",
    "new action",
    "level",
    "role",
    "holder",  # a role or `any <role>`
    "grantee",  # a holder, or anyone
    "grantee or outsider",
    "resource type",
    "resource type or *",
    "subject type",  # one of `subject_types`, where they are declared
    "likely resource type",  # one, or a text that no file declares
    "action",
    "action or *",
    "condition",  # the name of one, or an expression
    "place",
]
"""What a text names, which decides what may be written there and what an editor offers."""


@dataclass(frozen=True, slots=True)
class OneText:
    """One text."""

    naming: Naming = "text"


@dataclass(frozen=True, slots=True)
class Texts:
    """One text, or a list of different texts."""

    naming: Naming = "text"
    may_be_null: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`; or `true` alone."""

    only_true: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one of these kinds; `exactly` so many, which are of one kind then."""

    kinds: tuple[Value, ...]
    exactly: int | None = None


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """One value of these kinds, a text and a table, or a list of them."""

    text: OneText
    table: Table


@dataclass(frozen=True, slots=True)
class TextsOrEntries:
    """One text, a list of texts, or names with a value each."""

    texts: Texts
    entries: Entries


@dataclass(frozen=True, slots=True)
class Entries:
    """Names that people choose, each with a value; `is_short` when it is written in brackets where that fits."""

    value: Value
    naming: Naming = "text"
    is_short: bool = False
    may_be_null: bool = True


@dataclass(frozen=True, slots=True)
class Free:
    """Any value, read as JSON has it: the properties of a resource, the context."""


@dataclass(frozen=True, slots=True)
class TypeOfProperty:
    """The type of a property: `text`, `list of number`, `user id`, a list of the texts that it may be, or parts with types."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `about` is a sentence or two for whoever stands on it in an editor.

    It is there without the keys that it `excludes`, and only together with those that it `needs`.
    """

    name: str
    value: Value
    about: str
    is_required: bool = False
    excludes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The keys that a mapping may have, in their usual order; `what` is what it describes.

    `one_of` are keys of which exactly one must be there, `some_of` such of which at least one must. In an open table
    all other keys are properties.
    """

    what: str
    keys: tuple[Key, ...]
    one_of: tuple[str, ...] = ()
    some_of: tuple[str, ...] = ()
    is_open: bool = False
    is_short: bool = False

    def __post_init__(self) -> None:
        asked = {*self.one_of, *self.some_of, *(other for key in self.keys for other in (*key.excludes, *key.needs))}
        for name in sorted(asked.difference(self.names)):
            raise ValueError(f'{self.what}: "{name}" is asked for and no key; declare it among the keys')

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the keys."""
        return tuple(key.name for key in self.keys)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the keys that must be there."""
        return tuple(key.name for key in self.keys if key.is_required)

    def names_beside(self, name: str) -> tuple[str, ...]:
        """The names of the keys that may be there together with this one, itself included."""
        return tuple(key.name for key in self.keys if name not in key.excludes)

    def key(self, name: str) -> Key | None:
        """The key of this name; None when there is none."""
        return next((key for key in self.keys if key.name == name), None)


Value = OneText | Texts | Flag | ListOf | OneOrMore | TextsOrEntries | Entries | Free | TypeOfProperty | Table

_AT_LEVEL = "Only where the request names exactly this level."
_UNDECLARED = Key(
    "undeclared",
    Flag(only_true=True),
    "Its properties are not as they are declared; the test asks what follows where a request sends them all the same.",
)
_DESCRIPTION = Key("description", OneText(), "What the file is about, for its readers.")

LEVEL = Table(
    "a level",
    (
        Key("named_by", OneText(), "The property of a resource that names the domain of this level."),
        Key(
            "identified_by",
            OneText("likely resource type"),
            "A resource of this type is a domain of this level: its id names it.",
        ),
        Key(
            "constant",
            OneText(),
            "The one domain of this level, which requests do not name.",
            excludes=("named_by", "identified_by"),
        ),
        Key("requires_role_above", Flag(), "A role here counts only for who has a role one level up, too."),
    ),
    some_of=("named_by", "identified_by", "constant"),
)
CONTAINED = Table(
    "a contained role",
    (Key("in", Texts("place"), "Only in this place, in one domain below each of the role's own; everywhere unless said."),),
    is_short=True,
)
ROLE = Table(
    "a role",
    (
        Key("level", OneText("level"), "The level of the domains in which people hold this role.", is_required=True),
        Key(
            "contains",
            TextsOrEntries(Texts("role"), Entries(CONTAINED, is_short=True)),
            "Whoever holds this role holds these too; of its level, or below. Or `<role>: {in: <place>}`: in one place alone.",
        ),
        Key("was", Texts("text"), "Names that it had before: assignments stored under them count as this role."),
        Key("keep_one", Flag(), "A domain with people in it always keeps somebody with this role."),
        Key("privileged", Flag(), "Whoever holds it is listed by `klausel findings`; it decides nothing."),
    ),
)
ROLES = Table(
    "roles.yaml",
    (
        Key("levels", Entries(LEVEL, "new name"), "The kinds of domains, the top one first.", is_required=True),
        Key("roles", Entries(ROLE, "new name"), "Every role that people may hold, and which it contains."),
    ),
)

CONDITIONS = Entries(OneText("condition"), "new condition")

RESOURCE_TYPE = Table(
    "a resource type",
    (
        Key("actions", Texts("new action"), "What can be done with it; grants name these.", is_required=True),
        Key(
            "asked_in",
            Entries(OneText("level"), "new action", is_short=True),
            "The level at which an action is asked whose resource does not exist yet, and so has no place of its own.",
        ),
        Key(
            "privileged",
            Texts("action"),
            "Those of its actions that only few should be able to do: `klausel findings` lists who can.",
        ),
        Key(
            "properties",
            Entries(TypeOfProperty(), is_short=True),
            "Every property that requests may send of it, with its type; conditions, tests and proofs are checked by them.",
        ),
    ),
)
STORED = Table(
    "stored",
    (
        Key("subjects", Texts("subject type"), "Types of subjects, such as user, whose properties the database may hold."),
        Key("resources", Texts("resource type"), "Types of resources whose properties the database may hold."),
    ),
)
PROPERTIES = Table(
    "properties.yaml",
    (
        Key("subject", Entries(TypeOfProperty()), "Every property that requests may send of who asks, with its type."),
        Key("action", Entries(TypeOfProperty()), "Every property that requests may send of an action, with its type."),
        Key("context", Entries(TypeOfProperty()), "Everything that requests may send as context, with its type."),
        Key(
            "stored",
            STORED,
            "Whose properties decisions look up in the database, too; of all others the request alone counts.",
        ),
        Key(
            "subject_types",
            Texts(),
            "The types of those who ask, such as user and service; conditions, tests and types of ids are checked by them.",
        ),
    ),
)
TOGETHER = Table(
    "a grantee of several names",
    (Key("all", Texts("grantee"), "Who holds all of these: roles, or `any <role>`.", is_required=True),),
    is_short=True,
)
_GRANTEES = OneOrMore(OneText("grantee"), TOGETHER)
GRANT = Table(
    "a grant",
    (
        Key("allow", _GRANTEES, "Who may: roles, `any <role>` (holds it somewhere below the same top), or `anyone`."),
        Key("deny", _GRANTEES, "Who may not. Beats every allow, and reaches who holds the role by inheritance, too."),
        Key("to", Texts("action or *"), "What: an action of the resource type, a list, or `*` for all.", is_required=True),
        Key("resource", Texts("resource type or *"), "The resource type, a list, or `*` for all.", is_required=True),
        Key("when", OneText("condition"), "Only when this holds: the name of a condition, or an expression."),
        Key("from", OneText(), "Only from this time on, such as 2026-03-01T00:00:00Z; by the clock of the service."),
        Key("until", OneText(), "Only before this time, such as 2026-12-31T18:00:00+01:00; then it ends by itself."),
        Key("in", Texts("place"), "Only in this place, and all below it: `acme`, `acme/support`, `acme/*`, or a list."),
        Key("at_level", OneText("level"), _AT_LEVEL),
        Key("because", OneText(), "Why; a remark that auditors see."),
    ),
    one_of=("allow", "deny"),
)
FEATURE = Table(
    "a feature file",
    (
        _DESCRIPTION,
        Key(
            "resource_types",
            Entries(RESOURCE_TYPE, "new type"),
            "The types of things that this feature brings, with their actions; each is declared once, in any file.",
        ),
        Key(
            "in",
            Texts("place"),
            "Where all grants of this file hold; those with an `in` of their own lie inside.",
            needs=("grants",),
        ),
        Key("grants", ListOf((GRANT,)), "Who may do what. What nothing allows is denied."),
    ),
)

THING = Table(
    "a thing to separate",
    (
        Key("to", Texts("action"), "The action.", is_required=True),
        Key("resource", Texts("resource type"), "The type of the resource.", is_required=True),
    ),
    is_short=True,
)
_ACTIONS_AND_TYPE = ("to", "resource")
INVARIANT = Table(
    "an invariant",
    (
        Key("name", OneText(), "What must hold, as a sentence."),
        Key(
            "never",
            Texts("grantee or outsider"),
            "May not do it in any case: roles, `any <role>`, anyone, or outsider (who holds no role there).",
            needs=_ACTIONS_AND_TYPE,
        ),
        Key("always", Texts("grantee"), "May do it in every case.", needs=_ACTIONS_AND_TYPE),
        Key("at_most", Texts("holder"), "Nobody may do it who does not hold one of these.", needs=_ACTIONS_AND_TYPE),
        Key("monotone", Flag(only_true=True), "A stronger role may do whatever a weaker one may."),
        Key(
            "separate",
            ListOf((OneText("role"), THING), exactly=2),
            "Two roles, or two things to do, that no one person may have together; assignments are refused too.",
        ),
        Key(
            "toxic",
            ListOf((THING,), exactly=2),
            "Two things to do that no role may give together; `klausel findings` names people who can do both by several.",
        ),
        Key("to", Texts("action or *"), "An action, a list, or `*` for all."),
        Key("resource", Texts("resource type or *"), "A resource type, a list, or `*` for all."),
        Key(
            "when", OneText("condition"), "Only for requests of which this holds: the name of a condition, or an expression."
        ),
        Key("in", Texts("place"), "Only for requests in this place, and all below it: `acme`, `acme/*`, or a list."),
        Key("at_level", OneText("level"), "Only for requests that name exactly this level."),
    ),
    one_of=("never", "always", "at_most", "monotone", "separate", "toxic"),
)
INVARIANTS = Table(
    "invariants.yaml",
    (
        Key(
            "invariants", ListOf((INVARIANT,)), "What must hold whatever else changes; `klausel prove` decides each exactly."
        ),
    ),
)

PROVISIONING = Table(
    "provisioning.yaml",
    (
        Key(
            "subject_from",
            OneText(),
            "What of a person is the id of the subject in requests: `userName`, `externalId` or `email`.",
            is_required=True,
        ),
        Key("subject_type", OneText("subject type"), "The type of these subjects; `user` unless said."),
        Key(
            "leavers_lose",
            OneText(),
            "What who leaves loses: the `memberships` that came by the provider, which is meant unless said, or `everything`.",
        ),
        Key(
            "groups",
            Entries(Entries(Texts("role"), is_short=True, may_be_null=False)),
            "The roles that groups give, by the name of the group and by domain; a `{part}` of a name stands for an id there.",
        ),
    ),
)
_WRITTEN_ID = Key("id", OneText(), "Its id, as requests send it.", is_required=True)
_WRITTEN_PROPERTIES = Key("properties", Entries(Free(), is_short=True), "Its properties by their names, with their values.")
WRITTEN_SUBJECT = Table(
    "a subject",
    (Key("type", OneText("subject type"), "Its type, such as user.", is_required=True), _WRITTEN_ID, _WRITTEN_PROPERTIES),
    is_short=True,
)
WRITTEN_RESOURCE = Table(
    "a resource",
    (
        Key("type", OneText("resource type"), "Its resource type.", is_required=True),
        _WRITTEN_ID,
        Key("in", OneText("place"), "The domain in which it lies, such as acme/support."),
        _WRITTEN_PROPERTIES,
    ),
    is_short=True,
)
ENTITIES = Table(
    "a file of entities",
    (
        _DESCRIPTION,
        Key("subjects", ListOf((WRITTEN_SUBJECT,)), "Who asks, with properties that decisions look up here."),
        Key("resources", ListOf((WRITTEN_RESOURCE,)), "What is asked about, with properties that decisions look up here."),
    ),
)

PERSON = Table(
    "a person",
    (
        Key("type", OneText("subject type"), "The type of the subject; `user` unless said."),
        Key("id", OneText(), "The id of the subject; the name unless said."),
        Key(
            "roles",
            Entries(Texts("role"), is_short=True),
            "The roles held, by domain: a role or a list for each. `{}` for nobody's.",
            is_required=True,
        ),
        Key(
            "forbidden",
            Flag(only_true=True),
            "The rules forbid these roles, at least to somebody alone; the test asks what follows where they are stored.",
        ),
        _UNDECLARED,
    ),
    is_open=True,
    is_short=True,
)
RESOURCE = Table(
    "a resource",
    (
        Key("type", OneText("resource type"), "The resource type.", is_required=True),
        Key("id", OneText(), "The id of the resource; the name unless said."),
        Key("in", OneText(), "The domain in which it lies."),
        _UNDECLARED,
    ),
    is_open=True,
    is_short=True,
)
TEST = Table(
    "a test",
    (
        Key("name", OneText(), "What the test shows, in a few words.", is_required=True),
        Key(
            "who_can",
            OneText("action"),
            "Asks which of the people may do this action with the resource.",
            excludes=("allowed", "what_can"),
            needs=("answer",),
        ),
        Key(
            "what_can",
            OneText(),
            "Asks which actions this person may do with the resource.",
            excludes=("allowed", "who_can"),
            needs=("answer",),
        ),
        Key("resource", Texts(), "What is asked about: one of the resources of this file, or a list.", is_required=True),
        Key("people", Texts(), "Only these people; all of the file unless said.", excludes=("what_can",)),
        Key(
            "actions", Texts("action"), "Only these actions; all of the type unless said.", excludes=("who_can", "what_can")
        ),
        Key("context", Entries(Free(), is_short=True), "The context of the requests."),
        Key("action_properties", Entries(Free(), is_short=True), "The properties of the action in the requests."),
        Key("now", OneText(), "When it is asked, such as 2026-12-31T18:00:00Z: what conditions call context.now."),
        _UNDECLARED,
        Key(
            "allowed",
            Entries(Texts("action")),
            "What each person may do. A pair that is not listed is expected to be denied.",
            excludes=("who_can", "what_can"),
        ),
        Key(
            "decided_by",
            Entries(Entries(OneText(), "action", is_short=True)),
            "The grant that decides, by person and action, as `klausel explain` prints it.",
            excludes=("who_can", "what_can"),
        ),
        Key(
            "answer",
            Texts(may_be_null=True),
            "Exactly these, of the people or of the actions; `[]` for none.",
            excludes=("allowed",),
        ),
    ),
)
TESTS = Table(
    "a test file",
    (
        _DESCRIPTION,
        Key("people", Entries(PERSON), "Who asks in this file, and which roles they hold."),
        Key("resources", Entries(RESOURCE), "What they ask about."),
        Key("tests", ListOf((TEST,)), "Who may do what, case by case."),
    ),
)

FILES: dict[str, Table | Entries] = {
    "roles": ROLES,
    "conditions": CONDITIONS,
    "properties": PROPERTIES,
    "feature": FEATURE,
    "invariants": INVARIANTS,
    "entities": ENTITIES,
    "provisioning": PROVISIONING,
    "test": TESTS,
}
"""What each kind of file holds."""
