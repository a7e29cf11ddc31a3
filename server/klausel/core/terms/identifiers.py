"""Which texts may name things: subjects, domains, and the names that policies declare."""

from __future__ import annotations

import re
import unicodedata

SUBJECT_CHARACTERS = 255
ROLE_CHARACTERS = 64
DOMAIN_CHARACTERS = 255

_ALL_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_NAME = re.compile(r"[\w.\-]+")
_ACTION = re.compile(r"[\w.:/\-]+")


def is_printable(text: str) -> bool:
    """Whether `text` is not empty and holds no control character, line separator or lone surrogate."""
    if _ALL_PRINTABLE_ASCII.fullmatch(text):
        return True
    return bool(text) and not any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def is_name(text: str) -> bool:
    """Whether `text` may name a role, level, resource type, condition or feature (letters, digits, `_`, `-`, `.`)."""
    return _starts_with_a_letter(text) and _NAME.fullmatch(text) is not None


def is_action_name(text: str) -> bool:
    """Whether `text` may name an action: a name that may also hold `:` and `/`."""
    return _starts_with_a_letter(text) and _ACTION.fullmatch(text) is not None


def _starts_with_a_letter(text: str) -> bool:
    return len(text) <= ROLE_CHARACTERS and (text[:1].isalpha() or text[:1] == "_")


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
    if ":" in type_ or "/" in type_:
        return 'has a type with ":" or "/"'
    if not (is_printable(type_) and is_printable(id_)):
        return "contains a control character"
    if len(type_) + 1 + len(id_) > SUBJECT_CHARACTERS:
        return f"is longer than {SUBJECT_CHARACTERS} characters"
    return None


def subject_key(type_: str, id_: str) -> str:
    """The stored form of a subject: `user:ann`."""
    return f"{type_}:{id_}"


def split_subject_key(key: str) -> tuple[str, str] | None:
    """The type and id in a stored form; None when it has no `:`."""
    type_, colon, id_ = key.partition(":")
    return (type_, id_) if colon else None
