"""Reading `provisioning.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar, get_args

from klausel.core.loading.features import Vocabulary
from klausel.core.loading.fields import ProblemList, is_empty
from klausel.core.loading.file_schema import PROVISIONING
from klausel.core.loading.places import roles_held
from klausel.core.policy.assignment import subject_violations
from klausel.core.policy.provisioning import CAPTURE, GroupRoles, Leavers, Provisioning, SubjectFrom
from klausel.core.policy.roles import top_domain
from klausel.core.terms.identifiers import fault_in_subject
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Node, Text

Choice = TypeVar("Choice", bound=str)
_SUBJECT_FROM: tuple[SubjectFrom, ...] = get_args(SubjectFrom)
_LEAVERS: tuple[Leavers, ...] = get_args(Leavers)


def read_provisioning(root: Fields, vocabulary: Vocabulary, problems: ProblemList) -> Provisioning | None:
    """What the file says; None, with a problem, where it cannot be read."""
    before = len(problems.found)
    meant = problems.check_keys(root, PROVISIONING.names, PROVISIONING.what)
    if root.get("subject_from") is None and "subject_from" not in meant:
        hint = f"add subject_from: {', or '.join(_SUBJECT_FROM)}"
        problems.add(root.place, "missing-key", "nothing says what of a person is the id of the subject", hint)
    subject_from = _choice(root.get("subject_from"), "subject_from", _SUBJECT_FROM, problems) or "userName"
    leavers = _choice(root.get("leavers_lose"), "leavers_lose", _LEAVERS, problems) or "memberships"
    type_ = _type(root.get("subject_type"), vocabulary, problems)
    groups = [
        GroupRoles(name.value, tuple(_roles(name, node, vocabulary, problems)), name.place)
        for name, node in problems.entries(root.get("groups"), "groups")
    ]
    if len(problems.found) > before:
        return None
    return Provisioning(subject_from, type_, leavers, tuple(groups))


def _choice(node: Node | None, what: str, choices: Collection[Choice], problems: ProblemList) -> Choice | None:
    text = problems.text(node, what)
    if text is None:
        return None
    found = next((choice for choice in choices if choice == text.value), None)
    if found is None:
        hint = f"{problems.did_you_mean(text.value, choices)}Write {', or '.join(choices)}"
        problems.add(text.place, "wrong-value", f'{what} is "{text.value}"', hint)
    return found


def _type(node: Node | None, vocabulary: Vocabulary, problems: ProblemList) -> str:
    text = problems.text(node, "subject_type")
    known = vocabulary.subject_types
    if text is None:
        return "user"
    fault = "is that of groups" if text.value == "group" else fault_in_subject(text.value, "x")
    if fault is not None:
        problems.add(text.place, "bad-name", f'subject_type "{text.value}" {fault}', "write a type such as user")
    elif known is not None and text.value not in known:
        hint = f"{problems.did_you_mean(text.value, known)}Name one of subject_types in properties.yaml: {', '.join(known)}"
        problems.add(text.place, "wrong-value", f'"{text.value}" is no type of those who ask', hint)
    return text.value


def _roles(name: Text, node: Node, vocabulary: Vocabulary, problems: ProblemList) -> Iterator[tuple[str, str]]:
    """What groups of a name give; nothing but problems where that cannot be."""
    captures = CAPTURE.findall(name.value)
    rest = CAPTURE.sub("", name.value)
    if len(captures) > 1 or "{" in rest or "}" in rest or not name.value.strip():
        hint = "write the name as the provider has it; one {part} of it may stand for the id of a domain"
        problems.add(name.place, "wrong-value", f'"{name.value}" cannot be the name of a group here', hint)
        return
    places: dict[tuple[str, str], Place] = {}
    for domain, value in problems.entries(node, f"the roles of group {name.value}"):
        unknown = [found for found in CAPTURE.findall(domain.value) if found not in captures]
        if unknown:
            message = f'the name of the group has no {{{unknown[0]}}}, so "{domain.value}" is no domain'
            problems.add(domain.place, "bad-domain", message, "write it in the name, too, or name one domain")
            continue
        for role in roles_held(domain, value, vocabulary.roles, vocabulary.declared_roles, problems):
            places[role.value, domain.value] = role.place
    if is_empty(node):
        hint = "write its roles by domain, such as acme: [user]; or {} for none"
        problems.add(name.place, "missing-key", f'the group "{name.value}" gives no role', hint)
    for account in {top_domain(domain) for _, domain in places}:
        held = [pair for pair in places if top_domain(pair[1]) == account]
        for violation in subject_violations(vocabulary.roles, f"group:{name.value}", held):
            # What needs a role above may have it by another group; nobody can ever hold two that exclude each other.
            if violation.rule == "separate-roles":
                place = places[violation.role, violation.domain]
                problems.add(place, "assignment-rule", violation.message, "give one of them by another group")
    yield from places
