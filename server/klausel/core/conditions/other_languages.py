"""What to write in a condition in place of what other languages write, or of a slip: a hint by the text around a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.terms.problem import did_you_mean

_WORD = re.compile(r"[^\W\d]\w*")
_WORD_BEFORE = re.compile(r"([^\W\d]\w*)\s+\Z")
_WORD_AFTER = re.compile(r"\s+([^\W\d]\w*)")
_ASKER = "user|principal|actor|identity|claims|current_user|P"
_THING = "R|obj|object|record|data"
_AROUND = "request|req|input|env|environment|ctx"


def _number(match: re.Match[str]) -> str:
    return f"a number is written without signs between its digits: {re.sub('[^0-9.-]', '', match[0])}"


def _in_digits(written: str) -> str:
    try:
        return str(int(written, 0))
    except ValueError:
        return "1000"


def _time(match: re.Match[str]) -> str:
    date, clock, zone = match["date"], match["clock"] or "00:00:00", match["zone"] or "Z"
    clock += ":00" if clock.count(":") == 1 else ""
    return f'a time is written time("{date}T{clock}{zone}"), a text in quotes: "{match[0]}"'


def _say(hint: str) -> Callable[[re.Match[str]], str]:
    """The same hint whatever matched, but for `{names}` of its groups."""
    return lambda match: hint.format(**{name: found or "" for name, found in match.groupdict().items()})


_ATTRIBUTE = r"(?P<one>(?:[^\W\d]\w*\.)+\w+)"
_ROLES = "who holds which role stands under `allow` of the grant; a condition compares properties"
_RELATIONS = (
    "there are no relations here: roles stand under `allow` of the grant, what somebody shared is a property, as in "
    "subject.id in resource.viewers"
)
_OF_ONE_LANGUAGE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), _say(hint))
    for pattern, hint in (
        # Cedar
        (r'\bprincipal in \w+::"[^"]*"', _ROLES),
        (r'\baction\s*(?:==|in)\s*\[?\w+::"[^"]*"', "the actions stand under `to` of the grant"),
        (r'\b\w+::"(?P<id>[^"]*)"', 'an id is written as its text alone, as in subject.id == "{id}"'),
        (r"\bprincipal has (?P<one>\w+)", "write has subject.{one}"),
        (r"\b(?P<root>resource|subject|context|action) has (?P<one>\w+)", "write has {root}.{one}"),
        (
            r"\b(?:resource|principal) is \w+",
            "the resource type stands under `resource` of the grant; of who asks it is subject.type",
        ),
        (r"\bif\b.*\bthen\b", "there is no if; write `a and b or not a and c`"),
        (r"\bunless\b", "write `not (…)`, or a grant with `deny`"),
        (
            r"\b(?:decimal|datetime|date|timestamp) ?\(",
            'a time is written time("2026-12-31T00:00:00Z"), a number without quotes',
        ),
        (r"\bduration ?\(", "durations are written with days, hours, minutes and seconds: hours(24)"),
        (r"\.(?:lessThan|lessThanOrEqual|greaterThan|greaterThanOrEqual)\s*\(", "numbers are compared with <, <=, > and >="),
        # networks, in any of them
        (
            rf"{_ATTRIBUTE}\.(?:isInRange|inIPAddrRange)\s*\(|\bcidr_contains\s*\(|\bnet\.cidr\w*\s*\(|\bipMatch\s*\(",
            'write in_network(context.ip, "10.0.0.0/8")',
        ),
        # Cerbos and CEL
        (r"\b(?:V|variables)\.(?P<one>\w+)", "a condition of conditions.yaml is used by its name alone: {one}"),
        (r"\b(?:G|globals|C|constants)\.\w+", "there are no constants; write the value itself"),
        (
            r"\bhasIntersection\s*\(|\.(?:intersect|intersection|intersects)\s*\(",
            "write subject.teams overlaps resource.teams",
        ),
        (
            r"\.(?:getHours|getMinutes|getDayOfWeek)\s*\(",
            'write time_of_day(context.now, "Europe/Berlin") >= clock("09:00")',
        ),
        (r"\b(?:isSubset|is_subset)\s*\(", "write subject.teams subset of resource.teams"),
        (
            r"\.(?:exists|exists_one|all|filter|map|some|any|every)\s*\(|\b(?:any|all|every|some)\s*\(|\b(?:some|every) \w+",
            "conditions do not go through lists; write subject.id in resource.owners, or overlaps, or subset of",
        ),
        (r"\.(?:includes|indexOf|has)\s*\(", "write subject.id in resource.owners"),
        # Rego
        (r":=", "there are no variables; a condition with a name stands in conditions.yaml"),
        (r"\[_\]", "conditions do not go through lists; write subject.id in resource.owners"),
        (r"\bin ?\{", 'a list stands in square brackets: in ["a", "b"]'),
        (r"\btime\.now_ns\b", "the time of the request is context.now"),
        (
            r"\bregex\.\w+\s*\(|\b(?:re_match|regexMatch)\s*\(|\bmatches [\"'][^\"']*[\\^$+|()][^\"']*[\"']",
            "there are no regular expressions; write matches_glob, with a star where anything may stand",
        ),
        # OpenFGA and SpiceDB
        (
            r"\b\w+ from \w+|\b\w+ but not \w+|\w+ ?-> ?\w+|(?<![\w.])[^\W\d]\w*:[\w*]+(?:#\w+)?|\[\w+(?:, ?\w+)*#\w+.*\]",
            _RELATIONS,
        ),
        (r"^\[[a-z]\w*(?:, ?[a-z]\w*)*\]|^(?!now\b)[^\W\d]\w*(?: [-+] [^\W\d]\w*)+$", _RELATIONS),
        # Casbin
        (r"\b[rp]\.(?:sub|dom|eft)\b|\bg\d? ?\(", _ROLES),
        (r"\b[rp]\.obj\.(?P<one>\w+)", "what is asked about is called resource here: resource.{one}"),
        (r"\b[rp]\.(?:obj|act)\b", "resource types and actions stand under `resource` and `to` of the grant"),
        (r"\b(?:keyMatch\d?|keyGet\d?|globMatch)\s*\(", 'write matches_path(resource.path, "/books/**")'),
        # SQL, Python, JavaScript and others
        (rf"{_ATTRIBUTE} is (?:null|None|NULL|missing|empty)\b", "write not has {one}"),
        (rf"{_ATTRIBUTE} is not (?:null|None|NULL|missing|empty)\b", "write has {one}"),
        (rf"{_ATTRIBUTE} is not\b", "write {one} !="),
        (r"!==|\bnot ==|\bnot =", "what is not equal is written `!=`"),
        (r"\bxor\b", "write `(a or b) and not (a and b)`"),
        (
            r"\b(?:lower|upper|toLower|toUpper|lowerAscii|trim)\s*\(|\.(?:lower|upper|toLowerCase|toUpperCase|trim)\s*\(",
            "conditions do not change texts; send the text as it is to be compared",
        ),
        (r"\b(?:hour|minute|getHours)\s*\(", 'write time_of_day(context.now, "Europe/Berlin") >= clock("09:00")'),
        (
            r"\$\{+\s*(?P<one>[\w.]+)\s*\}+|\{\{\s*(?P<other>[\w.]+)\s*\}\}",
            "attributes stand without brackets: {one}{other}",
        ),
        (r"(?<![\w.])(?:always|everyone|everybody)(?![\w.])", "what holds always has no `when`"),
    )
)


_HINTS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(
            r"\b(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<clock>\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(?P<zone>Z|[+-]\d\d:?\d\d)?"
        ),
        _time,
    ),
    (re.compile(r"\b0[xXoObB][0-9a-fA-F]+\b"), lambda match: f"write the number in digits: {_in_digits(match[0])}"),
    (
        re.compile(r"\b(\d{1,3}(?:\.\d{3})+)(?:,(\d+)|(?<=\.\d{3}\.\d{3}))(?!\.?\d)"),
        lambda match: (
            f"a number is written without signs between its digits: {match[1].replace('.', '')}"
            + (f".{match[2]}" if match[2] else "")
        ),
    ),
    (re.compile(r"\b\d{1,3}(?:[ ,'_]\d{3})+\b"), _number),
    *_OF_ONE_LANGUAGE,
    (re.compile(r"\b(\d+),(\d+)\b"), lambda match: f"a decimal point is a point: {match[1]}.{match[2]}"),
    (
        re.compile(r"\b(?:years?|months?|weeks?|day|hour|minute|second)\s*\("),
        lambda match: "durations are written with days, hours, minutes and seconds: days(365)",
    ),
    (
        re.compile(
            r"(?P<one>[\w.]+) (?P<word>starts_with|ends_with|matches_glob|matches_path|in_network) "
            r"""(?P<other>"[^"]*"|'[^']*'|[\w.]+)"""
        ),
        lambda match: f"write {match['word']}({match['one']}, {match['other']})",
    ),
    (
        re.compile(r"(?P<one>[\w.]+) between (?P<low>[\w.-]+) and (?P<high>[\w.-]+)"),
        lambda match: f"write {match['one']} >= {match['low']} and {match['one']} <= {match['high']}",
    ),
    (
        re.compile(r"""(?P<one>[\w.]+) (?:like|matches|LIKE) (?P<other>"[^"]*"|'[^']*')"""),
        lambda match: f"write matches_glob({match['one']}, {match['other'].replace('%', '*')}), with a star for anything",
    ),
    (
        re.compile(r"""(?P<one>[\w.]+) not (?P<other>"[^"]*"|'[^']*'|-?\d+)"""),
        lambda match: f"write {match['one']} != {match['other']}",
    ),
    (re.compile(r"\b(?:TRUE|FALSE|AND|OR|NOT|IN|And|Or|Not|In)\b"), lambda match: f"write `{match[0].lower()}`"),
    (re.compile(r"<>"), lambda match: "what is not equal is written `!=`"),
    (re.compile(r"=[<>]"), lambda match: f"write `{match[0][::-1]}`"),
    (re.compile(r"\bin ?\("), lambda match: 'a list stands in square brackets: in ["a", "b"]'),
    (
        re.compile(r"(?<![.\w])(?:today|now|current_date|current_time)\b(?: ?\(\))?"),
        lambda match: 'the time of the request is context.now; a given one is written time("2026-12-31T00:00:00Z")',
    ),
    (
        re.compile(r"""==? ?(?P<one>"[^"]*"|'[^']*') or (?P<other>"[^"]*"|'[^']*')"""),
        lambda match: f"write in [{match['one']}, {match['other']}] for one of several values",
    ),
    (re.compile(r"\b(?:yes|no|on|off)\b(?!-|\u200b)"), lambda match: "write `true` or `false`; a text stands in quotes"),
    (
        re.compile(r"\b\d+(?:\.\d+)? ?(?!(?:and|or|in|not)\b)[^\W\d_]{1,4}\b"),
        lambda match: "write the number in full and without a unit, such as 1000; a duration is written as days(30)",
    ),
    (
        re.compile(rf"\b(?:{_ASKER})\.(?:attr\.)?(?P<rest>[\w.]+)"),
        lambda match: f"who asks is called subject here: subject.{match['rest']}",
    ),
    (
        re.compile(rf"\b(?:{_THING})\.(?:attr\.)?(?P<rest>[\w.]+)"),
        lambda match: f"what is asked about is called resource here: resource.{match['rest']}",
    ),
    (
        re.compile(rf"\b(?:{_AROUND})\.(?P<rest>[\w.]+)"),
        lambda match: (
            "attributes start with subject (who asks), resource, action or context (all else that the request says)"
        ),
    ),
    (re.compile(r"\bprincipal\b"), lambda match: "who asks is called subject here, and known by subject.id"),
    (
        re.compile(r"\.(?:startsWith|startswith|starts_with|endsWith|endswith|ends_with)\s*\("),
        lambda match: 'write matches_glob(resource.name, "abc*"), or "*abc" for the end',
    ),
    (re.compile(r"\.contains(?:Any|All)?\s*\("), lambda match: 'turn it round: `"a" in resource.names`'),
    (
        re.compile(r"\.(?:matches|match)\s*\(|\b(?:regexMatch|matches|re_match)\s*\("),
        lambda match: "there are no regular expressions; write matches_glob, with a star where anything may stand",
    ),
    (
        re.compile(r"(?:\.(?:size|length|count)\b|\b(?:size|len|count)\s*\()"),
        lambda match: "conditions do not count; send the number as a property",
    ),
    (
        re.compile(r"\b(?:exists|is_?null|is_?set|is_?empty|empty|defined|present)\s*\(", re.IGNORECASE),
        lambda match: "write has resource.team for what is there, and not has resource.team for what is not",
    ),
    (re.compile(r"\bhas\s+not\b"), lambda match: "write not has resource.team"),
    (
        re.compile(r"\b(?:cidr|ip_?match|in_?cidr|ip_in_range|ip)\s*\(", re.IGNORECASE),
        lambda match: 'write in_network(context.ip, "10.20.0.0/16")',
    ),
    (
        re.compile(r"\b(?:intersects?|has_?intersection|contains_?any|any_?of|any)\s*\(", re.IGNORECASE),
        lambda match: "write subject.teams overlaps resource.teams",
    ),
    (
        re.compile(r"\b(?:contains_?all|all_?of|is_?subset|all)\s*\(", re.IGNORECASE),
        lambda match: "write resource.labels subset of subject.labels",
    ),
    (
        re.compile(r"\?"),
        lambda match: "there is no choice by `?`; write `a and b or not a and c`",
    ),
)


