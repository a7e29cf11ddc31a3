"""Reading `roles.yaml`: levels, roles, inheritance."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from klausel.core.form import ProblemList
from klausel.core.identifiers import fault_in_domain_id, is_name
from klausel.core.problem import Place, did_you_mean
from klausel.core.roles import LONGEST_CHAIN, Level, Role, RoleModel
from klausel.core.yaml_nodes import Fields, Node, Text

LEVEL_KEYS = ("named_by", "identified_by", "constant", "requires_role_above")
ROLE_KEYS = ("level", "contains", "keep_one")


def read_levels(root: Fields, problems: ProblemList) -> tuple[Level, ...]:
    """The levels of `roles.yaml`, top first."""
    levels: list[Level] = []
    for name, node in problems.entries(root.get("levels"), "levels"):
        if problems.name(name, "a level", is_name):
            fields = problems.fields(node, f"level {name.value}") or Fields((), name.place)
            levels.append(_level(name, fields, len(levels) + 1, levels, problems))
    if not levels:
        hint = "declare at least one level, the top one first; see policies/README.md"
        problems.add(root.place, "missing-key", "there are no levels", hint)
    return tuple(levels)


def _level(name: Text, fields: Fields, depth: int, above: list[Level], problems: ProblemList) -> Level:
    problems.check_keys(fields, LEVEL_KEYS, "a level")
    named_by = problems.text(fields.get("named_by"), "named_by")
    identified_by = problems.text(fields.get("identified_by"), "identified_by")
    constant = problems.text(fields.get("constant"), "constant")
    requires = problems.flag(fields.get("requires_role_above"), "requires_role_above")
    if constant and (named_by or identified_by):
        hint = "keep constant, or keep named_by and identified_by"
        problems.add(constant.place, "level-naming", f"level {name.value} is both constant and named by requests", hint)
    if not (constant or named_by or identified_by):
        hint = "add named_by (a property of the resource), identified_by (a resource type), or constant"
        problems.add(name.place, "level-naming", f"nothing says which {name.value} a request is asked in", hint)
    if constant:
        fault = fault_in_domain_id(constant.value)
        if fault:
            problems.add(constant.place, "bad-domain", f"the constant {fault}", "choose another")
    if requires and depth == 1:
        place = (fields.get("requires_role_above") or name).place
        problems.add(place, "level-naming", f"level {name.value} has no level above it", "remove requires_role_above")
    for key, text in (("named_by", named_by), ("identified_by", identified_by)):
        for other in above:
            if text and getattr(other, key) == text.value:
                message = f'{key} "{text.value}" names level {other.name} already'
                problems.add(text.place, "level-naming", message, "each level needs its own")
    return Level(
        name.value,
        depth,
        named_by.value if named_by else None,
        identified_by.value if identified_by else None,
        constant.value if constant else None,
        requires,
        name.place,
    )


def read_roles(root: Fields, levels: tuple[Level, ...], problems: ProblemList) -> dict[str, tuple[Role, list[Text]]]:
    """The declared roles by name, each with the places of the names that it contains; those are not yet checked."""
    known_levels = {level.name: level for level in levels}
    roles: dict[str, tuple[Role, list[Text]]] = {}
    for name, node in problems.entries(root.get("roles"), "roles"):
        if not problems.name(name, "a role", is_name):
            continue
        fields = problems.fields(node, f"role {name.value}") or Fields((), name.place)
        problems.check_keys(fields, ROLE_KEYS, "a role")
        level = _level_of(name, fields.get("level"), known_levels, problems)
        contains = problems.texts(fields.get("contains"), "contains")
        keep_one = problems.flag(fields.get("keep_one"), "keep_one")
        if level:
            role = Role(name.value, level, tuple(text.value for text in contains), keep_one, name.place)
            roles[name.value] = (role, contains)
    return roles


def _level_of(name: Text, node: Node | None, levels: Mapping[str, Level], problems: ProblemList) -> str | None:
    if node is None:
        problems.add(name.place, "missing-key", f"role {name.value} has no level", f"add level: {next(iter(levels), '')}")
        return None
    level = problems.text(node, "level")
    if level is None:
        return None
    if level.value not in levels:
        hint = f"{did_you_mean(level.value, levels)}Levels are declared in policies/roles.yaml"
        problems.add(level.place, "unknown-level", f'unknown level "{level.value}"', hint)
        return None
    return level.value


def join_roles(
    levels: tuple[Level, ...],
    declared: Mapping[str, tuple[Role, list[Text]]],
    declared_names: set[str],
    further_links: list[tuple[Text, Text]],
    problems: ProblemList,
) -> RoleModel:
    """The role model of the declared roles and further links (container, contained); faulty links are left out.

    `declared_names` also holds roles whose own declaration has a problem, so that they are not called unknown.
    """
    depths = {level.name: level.depth for level in levels}
    contained: dict[str, dict[str, Place]] = {name: {} for name in declared}
    links = [(name, text) for name, (_, texts) in declared.items() for text in texts]
    links += [(container.value, text) for container, text in further_links]
    for name, text in links:
        if text.value not in declared_names:
            hint = f"{did_you_mean(text.value, declared)}Roles are declared in policies/roles.yaml"
            problems.add(text.place, "unknown-role", f'unknown role "{text.value}"', hint)
        elif name in declared and text.value in declared:
            if depths[declared[text.value][0].level] < depths[declared[name][0].level]:
                message = f"role {name} would contain {text.value} of a higher level"
                problems.add(text.place, "contains-higher-level", message, "a role contains roles of its level or below")
            else:
                contained[name].setdefault(text.value, text.place)
    _remove_cycles(contained, problems)
    _check_chains(contained, problems)
    roles = {
        name: Role(name, role.level, tuple(contained[name]), role.keep_one, role.place)
        for name, (role, _) in declared.items()
    }
    return RoleModel(levels, MappingProxyType(roles))


def _remove_cycles(contained: dict[str, dict[str, Place]], problems: ProblemList) -> None:
    """Reports each link that closes a cycle, and takes it out so that what follows can be read."""
    done: set[str] = set()
    for start in contained:
        path: list[str] = []
        work = [(start, iter(list(contained[start].items())))] if start not in done else []
        if work:
            path.append(start)
        while work:
            name, links = work[-1]
            for inner, place in links:
                if inner in path:
                    members = " contains ".join([*path[path.index(inner) :], inner])
                    problems.add(place, "role-cycle", f"roles contain each other: {members}", "remove one of the links")
                    del contained[name][inner]
                elif inner not in done:
                    path.append(inner)
                    work.append((inner, iter(list(contained[inner].items()))))
                    break
            else:
                done.add(name)
                path.pop()
                work.pop()


def _check_chains(contained: Mapping[str, Mapping[str, Place]], problems: ProblemList) -> None:
    """Reports the first role from which a chain of too many links starts; `contained` has no cycles."""
    starts = list(contained)
    for _ in range(LONGEST_CHAIN + 1):
        still_long = set(starts)
        starts = [name for name in contained if any(inner in still_long for inner in contained[name])]
    if starts:
        place = next(iter(contained[starts[0]].values()))
        message = f"role {starts[0]} starts an inheritance chain of more than {LONGEST_CHAIN} links"
        problems.add(place, "role-chain-too-long", message, "shorten the chain")
