"""Parsing the text of a condition into its checked tree; every fault has its offset in the text.

    owner_is_self and (resource.status == "published" or not context.locked)

A bare name is a named condition. There are no calls but the functions of the table, no arithmetic and no access to anything
but the four roots, so a condition always ends and never fails. A function's name is one only where it is called, so that
conditions may have such names, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NoReturn, cast

from klausel.core.conditions.functions import FUNCTIONS, Function
from klausel.core.conditions.kinds import (
    ORDERED_TEXTS,
    Fault,
    fault_in_argument,
    fault_in_comparison,
    read_as,
)
from klausel.core.conditions.tokens import (
    INSTEAD,
    ExpressionFault,
    Token,
    hint_on_word,
    number_of,
    refuse_minus_in_names,
    tokens,
    unquoted,
    with_root,
)
from klausel.core.conditions.tree import (
    CONTEXT_NOW,
    OWN_ATTRIBUTES,
    ROOTS,
    AllOf,
    AnyOf,
    Attribute,
    Call,
    Comparison,
    Computed,
    Condition,
    ListOf,
    Literal,
    Operand,
    Operator,
    Truth,
    atoms,
    kind_of_operand,
    negate,
)
from klausel.core.conditions.values import Scalar
from klausel.core.terms.problem import Suggestions, did_you_mean

LONGEST_EXPRESSION = 4_000
DEEPEST_NESTING = 30
MOST_COMPARISONS = 1_000
CONDITION_FAULTY = "condition-faulty"
"""The id of a fault that is another condition's, which has its own problem; it is not reported."""
KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false", "null", *ROOTS, "matches_glob", "matches_path"})
"""The words that cannot name a condition."""

_NO_ARITHMETIC = "conditions do not calculate; `-` is only for what lies between two times"
_SIGNS = ("==", "!=", "<", "<=", ">", ">=")


def _words_between() -> list[str]:
    """What stands between two values and is written as a word."""
    return [name for name, function in FUNCTIONS.items() if function.form == "between" and name[0].isalpha()]


