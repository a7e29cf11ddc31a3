"""Parsing the text of a condition into its checked tree; every fault has its offset in the text.

    owner_is_self and (resource.status == "published" or not context.locked)

A bare name is a named condition. There are no calls but the two matchers, no arithmetic and no access to anything
but the four roots, so a condition always ends and never fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, cast

from klausel.core.condition import (
    ROOTS,
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Match,
    Matcher,
    Operand,
    Operator,
    Truth,
    negate,
)
from klausel.core.problem import did_you_mean

LONGEST_EXPRESSION = 4_000
DEEPEST_NESTING = 30
MATCHERS = ("matches_glob", "matches_path")
KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false", "null", *ROOTS, *MATCHERS})

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<operator>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.)""",
    re.VERBOSE | re.DOTALL,
)
_INSTEAD = {
    "&&": "write `and`",
    "||": "write `or`",
    "!": "write `not`",
    "=": "write `==`",
    "True": "write `true`",
    "False": "write `false`",
    "None": "write `null`",
    "AND": "write `and`",
    "OR": "write `or`",
    "NOT": "write `not`",
}
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\", "/": "/"}


class ExpressionFault(Exception):
    """What is wrong in the text of a condition: problem id, message, hint, and the offset of the fault in characters."""

    def __init__(self, id_: str, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.id = id_
        self.message = message
        self.hint = hint
        self.offset = offset


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


def parse_condition(text: str, named: Callable[[str], Condition | None], known_names: Mapping[str, object]) -> Condition:
    """The checked tree of a condition's text; raises `ExpressionFault`.

    `named` gives the tree of a named condition, or None when that condition itself is faulty or unknown;
    `known_names` has all their names.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise ExpressionFault(
            "condition-syntax",
            f"the condition has {len(text)} characters, more than {LONGEST_EXPRESSION}",
            "split it into named conditions",
            0,
        )
    return _Parser(text, named, known_names).parse()


class _Parser:
    def __init__(self, text: str, named: Callable[[str], Condition | None], known: Mapping[str, object]) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._named = named
        self._known = known
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._alternatives()
        if self._token.kind != "end":
            self._fail(f"`{self._token.text}` is not expected here", "join conditions with `and` or `or`")
        return condition

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> _Token | None:
        token = self._token
        if token.kind in ("operator", "name") and token.text in texts:
            self._at += 1
            return token
        return None

    def _expect(self, text: str, hint: str) -> None:
        if not self._take(text):
            found = self._token.text or "the end"
            self._fail(f"`{text}` is missing before {f'`{found}`' if self._token.text else found}", hint)

    def _fail(self, message: str, hint: str, offset: int | None = None, id_: str = "condition-syntax") -> NoReturn:
        raise ExpressionFault(id_, message, hint, self._token.offset if offset is None else offset)

    def _alternatives(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST_NESTING:
            self._fail(f"the condition is nested deeper than {DEEPEST_NESTING} levels", "use named conditions")
        parts = [self._conjunction()]
        while self._take("or"):
            parts.append(self._conjunction())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._take("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _negation(self) -> Condition:
        negated = False
        while self._take("not"):
            negated = not negated
        condition = self._primary()
        return negate(condition) if negated else condition

    def _primary(self) -> Condition:
        if self._take("("):
            condition = self._alternatives()
            self._expect(")", "close the bracket")
            return condition
        token = self._token
        if token.kind == "name" and token.text in MATCHERS:
            return self._match()
        if token.kind == "name" and token.text not in KEYWORDS:
            return self._named_condition()
        return self._comparison()

    def _named_condition(self) -> Condition:
        token = self._token
        self._at += 1
        if self._token.text == "." or self._token.text == "[":
            self._fail(
                f'unknown attribute root "{token.text}"',
                f"{did_you_mean(token.text, ROOTS)}Attributes start with subject, resource, action or context",
                token.offset,
                "unknown-attribute-root",
            )
        if self._token.text == "(":
            self._fail(f'unknown function "{token.text}"', "there are matches_glob and matches_path", token.offset)
        if token.text in _INSTEAD:
            self._fail(f"`{token.text}` is not a word of conditions", _INSTEAD[token.text], token.offset)
        condition = self._named(token.text)
        if condition is None:
            if token.text in self._known:
                raise ExpressionFault("condition-faulty", f'condition "{token.text}" has a problem', "", token.offset)
            self._fail(
                f'unknown condition "{token.text}"',
                f"{did_you_mean(token.text, self._known)}Conditions are declared in policies/conditions.yaml; "
                "an attribute starts with subject, resource, action or context, and a text stands in quotes",
                token.offset,
                "unknown-condition",
            )
        return condition

    def _match(self) -> Condition:
        matcher = cast(Matcher, self._token.text)
        self._at += 1
        self._expect("(", f'write {matcher}(resource.name, "pattern")')
        attribute_at = self._token.offset
        attribute = self._operand()
        if not isinstance(attribute, Attribute):
            self._fail("the first argument is not an attribute", f'write {matcher}(resource.name, "a*")', attribute_at)
        self._expect(",", f'write {matcher}({attribute}, "pattern")')
        pattern_at = self._token.offset
        pattern = self._operand()
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            self._fail("the pattern is not a text", f'write {matcher}({attribute}, "pattern")', pattern_at)
        self._expect(")", "close the bracket")
        return Match(matcher, attribute, pattern.value)

    def _comparison(self) -> Condition:
        start = self._token.offset
        left = self._operand()
        operator_at = self._token.offset
        operator = self._comparison_operator()
        if operator is None:
            if isinstance(left, Attribute):
                return Truth(left)
            self._fail(f"`{left}` alone is not a condition", "compare it with an attribute", start)
        right = self._operand()
        self._check_operands(operator, left, right, start, operator_at)
        if self._token.kind == "operator" and self._token.text in ("==", "!=", "<", "<=", ">", ">="):
            self._fail("comparisons do not chain", "join two comparisons with `and`")
        return Comparison(operator, left, right)

    def _comparison_operator(self) -> Operator | None:
        token = self._take("==", "!=", "<", "<=", ">", ">=", "in")
        if token:
            return cast(Operator, token.text)
        if self._token.text == "not" and self._token.kind == "name":
            self._at += 1
            self._expect("in", "write `not in`")
            return "not in"
        return None

    def _check_operands(self, operator: Operator, left: Operand, right: Operand, start: int, operator_at: int) -> None:
        if not isinstance(left, Attribute) and not isinstance(right, Attribute):
            self._fail("the comparison has no attribute, so it is always the same", "compare an attribute", start)
        if isinstance(left, ListOf):
            self._fail("a list stands on the left", 'write `resource.role in ["a", "b"]`', start)
        if operator in ("in", "not in"):
            if isinstance(right, Literal):
                self._fail(f"`{operator}` needs a list on its right", 'write `in ["a", "b"]` or an attribute', operator_at)
            return
        if isinstance(right, ListOf):
            self._fail(f"`{operator}` cannot compare with a list", "use `in` or `not in`", operator_at)
        for operand in (left, right):
            if operator not in ("==", "!=") and isinstance(operand, Literal) and isinstance(operand.value, bool):
                self._fail(f"`{operator}` cannot order true and false", "use `==` or `!=`", operator_at)

    def _operand(self) -> Operand:
        token = self._token
        if token.kind == "name" and token.text in ROOTS:
            return self._attribute()
        if token.text == "[" and token.kind == "operator":
            return self._list()
        return self._literal()

    def _list(self) -> ListOf:
        start = self._token.offset
        self._at += 1
        items: list[Literal] = []
        while not self._take("]"):
            if items:
                self._expect(",", "separate the values of a list with commas")
            items.append(self._literal())
        if not items:
            self._fail("the list is empty", "name the values", start)
        return ListOf(tuple(items))

    def _literal(self) -> Literal:
        token = self._token
        self._at += 1
        if token.kind == "string":
            return Literal(_unquoted(token))
        if token.kind == "number":
            number = int(token.text) if re.fullmatch(r"-?\d{1,300}", token.text) else float(token.text)
            if number in (float("inf"), float("-inf")):
                self._fail(f"the number `{token.text}` is too large", "use a smaller one", token.offset)
            return Literal(number)
        if token.kind == "name" and token.text in ("true", "false"):
            return Literal(token.text == "true")
        if token.text == "null" and token.kind == "name":
            self._fail(
                "a comparison with null is never true",
                "a missing or null attribute already makes an allow not hold and a deny hold",
                token.offset,
            )
        if token.kind == "end":
            self._fail("the condition ends where a value is expected", "complete it", token.offset)
        hint = _INSTEAD.get(token.text, "a value is an attribute, a text in quotes, a number, true or false")
        if token.kind == "name" and token.text not in KEYWORDS and token.text not in _INSTEAD:
            if self._token.text in (".", "["):
                hint = f"{did_you_mean(token.text, ROOTS)}Attributes start with subject, resource, action or context"
                self._fail(f'unknown attribute root "{token.text}"', hint, token.offset, "unknown-attribute-root")
            hint = f'a text stands in quotes: "{token.text}"'
        self._fail(f"`{token.text}` is not a value", hint, token.offset)

    def _attribute(self) -> Attribute:
        root = self._token
        self._at += 1
        path: list[str] = []
        while True:
            if self._take("."):
                token = self._token
                if token.kind != "name":
                    self._fail("a name is missing after the dot", f"write {root.text}.name")
                self._at += 1
                path.append(token.text)
            elif self._token.text == "[" and self._token.kind == "operator":
                self._at += 1
                token = self._token
                if token.kind != "string":
                    self._fail("a name in quotes is missing in the brackets", f'write {root.text}["name"]')
                self._at += 1
                path.append(_unquoted(token))
                self._expect("]", "close the bracket")
            else:
                break
            if path == ["properties"] and root.text != "context":
                rest = f"{root.text}.name"
                self._fail(f"`{root.text}.properties` is not needed", f"write {rest}", token.offset)
        if not path:
            self._fail(f"`{root.text}` alone is not a value", f"name an attribute of it: {root.text}.name", root.offset)
        return Attribute(root.text, tuple(path))


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            wrong = next((sign for sign in ("&&", "||", "=", "!") if text.startswith(sign, at)), text[at])
            if wrong in ("'", '"'):
                raise ExpressionFault("condition-syntax", "a text is not closed", f"end it with {wrong}", at)
            hint = _INSTEAD.get(wrong, "remove it")
            raise ExpressionFault("condition-syntax", f"`{wrong}` has no meaning in conditions", hint, at)
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup or "", match.group(), at))
        at = match.end()
    return [*tokens, _Token("end", "", len(text))]


def _unquoted(token: _Token) -> str:
    def unescape(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise ExpressionFault(
                "condition-syntax",
                f"`{match[0]}` is not an escape in a text",
                "write a backslash as `\\\\`",
                token.offset + 1 + match.start(),
            )
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", unescape, token.text[1:-1], flags=re.DOTALL)
