"""What an editor shows about the name or the key under the cursor, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from klausel.core.analysis.condition_wording import in_words
from klausel.core.analysis.matrix import columns_of, matrix_row
from klausel.core.editing.cursor import spot_at
from klausel.core.editing.mentions import Mention
from klausel.core.formatting.files import kind_of_file
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.properties import PropertyTypes
from klausel.core.policy.roles import ANYONE, is_joint, parts_of

_GRANT_KEYS = ("allow", "deny")


def about_mention(policy: PolicySet, mention: Mention) -> str:
    """What a name stands for; empty where the policy set has no such thing."""
    match mention.kind:
        case "role":
            lines = _role(policy, mention.name)
        case "level":
            lines = _level(policy, mention.name)
        case "condition":
            lines = _condition(policy, mention.name)
        case "resource type":
            lines = _type(policy, mention.name)
        case "action":
            lines = _action(policy, mention)
        case "property":
            lines = _property(policy, mention)
        case "place":
            lines = iter(())
    return "\n".join(lines)


def about_grant(policy: PolicySet, file: str, line: int) -> str:
    """Who may, or may not, by the grant that begins on a line, counted from 1; empty where there is none."""
    grants = [grant for grant in policy.grants if (grant.place.file, grant.place.line) == (file, line)]
    if not grants:
        return ""
    first = grants[0]
    who = ", ".join(_reached(policy, grants))
    may = "May" if first.effect == "allow" else "May not, whatever allows it"
    actions = ", ".join(dict.fromkeys(f"{grant.action} {grant.resource_type}" for grant in grants))
    parts = [f"{may} by this grant: {who}.", "", actions + (f" {first.scope.words}" if first.scope.words else "")]
    if first.written is not None:
        parts += ["", f"when {in_words(first.written, policy.conditions)}"]
    if first.because:
        parts += ["", f"_{_plain(first.because)}_"]
    return "\n".join(parts)


def about_key(text: str, name: str, line: int, column: int) -> str:
    """What a key means, by its place in a file of a policy set; line and column count from 0. Empty for what is none."""
    kind = kind_of_file(name)
    lines = text.split("\n")
    if kind is None or line >= len(lines):
        return ""
    end = column
    while end < len(lines[line]) and (lines[line][end].isalnum() or lines[line][end] == "_"):
        end += 1
    if lines[line][end : end + 1] != ":":
        return ""
    key = spot_at(text, kind, line, end).key
    return "" if key is None else f"**{key.name}**: {key.about}"


def is_grant_key(text: str, line: int, column: int) -> bool:
    """Whether a cursor stands on `allow` or `deny`; line and column count from 0."""
    lines = text.split("\n")
    row = lines[line] if line < len(lines) else ""
    return any(0 <= (at := row.find(f"{key}:")) <= column <= at + len(key) for key in _GRANT_KEYS)


def _reached(policy: PolicySet, grants: Iterable[Grant]) -> list[str]:
    """The roles that grants are for, with those that contain them."""
    found: dict[str, None] = {}
    for grantee in dict.fromkeys(grant.grantee for grant in grants):
        if grantee == ANYONE or is_joint(grantee):
            found["anyone" if grantee == ANYONE else " and ".join(parts_of(grantee))] = None
            continue
        found[grantee] = None
        for role in policy.roles.roles:
            if grantee in policy.roles.closure[role]:
                found[role] = None
    return list(found)


def _role(policy: PolicySet, name: str) -> Iterator[str]:
    role = policy.roles.roles.get(name)
    if role is None:
        return
    yield f"**{name}**, a role of level {role.level}."
    contains = [*role.contains, *(f"{inner} in {place}" for inner, place in role.contains_in)]
    if contains:
        yield f"\nContains {', '.join(contains)}."
    holders = [
        other.name for other in policy.roles.roles.values() if other.name != name and name in policy.roles.reach[other.name]
    ]
    if holders:
        yield f"\nContained by {', '.join(holders)}."
    if role.is_privileged:
        yield "\nPrivileged: `klausel findings` lists who holds it."
    if role.was:
        yield f"\nWas {', '.join(role.was)} before."
    named = {grant.place for grant in policy.grants if name in parts_of(grant.grantee)}
    yield f"\n{len(named)} grants name it." if len(named) != 1 else "\n1 grant names it."


def _level(policy: PolicySet, name: str) -> Iterator[str]:
    level = policy.roles.level_named(name)
    if level is not None:
        yield f"**{name}**, level {level.depth} of {len(policy.roles.levels)}."
        if level.named_by:
            yield f"\nA request names its domain by the property `{level.named_by}` of the resource."
        if level.requires_role_above:
            yield "\nA role here counts only beside one of the level above."


def _condition(policy: PolicySet, name: str) -> Iterator[str]:
    condition = policy.conditions.get(name)
    if condition is not None:
        yield f"**{name}**"
        yield f"\n```\n{_code(condition.text)}\n```"
        if str(condition.tree) != condition.text:
            yield f"In full:\n```\n{_code(str(condition.tree))}\n```"
        used = {grant.place for grant in policy.grants if name in grant.condition_text.split()}
        yield f"{len(used)} grants use it by name."


def _type(policy: PolicySet, name: str) -> Iterator[str]:
    declared = policy.resource_types.get(name)
    if declared is not None:
        yield f"**{name}**, declared in {declared.place.file}."
        yield f"\nActions: {', '.join(declared.actions)}."
        if declared.privileged:
            yield f"\nPrivileged: {', '.join(declared.privileged)}; `klausel findings` lists who can."
        if declared.properties:
            yield (
                "\nProperties: "
                + ", ".join(f"`{key}` ({_plain(str(type_))})" for key, type_ in declared.properties.items())
                + "."
            )


def _action(policy: PolicySet, mention: Mention) -> Iterator[str]:
    """The rows of the matrix: what each role may."""
    declaring = [type_ for type_, one in policy.resource_types.items() if mention.name in one.actions]
    for type_ in mention.types or declaring:
        if type_ not in declaring:
            continue
        row = matrix_row(policy, type_, mention.name)
        yield f"**{mention.name} {type_}**: who may\n"
        yield "| role | may |\n|---|---|"
        for column in columns_of(policy):
            cell = row.cells[column].text
            if cell != "no":
                yield f"| {_plain(column)} | {_plain(cell)} |"
        yield ""


def _property(policy: PolicySet, mention: Mention) -> Iterator[str]:
    root, _, name = mention.name.partition(".")
    places: list[tuple[str, PropertyTypes]] = []
    if root == "resource":
        for type_, declared in policy.resource_types.items():
            if declared.properties and (not mention.types or type_ in mention.types):
                places.append((type_, declared.properties))
    else:
        of: Mapping[str, PropertyTypes] = policy.properties
        places += [(root, of[root])] if root in of else []
    for owner, properties in places:
        if name in properties:
            yield f"**{mention.name}** of {owner}: {_plain(str(properties[name]))}\n"


def _plain(text: str) -> str:
    """A text in which Markdown sees nothing."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|!" else sign for sign in " ".join(text.split()))


