"""Reading feature files: resource types with their actions, and grants, from YAML and from Casbin CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import get_args

from klausel.core.conditions.parser import CONDITION_FAULTY
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import Condition
from klausel.core.loading.fields import OF_TYPES_AND_ACTIONS, ProblemList, is_empty
from klausel.core.loading.file_schema import GRANT, RESOURCE_TYPE, TOGETHER
from klausel.core.loading.grant_times import read_times, with_times
from klausel.core.loading.places import is_known_level, read_csv_scope, read_limits, read_scopes
from klausel.core.loading.property_checks import PlaceIn, check_condition, check_subject_types
from klausel.core.loading.property_types import read_property_types
from klausel.core.policy.fitting import Wanted, fitted, wanted_cases
from klausel.core.policy.invariant import Thing
from klausel.core.policy.policy_set import Effect, Grant, ResourceType, declarations_of
from klausel.core.policy.properties import Declarations, PropertyTypes
from klausel.core.policy.role_hints import hint_on_grantee
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, is_joint, joint_name, parts_of
from klausel.core.policy.scope import Scope
from klausel.core.terms.identifiers import is_type_or_action
from klausel.core.terms.places import EVERY, EVERYWHERE
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

_EFFECTS: tuple[Effect, ...] = get_args(Effect)
CSV_GRANT = "p, grantee, domain, resource type, action, condition, effect"
CSV_LINK = "g, role, contained role, place (* for everywhere)"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that grants may use; `declared_*` also holds names whose declaration has a problem, reported already.

    `declared_roles` is None when the roles could not be read, `is_complete` False when a file that may declare further
    resource types could not.
    """

    roles: RoleModel
    declared_roles: frozenset[str] | None
    resource_types: Mapping[str, ResourceType]
    declared_types: frozenset[str]
    read_condition: Callable[[Text], Condition]
    is_complete: bool = True
    properties: Mapping[str, PropertyTypes] = field(default_factory=lambda: MappingProxyType({}))
    place_in: PlaceIn = lambda text, *_: text.place
    subject_types: tuple[str, ...] | None = None
    _declarations: dict[str, Declarations] = field(default_factory=dict, repr=False)
    _fitted: dict[tuple[int, str, str], Condition] = field(default_factory=dict, repr=False)
    things: dict[object, tuple[Thing, ...]] = field(default_factory=dict, repr=False)
    """The things that invariants named before, by how; as invariants found them."""

    def declarations(self, resource_type: str) -> Declarations:
        """What is declared of the requests about a resource type."""
        found = self._declarations.get(resource_type)
        if found is None:
            of_type = self.resource_types.get(resource_type)
            found = declarations_of(of_type, resource_type, self.properties, self.roles)
            self._declarations[resource_type] = found
        return found

    def fitted(self, condition: Condition, wanted: Wanted, resource_type: str) -> Condition:
        """The condition with declared types built in, one and the same for the same."""
        key = (id(condition), wanted, resource_type)
        if key not in self._fitted:
            self._fitted[key] = fitted(condition, wanted, self.declarations(resource_type))
        return self._fitted[key]

    def names(self) -> tuple[object, ...]:
        """Everything here but the conditions and resource types, as one value.

        With equal ones of all three, what was read needs no second reading.
        """
        roles = (self.roles.levels, tuple(self.roles.roles.values()), self.declared_roles)
        others = tuple((name, as_value(properties)) for name, properties in self.properties.items())
        return (roles, self.declared_types, self.is_complete, others, self.subject_types)


def as_value(properties: PropertyTypes | None) -> object:
    """Declared properties as a value that can be a key."""
    return None if properties is None else tuple(properties.items())


def report_repeated_types(known: Mapping[str, ResourceType], found: Iterable[ResourceType], problems: ProblemList) -> None:
    """Adds a problem for each resource type of a file that is declared already; `known` has the first of each name."""
    for one in found:
        first = known[one.name]
        if first is not one:
            message = f'resource type "{one.name}" is declared already, in {first.place}'
            problems.add(one.place, "repeated-resource-type", message, "declare it once; any file may grant on it")