def better_hint(text: str, offset: int, known_names: Container[str], hint: str) -> str:
    """What to do about a fault at an offset: a hint by the text around it, else the one that is there."""
    word = _WORD.match(text, offset)
    if word is None or "did you mean" in hint:
        return hint_on_other_languages(text, offset) or hint
    return (
        _hint_on_parted_name(text, word, known_names)
        or hint_on_other_languages(text, offset)
        or _hint_on_slip(text, word, hint)
    )


def _hint_on_parted_name(text: str, word: re.Match[str], known_names: Container[str]) -> str | None:
    """A hint where a word and the one beside it are one name with a blank in it, such as `time of_day`."""
    before, after = _WORD_BEFORE.search(text, 0, word.start()), _WORD_AFTER.match(text, word.end())
    pairs = [(before[1], word[0])] if before else []
    pairs += [(word[0], after[1])] if after else []
    for joined in (f"{one}{sign}{other}" for one, other in pairs for sign in ("_", "")):
        if joined in known_names or joined in FUNCTIONS:
            return f'did you mean "{joined}"? A name has no blanks'
    return None


def _hint_on_slip(text: str, word: re.Match[str], hint: str) -> str:
    """The hint, and before it the word of conditions that a word stands for, such as `true` for `ture`."""
    after = _WORD_AFTER.match(text, word.end())
    meant: Collection[str] = ("true", "false")
    if text[word.end() :].lstrip().startswith("("):
        meant = [name for name, function in FUNCTIONS.items() if function.form == "call"]
    elif after and after[1] not in ("and", "or"):
        meant = ("not", "has")
    near = did_you_mean(word[0], meant)
    return f"{near}{hint[:1].upper()}{hint[1:]}" if near and word[0] not in meant else hint


def hint_on_other_languages(text: str, offset: int) -> str | None:
    """What to write here in place of what stands at an offset, when that is known from other languages; else None."""
    for pattern, hint in _HINTS:
        for match in pattern.finditer(text):
            if match.start() <= offset <= match.end():
                return hint(match)
    return None
