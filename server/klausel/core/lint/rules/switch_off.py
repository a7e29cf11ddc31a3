"""switch-off: a comment that should switch off a warning, and does not.

A warning that is meant is switched off where it stands, with the reason: behind the line that it is about, or on a line of its
own above.

    - allow: lead  # klausel: off covered-grant because the audit wants it said

Several ids are parted by commas. `in this file` switches a rule off in the whole file, wherever the comment stands:

    # klausel: off similar-names in this file because these are the names of the laws

Reported are: a comment that starts with `klausel:` and is not of this form, an id that no warning has, and a comment that
switches off nothing, because what it was about is fixed. Errors cannot be switched off.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from klausel.core.terms.problem import SWITCH_OFF_MARK, Place, Problem, did_you_mean

ID = "switch-off"
_COMMENT = re.compile(r"#[ \t]*klausel:[ \t]*(.*)")
_FORM = re.compile(r"off[ \t]+([\w-]+(?:[ \t]*,[ \t]*[\w-]+)*)([ \t]+in this file)?[ \t]+because[ \t]+\S")
_HINT = "write: klausel: off <id> because <reason>"
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """One comment: where it stands, the ids that it names, and the line that it is about; None for the whole file."""

    place: Place
    ids: tuple[str, ...]
    line: int | None


def switch_offs(files: Mapping[str, str]) -> tuple[list[SwitchOff], list[Problem]]:
    """The comments that switch off warnings in texts of files by name, and a warning for each that is not of their form."""
    found: list[SwitchOff] = []
    problems: list[Problem] = []
    for file, text in files.items():
        if SWITCH_OFF_MARK not in text:
            continue
        lines = text.split("\n")
        for line, column in _comments(file, text):
            place = Place(file, line, column)
            said = _COMMENT.match(lines[line - 1][column - 1 :].rstrip())
            form = _FORM.match(said[1]) if said else None
            if form is None:
                problems.append(
                    Problem(place, ID, "this comment is not of the form that switches off a warning", _HINT, "warning")
                )
                continue
            ids = tuple(dict.fromkeys(re.split(r"[ \t]*,[ \t]*", form[1])))
            about = None if form[2] else _line_about(lines, line, column)
            found.append(SwitchOff(place, ids, about))
    return found, problems


def without_switched_off(
    problems: Iterable[Problem], files: Mapping[str, str], known: Collection[str] | None = None
) -> list[Problem]:
    """The problems but the warnings that comments switch off, sorted.

    With `known`, the ids that warnings can have, also a warning for each comment that switches off nothing.
    """
    comments, faulty = switch_offs(files)
    meant: dict[tuple[str, str, int | None], list[tuple[SwitchOff, str]]] = {}
    for comment in comments:
        for id_ in comment.ids:
            meant.setdefault((comment.place.file, id_, comment.line), []).append((comment, id_))
    left = []
    used: set[tuple[SwitchOff, str]] = set()
    for problem in problems:
        keys = [(problem.place.file, problem.id, line) for line in (problem.place.line, None)]
        hits = [hit for key in keys for hit in meant.get(key, ())] if problem.severity == "warning" else []
        used.update(hits)
        if not hits:
            left.append(problem)
    if known is not None:
        left += [*faulty, *_needless(comments, used, known)]
    return sorted(left)


def _needless(comments: Iterable[SwitchOff], used: set[tuple[SwitchOff, str]], known: Collection[str]) -> Iterator[Problem]:
    for comment in comments:
        for id_ in comment.ids:
            if id_ not in known:
                hint = f"{did_you_mean(id_, known)}Warnings are {', '.join(sorted(known))}"
                message = f'no warning has the id "{id_}", so this switches off nothing'
                yield Problem(comment.place, ID, message, hint[:1].lower() + hint[1:], "warning")
            elif (comment, id_) not in used:
                where = "in this file" if comment.line is None else f"on line {comment.line}"
                message = f"there is no {id_} {where} to switch off"
                yield Problem(
                    comment.place, ID, message, "remove the comment, or put it behind the line or right above it", "warning"
                )


def _line_about(lines: list[str], line: int, column: int) -> int:
    """The line of the comment; where it stands alone, the next that is neither empty nor a comment."""
    if lines[line - 1][: column - 1].strip():
        return line
    following = (number for number in range(line + 1, len(lines) + 1) if not _says_nothing(lines[number - 1]))
    return next(following, line)


def _says_nothing(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _comments(file: str, text: str) -> Iterator[tuple[int, int]]:
    """The line and column of each comment that starts with the mark; `#` inside values is none."""
    values = _in_csv_values(text) if file.endswith(".csv") else _in_yaml_values(text)
    starts = [start for start, _ in values]
    line, counted = 1, 0
    for match in _COMMENT.finditer(text):
        at = match.start()
        before = bisect_right(starts, at) - 1
        if (at == 0 or text[at - 1] in " \t\n") and (before < 0 or at >= values[before][1]):
            line += text.count("\n", counted, at)
            counted = at
            yield line, at - text.rfind("\n", 0, at)


def _in_yaml_values(text: str) -> list[tuple[int, int]]:
    """Where the values stand, as offsets; everything from a fault on, so that nothing there is taken for a comment."""
    spans = []
    end = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.ScalarEvent) and event.start_mark and event.end_mark:
                end = event.end_mark.index
                spans.append((event.start_mark.index, end))
    except yaml.YAMLError:
        spans.append((end, len(text)))
    return spans


def _in_csv_values(text: str) -> list[tuple[int, int]]:
    """The lines that are no comment, as offsets: comments stand on lines of their own."""
    spans = []
    start = 0
    is_open = False
    for line in text.split("\n"):
        if is_open or not line.lstrip().startswith("#"):
            is_open ^= line.count('"') % 2 == 1
            spans.append((start, start + len(line) + 1))
        start += len(line) + 1
    return spans