def read_resource_types(root: Fields, found: list[ResourceType], roles: RoleModel, problems: ProblemList) -> Iterator[str]:
    """Adds the resource types that a feature file declares to `found`; yields every name, also of faulty ones."""
    for name, node in problems.entries(root.get("resource_types"), "resource_types"):
        yield name.value
        if not problems.name(name, "a resource type", is_type_or_action, OF_TYPES_AND_ACTIONS):
            continue
        written = problems.fields_of(name, node, f"resource type {name.value}")
        fields = written or Fields((), name.place)
        meant = problems.check_keys(fields, RESOURCE_TYPE.names, RESOURCE_TYPE.what)
        actions: dict[str, Place] = {}
        for text in problems.texts(fields.get("actions"), "actions"):
            problems.name(text, "an action", is_type_or_action, OF_TYPES_AND_ACTIONS)
            actions[text.value] = text.place
        if written and fields.get("actions") is None and "actions" not in meant:
            problems.add(name.place, "missing-key", f"resource type {name.value} has no actions", "add actions: [view]")
        asked_in = MappingProxyType(dict(_asked_in(fields.get("asked_in"), list(actions), roles, problems)))
        privileged = tuple(_privileged(fields.get("privileged"), list(actions), problems))
        properties, _ = read_property_types(fields.get("properties"), "properties", ("id", "type"), problems)
        places = MappingProxyType(actions)
        declared = ResourceType(name.value, tuple(actions), asked_in, name.place, places, properties, privileged)
        found.append(declared)


def _asked_in(node: Node | None, actions: list[str], roles: RoleModel, problems: ProblemList) -> Iterator[tuple[str, str]]:
    for action, value in problems.entries(node, "asked_in"):
        level = problems.text(value, f"the level of {action.value}")
        if actions and action.value not in actions:
            problems.unknown(action, "unknown-action", actions, "Name one of the actions above")
        if level is not None and is_known_level(level, roles, problems):
            yield action.value, level.value


def _privileged(node: Node | None, actions: list[str], problems: ProblemList) -> Iterator[str]:
    for text in problems.texts(node, "privileged"):
        if text.value in actions:
            yield text.value
        elif actions:
            problems.unknown(text, "unknown-action", actions, "Name one of the actions above")


def read_grants(root: Fields, vocabulary: Vocabulary, problems: ProblemList) -> Iterator[Grant]:
    """The grants of a YAML feature file: one for each grantee, type, action and place of each entry, in the order of the file."""
    limits = read_limits(root, vocabulary.roles, problems)
    grants = root.get("grants")
    if grants is not None and is_empty(grants):
        hint = "bring back what stood there, or take the key away; [] says that none is meant"
        problems.warn(grants.place, "empty-file", "nothing stands under grants", hint)
    if limits and not problems.items(grants, "grants"):
        message = "`in` limits the grants of the file, and there are none"
        problems.add(limits[0].place, "missing-key", message, "write it where the grants are")
    for fields in problems.each(grants, "grants", "a grant"):
        yield from _grants_of_entry(fields, limits, vocabulary, problems)


def _grants_of_entry(fields: Fields, limits: list[Text], vocabulary: Vocabulary, problems: ProblemList) -> Iterator[Grant]:
    before = len(problems.found)
    meant = problems.check_keys(fields, GRANT.names, GRANT.what)
    effects = sorted(filter(None, map(fields.entry, _EFFECTS)), key=lambda entry: entry[0].place)
    if len(effects) > 1:
        hint = "write two grants"
        problems.add(effects[1][0].place, "bad-effect", "the grant both allows and denies", hint)
    if not effects and not meant.intersection(GRANT.one_of):
        hint = "add allow: (or deny:) with the roles"
        problems.add(fields.place, "missing-key", "the grant has no allow and no deny", hint)
    for key, example in (("to", "to: view"), ("resource", "resource: <type>")):
        if fields.get(key) is None and key not in meant:
            problems.add(fields.place, "missing-key", f'the grant has no "{key}"', f"add {example}")
    types = problems.texts(fields.get("resource"), "resource")
    because = problems.text(fields.get("because"), "because")
    scopes = read_scopes(fields, vocabulary.roles, problems, limits)
    condition_text = problems.text(fields.get("when"), "when")
    condition, is_readable = read_condition(condition_text, vocabulary, problems)
    times = read_times(fields, problems)
    actions = problems.texts(fields.get("to"), "to")
    things = list(dict.fromkeys(_things(types, actions, vocabulary, problems)))
    effect: Effect = "deny" if effects and effects[0][0].value == "deny" else "allow"
    grantees = _grantees(effects[0][1], effect, vocabulary, problems) if effects else []
    check_types(condition_text, condition, dict.fromkeys(type_ for type_, _ in things), vocabulary, problems)
    if not is_readable or any(found.severity == "error" for found in problems.found[before:]):
        return
    whole_text = with_times(condition_text, condition, times)
    if times:
        condition, is_readable = read_condition(Text(whole_text, times[0][0].place), vocabulary, problems)
        if not is_readable:
            return
    is_for_all = any(text.value == EVERY for text in (*types, *actions))
    for grantee in grantees:
        for type_, action in things:
            decides, as_written = _built_in(condition, effect, type_, vocabulary)
            for scope in scopes:
                yield Grant(
                    effect,
                    grantee,
                    action,
                    type_,
                    scope,
                    decides,
                    whole_text,
                    because.value if because else "",
                    fields.place,
                    is_for_all,
                    as_written,
                )


