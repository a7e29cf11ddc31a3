"""Reading where something holds: the places and the level that an entry, or a row, is limited to, and roles held in domains."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from klausel.core.loading.fields import ProblemList
from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.roles import RoleModel, depth_of
from klausel.core.policy.scope import Scope, split_scope
from klausel.core.terms.identifiers import fault_in_domain
from klausel.core.terms.places import EVERY, EVERYWHERE, fault_in_place, is_inside
from klausel.core.text.yaml_nodes import Fields, Node, Text


def roles_held(
    domain: Text, value: Node, roles: RoleModel, declared_roles: Collection[str] | None, problems: ProblemList
) -> Iterator[Text]:
    """The roles that an entry gives in a domain, without those that are not known; problems where one can never be held."""
    for role in problems.texts(value, f"the role in {domain.value}"):
        if role.value not in roles.roles:
            problems.unknown_role(role, declared_roles)
            continue
        fault = fault_in_assignment(roles, Assignment("user:x", role.value, domain.value))
        if fault:
            message, _, hint = fault.partition("; ")
            problems.add(domain.place, "bad-domain", message, hint or "see the levels in policies/roles.yaml")
        yield role


def read_limits(root: Fields, roles: RoleModel, problems: ProblemList) -> list[Text]:
    """The places that `in` at the head of a file limits all its entries to; none for everywhere."""
    before = len(problems.found)
    places = problems.texts(root.get("in"), "in")
    for place in places:
        _scope(place, None, roles, problems)
    return places if len(problems.found) == before else []


def read_scopes(fields: Fields, roles: RoleModel, problems: ProblemList, limits: Sequence[Text] = ()) -> list[Scope]:
    """The scopes that `in` and `at_level` give, one for each place; problems where one can never be.

    `limits` are the places that the whole file is limited to: those are meant where there is no `in`, and all others lie in them.
    """
    level = problems.text(fields.get("at_level"), "at_level")
    if level is not None:
        is_known_level(level, roles, problems)
    places: list[Text | None] = [*problems.texts(fields.get("in"), "in")]
    if not places and limits:
        # Their faults are told at the head; what is left is whether the level of the entry can be there.
        return [_scope(Text(limit.value, (level or fields).place), level, roles, problems) for limit in limits]
    for place in places:
        if place is not None and limits and not any(is_inside(place.value, limit.value) for limit in limits):
            where = ", ".join(limit.value for limit in limits)
            message = f'place "{place.value}" lies outside of where this file holds, in {where}'
            problems.add(place.place, "bad-domain", message, "write a place inside of it, or the grant in another file")
    return [_scope(place, level, roles, problems) for place in places or [None]]


def read_csv_scope(text: Text, roles: RoleModel, problems: ProblemList) -> Scope:
    """The scope that the second field of a `p` row gives, with a problem where it can never be."""
    place, level, start = split_scope(text.value)
    at_level = None if level is None else text.after(start)
    if at_level is not None:
        is_known_level(at_level, roles, problems)
    return _scope(Text(place, text.place, text.places), at_level, roles, problems)


def is_known_level(level: Text, roles: RoleModel, problems: ProblemList) -> bool:
    """Whether a level is declared; a problem where it is not. Where no level could be read, every one may be."""
    if not roles.levels or roles.level_named(level.value):
        return True
    known = [one.name for one in roles.levels]
    problems.unknown(level, "unknown-level", known, "Levels are declared in policies/roles.yaml", is_one=True)
    return False


def _scope(place: Text | None, level: Text | None, roles: RoleModel, problems: ProblemList) -> Scope:
    at_level = level.value if level else None
    if place is None or place.value == EVERYWHERE:
        return Scope(None, at_level)
    fault = fault_in_a_place(place.value, roles, level)
    if fault:
        problems.add(place.place, "bad-domain", f'place "{place.value}" {fault[0]}', fault[1])
    return Scope(place.value, at_level)


def fault_in_a_place(place: str, roles: RoleModel, level: Text | None = None) -> tuple[str, str] | None:
    """Why nothing can be in a place (at a level), as the end of a sentence, and how to write it; None where it can."""
    fault = fault_in_place(place)
    if fault is None:
        what = _fault_in_levels(place, level, roles)
        fault = None if what is None else (what, _hint_on_levels(place, roles))
    return fault


def check_domain(domain: Text, roles: RoleModel, problems: ProblemList) -> None:
    """Reports a domain in which nothing can be; unlike a place in a policy, its ids may hold all that ids of requests may."""
    fault = fault_in_domain(domain.value) or _fault_in_levels(domain.value, None, roles)
    if fault:
        problems.add(domain.place, "bad-domain", f'domain "{domain.value}" {fault}', _form_of_domains(roles))


def _fault_in_levels(domain: str, level: Text | None, roles: RoleModel) -> str | None:
    # A part that stands for every id is no id itself, but stands where one can.
    fault = fault_in_domain("/".join("x" if part == EVERY else part for part in domain.split("/")))
    if fault is None and roles.levels and depth_of(domain) > len(roles.levels):
        fault = f"has more parts than there are levels ({len(roles.levels)})"
    if fault is None:
        fault = next(_unmet_constants(domain, roles), None)
    if fault is None and level is not None:
        named = roles.level_named(level.value)
        if named is not None and depth_of(domain) > named.depth:
            fault = f"is below level {named.name}, so it could never hold"
    return fault


def _hint_on_levels(place: str, roles: RoleModel) -> str:
    """How to write what was meant: behind the one id of the top level, where that was left out."""
    first = roles.levels[0].constant if roles.levels else None
    if first is not None and place and _fault_in_levels(f"{first}/{place}", None, roles) is None:
        return f"write {first}/{place}"
    return f"{_form_of_domains(roles)}; `*` stands for every id"


def _form_of_domains(roles: RoleModel) -> str:
    whole = "/".join(known.name for known in roles.levels) or "a name"
    return f"write it as {whole}, or part of it from the left"


def _unmet_constants(domain: str, roles: RoleModel) -> Iterator[str]:
    for level, part in zip(roles.levels, domain.split("/"), strict=False):
        if level.constant is not None and part not in (level.constant, EVERY):
            yield f'can never be asked in; the only domain of level {level.name} is "{level.constant}"'
