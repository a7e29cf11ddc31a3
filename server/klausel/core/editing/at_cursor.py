"""What an editor says of whatever stands under the cursor: a name, a grant, or a key."""

from __future__ import annotations

from collections.abc import Iterable

from klausel.core.editing.hover import about_grant, about_key, about_mention, is_grant_key
from klausel.core.editing.mentions import Mention
from klausel.core.policy.policy_set import PolicySet


def mention_under(mentions: Iterable[Mention], file: str, line: int, column: int) -> Mention | None:
    """The shortest name that a cursor stands on, of a file by its name for people; line and column count from 0."""
    covering = [one for one in mentions if one.covers(file, line + 1, column + 1)]
    return min(covering, key=lambda one: len(one.name), default=None)


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
