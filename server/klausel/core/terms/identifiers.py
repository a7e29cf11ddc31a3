"""Which texts may name things: subjects, domains, and the names that policies declare."""

from __future__ import annotations

import re
import unicodedata

SUBJECT_CHARACTERS = 255
ROLE_CHARACTERS = 64
TYPE_CHARACTERS = 255
DOMAIN_CHARACTERS = 255

_ALL_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_NAME = re.compile(r"[\w.\-]+")
# URNs, URLs and words with single blanks between them; nothing that YAML or a list in CSV would read in another way.
_TYPE_OR_ACTION = re.compile(r"(?:[\w.:/\-#?=&%+~@]|(?<=[\w.\-])\ (?=[\w.\-]))+", re.VERBOSE)
_ESCAPED = re.compile("%(25|3A|2F)")
_UNESCAPED = {"25": "%", "3A": ":", "2F": "/"}


def is_printable(text: str) -> bool:
    """Whether `text` is not empty and holds no control character, line separator or lone surrogate."""
    if _ALL_PRINTABLE_ASCII.fullmatch(text):
        return True
    return bool(text) and not any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def is_name(text: str) -> bool:
    """Whether `text` may name a role, level, condition or feature (letters, digits, `_`, `-`, `.`)."""
    return len(text) <= ROLE_CHARACTERS and _starts_with_a_letter(text) and _NAME.fullmatch(text) is not None


def is_type_or_action(text: str) -> bool:
    """Whether `text` may name a resource type or an action: a name, a URN, a URL, or words with blanks between."""
    return len(text) <= TYPE_CHARACTERS and _starts_with_a_letter(text) and _TYPE_OR_ACTION.fullmatch(text) is not None


def _starts_with_a_letter(text: str) -> bool:
    return text[:1].isalpha() or text[:1] == "_"


def fault_in_domain_id(text: object) -> str | None:
    """What is wrong with one id of a domain (`acme`, `support`), as the end of a sentence; None when it is good."""
    if not isinstance(text, str):
        return "is not a string"
    if not text:
        return "is empty"
    if "/" in text:
        return 'contains "/"'
    if not is_printable(text):
        return "contains a control character"
    if text == "*":
        return 'is "*", which is no name: it stands for every one'
    if set(text) == {"*"}:
        return f'is "{text}", which is no name: "*" stands for every one'
    if len(text) > DOMAIN_CHARACTERS:
        return f"is longer than {DOMAIN_CHARACTERS} characters"
    return None


def fault_in_domain(domain: str) -> str | None:
    """What is wrong with a whole domain (`acme/support`), as the end of a sentence; None when it is good."""
    if len(domain) > DOMAIN_CHARACTERS:
        return f"is longer than {DOMAIN_CHARACTERS} characters"
    for part in domain.split("/"):
        fault = fault_in_domain_id(part)
        if fault:
            return "has an empty part" if not part else fault
    return None


def fault_in_subject(type_: object, id_: object) -> str | None:
    """What is wrong with a subject's type and id, as the end of a sentence; None when they are good."""
    if not isinstance(type_, str) or not isinstance(id_, str):
        return "is not a string"
    if not type_ or not id_:
        return "is empty"
    if not (is_printable(type_) and is_printable(id_)):
        return "contains a control character"
    if len(subject_key(type_, id_)) > SUBJECT_CHARACTERS:
        return f"is longer than {SUBJECT_CHARACTERS} characters"
    return None


def subject_key(type_: str, id_: str) -> str:
    """The stored form of a subject: `user:ann`. A `:` or `/` in the type, such as a URN has, is written `%3A` or `%2F`."""
    if ":" in type_ or "/" in type_ or _ESCAPED.search(type_):
        type_ = type_.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")
    return f"{type_}:{id_}"


def split_subject_key(key: str) -> tuple[str, str] | None:
    """The type and id in a stored form; None when it has no `:`."""
    type_, colon, id_ = key.partition(":")
    if "%" in type_:
        type_ = _ESCAPED.sub(lambda found: _UNESCAPED[found[1]], type_)
    return (type_, id_) if colon else None


def fault_in_subject_key(key: str) -> str | None:
    """What is wrong with a stored form, as the end of a sentence; None when it is good, and the only one of its subject."""
    parts = split_subject_key(key)
    if parts is None:
        return "has no type; write it as type:id, such as user:ann"
    fault = fault_in_subject(*parts)
    if fault is None and subject_key(*parts) != key:
        return 'has a type with ":" or "/"; write them as %3A and %2F, and a % then as %25'
    return fault