def _code(text: str) -> str:
    return text.replace("```", "'''")


def mention_under(mentions: Iterable[Mention], file: str, line: int, column: int) -> Mention | None:
    """The shortest name that a cursor stands on, of a file by its name for people; line and column count from 0."""
    covering = [one for one in mentions if one.covers(file, line + 1, column + 1)]
    return min(covering, key=lambda one: one.length, default=None)


def about_what_stands_at(
    policy: PolicySet | None, mentions: Iterable[Mention], text: str, name: str, file: str, line: int, column: int
) -> str:
    """What stands at a cursor means, as Markdown; empty for nothing.

    `name` is the name of the file in its folder, `file` that for people.
    """
    mention = mention_under(mentions, file, line, column)
    if mention is not None and policy is not None:
        return about_mention(policy, mention)
    if policy is not None and is_grant_key(text, line, column):
        return about_grant(policy, file, _start_of_entry(text, line) + 1)
    return about_key(text, name, line, column)


def _start_of_entry(text: str, line: int) -> int:
    """The line where the entry of a list begins that a line is in; lines count from 0."""
    lines = text.split("\n")
    indent = len(lines[line]) - len(lines[line].lstrip(" "))
    for number in range(line, -1, -1):
        row = lines[number]
        if row.lstrip(" ").startswith("- ") and len(row) - len(row.lstrip(" ")) <= indent:
            return number
    return line