def check_types(
    text: Text | None,
    condition: Condition | None,
    resource_types: Collection[str],
    vocabulary: Vocabulary,
    problems: ProblemList,
) -> None:
    """Reports what declared types forbid in a condition about these resource types."""
    if text is None or condition is None:
        return
    known = [vocabulary.declarations(name) for name in resource_types if name in vocabulary.resource_types]
    if known:
        if vocabulary.subject_types is not None:
            check_subject_types(text, condition, vocabulary.subject_types, vocabulary.place_in, problems)
        check_condition(text, condition, known, vocabulary.resource_types, vocabulary.place_in, problems)


def _built_in(
    condition: Condition | None, effect: Effect, resource_type: str, vocabulary: Vocabulary
) -> tuple[Condition | None, Condition | None]:
    """The condition that decides, with declared types built in, and the one that is written where that is another."""
    if condition is None:
        return None, None
    decides = vocabulary.fitted(condition, wanted_cases(effect), resource_type)
    return decides, None if decides is condition else condition


def _things(
    types: list[Text], actions: list[Text], vocabulary: Vocabulary, problems: ProblemList
) -> Iterator[tuple[str, str]]:
    """The (type, action) pairs that a grant names; `*` is all that are declared, of types those that have the actions."""
    for texts in (types, actions):
        if len(texts) > 1 and any(text.value == EVERY for text in texts):
            problems.add(texts[1].place, "repeated-value", "`*` is all of them already", "write `*` alone, or the names")
    every_type = [text for text in types if text.value == EVERY]
    if every_type:
        known = vocabulary.resource_types
        declared = {action for type_ in known.values() for action in type_.actions}
        for action in actions:
            if action.value not in (EVERY, *declared) and vocabulary.is_complete:
                cure, where = "Name a declared action, or *", " of any resource type"
                problems.unknown(action, "unknown-action", declared, cure, where)
        wanted = {action.value for action in actions}
        yield from ((name, one) for name, type_ in known.items() for one in type_.actions if wanted & {one, EVERY})
        return
    for type_ in types:
        for action in actions:
            _check_action(type_, action, vocabulary, problems)
            if action.value != EVERY:
                yield type_.value, action.value
            elif type_.value in vocabulary.resource_types:
                yield from ((type_.value, one) for one in vocabulary.resource_types[type_.value].actions)


def read_condition(text: Text | None, vocabulary: Vocabulary, problems: ProblemList) -> tuple[Condition | None, bool]:
    """The condition's tree, None for no text; and whether it could be read."""
    if text is None:
        return None, True
    try:
        return vocabulary.read_condition(text), True
    except ExpressionFault as fault:
        if fault.id != CONDITION_FAULTY:
            problems.add(text.place_at(fault.offset), fault.id, fault.message, fault.hint)
        return None, False


def _check_action(resource_type: Text, action: Text, vocabulary: Vocabulary, problems: ProblemList) -> None:
    known = vocabulary.resource_types.get(resource_type.value)
    if known is None:
        if resource_type.value not in vocabulary.declared_types and vocabulary.is_complete:
            cure = "Declare it under resource_types"
            problems.unknown(resource_type, "unknown-resource-type", vocabulary.resource_types, cure)
    elif known.actions and action.value not in (EVERY, *known.actions):
        cure, where = f"Its actions are {', '.join(known.actions)} ({known.place})", f" of resource type {known.name}"
        problems.unknown(action, "unknown-action", known.actions, cure, where)


_INSTEAD_OF_ALL = {
    "any": "write `any <role>` as one text for who holds it somewhere, or a list of roles for who holds one of them",
    "not": "there is no `not`; name the roles that are meant: whom nothing allows is denied",
    **dict.fromkeys(("role", "roles", "one_of"), "write the role itself, or a list of roles"),
    **dict.fromkeys(
        ("user", "users"), 'one person is a condition on a grant to a role of theirs: when: subject.id == "ann"'
    ),
    **dict.fromkeys(("group", "groups"), "a group holds roles, as people do: name the role"),
}
"""What to write for those who take a grantee for keys and values."""


