"""Letters of other alphabets that the eye takes for Latin ones, and characters that it does not see."""

from __future__ import annotations

import re

_LETTERS = "аеорсухіјѕһԁԛԝАВЕКМНОРСТХУІЈЅοανρυικωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
_LIKE = "aeopcyxijshdqwABEKMHOPCTXYIJSoavpuikwABEZHIKMNOPTYX"
LIKE_LATIN = dict(zip(_LETTERS, _LIKE, strict=True))
"""Letters of Cyrillic and Greek, each with the Latin one that it looks like."""

HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064\u3164\uffa0]"
    "|(?<=[!-~])[\u200c-\u200f]|[\u200c-\u200f](?=[!-~])"
)
"""What takes no room where it stands; what joins and parts letters, as some languages need it, only beside plain signs."""
_AS_SEEN = str.maketrans(LIKE_LATIN)


def as_seen(text: str) -> str:
    """A text as it looks: with Latin letters for those that look like them, and without what takes no room."""
    return text if text.isascii() else HIDDEN.sub("", text).translate(_AS_SEEN)
