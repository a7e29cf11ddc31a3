"""odd-text: a text in a condition that looks like something else, and means only itself.

What stands in quotes is compared letter by letter. So a reference, a pattern, several values in one text, a blank at an end, or
a type before an id mean no more than their letters, and are most often equal to nothing: an allow then allows nothing, and a
deny denies nothing.

    when: '"resource.owner" == subject.id'       # resource.owner, without quotes, is the property
    when: resource.region == "eu-*"              # a star is no wildcard here; starts_with("eu-") is
    when: resource.region in ["eu,us"]           # ["eu", "us"] are two values
    when: subject.id == "user:leo"               # ids stand without their type: "leo"
    when: matches_path(resource.path, "/src/a**")  # `**` is any number of parts only alone between slashes
    when: starts_with("eu-", resource.region)    # turned round: whether "eu-" starts with the region
    when: in_network(context.ip, "10.0.0.0")     # one address alone; "10.0.0.0/8" is the network

A letter of another alphabet that looks like a Latin one beside it is told in texts, and in the names of attributes, of the
properties that name a level, and of places: `glоbex` with a Cyrillic o is another place than `globex`.

To keep it: `# klausel: off odd-text because <reason>` behind its line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from klausel.core.conditions.functions import WITH_A_PART, WITH_A_PATH, WITH_A_PATTERN, WITH_NETWORKS
from klausel.core.conditions.tree import (
    Atom,
    Attribute,
    Call,
    ListOf,
    Literal,
    atoms,
    attributes_of,
    literals_of,
    operands_of,
)
from klausel.core.lint.similarity import odd_letter
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import IdOf
from klausel.core.terms.lookalikes import LIKE_LATIN
from klausel.core.terms.problem import Place, Problem

ID = "odd-text"
_QUOTES = frozenset("“”„‟‘’‚«»\"'")
_REFERENCE = re.compile(r"(subject|resource|action|context)\.[A-Za-z_]\w*(\.\w+)*")


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for word, place in dict.fromkeys(_names(survey)):
        if (odd := _letter_of_another_alphabet(word)) is not None:
            yield warning(place, ID, f'"{word}" has letters of two alphabets{odd}', "type the word again")
    types_of_ids: Mapping[str, set[str]] | None = None
    for place, tree in survey.conditions_written:
        for atom in dict.fromkeys(atoms(tree)):
            for text in dict.fromkeys(one.value for one in literals_of(atom) if isinstance(one.value, str) and one.value):
                if types_of_ids is None:
                    types_of_ids = _types_of_ids(survey.policy)
                for message, hint in _oddities(text, atom, types_of_ids):
                    yield warning(place, ID, message, hint)


def _oddities(text: str, atom: Atom, types_of_ids: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """What is odd about a text in an atom, with what to do."""
    type_, colon, _ = text.partition(":")
    function = atom.function if isinstance(atom, Call) else ""
    if _REFERENCE.fullmatch(text):
        yield f'"{text}" is a text, not the property of that name', f"write {text} without quotes"
    elif text != text.strip():
        yield f'the text "{text}" has a blank at its end or start, which counts', "remove it"
    elif function in WITH_A_PART and isinstance(atom, Call) and _is_turned_round(atom):
        first, other = atom.arguments
        yield f"this asks whether {first} {function.replace('_', ' ')} {other}", f"write {function}({other}, {first})"
    elif function in WITH_NETWORKS and text.endswith((".0", "::")):
        yield f'"{text}" is one address, not a network', f'write how many bits are given, such as "{text}/{_bits(text)}"'
    elif function in WITH_A_PATH and any("**" in part and part != "**" for part in text.split("/")):
        hint = "let it stand alone between slashes, for any number of parts; or write `*`, for what is inside of one"
        yield f'a `**` stands beside other signs in "{text}", and means no more than `*` there', hint
    elif function in WITH_A_PATH and "//" in text:
        yield f'two slashes stand together in "{text}", so only a path that has both is like it', "write one"
    elif text[0] in _QUOTES and text[-1] in _QUOTES:
        yield f'the text "{text}" begins and ends with quotes that are a part of it', "write it without them"
    elif "*" in text and function not in WITH_A_PATTERN:
        hint = "use starts_with or ends_with, or leave the comparison out"
        yield f'the star in "{text}" stands for itself, and is no wildcard', hint
    elif "," in text and any(isinstance(operand, ListOf) for operand in operands_of(atom)):
        yield f'"{text}" is one value with a comma in it', "put each value in quotes of its own, if several are meant"
    elif colon and any(type_ in types_of_ids.get(str(attribute), ()) for attribute in attributes_of(atom)):
        yield f'"{text}" has a type before the id, and ids are compared without', f'write "{text[len(type_) + 1 :]}"'


def _names(survey: Survey) -> Iterator[tuple[str, Place]]:
    """The words that nothing declares, and that mean something else by each letter, with where they stand."""
    policy = survey.policy
    yield from ((level.named_by, level.place) for level in policy.roles.levels if level.named_by)
    yield from survey.places_written
    yield from survey.domains_held_in_tests.items()
    yield from survey.domains_asked_in_tests.items()
    for place, tree in survey.conditions_written:
        for atom in atoms(tree):
            yield from ((str(attribute), place) for attribute in attributes_of(atom))
            yield from ((one.value, place) for one in literals_of(atom) if isinstance(one.value, str))


def _letter_of_another_alphabet(text: str) -> str | None:
    """What to add about a letter in a word of Latin letters that only looks like one of them; None where none is."""
    if text.isascii():
        return None
    found = (word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii() and any(map(str.isascii, word)))
    return next((odd_letter(letter, "") for word in found for letter in word if letter in LIKE_LATIN), None)


def _bits(address: str) -> int:
    """Of how many bits the network is that such an address most often stands for."""
    return 32 if ":" in address else 32 - 8 * (len(address) - len(re.sub(r"(\.0)+$", "", address))) // 2


def _is_turned_round(atom: Call) -> bool:
    return isinstance(atom.arguments[0], Literal) and isinstance(atom.arguments[1], Attribute)


def _types_of_ids(policy: PolicySet) -> Mapping[str, set[str]]:
    """The types that may stand, wrongly, before each attribute that is an id."""
    found: dict[str, set[str]] = {"subject.id": {"user", "group"}}
    named = [("resource", one.properties) for one in policy.resource_types.values()]
    for root, properties in [*named, *policy.properties.items()]:
        for name, type_ in (properties or {}).items():
            if isinstance(type_, IdOf) and type_.type:
                found.setdefault(f"{root}.{name}", set()).add(type_.type)
    return found