def _grantees(node: Node, effect: Effect, vocabulary: Vocabulary, problems: ProblemList) -> list[str]:
    """The grantees under `allow` or `deny`: names, and mappings of those that are to be held together."""
    items = node.values if isinstance(node, Items) else (node,)
    together = [item for item in items if isinstance(item, Fields)]
    texts = tuple(item for item in items if not isinstance(item, Fields))
    rest = Items(texts, node.place) if together else node
    names = problems.texts(rest, effect) if texts or not together else []
    for name in names:
        _check_grantee(name, effect, vocabulary, problems)
    found = {name.value: name.place for name in names}
    for fields in together:
        other = next((key for key, _ in fields.entries if key.value in _INSTEAD_OF_ALL), None)
        if other is not None:
            problems.add(other.place, "unknown-key", f'a grantee has no key "{other.value}"', _INSTEAD_OF_ALL[other.value])
            continue
        problems.check_keys(fields, TOGETHER.names, TOGETHER.what)
        if fields.get("all") is None:
            problems.add(fields.place, "missing-key", "the grantee names nobody", "write {all: [<role>, any <role>]}")
            continue
        joint = _joint(problems.texts(fields.get("all"), "all"), fields.place, vocabulary, problems)
        if joint in found:
            problems.add(fields.place, "repeated-value", f'"{joint}" is named twice', "name it once")
        found.setdefault(joint, fields.place)
    return list(found)


def _part_of(joint: Text, name: str) -> Text:
    """One name of a grantee of several, where it stands."""
    found = re.search(rf"(?<!\S){re.escape(name)}(?!\S)", joint.value)
    return Text(name, joint.place_at(found.start() if found else 0))


def _joint(parts: list[Text], place: Place, vocabulary: Vocabulary, problems: ProblemList) -> str:
    """The grantee that stands for whoever holds all of these."""
    before = len(problems.found)
    for part in parts:
        if part.value == ANYONE:
            problems.add(part.place, "unknown-role", f'"{ANYONE}" narrows nothing here', "name roles, or `any <role>`")
        else:
            _check_grantee(part, "allow", vocabulary, problems)
    if len(parts) == 1 and len(problems.found) == before:
        problems.add(place, "wrong-kind", "one name alone is held together with none", f"write {parts[0].value}")
    return joint_name(part.value for part in parts)


def _check_grantee(grantee: Text, effect: Effect, vocabulary: Vocabulary, problems: ProblemList) -> None:
    if grantee.value == ANYONE:
        return
    roles = vocabulary.roles
    anywhere = grantee.value.startswith(ANY_PREFIX)
    role = grantee.value.removeprefix(ANY_PREFIX) if anywhere else grantee.value
    if role not in roles.roles:
        declared = vocabulary.declared_roles
        if declared is None or role in declared:
            return
        hint = hint_on_grantee(grantee.value, declared, roles.earned_anywhere, suggestions=problems.suggestions)
        place = grantee.place_at(len(ANY_PREFIX)) if anywhere else grantee.place
        problems.add(place, "unknown-role", f'unknown role "{role}"', hint, name=role)
        return
    if anywhere and not roles.is_earned_anywhere(role):
        message = f'"{grantee.value}" reaches nobody; {role} is of the top level'
        problems.add(grantee.place, "any-of-top-level", message, f"write {role}")
        return
    if effect == "deny":
        stronger = [name for name, names in roles.closure.items() if name in roles.roles and role in names and name != role]
        if stronger:
            verb = "it contains" if len(stronger) == 1 else "they contain"
            message = f"this deny reaches {', '.join(stronger)} too, because {verb} {role}"
            hint = "a deny beats every allow; if that is meant, leave it so"
            problems.warn(grantee.place, "deny-reaches-stronger-role", message, hint)


