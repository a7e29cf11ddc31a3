"""The one canonical form of a YAML file of a policy set; what it says, and every comment, stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import (
    Entries,
    Flag,
    Free,
    ListOf,
    OneOrMore,
    OneText,
    Table,
    Texts,
    TextsOrEntries,
    TypeOfProperty,
    Value,
)
from klausel.core.loading.json_values import is_text_without_quotes
from klausel.core.terms.problem import SWITCH_OFF_MARK, FormatLossError, PolicyError, Problem
from klausel.core.text.yaml_comments import BLANK, Entry, Written, comments_in, read_with_comments
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text, read_yaml
from klausel.core.text.yaml_scalars import NULLS, fold, literal, write_text

WIDTH = 120
_STEP = 2
_SCHEMA_COMMENT = "# yaml-language-server:"
_Blanks = Literal["none", "kept", "between"]


def format_yaml(text: str, shape: Table | Entries, file: str) -> str:
    """The canonical form of a YAML file that holds a value of this shape.

    Raises `PolicyError` with the problems of a file that cannot be read or has keys or values that do not belong there,
    and `FormatLossError` rather than give a text that says anything else.
    """
    text = text.replace("\r\n", "\n")
    before = _read(text, shape, file)
    written = read_with_comments(text)
    if written is None or not written.entries:
        return text
    result = "\n".join([*_file(written, shape), ""])
    after, problems = _sound(result, file)
    if after is None or problems or _meaning(after, shape) != _meaning(before, shape):
        raise FormatLossError("its canonical form would not say the same")
    lost = Counter(comments_in(text)) - Counter(comments_in(result))
    if lost:
        raise FormatLossError(f"its canonical form would lose the comment {next(iter(lost))!r}")
    return result


def with_entries(
    text: str, path: Sequence[str], entries: Iterable[tuple[str, str]], shape: Table | Entries, file: str
) -> str:
    """The canonical form of a file in which the mapping under a path of keys has further entries, given as YAML.

    All but the last key of the path are there. Raises as `format_yaml` does.
    """
    text = format_yaml(text, shape, file)
    added = read_with_comments("".join(f"{path[-1]}:\n" + "".join(f"  {key}: {value}\n" for key, value in entries)))
    root = holder = read_with_comments(text)
    assert root is not None and holder is not None and added is not None
    for key in path[:-1]:
        holder = next(entry.value for entry in holder.entries if entry.key == key)
    found = next((entry for entry in holder.entries if entry.key == path[-1]), None)
    if found is None:
        holder.entries.append(added.entries[0])
    elif _is_null(found.value):
        found.value = added.entries[0].value
    else:
        found.value.entries += added.entries[0].value.entries
    result = "\n".join([*_file(root, shape), ""])
    lost = Counter(comments_in(text)) - Counter(comments_in(result))
    if lost:
        raise FormatLossError(f"its new form would lose the comment {next(iter(lost))!r}")
    return format_yaml(result, shape, file)


def _read(text: str, shape: Table | Entries, file: str) -> Fields:
    root, found = _sound(text, file)
    problems = ProblemList()
    if root is not None:
        _check(root, shape, "the file", problems)
    if root is None or found or problems.found:
        raise PolicyError([*found, *problems.found])
    return root


def _sound(text: str, file: str) -> tuple[Fields | None, list[Problem]]:
    """What a file holds, with the errors alone: no form of a text is wrong because of a warning."""
    root, found = read_yaml(text, file)
    return root, [problem for problem in found if problem.severity == "error"]


def _check(node: Node, shape: Value, what: str, problems: ProblemList) -> None:
    """Reports keys and kinds of values that do not belong there."""
    match shape:
        case OneOrMore():
            for item in node.values if isinstance(node, Items) else (node,):
                _check(item, shape.table if isinstance(item, Fields) else shape.text, what, problems)
        case OneText() | Flag():
            problems.text(node, what)
        case Texts(_, may_be_empty):
            if not (may_be_empty and isinstance(node, Items) and not node.values):
                problems.texts(node, what)
        case TextsOrEntries():
            _check(node, shape.entries if isinstance(node, Fields) else shape.texts, what, problems)
        case ListOf():
            for item in problems.items(node, what):
                _check(item, _shape_of_item(shape, item), what, problems)
        case Entries():
            for key, value in problems.entries(node, what):
                _check(value, shape.value, key.value, problems)
        case Table():
            fields = problems.fields(node, shape.what if what == "the file" else what)
            if fields is not None and not shape.is_open:
                problems.check_keys(fields, shape.names, shape.what)
            for key, value in fields.entries if fields is not None else ():
                _check(value, _shape_of_key(shape, key.value), key.value, problems)


def _meaning(node: Node, shape: Value) -> object:
    """What a value says to the loader: without places, without the order of keys where that says nothing."""
    if isinstance(node, Text):
        is_value = isinstance(shape, Free | TypeOfProperty) and not (node.is_quoted or is_text_without_quotes(node.value))
        return ("value" if is_value else "text", node.value)
    if isinstance(node, Items):
        return [_meaning(item, _shape_of_item(shape, item)) for item in node.values]
    shape = _resolved(shape)
    entries = [(key.value, _meaning(value, _shape_of_key(shape, key.value))) for key, value in node.entries]
    return dict(entries) if isinstance(shape, Table) else entries


def _shape_of_item(shape: Value, item: Node | Written) -> Value:
    if isinstance(shape, ListOf):
        is_mapping = isinstance(item, Fields) or (isinstance(item, Written) and item.kind == "mapping")
        tables = [kind for kind in shape.kinds if isinstance(kind, Table)]
        return tables[0] if tables and (is_mapping or len(shape.kinds) == 1) else shape.kinds[0]
    if isinstance(shape, OneOrMore):
        return shape
    return shape if isinstance(shape, Free | TypeOfProperty) else OneText()


def _resolved(shape: Value) -> Value:
    """The shape of a mapping where one of this shape stands."""
    if isinstance(shape, TextsOrEntries):
        return shape.entries
    return shape.table if isinstance(shape, OneOrMore) else shape


def _shape_of_key(shape: Value, key: str | None) -> Value:
    shape = _resolved(shape)
    if isinstance(shape, Table) and key is not None:
        known = shape.key(key)
        return known.value if known is not None else Free()
    return shape.value if isinstance(shape, Entries) else shape if isinstance(shape, TypeOfProperty) else Free()


def _file(root: Written, shape: Table | Entries) -> Iterator[str]:
    """The lines of the file; what stands on top of it stays there, whichever key comes first."""
    first = root.entries[0]
    comments = _without_blanks_above(first.before)
    length = 0
    if BLANK in comments:
        length = len(comments) - comments[::-1].index(BLANK)
    elif comments and comments[0].startswith(_SCHEMA_COMMENT):
        length = 1
    yield from comments[:length]
    first.before = comments[length:]
    above, lines = _block(root, shape, 0, "between" if isinstance(shape, Table) else "kept")
    yield from above
    yield from lines


def _block(value: Written, shape: Value, indent: int, blanks: _Blanks) -> tuple[list[str], list[str]]:
    """The comments above the first entry of a list or mapping, and all lines that follow."""
    margin = " " * indent
    lines: list[str] = []
    first: list[str] = []
    for number, entry in enumerate(_in_order(value, shape)):
        comments, own = _entry(entry, shape, indent)
        has_blank = comments[:1] == [BLANK]
        comments = [one for one in _without_blanks_above(comments) if one != BLANK or blanks != "none"]
        if number == 0:
            first = comments
        else:
            is_apart = blanks == "between" or (blanks == "kept" and has_blank)
            lines += [BLANK] * is_apart + [margin + one if one else BLANK for one in comments]
        lines += own
    lines += [margin + one if one else BLANK for one in value.behind if one != BLANK or blanks != "none"]
    return first, lines


def _in_order(value: Written, shape: Value) -> list[Entry]:
    """The entries in their usual order; in lists, and where people choose the names, in that of the file."""
    shape = _resolved(shape) if value.kind == "mapping" else shape
    if not isinstance(shape, Table):
        return value.entries
    names = [*shape.names]
    return sorted(value.entries, key=lambda entry: names.index(entry.key) if entry.key in names else len(names))


def _without_blanks_above(comments: list[str]) -> list[str]:
    start = next((number for number, comment in enumerate(comments) if comment != BLANK), len(comments))
    return comments[start:]


def _entry(entry: Entry, holder: Value, indent: int) -> tuple[list[str], list[str]]:
    """The comments above an entry, and its lines, with a comment beside the first of them."""
    value = entry.value
    shape = _shape_of_item(holder, value) if entry.key is None else _shape_of_key(holder, entry.key)
    start = " " * indent + ("-" if entry.key is None else write_text(entry.key, is_flow=False, is_key=True) + ":")
    comments = [*entry.before, *entry.beside[1:]]
    beside = "".join(f"  {comment}" for comment in entry.beside[:1])
    lines = _lines_of_text(value, shape, start, indent) if value.kind == "text" else _in_brackets(value, shape, start)
    if lines:
        return comments, [lines[0] + beside, *lines[1:]]
    switch_offs = _moved_switch_offs(value, shape) if entry.key is None else []
    above, lines = _block(value, shape, indent + _STEP, _blanks_in(shape))
    margin = " " * (indent + _STEP)
    if entry.key is not None:
        return comments, [start + beside, *(margin + one if one else BLANK for one in above), *lines]
    above = [*entry.beside[:1], *(comment for comment in above if comment != BLANK)]
    return [*comments, *above, *switch_offs], [f"{start} {lines[0][len(margin) :]}", *lines[1:]]


def _moved_switch_offs(value: Written, shape: Value) -> list[str]:
    """The comments that switch off a warning about an item, from behind its first line, which will not be the first."""
    first = value.entries[0]
    if first is _in_order(value, shape)[0]:
        return []
    found = [comment for comment in first.beside if comment.lstrip("# \t").startswith(SWITCH_OFF_MARK)]
    first.beside = [comment for comment in first.beside if comment not in found]
    return found


def _blanks_in(shape: Value) -> _Blanks:
    """Where empty lines stand: between grants, invariants and tests; as people put them between named things."""
    if isinstance(shape, ListOf) and shape.exactly is None:
        return "between"
    return "kept" if isinstance(shape, Entries) and isinstance(shape.value, Table) else "none"


def _lines_of_text(value: Written, shape: Value, start: str, indent: int) -> list[str]:
    if _is_null(value):
        return [start]
    margin = " " * (indent + _STEP)
    block = literal(value.text)
    if block is not None:
        sign, lines = block
        return [f"{start} {sign}", *(margin + line if line else BLANK for line in lines)]
    line = f"{start} {_text(value, shape, is_flow=False)}"
    folded = fold(value.text, WIDTH - len(margin)) if len(line) > WIDTH else None
    return [line] if folded is None else [f"{start} >-", *(margin + one for one in folded)]


def _is_null(value: Written) -> bool:
    """Whether nothing is written, or a word for nothing."""
    return value.kind == "text" and not value.is_quoted and value.text in NULLS


def _text(value: Written, shape: Value, is_flow: bool) -> str:
    is_quoted = isinstance(shape, Free | TypeOfProperty) and value.is_quoted and not is_text_without_quotes(value.text)
    return write_text(value.text, is_flow, is_quoted=is_quoted)


def _in_brackets(value: Written, shape: Value, start: str) -> list[str]:
    """A list or mapping on one line, where it is short; no line otherwise."""
    if not _is_short(value, shape):
        return []
    line = f"{start} {_flow(value, shape)}"
    return [line] if len(line) <= WIDTH or not value.entries else []


def _is_short(value: Written, shape: Value) -> bool:
    """Whether a value may stand in brackets, where these fit into the line."""
    if value.kind == "text" or not value.entries:
        return True
    is_made_for_it = isinstance(shape, Free | Texts | OneOrMore | TextsOrEntries | TypeOfProperty) or (
        isinstance(shape, Entries | Table) and shape.is_short
    )
    if isinstance(shape, ListOf):
        is_made_for_it = all(entry.value.kind == "text" and not _is_null(entry.value) for entry in value.entries)
    return is_made_for_it and not value.has_comments and all(_is_short(*pair) for pair in _inner(value, shape))


def _inner(value: Written, shape: Value) -> Iterator[tuple[Written, Value]]:
    for entry in value.entries:
        inner = _shape_of_item(shape, entry.value) if value.kind == "list" else _shape_of_key(shape, entry.key)
        yield entry.value, inner


def _flow(value: Written, shape: Value) -> str:
    if value.kind == "text":
        return "null" if _is_null(value) else _text(value, shape, is_flow=True)
    if value.kind == "list":
        return f"[{', '.join(_flow(*pair) for pair in _inner(value, shape))}]"
    entries = _in_order(value, shape)
    keys = [write_text(entry.key or "", is_flow=True, is_key=True) for entry in entries]
    values = [_flow(entry.value, _shape_of_key(shape, entry.key)) for entry in entries]
    return "{" + ", ".join(f"{key}: {text}" for key, text in zip(keys, values, strict=True)) + "}"
