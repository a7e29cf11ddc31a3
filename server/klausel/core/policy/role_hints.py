"""What to write instead of a name that is no role: never a name that stands for more people than the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from klausel.core.policy.roles import ANY_PREFIX, ANYONE
from klausel.core.terms.problem import Suggestions, nearest_name

DECLARED_IN = "Roles are declared in policies/roles.yaml"
_EVERYBODY = {"everyone", "everybody", "all", "anybody", "*", "any one", "anyone", "any anyone", "public", "all users"}
_NOBODY = {"nobody", "noone", "no one", "none"}
_NOT = re.compile(r"(!|-|~|\^)\s*\w|.*\b(not|except|without|but)\b|non[-_ ]", re.IGNORECASE)
_BOTH = re.compile(r"(.+?)\s*(?:\band\b|&+|\+)\s*(.+)", re.IGNORECASE)
_EITHER = re.compile(r"(.+?)\s*(?:\bor\b|\|+|;)\s*(.+)", re.IGNORECASE)
_ANY = re.compile(r"any[\s_\-]*(.+)", re.IGNORECASE)
_WORDS = re.compile(r"[^\W_]+")
_LIKE = 0.7
_SOMEWHAT_LIKE = 0.6
_SURELY = 0.8
"""How alike a text must be to a name that is no role, such as `anyone`."""


def hint_on_grantee(
    written: str,
    roles: Collection[str],
    anywhere: Collection[str],
    others: Iterable[str] = (),
    suggestions: Suggestions | None = None,
) -> str:
    """What to write instead of a grantee that means nothing.

    `roles` are the declared ones, `anywhere` those of which there is an `any` form; `others` are names with a meaning
    of their own.
    """
    text = " ".join(written.split())
    if text.lower() in _EVERYBODY:
        return f'everybody is written "{ANYONE}"'
    if text.lower() == "any":
        return "name the role: `any <role>` is for whoever holds that role somewhere"
    instead = _instead_of_phrase(text)
    if instead:
        return instead
    special = nearest_name(text.lower(), [ANYONE, *others], _SURELY)
    if special:
        return f'did you mean "{special}"? {DECLARED_IN}'
    form = _ANY.fullmatch(text)
    near = misspelt_role(form[1], anywhere, suggestions) if form else None
    if near:
        return f'did you mean "{ANY_PREFIX}{near}"? {DECLARED_IN}'
    return hint_on_role(text, roles, suggestions)


def hint_on_role(written: str, roles: Collection[str], suggestions: Suggestions | None = None) -> str:
    """What to write instead of a text that is no role, where only roles can stand."""
    if len(several := written.split()) > 1 and set(several) <= {*roles}:
        return f"write several names as a list: [{', '.join(several)}]"
    near = misspelt_role(written.strip().removeprefix("role:"), roles, suggestions)
    return f'did you mean "{near}"? {DECLARED_IN}' if near else DECLARED_IN


def _instead_of_phrase(text: str) -> str:
    """What to do instead of naming people by id, by what they are not, or by several roles at once."""
    if text.lower() in _NOBODY:
        return "what nothing allows is denied; leave the grant out"
    if _NOT.match(text):
        return "there is no `not`; name the roles that are meant: whom nothing allows is denied"
    both = _BOTH.fullmatch(text)
    if both:
        return f"write {{all: [{both[1]}, {both[2]}]}} for who holds both, or [{both[1]}, {both[2]}] for either of them"
    either = _EITHER.fullmatch(text)
    if either:
        return f"write several names as a list: [{either[1]}, {either[2]}]"
    held, _, place = text.partition("@")
    if held and place and ":" not in text:
        return f"where a grant counts is a key of its own: allow: {held}, and in: {place}"
    type_, _, id_ = text.partition(":")
    if type_ == "group":
        return "a group holds roles, as people do: name the role, and give it to the group with klausel assignments grant"
    if type_ and type_ != "role" and id_.strip():
        one = f'when: subject.id == "{id_.strip()}" on a grant to a role of theirs'
        return f"one person is a condition or a role assignment: {one}, or klausel assignments grant"
    return ""


def _is_like(written: str, name: str) -> bool:
    return nearest_name(written, [name], _LIKE) is not None


def misspelt_role(written: str, known: Collection[str], suggestions: Suggestions | None = None) -> str | None:
    """The known name that this seems to be a misspelling of; one with further words or letters around it is another name."""
    suggestions = suggestions or Suggestions()
    if suggestions.are_used_up:
        return None
    folded = written.lower()
    for name in known:
        if name.lower() == folded:
            return name
    near = suggestions.nearest(written, known, _LIKE) or suggestions.nearest(written, known, _SOMEWHAT_LIKE)
    # The same letters in another order are a slip of the fingers, however little alike the whole is.
    if near is None or not (_is_like(written, near) or sorted(near.lower()) == sorted(folded)):
        return None
    words, of_near = set(_WORDS.findall(folded)), set(_WORDS.findall(near.lower()))
    is_another = of_near < words or (near.lower() in folded and len(folded) > len(near) + 1)
    return None if is_another else near