def read_csv_links(
    rows: list[list[Text]], declared: frozenset[str] | None, problems: ProblemList
) -> list[tuple[Text, Text, Text | None]]:
    """The role inheritance of a CSV file, as (role, contained role, place), of the `g` rows that are well formed.

    `declared` is None when nobody knows which roles there are.
    """
    links: list[tuple[Text, Text, Text | None]] = []
    for row in rows:
        if row[0].value != "g":
            continue
        if len(row) != 4:
            message = f"a g row has 4 fields, this one has {len(row)}"
            hint = f"write {CSV_LINK}"
            if len(row) == 3:
                hint = (
                    f"where {row[1].value} is a role, write g, {row[1].value}, {row[2].value}, *; "
                    "who is a person gets roles by klausel assignments import"
                )
            problems.add(row[0].place, "csv-field-count", message, hint)
            continue
        if declared is None:
            continue
        _, container, contained, domain = row
        if container.value not in declared:
            if ":" in container.value or (contained.value in declared and domain.value != EVERYWHERE):
                message = f'"{container.value}" is no role; people get roles in the database, not in policy files'
                hint = "use klausel assignments import, or POST /v1/assignments"
                problems.add(container.place, "subject-in-policy", message, hint)
            else:
                problems.unknown_role(container, declared)
            continue
        links.append((container, contained, domain))
    return links


def read_csv_grants(rows: list[list[Text]], vocabulary: Vocabulary, problems: ProblemList) -> Iterator[Grant]:
    """The grants of a CSV file, of the `p` rows that are well formed; reports rows of any other type than `p` and `g`."""
    for row in rows:
        if row[0].value == "g":
            continue
        if row[0].value != "p":
            hint = f"{problems.did_you_mean(row[0].value.lower(), 'pg')}Rows are {CSV_GRANT}, or {CSV_LINK}"
            problems.add(row[0].place, "csv-row-type", f'unknown row type "{row[0].value}"', hint)
            continue
        if len(row) != 7:
            message = f"a p row has 7 fields, this one has {len(row)}"
            hint = _stock_row(row, vocabulary) or f'write {CSV_GRANT}; a field with a comma in "quotes"'
            problems.add(row[0].place, "csv-field-count", message, hint)
            continue
        yield from _csv_grants(row, vocabulary, problems)


def _stock_row(row: list[Text], vocabulary: Vocabulary) -> str | None:
    """How a row of a stock policy of Casbin is written here; None for one that is not known."""
    values = [one.value for one in row[1:]]
    effect = values.pop() if len(values) > 3 and values[-1] in ("allow", "deny") else "allow"
    if len(values) == 3:
        values.insert(1, EVERYWHERE)
    is_shifted = any(one in vocabulary.resource_types for one in values[:2]) and values[2] not in vocabulary.resource_types
    if len(values) != 4 or not all(values) or is_shifted:
        return None
    here = f"Here it is p, {', '.join(values)}, , {effect}, with a role in the first place"
    return f"as in Casbin's own examples? {here}; klausel import casbin takes a whole set"


def _csv_grants(row: list[Text], vocabulary: Vocabulary, problems: ProblemList) -> Iterator[Grant]:
    kind, grantee, domain, resource_type, action, condition, effect = row
    before = len(problems.found)
    named = (("grantee", grantee), ("domain", domain), ("resource type", resource_type), ("action", action))
    for name, given in (*named, ("effect", effect)):
        if not given.value:
            problems.add(given.place, "csv-field-count", f"the {name} is empty", f"write {CSV_GRANT}")
    known_effect = effect.value in ("allow", "deny")
    if effect.value and not known_effect:
        hint = f"{problems.did_you_mean(effect.value.lower(), ('allow', 'deny'))}Write allow or deny"
        problems.add(effect.place, "bad-effect", f'unknown effect "{effect.value}"', hint)
    scope = read_csv_scope(domain, vocabulary.roles, problems) if domain.value else Scope()
    tree, is_readable = None, True
    if condition.value.strip() not in ("", "true"):
        tree, is_readable = read_condition(condition, vocabulary, problems)
    things = []
    if resource_type.value and action.value:
        things = list(_things([resource_type], [action], vocabulary, problems))
    who = grantee.value
    if is_joint(who):
        parts = [_part_of(grantee, part) for part in parts_of(who)]
        who = _joint(parts, grantee.place, vocabulary, problems)
    elif who:
        _check_grantee(grantee, "deny" if effect.value == "deny" else "allow", vocabulary, problems)
    check_types(condition, tree, dict.fromkeys(type_ for type_, _ in things), vocabulary, problems)
    if not is_readable or any(found.severity == "error" for found in problems.found[before:]):
        return
    text = condition.value.strip() if tree is not None else ""
    meant: Effect = "deny" if effect.value == "deny" else "allow"
    is_for_all = EVERY in (resource_type.value, action.value)
    for type_, one in things:
        decides, as_written = _built_in(tree, meant, type_, vocabulary)
        yield Grant(meant, who, one, type_, scope, decides, text, "", kind.place, is_for_all, as_written)