def parse_condition(
    text: str,
    named: Callable[[str], Condition | None],
    known_names: Mapping[str, object],
    suggestions: Suggestions | None = None,
) -> Condition:
    """The checked tree of a condition's text; raises `ExpressionFault`.

    `named` gives the tree of a named condition, or None when that condition itself is faulty or unknown;
    `known_names` has all their names, among which `suggestions` look for one that was meant.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise ExpressionFault(
            "condition-syntax",
            f"the condition has {len(text)} characters, more than {LONGEST_EXPRESSION}",
            "split it into named conditions",
            0,
        )
    with _better_hints(text, known_names):
        return _Parser(text, named, known_names, suggestions).parse()


def named_conditions_in(text: str, known_names: Mapping[str, object]) -> dict[str, int]:
    """The named conditions that a text uses, each with the offset of its first use; raises `ExpressionFault`.

    Checks all of the text but how large it becomes with the conditions that it uses.
    """
    stand_in = Truth(Attribute("context", ("stand_in",)))
    if len(text) > LONGEST_EXPRESSION:
        parse_condition(text, lambda name: stand_in, known_names)
    with _better_hints(text, known_names):
        parser = _Parser(text, lambda name: stand_in if name in known_names else None, known_names)
        parser.parse()
    return parser.used


@contextmanager
def _better_hints(text: str, known_names: Mapping[str, object]) -> Iterator[None]:
    try:
        yield
    except ExpressionFault as fault:
        from klausel.core.conditions.other_languages import better_hint  # compiles many patterns

        fault.hint = better_hint(text, fault.offset, known_names, fault.hint)
        raise


def _flat(kind: type[AllOf] | type[AnyOf], parts: list[Condition]) -> Condition:
    """One condition of all parts; a part of the same kind gives its own, so that brackets without effect leave no trace."""
    if len(parts) == 1:
        return parts[0]
    return kind(tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))))


def _depth(condition: Condition) -> int:
    return 1 + max(map(_depth, condition.parts)) if isinstance(condition, AllOf | AnyOf) else 1


class _Parser:
    def __init__(
        self,
        text: str,
        named: Callable[[str], Condition | None],
        known: Mapping[str, object],
        suggestions: Suggestions | None = None,
    ) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self._named = named
        self._known = known
        self._suggestions = suggestions or Suggestions()
        self._depth = 0
        self._comparisons = 0
        self.used: dict[str, int] = {}

    def parse(self) -> Condition:
        refuse_minus_in_names(self._tokens, self._known)
        condition = self._alternatives()
        if self._token.kind != "end":
            near = did_you_mean(self._token.text, _words_between()) if self._token.kind == "name" else ""
            hint = INSTEAD.get(self._token.text, f"{near}{'J' if near else 'j'}oin conditions with `and` or `or`")
            if self._token.text in ("==", "!=", "<", "<=", ">", ">=", "in"):
                hint = "brackets and named conditions are true or false already; compare attributes, without brackets"
            self._fail(f"`{self._token.text}` is not expected here", hint)
        if _depth(condition) > DEEPEST_NESTING:
            message = f"the condition, with those that it uses, is nested deeper than {DEEPEST_NESTING} levels"
            self._fail(message, "make it simpler", 0)
        return condition

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> Token | None:
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
        return _flat(AnyOf, parts)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._take("and"):
            parts.append(self._negation())
        return _flat(AllOf, parts)

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
        called = self._called("truth")
        if called is not None:
            return self._counted(self._call(called), token)
        prefix = FUNCTIONS.get(token.text) if token.kind == "name" else None
        if prefix is not None and prefix.form == "before" and self._starts_an_operand(self._tokens[self._at + 1]):
            return self._counted(self._prefixed(prefix), token)
        is_named = token.kind == "name" and token.text not in KEYWORDS and self._called("value") is None
        return self._counted(self._named_condition() if is_named else self._comparison(), token)

    def _called(self, gives: str) -> Function | None:
        """The function that is called here, if it gives a truth, or a value; None where there is none."""
        token = self._token
        function = FUNCTIONS.get(token.text)
        if token.kind != "name" or self._tokens[self._at + 1].text != "(":
            if function is not None and function.form == "call" and token.text in KEYWORDS:
                self._at += 1
                self._expect("(", f"write {function.example}")
            return None
        if function is None or function.form != "call" or (function.gives == "truth") != (gives == "truth"):
            return None
        return function

    def _starts_an_operand(self, token: Token) -> bool:
        return token.kind in ("string", "number") or (
            token.kind == "name" and token.text in (*ROOTS, "true", "false", "null")
        )

    def _counted(self, condition: Condition, token: Token) -> Condition:
        """The same condition; a fault when the whole, with what it uses, grows too large."""
        for _ in atoms(condition):
            self._comparisons += 1
            if self._comparisons > MOST_COMPARISONS:
                message = f"the condition, with those that it uses, has more than {MOST_COMPARISONS} comparisons"
                self._fail(message, "make it simpler", token.offset)
        return condition

    def _named_condition(self) -> Condition:
        token = self._token
        self._at += 1
        if self._token.text in (".", "["):
            self._refuse_root(token)
        if self._token.text == "(":
            known = [name for name, function in FUNCTIONS.items() if function.form == "call"]
            hint = f"{did_you_mean(token.text, known)}There are {', '.join(known[:-1])} and {known[-1]}"
            if token.text in FUNCTIONS:
                hint = f"write {FUNCTIONS[token.text].example}"
            self._fail(f'unknown function "{token.text}"', hint, token.offset)
        if token.text in INSTEAD and token.text not in self._known:
            self._fail(f"`{token.text}` is not a word of conditions", INSTEAD[token.text], token.offset)
        self.used.setdefault(token.text, token.offset)
        condition = self._named(token.text)
        if condition is None:
            if token.text in self._known:
                raise ExpressionFault(CONDITION_FAULTY, f'condition "{token.text}" has a problem', "", token.offset)
            near = self._suggestions.nearest(token.text, self._known)
            # What is compared is an attribute, whatever condition is called so.
            meant = f'did you mean "{near}"? ' if near and FUNCTIONS.get(self._token.text) is None else ""
            self._fail(
                f'unknown condition "{token.text}"',
                f"{meant}Conditions are declared in policies/conditions.yaml; an attribute starts with subject, resource, "
                f"action or context, as in {with_root(token.text)}, and a text stands in quotes",
                token.offset,
                "unknown-condition",
            )
        return condition

    def _refuse_root(self, token: Token) -> NoReturn:
        near = did_you_mean(token.text, ROOTS)
        hint = f"{near}Attributes start with subject, resource, action or context"
        if not near and self._token.text == ".":
            hint += f"; what is asked about is called resource here: resource.{self._tokens[self._at + 1].text or 'name'}"
        self._fail(f'unknown attribute root "{token.text}"', hint, token.offset, "unknown-attribute-root")

    def _call(self, function: Function) -> Condition:
        start = self._token.offset
        return self._atom(function, self._arguments(function), start)

    def _prefixed(self, function: Function) -> Condition:
        start = self._token.offset
        self._at += 1
        at = self._token.offset
        return self._atom(function, self._checked(function, [(self._operand(), at)]), start)

    def _atom(self, function: Function, arguments: tuple[Operand, ...], start: int) -> Condition:
        if not any(isinstance(argument, Attribute | Computed) for argument in arguments):
            self._fail(f"`{function.name}` has no attribute, so it is always the same", f"write {function.example}", start)
        return Call(function.name, arguments)

    def _arguments(self, function: Function) -> tuple[Operand, ...]:
        """What stands in the brackets behind the name of a function, as many as it takes, each of a kind that it takes."""
        hint = f"write {function.example}"
        self._at += 1
        self._expect("(", hint)
        found: list[tuple[Operand, int]] = []
        for _ in function.parameters:
            if found:
                self._expect(",", hint)
            at = self._token.offset
            found.append((self._operand(), at))
        self._expect(")", "close the bracket" if self._token.text != "," else hint)
        return self._checked(function, found)

    def _checked(self, function: Function, found: list[tuple[Operand, int]]) -> tuple[Operand, ...]:
        arguments: list[Operand] = []
        for parameter, (argument, at) in zip(function.parameters, found, strict=True):
            argument = read_as(parameter.kinds[0], argument) if len(parameter.kinds) == 1 else argument
            self._raise(fault_in_argument(function, parameter, argument), at)
            arguments.append(argument)
        return tuple(arguments)

    def _raise(self, fault: Fault | None, offset: int) -> None:
        if fault is not None:
            self._fail(fault.message, fault.hint, offset, fault.id)

    def _comparison(self) -> Condition:
        start = self._token.offset
        left = self._operand()
        operator_at = self._token.offset
        function = self._function_between()
        if function is None:
            if isinstance(left, Attribute) and left != CONTEXT_NOW:
                return Truth(left)
            is_truth = left in (Literal(True), Literal(False))
            hint = "compare it with an attribute" + ("; what holds always has no condition" if is_truth else "")
            self._fail(f"`{left}` alone is not a condition", hint, start)
        right_at = self._token.offset
        right = self._operand()
        if function.turned is not None:
            if isinstance(right, ListOf):
                hint = f"write {right} subset of {left}, or {right} overlaps {left}"
                self._fail(f"`{function.name}` looks for one value", hint, right_at)
            function, left, right = FUNCTIONS[function.turned], right, left
        if function.opposite is None:
            return self._atom(function, self._checked(function, [(left, start), (right, right_at)]), start)
        left, right = self._typed(cast(Operator, function.name), left, right, start, operator_at)
        if self._token.kind == "operator" and self._token.text in _SIGNS:
            self._fail("comparisons do not chain", "join two comparisons with `and`")
        return Comparison(cast(Operator, function.name), left, right)

    def _function_between(self) -> Function | None:
        """What compares, where one stands here; some are of two words."""
        if self._token.kind not in ("operator", "name"):
            return None
        if self._token.text == "not" and self._token.kind == "name":
            self._at += 1
            if (word := self._token.text) != "in" and any(name.split()[0] == word for name in _words_between()):
                self._fail(f"`not` does not stand before `{word}`", f"write it in front: not … {word} …")
            self._expect("in", "write `not in`")
            return FUNCTIONS["not in"]
        for function in FUNCTIONS.values():
            words = function.name.split()
            tokens = self._tokens[self._at : self._at + len(words)]
            is_written = [token.text for token in tokens] == words
            if is_written and function.form == "between" and function.gives == "truth":
                self._at += len(words)
                return function
        return None

    def _typed(
        self, operator: Operator, left: Operand, right: Operand, start: int, operator_at: int
    ) -> tuple[Operand, Operand]:
        """The two sides of a comparison, read as times where the other is one; a fault where they cannot be compared."""
        if not isinstance(left, Attribute | Computed) and not isinstance(right, Attribute | Computed):
            self._fail("the comparison has no attribute, so it is always the same", "compare an attribute", start)
        if isinstance(left, ListOf):
            self._fail("a list stands on the left", 'write `resource.role in ["a", "b"]`', start)
        fault, left, right = fault_in_comparison(operator, left, right)
        self._raise(fault, start if fault is not None and fault.id == ORDERED_TEXTS else operator_at)
        return left, right

    def _operand(self) -> Operand:
        start = self._token.offset
        left = self._single_operand()
        minus = FUNCTIONS["-"]
        if self._take(minus.name):
            self._check_no_name_with_minus(left, start)
            right_at = self._token.offset
            right = self._single_operand()
            for side, at in ((left, start), (right, right_at)):
                if not isinstance(side, Attribute | Computed) and not isinstance(getattr(side, "value", None), datetime):
                    is_duration = kind_of_operand(side) == "duration"
                    hint = "write context.now - resource.created < days(30), or the like" if is_duration else _NO_ARITHMETIC
                    self._fail(f"`{side}` is no time", hint, at)
            if isinstance(left, Literal) and isinstance(right, Literal):
                self._fail("the difference has no attribute, so it is always the same", "write days(30)", start)
            return Computed(minus.name, self._checked(minus, [(left, start), (right, right_at)]))
        if self._token.kind == "number" and self._token.text.startswith("-") and not isinstance(left, ListOf):
            self._fail(f"`{self._token.text}` is not expected here", _NO_ARITHMETIC)
        return left

    def _check_no_name_with_minus(self, left: Operand, start: int) -> None:
        """Refuses `resource.soft-delete`, which would take `delete` for a value."""
        is_operand = self._token.text in ROOTS or self._called("value") is not None or self._token.kind != "name"
        if isinstance(left, Attribute) and str(left) != "context.now" and not is_operand:
            holder = Attribute(left.root, (*left.path[:-1], f"{left.path[-1]}-{self._token.text}"))
            self._fail(f"`-` stands in a name: `{left}-{self._token.text}`", f"write {holder}", start)

    def _single_operand(self) -> Operand:
        token = self._token
        if token.kind == "name" and token.text in ROOTS:
            return self._attribute()
        if token.text == "[" and token.kind == "operator":
            return self._list()
        return self._value()

    def _value(self) -> Literal | Computed:
        """A value that is written, or computed from others."""
        function = self._called("value")
        if function is None:
            return self._literal()
        arguments = self._arguments(function)
        if all(isinstance(argument, Literal) for argument in arguments):
            return Literal(cast(Scalar, function(*(cast(Literal, argument).value for argument in arguments))))
        return Computed(function.name, arguments)

    def _list(self) -> ListOf:
        start = self._token.offset
        self._at += 1
        items: list[Literal] = []
        while not self._take("]"):
            if items:
                self._expect(",", "separate the values of a list with commas")
            at = self._token.offset
            item = self._value()
            if not isinstance(item, Literal):
                self._fail(f"`{item}` cannot stand in a list", "write the values themselves", at)
            items.append(item)
        if not items:
            self._fail("the list is empty", "name the values", start)
        return ListOf(tuple(items))

    def _literal(self) -> Literal:
        token = self._token
        self._at += 1
        if token.kind == "string":
            return Literal(unquoted(token))
        if token.kind == "number":
            return Literal(number_of(token))
        if token.kind == "name" and token.text in ("true", "false"):
            return Literal(token.text == "true")
        if token.text == "null" and token.kind == "name":
            self._fail(
                "a comparison with null is never true",
                "what is missing or null already makes an allow not hold and a deny hold; `not has resource.team` asks for it",
                token.offset,
            )
        if token.kind == "end":
            self._fail("the condition ends where a value is expected", "complete it", token.offset)
        hint = INSTEAD.get(token.text, "a value is an attribute, a text in quotes, a number, true or false")
        if token.kind == "name" and token.text not in KEYWORDS and token.text not in INSTEAD:
            if self._token.text in (".", "["):
                self._refuse_root(token)
            hint = hint_on_word(token.text)
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
                path.append(unquoted(token))
                self._expect("]", "close the bracket")
            else:
                break
            if path == ["properties"] and root.text != "context":
                rest = f"{root.text}.name"
                self._fail(f"`{root.text}.properties` is not needed", f"write {rest}", token.offset)
        if len(path) > 1 and path[0] in OWN_ATTRIBUTES[root.text]:
            self._fail(f"`{root.text}.{path[0]}` has no parts", f"compare `{root.text}.{path[0]}` itself", root.offset)
        if (root.text, *path[:-1]) == ("context", "now"):
            self._fail(
                "`context.now` has no parts", 'write `weekday(context.now, "Europe/Berlin")`, or the like', root.offset
            )
        if not path:
            self._fail(f"`{root.text}` alone is not a value", f"name an attribute of it: {root.text}.name", root.offset)
        return Attribute(root.text, tuple(path))
