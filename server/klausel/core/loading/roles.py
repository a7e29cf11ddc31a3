"""Reading `roles.yaml`: levels, roles, inheritance."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from klausel.core.loading.dependency_order import used_first
from klausel.core.loading.fields import ProblemList, is_empty
from klausel.core.loading.file_schema import CONTAINED, LEVEL, ROLE
from klausel.core.loading.places import fault_in_a_place
from klausel.core.policy.roles import LONGEST_CHAIN, Level, Role, RoleModel
from klausel.core.terms.identifiers import fault_in_domain_id, is_name, is_type_or_action
from klausel.core.terms.places import EVERY, EVERYWHERE
from klausel.core.terms.problem import Place
from klausel.core.text.yaml_nodes import Fields, Node, Text

_MISSPELT = 0.8
_QUOTES = frozenset("“”„‟‘’‚«»\"'")
_NO_PROPERTIES = frozenset(("yes", "no", "true", "false", "on", "off", "none"))
"""Words of YAML for true, false and nothing, which no request has for a property that names where it is asked."""

Link = tuple[Text, Text, Text | None]
"""A role, one that it contains, and the place where alone it does; None for everywhere."""


def read_levels(root: Fields, is_misspelt: bool, problems: ProblemList) -> tuple[Level, ...]:
    """The levels of `roles.yaml`, top first; `is_misspelt` says that another key seems to stand for `levels`."""
    written = root.get("levels")
    levels: list[Level] = []
    for name, node in problems.entries(written, "levels"):
        if problems.name(name, "a level", is_name):
            fields = problems.fields(node, f"level {name.value}")
            if fields is not None and _is_role(fields):
                message = f"{name.value} stands where a level is declared, and has the keys of a role"
                problems.add(name.place, "wrong-kind", message, "write `roles:` in a line of its own above the first role")
                continue
            is_readable = fields is not None or is_empty(node)
            levels.append(_level(name, fields or Fields((), name.place), is_readable, levels, problems))
    if not is_misspelt and (written is None or (isinstance(written, Text) and not written.value)):
        hint = "declare at least one level, the top one first; see policies/README.md"
        problems.add(root.place, "missing-key", "there are no levels", hint)
    return tuple(levels)


def _is_role(fields: Fields) -> bool:
    keys = {key.value for key, _ in fields.entries}
    return "level" in keys and keys <= {*ROLE.names}


def check_identified_by(root: Fields, declared_types: Collection[str], problems: ProblemList) -> None:
    """Reports each `identified_by` of a level that is no declared resource type.

    A misspelt one is an error. One without a resemblance is a warning: requests about a type that nobody declares are
    denied whatever they name.
    """
    levels = root.get("levels")
    for _, level in levels.entries if isinstance(levels, Fields) else ():
        text = level.get("identified_by") if isinstance(level, Fields) else None
        if isinstance(text, Text) and text.value.strip() and text.value not in declared_types:
            near = difflib.get_close_matches(text.value, sorted(declared_types), n=1, cutoff=_MISSPELT)
            hint = "declare it under resource_types of a feature file, or leave identified_by out"
            if near:
                message = f'unknown resource type "{text.value}"'
                problems.add(text.place, "unknown-resource-type", message, f'did you mean "{near[0]}"? {hint.capitalize()}')
            else:
                message = f'unknown resource type "{text.value}", so nothing that is asked is about one'
                problems.warn(text.place, "unknown-resource-type", message, hint)


def _level(name: Text, fields: Fields, is_readable: bool, above: list[Level], problems: ProblemList) -> Level:
    depth = len(above) + 1
    meant = problems.check_keys(fields, LEVEL.names, LEVEL.what)
    named_by = problems.text(fields.get("named_by"), "named_by")
    identified_by = problems.text(fields.get("identified_by"), "identified_by")
    constant = problems.text(fields.get("constant"), "constant")
    requires = problems.flag(fields.get("requires_role_above"), "requires_role_above")
    if constant and (named_by or identified_by):
        hint = "keep constant, or keep named_by and identified_by"
        problems.add(constant.place, "level-naming", f"level {name.value} is both constant and named by requests", hint)
    if is_readable and not any(fields.get(key) for key in LEVEL.some_of) and not meant.intersection(LEVEL.some_of):
        hint = "add named_by (a property of the resource), identified_by (a resource type), or constant"
        problems.add(name.place, "level-naming", f"nothing says which {name.value} a request is asked in", hint)
    if constant:
        fault = fault_in_domain_id(constant.value)
        if fault:
            problems.add(constant.place, "bad-domain", f"the constant {fault}", "choose another")
    if requires and depth == 1:
        place = (fields.get("requires_role_above") or name).place
        problems.add(place, "level-naming", f"level {name.value} has no level above it", "remove requires_role_above")
    if named_by and named_by.value and not {named_by.value[0], named_by.value[-1]}.isdisjoint(_QUOTES):
        message = f"{named_by.value} begins or ends with a quote, which would be a part of the property's name"
        problems.add(named_by.place, "bad-name", message, "write it without quotes, or in straight ones")
    elif named_by and not (is_type_or_action(named_by.value) and "#" not in named_by.value):
        message = f'named_by is the name of a property, and "{named_by.value}" is most often none'
        problems.add(named_by.place, "bad-name", message, f"write the property alone, such as {name.value}")
    if named_by and named_by.value.lower() in _NO_PROPERTIES:
        message = f'named_by is the name of a property, and "{named_by.value}" is most often none'
        problems.add(named_by.place, "level-naming", message, f"write the property, such as {name.value}, or leave it out")
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


def read_roles(root: Fields, levels: tuple[Level, ...], problems: ProblemList) -> tuple[dict[str, Role], list[Link]]:
    """The declared roles without a problem, by name, and every link, which is not yet checked."""
    known_levels = {level.name for level in levels}
    written = root.get("levels")
    declared_levels = {name.value for name, _ in written.entries} if isinstance(written, Fields) else set()
    roles: dict[str, Role] = {}
    links: list[Link] = []
    former: list[tuple[Text, Text]] = []
    for name, node in problems.entries(root.get("roles"), "roles"):
        if name.value in ROLE.names and not isinstance(node, Fields):
            problems.add(name.place, "wrong-kind", f"{name.value} stands where a role is named", "indent it below its role")
            continue
        is_good = problems.name(name, "a role", is_name)
        fields = problems.fields(node, f"role {name.value}")
        if fields is None:
            if not is_empty(node):
                continue
            fields = Fields((), name.place)
        meant = problems.check_keys(fields, ROLE.names, ROLE.what)
        level = None
        if fields.get("level") is not None:
            level = _level_of(fields.get("level"), known_levels, declared_levels, problems)
        elif "level" not in meant:
            known = " or ".join(level.name for level in levels) or "<name>"
            problems.add(name.place, "missing-key", f"role {name.value} has no level", f"add level: {known}")
        contains = list(_contained(name, fields.get("contains"), problems))
        keep_one = problems.flag(fields.get("keep_one"), "keep_one")
        is_privileged = problems.flag(fields.get("privileged"), "privileged")
        was = problems.texts(fields.get("was"), "was")
        former += [(name, text) for text in was if problems.name(text, "a role", is_name)]
        links += contains
        if level and is_good:
            roles[name.value] = Role(name.value, level, (), keep_one, name.place, is_privileged=is_privileged)
    for name, text in _good_former_names(root, former, problems):
        if name.value in roles:
            role = roles[name.value]
            roles[name.value] = replace(role, was=(*role.was, text.value))
    return roles, links


def _contained(container: Text, node: Node | None, problems: ProblemList) -> Iterator[Link]:
    """The links of a role: to names, or to keys that may each have a place."""
    if not isinstance(node, Fields):
        yield from ((container, text, None) for text in problems.texts(node, "contains"))
        return
    for name, value in node.entries:
        fields = problems.fields(value, f"the contained role {name.value}")
        if fields is None:
            if is_empty(value):
                message = f"nothing stands behind {name.value}, so {container.value} contains it everywhere"
                hint = "write {} for everywhere, or the place as {in: …}"
                problems.warn(name.place, "wrong-kind", message, hint)
                yield container, name, None
            continue
        problems.check_keys(fields, CONTAINED.names, CONTAINED.what)
        places: list[Text | None] = [*problems.texts(fields.get("in"), "in")]
        yield from ((container, name, place) for place in places or [None])


def _good_former_names(root: Fields, former: list[tuple[Text, Text]], problems: ProblemList) -> Iterator[tuple[Text, Text]]:
    """The former names but for those that a role has now, or that another role had too: role assignments would mean two roles."""
    written = root.get("roles")
    declared = {name.value for name, _ in written.entries} if isinstance(written, Fields) else set()
    owners: dict[str, str] = {}
    for name, text in former:
        if text.value in declared:
            message = f'"{text.value}" is declared as a role, so it cannot be what role {name.value} was'
            problems.add(text.place, "former-name", message, "remove the one or the other")
        elif owners.setdefault(text.value, name.value) != name.value:
            message = f'both {owners[text.value]} and {name.value} would be what was "{text.value}"'
            problems.add(text.place, "former-name", message, "keep it at the role that its holders have now")
        else:
            yield name, text


def _level_of(node: Node | None, levels: set[str], declared: set[str], problems: ProblemList) -> str | None:
    """The name of a known level; None, with a problem unless levels themselves have one, for any other."""
    level = problems.text(node, "level")
    if level is None:
        return None
    if level.value not in levels:
        if level.value in declared or not declared:
            return None
        problems.unknown(level, "unknown-level", levels, "Levels are declared in policies/roles.yaml", is_one=True)
        return None
    return level.value


def join_roles(
    levels: tuple[Level, ...],
    declared: Mapping[str, Role],
    declared_names: Collection[str],
    links: list[Link],
    problems: ProblemList,
) -> RoleModel:
    """The role model of the declared roles and their links; faulty links are left out.

    `declared_names` also holds roles whose own declaration has a problem, so that they are not called unknown.
    """
    depths = {level.name: level.depth for level in levels}
    contained: dict[str, dict[str, Place]] = {name: {} for name in declared}
    placed: list[tuple[str, str, Text]] = []
    for container, text, in_place in links:
        name = container.value
        if text.value not in declared_names:
            problems.unknown_role(text, declared_names)
        elif name in declared and text.value in declared:
            if depths[declared[text.value].level] < depths[declared[name].level]:
                message = f"role {name} would contain {text.value} of a higher level"
                problems.add(text.place, "contains-higher-level", message, "a role contains roles of its level or below")
            elif in_place is not None and in_place.value != EVERYWHERE:
                placed.append((name, text.value, in_place))
            else:
                contained[name].setdefault(text.value, text.place)
    if not _has_cycles(contained, problems):
        _check_chains(contained, problems)
    roles = {name: replace(role, contains=tuple(contained[name])) for name, role in declared.items()}
    model = RoleModel(levels, MappingProxyType(roles))
    for name, inner, in_place in placed:
        if _can_be_placed(model, name, inner, in_place, problems):
            roles[name] = replace(roles[name], contains_in=(*roles[name].contains_in, (inner, in_place.value)))
    return RoleModel(levels, MappingProxyType(roles))


def _can_be_placed(model: RoleModel, name: str, inner: str, in_place: Text, problems: ProblemList) -> bool:
    """Whether a role can contain another in a place alone: the holder of the one then holds the other in one domain there."""
    above, below = model.level_of(name), model.level_of(inner)
    form = "/".join([*([EVERY] * above.depth), *(f"<{level.name}>" for level in model.levels[above.depth : below.depth])])
    fault = fault_in_a_place(in_place.value, model)
    if fault is None and below.depth <= above.depth:
        fault = f"limits nothing: {name} and {inner} are held at the same level", "leave `in` out"
    parts = in_place.value.split("/")
    if fault is None and (len(parts) != below.depth or EVERY in parts[above.depth :]):
        fault = f"is not one {below.name} below each {above.name}", f"write it as {form}"
    wider = [role for role in model.roles if model.depths[role] < above.depth and name in model.closure[role]]
    if fault is None and wider:
        fault = (
            f"is not clear for {wider[0]}, which contains {name} everywhere",
            f"let {wider[0]} contain {inner} in a place itself",
        )
    if fault is not None:
        problems.add(in_place.place, "bad-domain", f'place "{in_place.value}" {fault[0]}', fault[1])
    return fault is None


def _has_cycles(contained: dict[str, dict[str, Place]], problems: ProblemList) -> bool:
    """Whether roles contain each other; reports each link that closes a cycle, and takes it out."""
    closing: list[tuple[str, str]] = []

    def report(members: list[str], place: Place) -> None:
        message = f"roles contain each other: {' contains '.join(members)}"
        if len(members) == 2:
            message = f"role {members[0]} contains itself"
        problems.add(place, "role-cycle", message, "remove one of the links")
        closing.append((members[-2], members[-1]))

    used_first(contained, report)
    for container, inner in closing:
        del contained[container][inner]
    return bool(closing)


def _check_chains(contained: Mapping[str, Mapping[str, Place]], problems: ProblemList) -> None:
    """Reports the first role from which a chain of too many links starts; `contained` has no cycles."""
    starts = list(contained)
    still_long = set(starts)
    for _ in range(LONGEST_CHAIN + 1):
        still_long = set(starts)
        starts = [name for name in contained if any(inner in still_long for inner in contained[name])]
    if starts:
        place = next(place for inner, place in contained[starts[0]].items() if inner in still_long)
        message = f"role {starts[0]} starts an inheritance chain of more than {LONGEST_CHAIN} links"
        problems.add(place, "role-chain-too-long", message, "shorten the chain")
