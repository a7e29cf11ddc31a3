"""Reading `invariants.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from klausel.core.loading.features import Vocabulary, check_types, read_condition
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import INVARIANT, INVARIANTS, THING
from klausel.core.loading.places import read_scopes
from klausel.core.policy.invariant import EVERY, OUTSIDER, Invariant, Kind, Thing
from klausel.core.policy.role_hints import hint_on_grantee
from klausel.core.policy.roles import ANY_PREFIX, ANYONE
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

KINDS: tuple[Kind, ...] = get_args(Kind)


def read_invariants(root: Fields, vocabulary: Vocabulary, problems: ProblemList) -> Iterator[Invariant]:
    """The invariants of the file, in its order; those with a problem are left out."""
    problems.check_keys(root, INVARIANTS.names, INVARIANTS.what)
    names: dict[str, Place] = {}
    for fields in problems.each(root.get("invariants"), "invariants", "an invariant"):
        before = len(problems.found)
        name = fields.get("name")
        if isinstance(name, Text) and name.value:
            first = names.setdefault(name.value, name.place)
            if first is not name.place:
                where = f"on line {first.line}" if first.file == name.place.file else f"in {first}"
                message = f'the invariant {where} is named "{name.value}", too'
                problems.add(name.place, "repeated-value", message, "name what each asks for")
        invariants = _invariants(fields, vocabulary, problems)
        if len(problems.found) == before:
            yield from invariants


def _invariants(fields: Fields, vocabulary: Vocabulary, problems: ProblemList) -> list[Invariant]:
    """An invariant for each place that an entry names."""
    problems.check_keys(fields, INVARIANT.names, INVARIANT.what)
    name = problems.text(fields.get("name"), "name")
    kinds = [(kind, node) for kind in KINDS if (node := fields.get(kind)) is not None]
    if len(kinds) != 1:
        message = "the invariant says nothing" if not kinds else f"the invariant is both {kinds[0][0]} and {kinds[1][0]}"
        problems.add(fields.place, "missing-key", message, f"give it one of {', '.join(KINDS)}")
        return []
    kind, node = kinds[0]
    condition_text = problems.text(fields.get("when"), "when")
    condition, is_readable = read_condition(condition_text, vocabulary, problems)
    scopes = read_scopes(fields, vocabulary.roles, problems)
    who: list[str] = []
    if kind == "separate":
        who, things = _separate(node, vocabulary, problems)
        if who:
            _refuse_limits(fields, ("in", "at_level", "when"), "two roles are separate everywhere", problems)
    elif kind == "toxic":
        things = _two_things(node, kind, vocabulary, problems)
        _refuse_limits(fields, ("when",), "two things are toxic whenever somebody may do both at all", problems)
    else:
        things = _things(fields, vocabulary, problems, may_be_left_out=kind == "monotone")
        if kind == "monotone":
            if not problems.flag(node, "monotone") and isinstance(node, Text) and node.value == "false":
                message = "an invariant that is monotone: false asks for nothing"
                problems.add(node.place, "wrong-kind", message, "write true, or remove the invariant")
        else:
            who = [text.value for text in problems.texts(node, kind) if _is_who(text, kind, vocabulary, problems)]
    if not is_readable:
        return []
    text = condition_text.value.strip() if condition_text else ""
    title = name.value if name else f"{kind}: {', '.join(who) or ', '.join(map(str, things[:2])) or 'everything'}"
    types = dict.fromkeys(thing.resource_type for thing in things)
    check_types(condition_text, condition, types, vocabulary, problems)
    found = {} if condition is None else {type_: vocabulary.fitted(condition, "true", type_) for type_ in types}
    fitted = MappingProxyType({type_: one for type_, one in found.items() if one is not condition})
    of_all = frozenset(key for key in ("to", "resource") if _is_of_all(fields.get(key), may_be_left_out=kind == "monotone"))
    one = Invariant(title, kind, tuple(who), things, scopes[0], condition, text, fields.place, fitted, of_all)
    if len(scopes) == 1:
        return [one]
    return [replace(one, name=f"{title} ({scope.words or 'everywhere'})", scope=scope) for scope in scopes]


def _is_of_all(node: Node | None, may_be_left_out: bool) -> bool:
    values = node.values if isinstance(node, Items) else (node,)
    return may_be_left_out if node is None else any(isinstance(one, Text) and one.value == EVERY for one in values)


def _separate(node: Node, vocabulary: Vocabulary, problems: ProblemList) -> tuple[list[str], tuple[Thing, ...]]:
    values = node.values if isinstance(node, Items) else ()
    if len(values) != 2 or len({type(value) for value in values}) != 1 or isinstance(values[0], Items):
        hint = "write two in a list, and a further invariant for each other pair"
        problems.add(node.place, "wrong-kind", "separate does not name two roles or two things", hint)
        return [], ()
    if isinstance(values[0], Text):
        texts = problems.texts(node, "separate")
        return [text.value for text in texts if _is_role(text, vocabulary, problems)], ()
    return [], _two_things(node, "separate", vocabulary, problems)


def _two_things(node: Node, kind: Kind, vocabulary: Vocabulary, problems: ProblemList) -> tuple[Thing, ...]:
    values = node.values if isinstance(node, Items) else ()
    if len(values) != 2:
        hint = "write two things to do: [{to: <action>, resource: <type>}, {to: <action>, resource: <type>}]"
        problems.add(node.place, "wrong-kind", f"{kind} does not name two things", hint)
        return ()
    if kind == "toxic" and any(isinstance(value, Text) for value in values):
        hint = (
            "write {to: <action>, resource: <type>} for each; two roles that nobody may have together stand under separate"
        )
        problems.add(node.place, "wrong-kind", "toxic takes two things to do, not names", hint)
        return ()
    things: tuple[Thing, ...] = ()
    for value in values:
        fields = problems.fields(value, kind)
        if fields is not None:
            problems.check_keys(fields, THING.names, THING.what)
            found = _things(fields, vocabulary, problems)
            if len(found) > 1:
                problems.add(fields.place, "wrong-kind", f"{kind} names more than one action", "name one action on one type")
            things += found[:1]
    if len(things) == 2 and things[0] == things[1]:
        problems.add(node.place, "wrong-kind", f"{kind} names one thing twice", "name two different ones")
    return things


def _refuse_limits(fields: Fields, limits: Collection[str], why: str, problems: ProblemList) -> None:
    """Reports what would narrow a rule that holds whatever the limit says."""
    for key, _ in fields.entries:
        if key.value in limits:
            message = f"{why}, so `{key.value}` means nothing here"
            problems.add(key.place, "unknown-key", message, "remove it")


def _is_who(text: Text, kind: Kind, vocabulary: Vocabulary, problems: ProblemList) -> bool:
    if text.value == ANYONE and kind == "at_most":
        problems.add(
            text.place, "wrong-kind", "at_most: anyone demands nothing", "name those who may, or remove the invariant"
        )
        return False
    if text.value == ANYONE or (text.value == OUTSIDER and kind == "never"):
        return True
    if text.value == OUTSIDER:
        problems.add(text.place, "unknown-role", f'"{OUTSIDER}" has a meaning in never only', "name a role, or anyone")
        return False
    anywhere = text.value.startswith(ANY_PREFIX)
    role = text.value.removeprefix(ANY_PREFIX)
    if anywhere and role in vocabulary.roles.roles and not vocabulary.roles.is_earned_anywhere(role):
        message = f'"{text.value}" reaches nobody; {role} is of the top level'
        problems.add(text.place, "any-of-top-level", message, f"write {role}")
        return False
    roles, declared = vocabulary.roles, vocabulary.declared_roles
    if role in roles.roles:
        return True
    if declared is not None and role not in declared:
        others = [OUTSIDER] if kind == "never" else []
        hint = hint_on_grantee(text.value, declared, roles.earned_anywhere, others, problems.suggestions)
        place = text.place_at(len(ANY_PREFIX)) if anywhere else text.place
        problems.add(place, "unknown-role", f'unknown role "{role}"', hint, name=role)
    return False


def _is_role(text: Text, vocabulary: Vocabulary, problems: ProblemList) -> bool:
    if text.value in vocabulary.roles.roles:
        return True
    problems.unknown_role(text, vocabulary.declared_roles)
    return False


def _things(
    fields: Fields, vocabulary: Vocabulary, problems: ProblemList, may_be_left_out: bool = False
) -> tuple[Thing, ...]:
    """The actions on types that an invariant names, one value for the same ones; `*` stands for all.

    All, where they may be left out.
    """
    types = problems.texts(fields.get("resource"), "resource")
    actions = problems.texts(fields.get("to"), "to")
    if not may_be_left_out:
        for key in ("to", "resource"):
            if fields.get(key) is None:
                problems.add(
                    fields.place, "missing-key", f'the invariant has no "{key}"', f'add {key}, or {key}: "*" for all'
                )
    known = vocabulary.resource_types
    all_types = may_be_left_out and not types
    if all_types or any(text.value == EVERY for text in types):
        names = list(known)
    else:
        names = [text.value for text in types if text.value in known]
    for text in types:
        if text.value not in (EVERY, *known, *vocabulary.declared_types) and vocabulary.is_complete:
            problems.unknown(text, "unknown-resource-type", known, "Name a declared type, or *")
    every = (may_be_left_out and not actions) or any(text.value == EVERY for text in actions)
    for text in actions:
        if names and text.value != EVERY and not any(text.value in known[name].actions for name in names):
            there = {action for name in names for action in known[name].actions}
            problems.unknown(text, "unknown-action", there, "Name a declared action, or *")
    wanted = None if every else frozenset(text.value for text in actions)
    named_so = (None if names == list(known) else tuple(names), wanted)
    found = vocabulary.things.get(named_so)
    if found is None:
        found = vocabulary.things[named_so] = tuple(
            Thing(action, name) for name in names for action in known[name].actions if wanted is None or action in wanted
        )
    return found
