"""Texts without quotes that a comment seems to cut: in YAML, ` #` ends them, whatever was meant."""

from __future__ import annotations

import re

from klausel.core.terms.problem import SWITCH_OFF_MARK

_BESIDE = re.compile(r"[ \t]+#([^\r\n]*)")
_NOTHING_BEFORE = re.compile(r":[ \t]+#([^\r\n]*)\s*\Z")
_BELOW = re.compile(r"[ \t]*\r?\n([ \t]+)#([^\r\n]*)")
_FARTHEST = 200
_GOES_ON = re.compile(r"[ \t]*(\d|(and|or|not|in|is)\b|[=<>!,.;)\]}\"'])")
_WAITS = re.compile(
    r"(\b(see|ticket|tickets|issue|issues|bug|pr|mr|case|change|item|number|no\.?|nr\.?|and|or|not|in|the|of)|[,:])$",
    re.IGNORECASE,
)


def is_cut(text: str, end: int, value: str, key_column: int | None) -> bool:
    """Whether the comment behind a value without quotes, which ends at this offset of a YAML text, looks like its rest.

    It does where the sign stands right before a letter or digit, as in `#12`, where the value waits for more, or the
    comment goes on with it. `key_column` counts from 1; a comment on the next line counts where it is indented deeper.
    """
    beside = _BESIDE.match(text, end)
    if not value and not beside:  # inside brackets, nothing stands where the next sign does
        beside = _NOTHING_BEFORE.search(text, max(0, end - _FARTHEST), end)
    if beside:
        comment = beside[1]
    else:
        below = _BELOW.match(text, end) if key_column is not None and value else None
        if below is None or len(below[1]) < (key_column or 0):
            return False
        comment = below[2]
    if not comment.strip() or comment.lstrip().startswith(SWITCH_OFF_MARK):
        return False
    is_sign = comment[0].isalnum()
    return is_sign or bool(value and _WAITS.search(value)) or bool(_GOES_ON.match(comment))
